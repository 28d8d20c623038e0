"""
Times that name no zone.

FlowEngine may give times as text, and no source says in which zone: published set-ups have databases at +00:00 and at
+08:00, and the release's images run at +08:00.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json

DEFAULT_ZONE = "UTC"

MIN_OFFSET, MAX_OFFSET = timedelta(hours=-12), timedelta(hours=14)
"""The offsets from UTC that zones have."""

_DATE, _TIME = r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})", r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?:[.,][0-9]+)?"
_LOCAL_TIME = re.compile(rf"\s*{_DATE}[ T]{_TIME}\s*")


def offset_from(seconds: float | None) -> timezone | None:
    """Return the offset of times that are so many seconds ahead of UTC; None if that isn't known."""
    return None if seconds is None else timezone(timedelta(seconds=seconds))


def local_time(value: Json) -> datetime | None:
    """
    Return a time that is given as text without a zone.

    :param value: the time as FlowEngine gave it.
    :return: the wall clock's time, naive; None for any other value, also for text that names a zone.
    """
    found = _LOCAL_TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
