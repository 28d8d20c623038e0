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
    try:
        return _translate(execution, zone)
    except UntranslatableError as error:
        raise ConfigurationError(f"{error}. Choose the DAG's schedule yourself with --schedule") from None
    except ValueError as error:
        raise ConfigurationError(f"executionConfig: {error}") from None


def schedule_problem(execution: Mapping[str, Json]) -> str:
    """
    Return why FlowEngine would refuse a pipeline's schedule; empty if it wouldn't.

    :param execution: the pipeline's ``executionConfig``.
    """
    try:
        _translate(execution, "UTC")
    except UntranslatableError:
        return ""
    except ValueError as error:
        return str(error)
    return ""


def _translate(execution: Mapping[str, Json], zone: str) -> Schedule:
    mode = execution.get("runMode") or "SINGLE"
    if mode == "SINGLE":
        return Schedule()
    if mode == "CRONTAB":
        schedule = _translate_cron(str(execution.get("cronExpression") or ""), zone)
    elif mode == "PERIODICAL":
        schedule = _translate_interval(execution.get("interval"), execution.get("intervalUnit") or "MINUTE")
    elif mode == "MESSAGE":
        schedule = _translate_message(execution)
    else:
        raise ValueError(f"runMode {mode!r} isn't known; {known('modes', RUN_MODES)}")
    _check_explained(execution)
    return schedule


def _check_explained(execution: Mapping[str, Json]) -> None:
    for name in _UNEXPLAINED:
        if not is_empty(execution.get(name)) and execution[name] != 0:
            raise UntranslatableError(
                f"{name} is {execution[name]!r}, and FlowEngine's documentation does not say what it does"
            )


def _translate_cron(quartz: str, zone: str) -> Schedule:
    try:
        return cron_schedule(to_cron(quartz), zone, f"{quartz} ({zone})")
    except UntranslatableError as error:
        raise UntranslatableError(f"cronExpression {quartz!r} can't be translated: {error}") from None
    except ValueError as error:
        raise ValueError(f"cronExpression {quartz!r}: {error}") from None


def _translate_interval(interval: Json, unit: Json) -> Schedule:
    if not isinstance(unit, str) or unit not in UNITS:
        raise ValueError(f"intervalUnit {unit!r} isn't known; {known('units', UNITS)}")
    try:
        amount = float(str(interval))
        length = timedelta(**{UNITS[unit]: amount})
    except (ValueError, OverflowError):  # no number, not a finite one, or one beyond all calendars
        amount, length = 0.0, timedelta(0)
    if length < timedelta(seconds=1):
        raise ValueError(f"interval {interval!r:.40} must be at least a second")
    number = int(amount) if amount.is_integer() else amount
    note = (
        "FlowEngine counts the period from when its schedule was turned on; Airflow, from when the DAG is unpaused, "
        "when it starts at once."
    )
    timetable = f"DeltaTriggerTimetable(timedelta({UNITS[unit]}={number!r}))"
    return Schedule(timetable, f"every {number} {UNITS[unit]}", (note,))


def _translate_message(execution: Mapping[str, Json]) -> Schedule:
    topics = execution.get("triggerList")
    named = [execution.get("trigger"), *(topics if isinstance(topics, list) else [])]
    if not any(named):
        raise UntranslatableError("runMode MESSAGE names no topic (trigger or triggerList)")
    note = (
        "Airflow can't listen to FlowEngine's topics, so FlowEngine's schedule has to stay on: the DAG runs after each "
        "run of the pipeline. It needs Airflow 3."
    )
    return Schedule(notes=(note,), topics=tuple(dict.fromkeys(str(topic) for topic in named if topic)))


def _changes_clocks(zone: str) -> bool:
    """Whether a zone's clocks are changed, within the two years to come."""
    now, place = datetime.now(UTC), ZoneInfo(zone)
    offsets = {(now + timedelta(days=day)).astimezone(place).utcoffset() for day in range(0, 730, 5)}
    return len(offsets) > 1
