"""
A pipeline's own schedule, and the schedule of a DAG that starts it at the same moments.

Names and modes of ``executionConfig`` are those of the vendor's API page and documentation. No source says what
``startAt`` and ``delayTime`` do, so a schedule that sets one of them is not translated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from airflow_provider_flowengine.definitions.content import is_empty
from airflow_provider_flowengine.definitions.quartz import parse_quartz, to_cron
from airflow_provider_flowengine.protocol.errors import ConfigurationError, known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_flowengine.protocol.http import Json

UNITS = {"SECOND": "seconds", "MINUTE": "minutes", "HOUR": "hours", "DAY": "days"}
"""``intervalUnit``, and what :class:`datetime.timedelta` calls it."""

RUN_MODES = ("SINGLE", "PERIODICAL", "CRONTAB", "MESSAGE")
_UNEXPLAINED = ("startAt", "delayTime")


@dataclass(frozen=True)
class Manual:
    """It has no schedule: it is started by hand."""


@dataclass(frozen=True)
class Cron:
    """
    It starts at moments of the clock.

    :param expression: Airflow's cron expression.
    :param quartz: FlowEngine's.
    """

    expression: str
    quartz: str


@dataclass(frozen=True)
class Every:
    """
    It starts again and again.

    :param amount: after how many units.
    :param unit: the unit's name, as :class:`datetime.timedelta` has it.
    """

    amount: float
    unit: str


@dataclass(frozen=True)
class Message:
    """
    It starts when a message comes.

    :param topics: the topics that it listens to.
    """

    topics: tuple[str, ...]


Schedule = Manual | Cron | Every | Message


def parse_schedule(execution: Mapping[str, Json]) -> Schedule:
    """
    Return the schedule of a DAG that starts a pipeline when FlowEngine would.

    :param execution: the pipeline's ``executionConfig``.
    :raises ConfigurationError: with the reason, if FlowEngine would refuse it, or Airflow can't do the same.
    """
    if reason := schedule_problem(execution):
        raise ConfigurationError(f"executionConfig: {reason}")
    mode = execution.get("runMode") or "SINGLE"
    if mode == "SINGLE":
        return Manual()
    _check_explained(execution)
    return _PARSERS[str(mode)](execution)


def _check_explained(execution: Mapping[str, Json]) -> None:
    if unexplained := [name for name in _UNEXPLAINED if not is_empty(execution.get(name)) and execution[name] != 0]:
        raise ConfigurationError(
            f"executionConfig: {unexplained[0]} is {execution[unexplained[0]]!r}, and FlowEngine's documentation does "
            "not say what it does; choose the DAG's schedule yourself with --schedule"
        )


def _parse_cron(execution: Mapping[str, Json]) -> Cron:
    quartz = str(execution.get("cronExpression"))
    try:
        return Cron(to_cron(quartz), quartz)
    except ValueError as error:
        raise ConfigurationError(
            f"cronExpression {quartz!r} can't be translated: {error}. Choose the DAG's schedule yourself with "
            "--schedule"
        ) from None


def _parse_interval(execution: Mapping[str, Json]) -> Every:
    amount = float(str(execution.get("interval")))
    return Every(int(amount) if amount.is_integer() else amount, UNITS[str(execution.get("intervalUnit") or "MINUTE")])


def _parse_topics(execution: Mapping[str, Json]) -> Message:
    topics = execution.get("triggerList")
    named = [execution.get("trigger"), *(topics if isinstance(topics, list) else [])]
    return Message(tuple(dict.fromkeys(str(topic) for topic in named if topic)))


_PARSERS: dict[str, Callable[[Mapping[str, Json]], Schedule]] = {
    "CRONTAB": _parse_cron,
    "PERIODICAL": _parse_interval,
    "MESSAGE": _parse_topics,
}


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
            parse_quartz(expression)
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


def changes_clocks(zone: str) -> bool:
    """
    Whether a zone's clocks are changed, within the two years to come.

    :param zone: the zone's name.
    """
    now, place = datetime.now(UTC), ZoneInfo(zone)
    offsets = {(now + timedelta(days=day)).astimezone(place).utcoffset() for day in range(0, 730, 5)}
    return len(offsets) > 1
