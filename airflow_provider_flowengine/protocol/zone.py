"""
Times, as FlowEngine gives them, and which of them name no zone.

Whether times are numbers or text isn't documented. For text no source says in which zone it is: published set-ups have
databases at +00:00 and at +08:00, and the release's images run at +08:00.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, cast

from airflow_provider_flowengine.protocol.http import YEARS, is_real

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json

DEFAULT_ZONE = "UTC"

MIN_OFFSET, MAX_OFFSET = timedelta(hours=-12), timedelta(hours=14)
"""The offsets from UTC that zones have."""

_EPOCH_UNITS = {10**11: 1, 10**15: 10**3, 10**18: 10**6, 10**21: 10**9}
"""Up to which number it is in seconds, milliseconds, microseconds and nanoseconds: those are how many in a second."""

_NO_TIME = re.compile(r"[-\u2013\u2014]*|null|none|nil|n/a|0000-00-00.*", re.IGNORECASE)
"""Text for no time; MySQL's zero date is one."""

_BEGINS_WITH_DATE = re.compile(r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T]|$)")
_DATE, _TIME = r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})", r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:[.,][0-9]+)?"
_LOCAL_TIME = re.compile(rf"\s*{_DATE}[ T]{_TIME}\s*")


def offset_from(seconds: float | None) -> timezone | None:
    """Return the offset of times that are so many seconds ahead of UTC; None if that isn't known."""
    return None if seconds is None else timezone(timedelta(seconds=seconds))


def local_time(value: Json) -> datetime | None:
    """
    Return a time that is given as text without a zone.

    :param value: the time as FlowEngine gave it.
    :return: the wall clock's time, naive; None for any other value, also for text that names a zone, or no time.
    """
    found = _LOCAL_TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second) if year in YEARS else None
    except ValueError:
        return None


def parse_time(value: Json, zone: str | timezone) -> datetime | None:
    """
    Return a time, aware.

    :param value: a number since the epoch, in the unit that its size tells, also in digits; text such as
        ``2023-04-14 18:32:50``; or what stands for no time: empty text, ``-``, ``0000-00-00``, a year of no run.
    :param zone: the zone of text that names none.
    :raises ValueError: or what else a library raises, if it is none of these.
    """
    import pendulum  # loaded where it is first used: the command line starts sooner

    if isinstance(value, str):
        text = value.strip()
        if _NO_TIME.fullmatch(text):
            return None
        if text.isdigit():
            return parse_time(int(text), zone)
        # pendulum also reads times of day, weeks, durations and "now": none of these is when something happened.
        if not _BEGINS_WITH_DATE.match(text):
            raise ValueError(text)
        moment = cast("datetime", pendulum.parse(text, tz=zone))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        moment = pendulum.from_timestamp(_epoch_seconds(value))
    else:
        raise TypeError(value)
    return moment if is_real(moment) else None


def _epoch_seconds(number: float) -> float:
    """Return a number since the epoch in seconds."""
    for limit, unit in _EPOCH_UNITS.items():
        if abs(number) < limit:
            return number / unit
    raise ValueError(number)
