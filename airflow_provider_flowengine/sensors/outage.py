"""How long FlowEngine has been silent, or a run odd: what the polls of a rescheduled sensor leave each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine import compat

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.monitor import RunMonitor

OUTAGE_KEY = "flowengine_outage"
OUTAGE_FIELDS = ("unavailable_since", "suspect_since")


def load_outage(context: Context) -> dict[str, float]:
    """
    Return since when it lasts, by the fields of :class:`.RunMonitor`; empty if it doesn't, or before Airflow 3.3.

    :param context: the task's context.
    """
    store = compat.task_state_store(context)
    known = store.get(OUTAGE_KEY) if store else None
    moments = known if isinstance(known, dict) and known.get("try") == context["ti"].try_number else {}
    return {name: float(at) for name, at in moments.items() if name in OUTAGE_FIELDS and isinstance(at, int | float)}


def save_outage(context: Context, monitor: RunMonitor) -> None:
    """
    Save since when it lasts, for the next poll, which has a process of its own.

    :param context: the task's context.
    :param monitor: what the poll has shown.
    """
    store = compat.task_state_store(context)
    if store is None:
        return
    moments = {name: at for name in OUTAGE_FIELDS if (at := getattr(monitor, name)) is not None}
    if moments:
        store.set(OUTAGE_KEY, {"try": context["ti"].try_number, **moments})
    elif load_outage(context):
        store.delete(OUTAGE_KEY)
