"""The command ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.workspace import write_files
from airflow_provider_flowengine.definition_files import read_definition
from airflow_provider_flowengine.definitions.check import file_params
from airflow_provider_flowengine.definitions.diff import diff
from airflow_provider_flowengine.definitions.files import file_stem, to_files
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline


def export(arguments: argparse.Namespace) -> int:
    """Write pipelines' definitions to files; a file whose pipeline has not changed stays as it is."""
    engine, folder = connect(arguments), Path(arguments.dir)
    taken: list[str] = []
    results: list[JsonObject] = []
    for pipeline in chosen(engine, arguments):
        stem = file_stem(pipeline.key or pipeline.name or str(pipeline.id), taken)
        path = folder / f"{stem}.json"
        taken.append(path.name)
        if path.exists() and not arguments.inline and _is_up_to_date(path, pipeline):
            state = "unchanged"
        else:
            write_files(folder, to_files(pipeline.content, stem, inline=arguments.inline))
            state = "written"
        results.append({"pipeline": pipeline.key or pipeline.name, "file": str(path), "state": state})
        for node, param in file_params(pipeline.content):
            output.note(
                f"{path}: FILE param {node}.{param.get('key')} is a path on this engine's own disk; on another engine, "
                "upload the file with --file"
            )
    output.rows(arguments.output, results, ("pipeline", "file", "state"))
    return exit_codes.OK


def chosen(engine: Engine, arguments: argparse.Namespace) -> list[Pipeline]:
    """
    Return the whole pipelines that the user means.

    :param engine: the engine.
    :param arguments: ``pipelines``, or ``all``.
    :raises ConfigurationError: if neither or both are given.
    """
    if bool(arguments.pipelines) == arguments.all:
        raise ConfigurationError("Name pipelines, or give --all")
    found = engine.pipelines() if arguments.all else [engine.find(name) for name in dict.fromkeys(arguments.pipelines)]
    return [engine.pipeline(pipeline.id) for pipeline in found]


def _is_up_to_date(path: Path, pipeline: Pipeline) -> bool:
    try:
        return diff(pipeline.content, read_definition(path)).is_empty
    except ConfigurationError:
        return False
