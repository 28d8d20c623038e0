"""
Quartz's cron expressions: ``second minute hour day-of-month month day-of-week [year]``.

FlowEngine takes these (Source: the vendor's documentation). No maintained Python library reads them: other dialects
of cron have no ``?``, count weekdays from Monday or from 0, and know no ``L``, ``W`` and ``#``.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_DAYS = "SUN MON TUE WED THU FRI SAT".split()  # 1 is Sunday
_YEARS = (1970, 2099)
_MAX_LENGTH = 1_000  # letters: a list of all seconds, minutes and hours has some 400

_DayTest = Callable[[date], bool]


@dataclass(frozen=True)
class _Field:
    """One field's name, range, and the words that stand for its numbers."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Return a number, or a word for one."""
        if text.upper() in self.words:
            return self.words.index(text.upper()) + self.low
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            raise ValueError(f"{self.name} {text!r} is not between {self.low} and {self.high}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """All numbers that a list of ``*``, ``a``, ``a-b``, ``a/n`` and ``a-b/n`` means."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> list[int]:
        span, slash, step_text = text.partition("/")
        if slash and (not step_text.isdecimal() or not int(step_text)):
            raise ValueError(f"{self.name} {text!r} has no step above 0 after the slash")
        step = int(step_text) if slash else 1
        first, dash, last = span.partition("-")
        if span in ("*", ""):
            low, high = self.low, self.high
        elif dash:
            low, high = self.number(first), self.number(last)
        else:
            low = self.number(first)
            high = self.high if slash else low
        if high >= low:
            return list(range(low, high + 1, step))
        # FRI-MON goes over the end.
        size = self.high - self.low + 1
        return [(value - self.low) % size + self.low for value in range(low, high + size + 1, step)]


_SECOND, _MINUTE, _HOUR = _Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, tuple(_MONTHS))
_DAY_OF_WEEK = _Field("day of week", 1, 7, tuple(_DAYS))
_YEAR = _Field("year", *_YEARS)


def _last_day(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _nearest_weekday(day: date, wanted: int) -> int:
    """Return the working day of the month nearest to a day, never in another month."""
    last = _last_day(day)
    wanted = min(wanted, last)
    weekday = day.replace(day=wanted).isoweekday()
    if weekday == 6:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 7:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _days_of_month(text: str) -> _DayTest:
    if match := re.fullmatch(r"L(?:-(\d+))?(W)?", text.upper()):
        before, working = int(match[1] or 0), match[2]
        if before > 30:
            raise ValueError(f"day of month {text!r} is more than 30 days before the last")
        if working:
            return lambda day: day.day == _nearest_weekday(day, max(1, _last_day(day) - before))
        return lambda day: day.day == _last_day(day) - before
    if match := re.fullmatch(r"(\d+)W", text.upper()):
        wanted = _DAY_OF_MONTH.number(match[1])
        return lambda day: wanted <= _last_day(day) and day.day == _nearest_weekday(day, wanted)
    values = _DAY_OF_MONTH.values(text)
    return lambda day: day.day in values


def _days_of_week(text: str) -> _DayTest:
    if text.upper() == "L":
        text = "7"
    if match := re.fullmatch(r"(\w+)L", text.upper()):
        wanted = _DAY_OF_WEEK.number(match[1])
        return lambda day: _weekday(day) == wanted and day.day > _last_day(day) - 7
    if match := re.fullmatch(r"(\w+)#([1-5])", text):
        wanted, nth = _DAY_OF_WEEK.number(match[1]), int(match[2])
        return lambda day: _weekday(day) == wanted and (day.day - 1) // 7 + 1 == nth
    values = _DAY_OF_WEEK.values(text)
    return lambda day: _weekday(day) in values


@dataclass(frozen=True)
class Quartz:
    """When a cron expression fires; made by :func:`read_quartz`."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    years: frozenset[int]
    day: _DayTest

    def after(self, moment: float, zone: ZoneInfo) -> float | None:
        """
        Return the first time it fires after a moment.

        :param moment: seconds since the epoch.
        :param zone: the zone of the expression's hours.
        :return: seconds since the epoch; None if it never fires again.
        """
        local = datetime.fromtimestamp(moment, zone).replace(tzinfo=None)
        day: date = local.date()
        bound: time | None = local.time().replace(microsecond=0)
        while day.year <= _YEARS[1]:
            found = self._first(bound) if self._fires_on(day) else None
            if found is None:
                day, bound = day + timedelta(days=1), None
                continue
            fires = datetime.combine(day, found, zone).timestamp()
            if fires > moment:
                return fires
            bound = found  # an hour that comes twice, when summer time ends
        return None

    def _fires_on(self, day: date) -> bool:
        return day.month in self.months and day.year in self.years and self.day(day)

    def _first(self, after: time | None) -> time | None:
        """Return the first time of day, or the first after one."""
        bound = (after.hour, after.minute, after.second) if after else (-1, -1, -1)
        for hour in self.hours:
            if hour < bound[0]:
                continue
            for minute in self.minutes:
                if (hour, minute) < bound[:2]:
                    continue
                for second in self.seconds:
                    if (hour, minute, second) > bound:
                        return time(hour, minute, second)
        return None


def read_quartz(expression: str) -> Quartz:
    """
    Read a cron expression.

    :param expression: six or seven fields. As Quartz has it, exactly one of the two day fields is ``?``.
    :raises ValueError: when it is wrong, saying why.
    """
    if len(expression) > _MAX_LENGTH:
        raise ValueError(f"a cron expression of {len(expression)} letters is too long; at most {_MAX_LENGTH} are taken")
    fields = expression.split()
    if len(fields) not in (6, 7):
        raise ValueError(f"cron expression {expression!r} has {len(fields)} fields; Quartz takes 6, or 7 with the year")
    try:
        second, minute, hour, day_of_month, month, day_of_week, year = [*fields, "*"][:7]
        if (day_of_month == "?") == (day_of_week == "?"):
            raise ValueError("exactly one of day of month and day of week has to be '?'")
        return Quartz(
            seconds=tuple(sorted(_SECOND.values(second))),
            minutes=tuple(sorted(_MINUTE.values(minute))),
            hours=tuple(sorted(_HOUR.values(hour))),
            months=_MONTH.values(month),
            years=_YEAR.values(year),
            day=_days_of_week(day_of_week) if day_of_month == "?" else _days_of_month(day_of_month),
        )
    except ValueError as error:
        raise ValueError(f"cron expression {expression!r}: {error}") from None
