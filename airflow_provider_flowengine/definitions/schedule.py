"""
A pipeline's own schedule, and the schedule of a DAG that starts it at the same moments.

Names and modes of ``executionConfig`` are those of the vendor's API page and documentation. No source says what
``startAt`` and ``delayTime`` do, so a schedule that sets one of them is not translated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from airflow_provider_flowengine.definitions.content import is_empty
from airflow_provider_flowengine.definitions.quartz import UntranslatableError, to_cron
from airflow_provider_flowengine.protocol.errors import ConfigurationError, known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json

UNITS = {"SECOND": "seconds", "MINUTE": "minutes", "HOUR": "hours", "DAY": "days"}
"""``intervalUnit``, and what :class:`datetime.timedelta` calls it."""

RUN_MODES = ("SINGLE", "PERIODICAL", "CRONTAB", "MESSAGE")
_UNEXPLAINED = ("startAt", "delayTime")


@dataclass(frozen=True)
class Schedule:
    """
    When a DAG starts a pipeline.

    :param timetable: the DAG's ``schedule``, as Python; ``None`` if it is triggered.
    :param original: FlowEngine's own schedule in words; empty if there is none, or the user has chosen another.
    :param notes: what the user should know of the translation.
    :param topics: the topics that FlowEngine listens to, if it keeps the schedule: the DAG runs after each run then.
    """

    timetable: str = "None"
    original: str = ""
    notes: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()


def cron_schedule(expression: str, zone: str, original: str = "") -> Schedule:
    """
    Return the schedule of a cron expression.

    :param expression: Airflow's cron expression.
    :param zone: the zone of its clock.
    :param original: FlowEngine's own schedule, if it is translated from that.
    """
    # Not the expression alone: on Airflow 2.11 that means intervals, whose first run comes one start late.
    timetable = f"CronTriggerTimetable({json.dumps(expression)}, timezone={json.dumps(zone)})"
    changes = (
        f"The clocks of {zone} are changed twice a year; in those two nights, FlowEngine and Airflow may start at "
        "different moments."
    )
    return Schedule(timetable, original, (changes,) if _changes_clocks(zone) else ())


def parse_schedule(execution: Mapping[str, Json], zone: str) -> Schedule:
    """
    Return the schedule of a DAG that starts a pipeline when FlowEngine would.

    :param execution: the pipeline's ``executionConfig``.
    :param zone: the zone of FlowEngine's clock.
    :raises ConfigurationError: with the reason, if FlowEngine would refuse it, or Airflow can't do the same.
    """
    if reason := schedule_problem(execution):
        raise ConfigurationError(f"executionConfig: {reason}")
    mode = execution.get("runMode") or "SINGLE"
    if mode == "SINGLE":
        return Schedule()
    if unexplained := [name for name in _UNEXPLAINED if not is_empty(execution.get(name)) and execution[name] != 0]:
        raise ConfigurationError(
            f"executionConfig: {unexplained[0]} is {execution[unexplained[0]]!r}, and FlowEngine's documentation does "
            "not say what it does; choose the DAG's schedule yourself with --schedule"
        )
    if mode == "CRONTAB":
        return _translate_cron(str(execution["cronExpression"]), zone)
    return _translate_interval(execution) if mode == "PERIODICAL" else _translate_message(execution)


def _translate_cron(quartz: str, zone: str) -> Schedule:
    try:
        return cron_schedule(to_cron(quartz), zone, f"{quartz} ({zone})")
    except UntranslatableError as error:
        raise ConfigurationError(
            f"cronExpression {quartz!r} can't be translated: {error}. Choose the DAG's schedule yourself with "
            "--schedule"
        ) from None


def _translate_interval(execution: Mapping[str, Json]) -> Schedule:
    amount, unit = float(str(execution["interval"])), UNITS[str(execution.get("intervalUnit") or "MINUTE")]
    number = int(amount) if amount.is_integer() else amount
    note = (
        "FlowEngine counts the period from when its schedule was turned on; Airflow, from when the DAG is unpaused, "
        "when it starts at once."
    )
    return Schedule(f"DeltaTriggerTimetable(timedelta({unit}={number!r}))", f"every {number} {unit}", (note,))


def _translate_message(execution: Mapping[str, Json]) -> Schedule:
    topics = execution.get("triggerList")
    named = [execution.get("trigger"), *(topics if isinstance(topics, list) else [])]
    if not any(named):
        raise ConfigurationError(
            "executionConfig: runMode MESSAGE names no topic (trigger or triggerList); choose the DAG's schedule "
            "yourself with --schedule"
        )
    note = (
        "Airflow can't listen to FlowEngine's topics, so FlowEngine's schedule has to stay on: the DAG runs after each "
        "run of the pipeline. It needs Airflow 3."
    )
    return Schedule(notes=(note,), topics=tuple(dict.fromkeys(str(topic) for topic in named if topic)))


def schedule_problem(execution: Mapping[str, Json]) -> str:
    """
    Return why FlowEngine would refuse a pipeline's schedule; empty if it wouldn't.

    :param execution: the pipeline's ``executionConfig``.
    """
    mode = execution.get("runMode") or "SINGLE"
    if mode not in RUN_MODES:
        return f"runMode {mode!r} isn't known; {known('modes', RUN_MODES)}"
    if mode == "CRONTAB":
        expression = str(execution.get("cronExpression") or "")
        try:
            to_cron(expression)
        except UntranslatableError:
            return ""
        except ValueError as error:
            return f"cronExpression {expression!r}: {error}"
    if mode == "PERIODICAL":
        return _interval_problem(execution)
    return ""


def _interval_problem(execution: Mapping[str, Json]) -> str:
    unit = execution.get("intervalUnit") or "MINUTE"
    if not isinstance(unit, str) or unit not in UNITS:
        return f"intervalUnit {unit!r} isn't known; {known('units', UNITS)}"
    try:
        length = timedelta(**{UNITS[unit]: float(str(execution.get("interval")))})
    except (ValueError, OverflowError):  # no number, not a finite one, or one beyond all calendars
        length = timedelta(0)
    return (
        ""
        if length >= timedelta(seconds=1)
        else f"interval {execution.get('interval')!r:.40} must be at least a second"
    )


def _changes_clocks(zone: str) -> bool:
    """Whether a zone's clocks are changed, within the two years to come."""
    now, place = datetime.now(UTC), ZoneInfo(zone)
    offsets = {(now + timedelta(days=day)).astimezone(place).utcoffset() for day in range(0, 730, 5)}
    return len(offsets) > 1
