"""Runs as the commands name and show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import output
from airflow_provider_flowengine.protocol.errors import RunNotFoundError
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.identifiers import identifier
from airflow_provider_flowengine.protocol.progress import describe_progress

if TYPE_CHECKING:
    import argparse

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

RUN_COLUMNS = ("run_id", "state", "status", "started", "ended", "trigger", "message")
NODE_COLUMNS = ("id", "name", "state", "started", "ended", "message")


def find_run(engine: Engine, arguments: argparse.Namespace) -> tuple[Pipeline | None, PipelineRun]:
    """
    Return the run that the user means, and its pipeline if it can be read.

    :param engine: the engine.
    :param arguments: ``run_id``, and ``pipeline`` if it was given.
    :raises RunNotFoundError: if there is none, or its pipeline must be named.
    """
    pipeline = engine.find(arguments.pipeline) if arguments.pipeline else None
    run = engine.run(identifier(arguments.run_id) or arguments.run_id, pipeline)
    if run is None:
        advice = "" if pipeline else ", or FlowEngine does not tell runs by their ids alone: name its --pipeline"
        raise RunNotFoundError(f"There is no run {arguments.run_id}{f' of {pipeline.key}' if pipeline else ''}{advice}")
    if pipeline is None and run.pipeline_id:
        pipeline = engine.pipeline(run.pipeline_id)
    return pipeline, run


def show_run(form: str, run: PipelineRun, pipeline: Pipeline | None) -> None:
    """Write a run with its nodes."""
    progress = describe_progress(run, pipeline)
    if form in ("json", "yaml"):
        output.value(form, progress)
        return
    output.rows(form, [{**progress, "message": run.message}], RUN_COLUMNS)
    output.rows(form, objects(progress["nodes"]), NODE_COLUMNS)
