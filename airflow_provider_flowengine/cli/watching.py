"""A run's nodes, drawn live in the terminal until it ends; without a terminal, a line each time something changes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import output
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.outcomes import duration
from airflow_provider_flowengine.protocol.progress import describe_progress
from airflow_provider_flowengine.protocol.waiting import poll_once, polled_history

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

_SIGNS = {"running": "▶", "succeeded": "✔", "failed": "✘", "stopped": "■", "unknown": "?", "planned": "·"}


def watch(
    engine: Engine,
    run: PipelineRun,
    pipeline: Pipeline | None,
    arguments: argparse.Namespace,
    *,
    resumed: bool,
) -> PipelineRun:
    """
    Draw a run until it has ended, and return it as it ended.

    :param engine: the engine.
    :param run: the run.
    :param pipeline: its pipeline, whose nodes are drawn in their order.
    :param arguments: ``timeout`` and ``poll_interval``.
    :param resumed: whether ``run`` is how it was before it was resumed, so that its end doesn't count.
    :raises RunError: if it can't be waited for any longer.
    """
    now = engine.api.now()
    monitor = RunMonitor(
        run.id,
        run.pipeline_id,
        PollOptions(arguments.poll_interval).limited("--timeout", arguments.timeout, now),
        started_at=now,
        run_url=engine.run_url(run),
        pre_resume_run=run if resumed else None,
        fetch_nodes=True,
    )
    history = polled_history(engine.api, run.pipeline_id)
    with _display(run, pipeline) as show:
        while True:
            ended = engine.run(poll_once(history, monitor))
            if seen := ended or monitor.last:
                show(seen)
            if ended:
                return ended
            time.sleep(monitor.delay(engine.api.now()))


@contextmanager
def _display(run: PipelineRun, pipeline: Pipeline | None) -> Iterator[Callable[[PipelineRun], None]]:
    """Yield what shows a run: drawn on a terminal; else a line for each state that has changed."""
    console = output.console(stderr=True)
    if console.is_terminal:
        from rich.live import Live

        live = Live(_drawing(run, pipeline), console=console, refresh_per_second=4)
        try:
            live.start()
            yield lambda seen: live.update(_drawing(seen, pipeline))
        finally:
            live.stop()  # also if Ctrl-C comes amid start, which has taken over the terminal by then
        return
    known: dict[str, str] = {}

    def note_changes(seen: PipelineRun) -> None:
        states = {f"run {seen.id}": seen.status, **{f"  node {node.label}": node.status for node in seen.nodes}}
        for name, state in states.items():
            if known.get(name) != state:
                known[name] = state
                output.note(f"{name}: {state}")

    yield note_changes


def _drawing(run: PipelineRun, pipeline: Pipeline | None) -> RenderableType:
    from rich.table import Table

    progress = describe_progress(run, pipeline)
    state = str(progress["state"])
    name = f"run {run.id} of {progress['pipeline_key'] or run.pipeline_id}"
    title = f"{_SIGNS[state]} {name}: {run.status} {_took(progress)}"
    table = Table.grid(padding=(0, 2))
    table.add_row(output.styled(title, output.STATE_STYLES.get(state, "")))
    for node in objects(progress["nodes"]):
        style = output.STATE_STYLES.get(str(node["state"]), "dim")
        sign = _SIGNS[str(node["state"] or "planned")]
        message = str(node["message"]).partition("\n")[0]
        table.add_row(output.styled(f"  {sign} {node['name']} {_took(node)} {message}", style))
    return table


def _took(thing: JsonObject) -> str:
    if not isinstance(thing.get("started"), str):
        return ""
    started = datetime.fromisoformat(str(thing["started"]))
    ended = datetime.fromisoformat(str(thing["ended"])) if thing.get("ended") else datetime.now(UTC)
    return duration(max(0.0, (ended - started).total_seconds()))
