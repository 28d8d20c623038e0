"""The command ``promote``: pipelines from one engine to another."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import output
from airflow_provider_flowengine.cli.applying import apply_steps, make_plan, read_uploads, show_plan
from airflow_provider_flowengine.cli.engine import connect_by_name
from airflow_provider_flowengine.cli.exporting import chosen
from airflow_provider_flowengine.cli.workspace import Definition, check_definitions, note_unused, read_overlay
from airflow_provider_flowengine.definitions.check import file_params, missing_files
from airflow_provider_flowengine.definitions.content import execution_config, without_server_fields
from airflow_provider_flowengine.definitions.overlay import overlaid
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from airflow_provider_flowengine.protocol.models import Pipeline


def promote(arguments: argparse.Namespace) -> int:
    """Plan, and with ``--apply`` apply, pipelines of one engine on another."""
    source = connect_by_name(arguments.source, arguments.source_engine_key, "FROM")
    target = connect_by_name(arguments.target, arguments.target_engine_key, "TO")
    if source.label == target.label:
        raise ConfigurationError(f"--from and --to are the same engine: {source.label}")
    overlay = read_overlay(arguments.overlay)
    definitions = []
    for pipeline in chosen(source, arguments):
        if not pipeline.key:
            raise ConfigurationError(f"Pipeline {pipeline.id} has no pipelineKey, by which promote names it")
        content = without_server_fields(overlaid(pipeline.content, overlay))
        definitions.append(Definition(f"{pipeline.key} of {source.name}", content))
    check_definitions(definitions)
    note_unused(overlay, definitions)
    pipelines = target.current(definitions)
    definitions = [_with_targets_files(*each) for each in zip(definitions, pipelines, strict=True)]
    uploads = _ask_for_files(definitions, read_uploads(arguments.uploads, definitions))
    steps = make_plan(definitions, pipelines, uploads)
    _note_what_stays_behind(definitions)
    if arguments.apply:
        return apply_steps(target, steps, arguments.output, force=arguments.force)
    return show_plan(arguments.output, steps)


def _with_targets_files(definition: Definition, current: Pipeline | None) -> Definition:
    """Give FILE params the paths that the target has for them: the source's are on the source's own disk."""
    content = copy.deepcopy(definition.content)
    paths = {name: param.get("value") for name, param in file_params(current.content if current else {})}
    for name, param in file_params(content):
        param["value"] = paths.get(name)
    return Definition(definition.source, content)


def _ask_for_files(definitions: list[Definition], uploads: dict[str, str]) -> dict[str, str]:
    """Ask for the files of FILE params that the target has none for; without a terminal, the plan refuses them."""
    missing = [name for definition in definitions for name in missing_files(definition.content) if name not in uploads]
    if not missing or len(definitions) != 1 or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return uploads
    answers = [f"{name}={output.ask(f'File to upload for FILE param {name}: ')}" for name in missing]
    return uploads | read_uploads(answers, definitions)


def _note_what_stays_behind(definitions: Iterable[Definition]) -> None:
    for definition in definitions:
        for name, _ in file_params(definition.content):
            output.note(f"{definition.label}: FILE param {name} keeps the target's own file.")
        mode = execution_config(definition.content).get("runMode")
        if mode not in (None, "SINGLE"):
            output.note(
                f"{definition.label}: its schedule ({mode}) is carried over as it is; an overlay "
                "can change it. Whether it is on is not: turn it on there."
            )
