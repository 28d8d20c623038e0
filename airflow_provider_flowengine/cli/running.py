"""The commands that start, stop and resume runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.runs import find_run, show_run
from airflow_provider_flowengine.cli.watching import check_timeout, watch
from airflow_provider_flowengine.protocol.errors import ConfigurationError, NodeNotFoundError, known

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun


def run(arguments: argparse.Namespace) -> int:
    """Start a pipeline, exactly once."""
    check_timeout(arguments, waits=arguments.wait, option="--wait")
    engine = connect(arguments)
    pipeline = engine.find(arguments.pipeline)
    whole = engine.pipeline(pipeline.id) if arguments.params else pipeline
    params = read_params(whole, arguments.params)
    try:
        started = engine.start(pipeline, params)
    except KeyboardInterrupt:
        output.note(
            "Interrupted while the start was under way: it cannot be determined whether FlowEngine took it. "
            f"flowengine runs {arguments.pipeline} shows it."
        )
        return exit_codes.START_UNCONFIRMED
    output.note(f"Started run {started.id} of {pipeline.key or pipeline.id}: {engine.run_url(started)}")
    return _report(engine, started, pipeline, arguments)


def read_params(pipeline: Pipeline, given: Iterable[str]) -> dict[str, dict[str, Json]]:
    """
    Return job params from ``node.key=value``; names may hold dots, as long as one reading of them exists.

    :param pipeline: the whole pipeline.
    :param given: the arguments.
    :raises ConfigurationError: if one isn't of that form, or a param is given twice.
    :raises NodeNotFoundError: if the pipeline has no such param.
    """
    names = _params_by_name(pipeline)
    params: dict[str, dict[str, Json]] = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not equals or "." not in name:
            raise ConfigurationError(f"--param {argument!r} must be NODE.KEY=VALUE")
        matches = names.get(name, set())
        if not matches:
            raise NodeNotFoundError(f"--param: the pipeline has no {name!r}; {known('params', names, wanted=name)}")
        if len(matches) > 1:
            ids = ", ".join(sorted(node for node, _ in matches))
            raise NodeNotFoundError(f"--param: {name!r} is of several nodes: name one by its id, {ids}")
        ((node_id, key),) = matches
        if key in params.setdefault(node_id, {}):
            raise ConfigurationError(f"--param: {name!r} is given twice")
        params[node_id][key] = value
    return params


def _params_by_name(pipeline: Pipeline) -> dict[str, set[tuple[str, str]]]:
    """Return each ``node.key`` that a user may write, with the node's id and the key that it can mean."""
    names: dict[str, set[tuple[str, str]]] = {}
    for node in pipeline.nodes:
        for param in node.params:
            for name in {node.id, node.name}:
                names.setdefault(f"{name}.{param.key}", set()).add((node.id, param.key))
    return names


def stop(arguments: argparse.Namespace) -> int:
    """Stop a run."""
    engine = connect(arguments)
    pipeline, found = find_run(engine, arguments)
    if engine.stop(found.id, pipeline.id if pipeline else None):
        output.note(f"Requested cancellation of run {found.id}.")
    else:
        output.note(f"Run {found.id} had already finished, or is stopping.")
    show_run(arguments.output, engine.run(found.id, pipeline) or found, pipeline)
    return exit_codes.OK


def resume(arguments: argparse.Namespace) -> int:
    """Resume a failed or stopped run."""
    check_timeout(arguments, waits=arguments.wait, option="--wait")
    engine = connect(arguments)
    pipeline, found = find_run(engine, arguments)
    engine.resume(found.id, pipeline.id if pipeline else None)
    output.note(f"Resumed run {found.id}.")
    return _report(engine, found, pipeline, arguments, resumed=True)


def _report(
    engine: Engine,
    found: PipelineRun,
    pipeline: Pipeline | None,
    arguments: argparse.Namespace,
    *,
    resumed: bool = False,
) -> int:
    """Show a run; with ``--wait``, once it has ended. Ctrl-C asks what to do with it."""
    if not arguments.wait:
        show_run(arguments.output, (engine.run(found.id, pipeline) if resumed else None) or found, pipeline)
        return exit_codes.OK
    while True:
        try:
            return watch(engine, found, pipeline, arguments, resumed=resumed)
        except KeyboardInterrupt:
            answer = _ask(found)
            if answer.startswith("s"):
                engine.stop(found.id, found.pipeline_id)
                output.note(f"Requested cancellation of run {found.id}.")
                return exit_codes.INTERRUPTED
            if not answer.startswith("c"):
                output.note(f"Leaving run {found.id} running.")
                return exit_codes.INTERRUPTED


def _ask(found: PipelineRun) -> str:
    """Ask what to do with a run that is waited for; nobody there to ask, or no answer, leaves it running."""
    if not sys.stdin.isatty():
        return ""
    try:
        sys.stderr.write(f"\nRun {found.id} has not ended. [s]top it, [c]ontinue waiting, or [l]eave it running? ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        return ""
