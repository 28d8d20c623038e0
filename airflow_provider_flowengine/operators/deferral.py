"""Waiting in the triggerer: what the operators and the sensor hand to it, and what they read from its event."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.protocol.errors import FlowEngineError, RunLostError, RunTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
    from airflow_provider_flowengine.protocol.models import Pipeline
    from airflow_provider_flowengine.protocol.monitor import RunMonitor
    from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

DEFERRAL_TIMEOUT_MARGIN = timedelta(minutes=5)
"""How much later than the trigger's own deadline Airflow may end a deferral: only for a trigger that is gone."""

MAX_DEFERRAL = timedelta(days=36_500).total_seconds()
"""Seconds after which Airflow may end a deferral at most: it adds them to a date, which has no year beyond 9999."""


def is_deferrable(given: bool | None) -> bool:
    """Return whether a task waits in the triggerer: as it says, or else as Airflow's configuration does."""
    return conf.getboolean("operators", "default_deferrable", fallback=False) if given is None else given


def build_trigger(
    hook: FlowEngineHook,
    monitor: RunMonitor,
    pipeline: Pipeline | None,
    *,
    cancel_on_kill: bool,
    writes_progress: bool = True,
) -> tuple[FlowEnginePipelineRunTrigger, timedelta | None]:
    """
    Return the trigger that continues a wait, and after which time Airflow may end the deferral.

    :param hook: the connection, whose engine is resolved already.
    :param monitor: the wait so far.
    :param pipeline: the pipeline, as far as it is known.
    :param cancel_on_kill: whether the run is stopped when the user ends the task.
    :param writes_progress: whether the task's XCom shows the run.
    """
    from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

    engine, limits, offset = hook.engine, monitor.options, hook.api.offset
    after = monitor.started_after if monitor.run_id is None else None
    trigger = FlowEnginePipelineRunTrigger(
        flowengine_conn_id=hook.flowengine_conn_id,
        engine_key=engine.key,
        engine_url=engine.url,
        engine_id=engine.id,
        pipeline_id=monitor.pipeline_id,
        run_id=monitor.run_id,
        started_after=after.isoformat() if after else None,
        poll_interval=limits.poll_interval,
        deadline=limits.deadline,
        limit=limits.limit,
        unreachable_timeout=limits.unreachable_timeout,
        run_url=monitor.run_url,
        started_at=monitor.started_at,
        pre_resume_run=monitor.pre_resume_run.as_dict() if monitor.pre_resume_run else None,
        cancel_on_kill=cancel_on_kill,
        writes_progress=writes_progress,
        pipeline_key=pipeline.key if pipeline else "",
        pipeline_name=pipeline.name if pipeline else "",
        utc_offset=offset.utcoffset(None).total_seconds() if offset else None,
    )
    if limits.deadline is None:
        return trigger, None
    remaining = max(limits.deadline - hook.api.now(), 0.0)
    return trigger, timedelta(seconds=min(remaining, MAX_DEFERRAL)) + DEFERRAL_TIMEOUT_MARGIN


def parse_event(hook: FlowEngineHook, event: object) -> dict[str, Any]:
    """
    Check a trigger's event, and let the hook take over the engine that it names.

    :raises FlowEngineError: when it is no event of ours.
    """
    if not isinstance(event, dict) or not isinstance(event.get("run"), dict):
        raise FlowEngineError(f"The trigger's event cannot be parsed: {event!r}")
    if isinstance(engine := event.get("engine"), dict):
        hook.use_engine(engine["url"], engine["id"], engine["utc_offset"])
    return event


def error_from_deferral(cause: Exception) -> FlowEngineError:
    """Return the error of a task whose deferral Airflow itself has ended with this exception."""
    if compat.is_deferral_timeout(cause):
        return RunTimeoutError(
            "Airflow ended the deferral since its time was over; the trigger itself hasn't reported "
            "(is a triggerer running?)."
        )
    return FlowEngineError(f"The trigger broke down: {cause}. The run itself may still be running.")


def error_from_event(event: Mapping[str, Any]) -> FlowEngineError:
    """Return the error that a trigger's event describes, if the wait has ended before the run."""
    from airflow_provider_flowengine.protocol.models import run_from_dict
    from airflow_provider_flowengine.triggers.flowengine import OUTCOMES

    run = run_from_dict(event["run"]) if event["run"].get("run_id") is not None else None
    message = str(event.get("message") or f"The trigger ended with {event!r}")
    url = str(event.get("run_url") or "") if run else ""
    kind = OUTCOMES.get(str(event.get("outcome")))
    if kind is None:
        return FlowEngineError(message)
    if kind is RunLostError:
        return RunLostError(message, run=run, run_url=url, gone=bool(event.get("missing")))
    return kind(message, run=run, run_url=url)
