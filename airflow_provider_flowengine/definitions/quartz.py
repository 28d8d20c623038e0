"""
Quartz's cron expressions, and what Airflow's cron says instead.

Quartz has ``second minute hour day-of-month month day-of-week [year]``, counts weekdays from 1 for Sunday, and names
the day either of the month or of the week, the other one being ``?``. Sources: the vendor's documentation, Quartz's
own. Airflow's cron has ``minute hour day-of-month month day-of-week``, counts weekdays from 0 for Sunday, and knows
``L`` for the month's last day, ``L5`` for its last Friday, and ``5#3`` for its third.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_DAYS_OF_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class _Field:
    """One field's name, its range, and the words that stand for its numbers."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Return the number that a text means."""
        if text.upper() in self.words:
            return self.words.index(text.upper()) + self.low
        if not re.fullmatch("[0-9]+", text) or not self.low <= int(text) <= self.high:
            raise ValueError(f"{self.name} {text!r} must be between {self.low} and {self.high}")
        return int(text)

    def values(self, text: str) -> frozenset[int]:
        """Return all numbers that a list of ``*``, ``a``, ``a-b``, ``a/n`` and ``a-b/n`` means."""
        return frozenset(value for part in text.split(",") for value in self._part(part))

    def _part(self, text: str) -> range | list[int]:
        span, slash, step = text.partition("/")
        if slash and not re.fullmatch("0*[1-9][0-9]*", step):
            raise ValueError(f"{self.name} {text!r} must have a step above 0 after its slash")
        first, dash, last = span.partition("-")
        low, high = self.low, self.high
        if span not in ("*", ""):
            low = self.number(first)
            high = self.number(last) if dash else self.high if slash else low
        if low <= high:
            return range(low, high + 1, int(step or 1))
        size = self.high - self.low + 1  # FRI-MON: over the end
        return [(value - self.low) % size + self.low for value in range(low, high + size + 1, int(step or 1))]

    def cron(self, values: frozenset[int]) -> str:
        """Return numbers as cron writes them, in the shortest of its forms."""
        numbers = sorted(values)
        if len(numbers) == self.high - self.low + 1:
            return "*"
        steps = {later - earlier for earlier, later in pairwise(numbers)}
        if len(numbers) < 3 or len(steps) > 1:
            return ",".join(map(str, numbers))
        (step,) = steps
        whole = numbers[0] == self.low and numbers[-1] + step > self.high
        span = "*" if whole else f"{numbers[0]}-{numbers[-1]}"
        return f"{span}/{step}" if step > 1 else span


_SECOND, _MINUTE, _HOUR = _Field("second", 0, 59), _Field("minute", 0, 59), _Field("hour", 0, 23)
_DAY_OF_MONTH = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, tuple("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()))
_DAY_OF_WEEK = _Field("day of week", 1, 7, tuple("SUN MON TUE WED THU FRI SAT".split()))
_CRON_DAY_OF_WEEK = _Field("day of week", 0, 6)
_YEAR = _Field("year", 1970, 2099)


class UntranslatableError(ValueError):
    """The expression is right, and no cron expression of Airflow's fires at the same moments."""


def to_cron(expression: str) -> str:
    """
    Return the cron expression of Airflow's that fires at the same moments.

    :param expression: Quartz's, of six or seven fields.
    :raises UntranslatableError: with the reason, if Airflow's cron can't say it.
    :raises ValueError: with what is wrong with it.
    """
    fields = expression.split()
    if len(fields) not in (6, 7):
        raise ValueError(f"it has {len(fields)} fields; Quartz takes 6, or 7 with the year")
    second, minute, hour, day_of_month, month, day_of_week, year = [*fields, "*"][:7]
    if (day_of_month == "?") == (day_of_week == "?"):
        raise ValueError("exactly one of day of month and day of week must be '?'")
    seconds, minutes, hours = _SECOND.values(second), _MINUTE.values(minute), _HOUR.values(hour)
    months, years = _MONTH.values(month), _YEAR.values(year)
    if day_of_month == "?":
        date, weekday = "*", _cron_weekday(day_of_week.upper())
    else:
        date, weekday = _cron_date(day_of_month.upper(), months), "*"
    if seconds != {0}:
        raise UntranslatableError("it fires at other seconds than 0, and Airflow's cron counts in minutes")
    if len(years) < _YEAR.high - _YEAR.low + 1:
        raise UntranslatableError(
            "it names years, which Airflow's cron can't; leave them out, and give the DAG an end_date"
        )
    return " ".join((_MINUTE.cron(minutes), _HOUR.cron(hours), date, _MONTH.cron(months), weekday))


def _cron_date(text: str, months: frozenset[int]) -> str:
    """Return cron's field for a day of the month."""
    if text == "L":
        return "L"
    if match := re.fullmatch(r"L(?:-([0-9]+))?W?|([0-9]+)W", text):
        before, number = match.groups()
        if before and int(before) > 30:
            raise ValueError(f"day of month {text!r} must be at most 30 days before the last")
        if number:
            _DAY_OF_MONTH.number(number)
        raise UntranslatableError(
            f"day of month {text!r}: Airflow's cron has neither the working day (W) nearest to a date nor days before "
            "a month's last"
        )
    days = _DAY_OF_MONTH.values(text)
    if min(days) > max(_DAYS_OF_MONTH[month - 1] for month in months):
        raise UntranslatableError("it never fires: no month that it names has such a day")
    return _DAY_OF_MONTH.cron(days)


def _cron_weekday(text: str) -> str:
    """Return cron's field for a day of the week, which counts from 0 for Sunday."""
    if match := re.fullmatch(r"(\w+)L", text):
        return f"L{_DAY_OF_WEEK.number(match[1]) - 1}"
    if match := re.fullmatch(r"(\w+)#([1-5])", text):
        return f"{_DAY_OF_WEEK.number(match[1]) - 1}#{match[2]}"
    days = {7} if text == "L" else _DAY_OF_WEEK.values(text)
    return _CRON_DAY_OF_WEEK.cron(frozenset(day - 1 for day in days))
