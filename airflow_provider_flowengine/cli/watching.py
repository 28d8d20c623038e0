"""A run's nodes, drawn live in the terminal until it ends; without a terminal, a line each time something changes."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.runs import show_run
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.outcomes import check_success
from airflow_provider_flowengine.protocol.progress import describe_progress

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

_SIGNS = {"running": "▶", "succeeded": "✔", "failed": "✘", "stopped": "■", "unknown": "?", None: "·"}


def watch(
    engine: Engine,
    run: PipelineRun,
    pipeline: Pipeline | None,
    arguments: argparse.Namespace,
    *,
    resumed: bool = False,
) -> int:
    """
    Draw a run until it ends, and write how it ended.

    :param engine: the engine.
    :param run: the run.
    :param pipeline: its pipeline, whose nodes are drawn in their order.
    :param arguments: ``timeout``, ``poll_interval`` and ``output``.
    :param resumed: whether ``run`` is how it was before it was resumed.
    :return: the exit code, by how the run ended.
    :raises RunError: if the run failed, was stopped, or can't be waited for any longer.
    """
    seen = run
    polls = engine.follow(run, timeout=arguments.timeout, poll_interval=arguments.poll_interval, resumed=resumed)
    with _display(run, pipeline) as show:
        for seen in polls:
            show(seen)
    show_run(arguments.output, seen, pipeline)
    check_success(seen, engine.run_url(seen))
    return exit_codes.OK


def check_timeout(arguments: argparse.Namespace, *, waits: bool, option: str) -> None:
    """
    Refuse a ``--timeout`` of a command that doesn't wait, before it does anything.

    :param arguments: its arguments.
    :param waits: whether it waits.
    :param option: what makes it wait.
    :raises ConfigurationError: if there is nothing that the time could limit.
    """
    if arguments.timeout is not None and not waits:
        raise ConfigurationError(f"--timeout goes with {option}; without it, the command does not wait")


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
    title = f"{_SIGNS.get(state, '?')} {name}: {run.status} {_took(progress)}"
    table = Table.grid(padding=(0, 2))
    table.add_row(output.styled(title, output.STATE_STYLES.get(state, "")))
    depths = _depths(progress)
    for node in objects(progress["nodes"]):
        style = output.STATE_STYLES.get(str(node["state"]), "dim")
        sign = _SIGNS.get(node["state"] if isinstance(node["state"], str) else None, "?")
        indent = "  " * depths.get(str(node["id"]), 0)
        message = str(node["message"]).partition("\n")[0]
        table.add_row(output.styled(f"  {indent}{sign} {node['name']} {_took(node)} {message}", style))
    return table


def _depths(progress: JsonObject) -> dict[str, int]:
    """Return how many nodes stand before each, at most, along the edges."""
    edges = progress["edges"]
    pairs = [edge for edge in edges if isinstance(edge, list)] if isinstance(edges, list) else []
    depths: dict[str, int] = {}
    for _ in pairs:  # no path is longer than there are edges
        before = dict(depths)
        for source, target in pairs:
            depths[str(target)] = max(depths.get(str(target), 0), depths.get(str(source), 0) + 1)
        if depths == before:
            break
    return {node: min(depth, 20) for node, depth in depths.items()}


def _took(thing: JsonObject) -> str:
    if not isinstance(thing.get("started"), str):
        return ""
    started = datetime.fromisoformat(str(thing["started"]))
    ended = datetime.fromisoformat(str(thing["ended"])) if thing.get("ended") else datetime.now(UTC)
    seconds = max(0, int((ended - started).total_seconds()))
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
