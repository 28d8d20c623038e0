"""
Which moment of a DAG run the sensor counts from, the same on Airflow 2.11 and 3.

Airflow 2.11 gives a cron's DAG run the data interval up to its moment; Airflow 3 gives it one without a length. A run
by hand has the last complete interval in one version and none in the other. So only a planned run's interval counts,
and only if it has a length.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

PLANNED = ("scheduled", "backfill")
"""The types of DAG runs that a timetable has made, and not a user or an asset."""

ADVICE = """\
This DAG run is {run_type} and its data interval has no length, as with a plain cron in Airflow 3. So it cannot be \
determined whether a FlowEngine run from before the DAG run counts. Give the sensor one of:
    started_within=timedelta(hours=24),  # the first run started in the 24 hours before the DAG run was due, or later
    started_after="{{{{ data_interval_end | default(dag_run.run_after) }}}}",  # … after the DAG run was due"""


class DagRunTime(NamedTuple):
    """
    The times of a DAG run.

    :param run_type: ``scheduled``, ``backfill``, ``manual``, ``asset_triggered``, …
    :param interval_start: when its data interval starts, if it has one.
    :param interval_end: when that ends.
    :param due: when the DAG run was due: its logical date, or else the moment after which it runs.
    """

    run_type: str
    interval_start: datetime | None
    interval_end: datetime | None
    due: datetime

    @classmethod
    def of(cls, context: Context) -> DagRunTime:
        """Read it from a task's context."""
        run: Any = context["dag_run"]
        start: Any = context.get("data_interval_start") or getattr(run, "data_interval_start", None)
        end: Any = context.get("data_interval_end") or getattr(run, "data_interval_end", None)
        due = getattr(run, "logical_date", None) or getattr(run, "run_after", None) or run.start_date
        return cls(str(getattr(run.run_type, "value", run.run_type)), start, end, due)

    def started_within(self, window: float) -> datetime:
        """
        Return the earliest start that counts: so long before the data interval's end, or before the DAG run was due.

        :param window: seconds; a start before 1970 isn't meant.
        """
        planned_end = self.interval_end if self.run_type in PLANNED else None
        moment = planned_end or self.due
        return moment - timedelta(seconds=min(window, moment.timestamp()))

    def started_after(self) -> datetime:
        """
        Return the moment that counts if the sensor names none.

        :raises ConfigurationError: when a planned run's data interval has no length: any guess is wrong for some users.
        """
        if self.run_type not in PLANNED:
            return self.due
        if self.interval_start and self.interval_end and self.interval_start < self.interval_end:
            return self.interval_start
        raise ConfigurationError(ADVICE.format(run_type=self.run_type))
