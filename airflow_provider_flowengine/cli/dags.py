"""The command ``dag``."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.exporting import chosen
from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.definitions.content import execution_config
from airflow_provider_flowengine.definitions.dag_file import DagFile
from airflow_provider_flowengine.definitions.job_params import settable_params
from airflow_provider_flowengine.definitions.schedule import Schedule, cron_schedule, parse_schedule
from airflow_provider_flowengine.protocol.arguments import parse_zone
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.zone import DEFAULT_ZONE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.models import Pipeline

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
"""Airflow's names for cron expressions."""


def dag(arguments: argparse.Namespace) -> int:
    """Write a DAG file for each pipeline; what can't be translated is said, and has no file."""
    engine = connect(arguments)
    pipelines = chosen(engine, arguments)
    if len(pipelines) != 1 and not arguments.dir:
        raise ConfigurationError("Several DAG files need a folder: give --dir")
    zone = parse_zone("--zone", arguments.zone or "") or engine.settings.timezone or DEFAULT_ZONE
    code = exit_codes.OK
    for pipeline in pipelines:
        label = pipeline.key or pipeline.name
        try:
            file = _dag_file(pipeline, zone, arguments)
        except ConfigurationError as error:
            output.note(f"{label}: no DAG is written: {error}", style="red")
            code = exit_codes.ERROR
            continue
        _write(file, arguments.dir)
        for note in _notes(file, engine):
            output.note(f"{label}: {note}")
    return code


def _dag_file(pipeline: Pipeline, zone: str, arguments: argparse.Namespace) -> DagFile:
    return DagFile(
        key=pipeline.key,
        pipeline_id=pipeline.id,
        schedule=_schedule(pipeline, zone, arguments.schedule),
        zone=zone,
        written=datetime.now(ZoneInfo(zone)),
        params=settable_params(pipeline.content, arguments.params),
        conn_id=arguments.conn_id or DEFAULT_CONN_ID,
        engine_key=arguments.engine_key or "",
    )


def _write(file: DagFile, folder: str | None) -> None:
    if not folder:
        output.line(file.text().rstrip("\n"))
        return
    path = Path(folder) / f"{file.dag_id}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.text(), encoding="utf-8")
    output.note(f"Written: {path}")


def _notes(file: DagFile, engine: Engine) -> Iterator[str]:
    """Yield what the user should know of a DAG file."""
    yield from file.schedule.notes
    if file.schedule.timetable.startswith("Cron"):
        yield (
            f"its hours are those of {file.zone}; if FlowEngine keeps another clock, set timezone in the connection, "
            "or give --zone"
        )
    if engine.name != file.conn_id:  # the command has used no connection
        yield f"it uses the connection {file.conn_id}, which must lead to {engine.label}"


def _schedule(pipeline: Pipeline, zone: str, given: str | None) -> Schedule:
    """Return the schedule that the user gave, or else the pipeline's own, translated."""
    if given == "none":
        return Schedule()
    if given:
        if not _is_cron(given):
            raise ConfigurationError(
                f"--schedule {given!r} must be a cron expression of five fields, one of {', '.join(_PRESETS)}, or none"
            )
        return cron_schedule(given, zone)
    return parse_schedule(execution_config(pipeline.content), zone)


def _is_cron(text: str) -> bool:
    """Whether Airflow's cron timetable takes a schedule: a preset, or the usual five fields."""
    from croniter import croniter

    is_random = re.search(r"\br", text, re.IGNORECASE)  # croniter's own, drawn anew at each parse
    return text in _PRESETS or (len(text.split()) == 5 and not is_random and croniter.is_valid(text))
