"""Since when FlowEngine is unavailable, or a run suspect: what a rescheduled sensor's poll saves for the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine import compat

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.monitor import RunMonitor

OUTAGE_KEY = "flowengine_outage"
OUTAGE_FIELDS = ("unavailable_since", "suspect_since")


def restore_outage(context: Context, monitor: RunMonitor) -> None:
    """
    Tell a poll since when the outage lasts, as the poll before it has saved; Airflow before 3.3 keeps nothing.

    :param context: the task's context.
    :param monitor: the monitor before the poll.
    """
    for name, at in _load(context).items():
        setattr(monitor, name, at)


def save_outage(context: Context, monitor: RunMonitor) -> None:
    """
    Save the outage for the next poll, which has its own process.

    :param context: the task's context.
    :param monitor: the monitor after the poll.
    """
    store = compat.task_state_store(context)
    if store is None:
        return
    moments = {name: at for name in OUTAGE_FIELDS if (at := getattr(monitor, name)) is not None}
    if moments:
        store.set(OUTAGE_KEY, {"try": context["ti"].try_number, **moments})
    elif _load(context):
        store.delete(OUTAGE_KEY)


def _load(context: Context) -> dict[str, float]:
    store = compat.task_state_store(context)
    known = store.get(OUTAGE_KEY) if store else None
    moments = known if isinstance(known, dict) and known.get("try") == context["ti"].try_number else {}
    return {name: float(at) for name, at in moments.items() if name in OUTAGE_FIELDS and isinstance(at, int | float)}
