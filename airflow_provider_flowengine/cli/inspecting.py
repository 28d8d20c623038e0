"""The commands about an engine: check, pipelines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.definitions.content import execution_config
from airflow_provider_flowengine.protocol.errors import FlowEngineError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import JsonObject


def check(arguments: argparse.Namespace) -> int:
    """Check the connection step by step; stop at the first that fails, and say what to do."""
    engine = connect(arguments)
    steps: tuple[tuple[str, Callable[[], str], str], ...] = (
        ("engine", lambda: _resolve(engine), "is the address FlowEngine's gateway, and does it have this engine?"),
        ("pipelines", lambda: str(len(engine.pipelines())), "may this user list them, and is api_root right?"),
        ("time zone", lambda: _zone(engine), "set timezone"),
    )
    results: list[JsonObject] = []
    for name, step, advice in steps:
        try:
            results.append({"step": name, "result": "ok", "detail": step()})
        except FlowEngineError as error:
            results.append({"step": name, "result": "failed", "detail": f"{error} What to do: {advice}"})
            break
    output.rows(arguments.output, results, ("step", "result", "detail"))
    return exit_codes.OK if results[-1]["result"] == "ok" else exit_codes.ERROR


def _resolve(engine: Engine) -> str:
    """Sign in if the connection says so, find the engine, and find out which API it speaks."""
    settings, found = engine.settings, engine.run(engine.api.resolve())
    way = "signed in by session" if settings.authentication == "session" else "by user id"
    return f"{found.key} has id {found.id} at {settings.fl_url}{found.url}, speaks {found.version.root}, asked {way}"


def _zone(engine: Engine) -> str:
    return engine.settings.timezone or "none is set: times without one are read as UTC until a run tells the zone"


def pipelines(arguments: argparse.Namespace) -> int:
    """List the engine's pipelines."""
    rows: list[JsonObject] = [
        {
            "id": pipeline.id,
            "pipeline_key": pipeline.key,
            "name": pipeline.name,
            "nodes": len(pipeline.nodes),
            "schedule": _schedule(execution_config(pipeline.content)),
        }
        for pipeline in connect(arguments).pipelines()
    ]
    output.rows(arguments.output, rows, ("id", "pipeline_key", "name", "nodes", "schedule"))
    return exit_codes.OK


def _schedule(execution: JsonObject) -> str:
    """Name a pipeline's own schedule; whether it is on, FlowEngine's API does not say."""
    mode = str(execution.get("runMode") or "")
    details = {
        "CRONTAB": execution.get("cronExpression"),
        "PERIODICAL": f"{execution.get('interval')} {execution.get('intervalUnit') or 'MINUTE'}",
        "MESSAGE": execution.get("trigger"),
    }
    return f"{mode} {details.get(mode) or ''}".strip()
