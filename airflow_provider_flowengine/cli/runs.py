"""The commands about runs: runs, show, run, stop, resume."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.watching import watch
from airflow_provider_flowengine.protocol.errors import ConfigurationError, RunNotFoundError
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.identifiers import identifier
from airflow_provider_flowengine.protocol.job_params import resolve_job_params
from airflow_provider_flowengine.protocol.outcomes import check_success
from airflow_provider_flowengine.protocol.progress import describe_progress
from airflow_provider_flowengine.protocol.starting import start_once
from airflow_provider_flowengine.protocol.stopping import resume as resume_run
from airflow_provider_flowengine.protocol.stopping import stop as stop_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

RUN_COLUMNS = ("run_id", "state", "status", "started", "ended", "trigger", "message")
NODE_COLUMNS = ("id", "name", "state", "started", "ended", "message")


def runs(arguments: argparse.Namespace) -> int:
    """List a pipeline's runs, newest first."""
    engine = connect(arguments)
    pipeline = engine.find(arguments.pipeline)
    found = engine.run(History(engine.api, pipeline.id).latest(arguments.limit)).runs[: arguments.limit]
    output.rows(arguments.output, [{**run.as_dict(), "message": run.message} for run in found], RUN_COLUMNS)
    return exit_codes.OK


def show(arguments: argparse.Namespace) -> int:
    """Show a run and its nodes, live if asked."""
    _check_timeout(arguments)
    engine = connect(arguments)
    pipeline, found = _find_run(engine, arguments)
    if arguments.wait:
        return _wait(engine, found, pipeline, arguments)
    _show(arguments.output, found, pipeline)
    return exit_codes.OK


def run(arguments: argparse.Namespace) -> int:
    """Start a pipeline, exactly once."""
    _check_timeout(arguments)
    engine = connect(arguments)
    pipeline = engine.find(arguments.pipeline)
    params = _read_params(engine.pipeline(pipeline.id), arguments.params) if arguments.params else {}
    try:
        started = engine.run(start_once(engine.api, pipeline.id, params))
    except KeyboardInterrupt:
        output.note(
            "Interrupted while the start was under way: it cannot be determined whether FlowEngine took it. "
            f"flowengine runs {arguments.pipeline} shows it."
        )
        return exit_codes.START_UNCONFIRMED
    output.note(f"Started run {started.id} of {pipeline.key or pipeline.id}: {engine.run_url(started)}")
    if arguments.wait:
        return _ask_at_ctrl_c(engine, started, lambda: _wait(engine, started, pipeline, arguments))
    _show(arguments.output, started, pipeline)
    return exit_codes.OK


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run."""
    engine = connect(arguments)
    pipeline, found = _find_run(engine, arguments)
    if engine.run(stop_run(engine.api, pipeline.id if pipeline else None, found.id)):
        output.note(f"Requested cancellation of run {found.id}.")
    else:
        output.note(f"Run {found.id} had already finished, or is stopping.")
    _show(arguments.output, _read_run(engine, found.id, pipeline) or found, pipeline)
    return exit_codes.OK


def resume(arguments: argparse.Namespace) -> int:
    """Resume a failed or stopped run."""
    _check_timeout(arguments)
    engine = connect(arguments)
    pipeline, found = _find_run(engine, arguments)
    engine.run(resume_run(engine.api, pipeline.id if pipeline else None, found.id))
    output.note(f"Resumed run {found.id}.")
    if arguments.wait:
        return _ask_at_ctrl_c(engine, found, lambda: _wait(engine, found, pipeline, arguments, resumed=True))
    _show(arguments.output, _read_run(engine, found.id, pipeline) or found, pipeline)
    return exit_codes.OK


def _check_timeout(arguments: argparse.Namespace) -> None:
    """Refuse a ``--timeout`` that has nothing to limit, before anything is sent."""
    if arguments.timeout is not None and not arguments.wait:
        raise ConfigurationError("--timeout goes with --wait or --watch; without it, the command does not wait")


def _find_run(engine: Engine, arguments: argparse.Namespace) -> tuple[Pipeline | None, PipelineRun]:
    """Return the run that the user means, and its pipeline if it can be read."""
    pipeline = engine.find(arguments.pipeline) if arguments.pipeline else None
    run = _read_run(engine, identifier(arguments.run_id) or arguments.run_id, pipeline)
    if run is None:
        advice = "" if pipeline else ", or FlowEngine does not tell runs by their ids alone: name its --pipeline"
        raise RunNotFoundError(f"There is no run {arguments.run_id}{f' of {pipeline.key}' if pipeline else ''}{advice}")
    if pipeline is None and run.pipeline_id:
        pipeline = engine.pipeline(run.pipeline_id)
    return pipeline, run


def _read_run(engine: Engine, run_id: Identifier, pipeline: Pipeline | None) -> PipelineRun | None:
    """Return a run, with its nodes if FlowEngine tells them; without its pipeline, only the one-run call finds it."""
    detailed = engine.run(engine.api.read_run(pipeline.id if pipeline else "", run_id))
    if detailed or pipeline is None:
        return detailed
    return engine.run(History(engine.api, pipeline.id).find(run_id))


def _show(form: str, run: PipelineRun, pipeline: Pipeline | None) -> None:
    """Write a run with its nodes."""
    progress = describe_progress(run, pipeline)
    if form in ("json", "yaml"):
        output.value(form, progress)
        return
    output.rows(form, [{**progress, "message": run.message}], RUN_COLUMNS)
    output.rows(form, objects(progress["nodes"]), NODE_COLUMNS)


def _read_params(pipeline: Pipeline, given: Sequence[str]) -> dict[str, dict[str, Json]]:
    """Return job params from ``node.key=value``; names may hold dots."""
    params: dict[str, dict[str, Json]] = {}
    for argument in given:
        path, equals, value = argument.partition("=")
        if not equals or "." not in path:
            raise ConfigurationError(f"--param {argument!r} must be NODE.KEY=VALUE")
        node = _node_of(path, pipeline)
        key = path.removeprefix(f"{node}.")
        if key in params.setdefault(node, {}):
            raise ConfigurationError(f"--param: {path!r} is given twice")
        params[node][key] = value
    resolved = resolve_job_params(pipeline, params)
    if sum(map(len, resolved.values())) < len(given):
        raise ConfigurationError("--param: a param is given twice, by its node's id and by its name")
    return resolved


def _node_of(path: str, pipeline: Pipeline) -> str:
    """Return the node that a path begins with: the one that has the rest as a param, if there is one."""
    begun = [(name, node) for node in pipeline.nodes for name in (node.id, node.name) if path.startswith(f"{name}.")]
    found = {name for name, node in begun if path.removeprefix(f"{name}.") in {param.key for param in node.params}}
    if len(found) > 1:
        raise ConfigurationError(f"--param: {path!r} fits the nodes {' and '.join(sorted(found))}; use a node's id")
    return max(found or {name for name, _ in begun}, key=len, default=path.partition(".")[0])


def _wait(
    engine: Engine,
    run: PipelineRun,
    pipeline: Pipeline | None,
    arguments: argparse.Namespace,
    *,
    resumed: bool = False,
) -> int:
    """Draw a run until it ends, and write how it ended; one that hasn't succeeded raises a RunError."""
    ended = watch(engine, run, pipeline, arguments, resumed=resumed)
    _show(arguments.output, ended, pipeline)
    check_success(ended, engine.run_url(ended))
    return exit_codes.OK


def _ask_at_ctrl_c(engine: Engine, run: PipelineRun, wait: Callable[[], int]) -> int:
    """Wait for a run that this command started or resumed; Ctrl-C asks what to do with it."""
    while True:
        try:
            return wait()
        except KeyboardInterrupt:
            answer = _ask(run)
            if answer.startswith("s"):
                engine.run(stop_run(engine.api, run.pipeline_id, run.id))
                output.note(f"Requested cancellation of run {run.id}.")
                return exit_codes.INTERRUPTED
            if not answer.startswith("c"):
                output.note(f"Leaving run {run.id} running.")
                return exit_codes.INTERRUPTED


def _ask(run: PipelineRun) -> str:
    """Ask what to do with a run that is waited for; nobody there to ask, or no answer, leaves it running."""
    if not sys.stdin.isatty():
        return ""
    try:
        question = f"\nRun {run.id} has not ended. [s]top it, [c]ontinue waiting, or [l]eave it running? "
        return output.ask(question).lower()
    except KeyboardInterrupt:
        return ""
