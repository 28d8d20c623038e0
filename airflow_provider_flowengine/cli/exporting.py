"""The command ``export``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.workspace import files_by_label, write_files
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
    names = files_by_label(folder)
    taken = {path.name for path in folder.glob("*.json")}
    results: list[JsonObject] = []
    for pipeline in chosen(engine, arguments):
        label = pipeline.key or pipeline.name or str(pipeline.id)
        name = names.get(label) or f"{file_stem(label, taken)}.json"
        taken.add(name)
        try:
            state = _write(folder / name, pipeline, inline=arguments.inline)
        except (ConfigurationError, OSError) as error:
            output.note(f"Error: {label}: {error}", style="red")
            state = "failed"
        results.append({"pipeline": label, "file": str(folder / name), "state": state})
        for param, _ in file_params(pipeline.content):
            output.note(
                f"{folder / name}: FILE param {param} is a path on this engine's own disk; on another engine, upload "
                "the file with --file"
            )
    output.rows(arguments.output, results, ("pipeline", "file", "state"))
    return exit_codes.ERROR if any(result["state"] == "failed" for result in results) else exit_codes.OK


def _write(path: Path, pipeline: Pipeline, *, inline: bool) -> str:
    """Write a pipeline's files, and return what became of them."""
    existed = path.exists()
    if existed and not inline:
        with suppress(ConfigurationError):
            if diff(pipeline.content, read_definition(path)).is_empty:
                return "unchanged"
    write_files(path.parent, to_files(pipeline.content, path.stem, inline=inline))
    return "overwritten" if existed else "written"


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
