"""
When a pipeline starts by itself: its own ``executionConfig``, turned on and off by the schedule calls.

Field names and modes are those of the vendor's API page and documentation. That a period begins when the schedule is
turned on, and that a run starts while the one before it is still under way, is inference.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from .definition import RequestRejected, seconds
from .quartz import read_quartz

# runMode -> the trigger of its runs, one of options.TRIGGERS
TRIGGER_OF_MODE = {"PERIODICAL": "interval", "CRONTAB": "cron", "MESSAGE": "message"}


def check_schedule(config: dict[str, Any]) -> None:
    """
    Check a pipeline's schedule, whether it is on or not.

    :param config: the pipeline's ``executionConfig``.
    :raises RequestRejected: when it has an unknown ``runMode``, or one that lacks what it needs.
    """
    mode = config.get("runMode") or "SINGLE"
    if mode not in ("SINGLE", *TRIGGER_OF_MODE):
        raise RequestRejected(f"the unknown runMode {mode!r}; known: SINGLE, {', '.join(TRIGGER_OF_MODE)}")
    next_fire(config, 0, "UTC")


def first_fire(config: dict[str, Any], after: float, timezone: str) -> float | None:
    """
    Return when a schedule fires first, once it is turned on; parameters as of :func:`next_fire`.

    :raises RequestRejected: when the schedule makes no sense, or its cron expression has no date left (inference).
    """
    fires = next_fire(config, after, timezone)
    if fires is None and config.get("runMode") == "CRONTAB":
        raise RequestRejected(f"cron expression {config.get('cronExpression')!r} will never fire")
    return fires


def next_fire(config: dict[str, Any], after: float, timezone: str) -> float | None:
    """
    Return when a schedule fires next.

    :param config: the pipeline's ``executionConfig``.
    :param after: the last time it fired, or when it was turned on (seconds since the epoch).
    :param timezone: the zone of a cron expression's hours.
    :return: seconds since the epoch; None if no time makes it fire: runMode SINGLE or MESSAGE, or no date left.
    :raises RequestRejected: when the schedule makes no sense.
    """
    match config.get("runMode"):
        case "PERIODICAL":
            interval = seconds(config, "interval", "intervalUnit")
            if interval is None or interval < 1:
                given = f"{config.get('interval')!r:.40}"
                raise RequestRejected(f"runMode PERIODICAL with interval {given}: it has to be at least a second")
            return after + interval
        case "CRONTAB":
            try:
                return read_quartz(str(config.get("cronExpression") or "")).after(after, ZoneInfo(timezone))
            except ValueError as error:
                raise RequestRejected(str(error)) from error
        case _:
            return None


def listens_to(config: dict[str, Any], topic: str) -> bool:
    """
    Whether a message on a topic starts the pipeline.

    :param config: the pipeline's ``executionConfig``.
    :param topic: the message's topic, FlowEngine's ``trigger``.
    """
    if config.get("runMode") != "MESSAGE":
        return False
    topics = config.get("triggerList")
    return topic == config.get("trigger") or (isinstance(topics, list) and topic in topics)
