"""Quartz's cron expressions, by its own documentation's examples and against croniter where the dialects agree."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.emulator.quartz import read_quartz

SHANGHAI = ZoneInfo("Asia/Shanghai")


def fires(expression, start, count=3, zone=UTC):
    moment = datetime.fromisoformat(start).replace(tzinfo=zone).timestamp()
    found = []
    for _ in range(count):
        moment = read_quartz(expression).after(moment, zone)
        if moment is None:
            break
        found.append(datetime.fromtimestamp(moment, zone).strftime("%Y-%m-%d %H:%M:%S"))
    return found


# A Friday.
START = "2023-04-14 10:22:09"

EXAMPLES = {
    "0 0 12 * * ?": ["2023-04-14 12:00:00", "2023-04-15 12:00:00", "2023-04-16 12:00:00"],
    "0 15 10 ? * *": ["2023-04-15 10:15:00", "2023-04-16 10:15:00", "2023-04-17 10:15:00"],
    "0 15 10 * * ? 2024": ["2024-01-01 10:15:00", "2024-01-02 10:15:00", "2024-01-03 10:15:00"],
    "0 0/20 14 * * ?": ["2023-04-14 14:00:00", "2023-04-14 14:20:00", "2023-04-14 14:40:00"],
    "0 10,44 14 ? 3 WED": ["2024-03-06 14:10:00", "2024-03-06 14:44:00", "2024-03-13 14:10:00"],
    "0 15 10 ? * MON-FRI": ["2023-04-17 10:15:00", "2023-04-18 10:15:00", "2023-04-19 10:15:00"],
    "0 15 10 ? * 2-6": ["2023-04-17 10:15:00", "2023-04-18 10:15:00", "2023-04-19 10:15:00"],
    "0 15 10 ? * sat-sun": ["2023-04-15 10:15:00", "2023-04-16 10:15:00", "2023-04-22 10:15:00"],
    "0 15 10 15 * ?": ["2023-04-15 10:15:00", "2023-05-15 10:15:00", "2023-06-15 10:15:00"],
    "0 15 10 L * ?": ["2023-04-30 10:15:00", "2023-05-31 10:15:00", "2023-06-30 10:15:00"],
    "0 15 10 L-2 * ?": ["2023-04-28 10:15:00", "2023-05-29 10:15:00", "2023-06-28 10:15:00"],
    "0 15 10 ? * 6L": ["2023-04-28 10:15:00", "2023-05-26 10:15:00", "2023-06-30 10:15:00"],
    "0 15 10 ? * L": ["2023-04-15 10:15:00", "2023-04-22 10:15:00", "2023-04-29 10:15:00"],
    "0 15 10 ? * 6#3": ["2023-04-21 10:15:00", "2023-05-19 10:15:00", "2023-06-16 10:15:00"],
    "0 15 10 ? * FRI#5": ["2023-06-30 10:15:00", "2023-09-29 10:15:00", "2023-12-29 10:15:00"],
    "0 0 0 15W * ?": ["2023-05-15 00:00:00", "2023-06-15 00:00:00", "2023-07-14 00:00:00"],
    "0 0 0 1W * ?": ["2023-05-01 00:00:00", "2023-06-01 00:00:00", "2023-07-03 00:00:00"],
    "0 0 0 31W * ?": ["2023-05-31 00:00:00", "2023-07-31 00:00:00", "2023-08-31 00:00:00"],
    "0 0 0 LW * ?": ["2023-04-28 00:00:00", "2023-05-31 00:00:00", "2023-06-30 00:00:00"],
    "0 11 11 11 11 ?": ["2023-11-11 11:11:00", "2024-11-11 11:11:00", "2025-11-11 11:11:00"],
    "0 0 22-2/2 * * ?": ["2023-04-14 22:00:00", "2023-04-15 00:00:00", "2023-04-15 02:00:00"],
    "0 0 0 29 2 ?": ["2024-02-29 00:00:00", "2028-02-29 00:00:00", "2032-02-29 00:00:00"],
    "*/30 * * * * ?": ["2023-04-14 10:22:30", "2023-04-14 10:23:00", "2023-04-14 10:23:30"],
    "5/20 * * ? * *": ["2023-04-14 10:22:25", "2023-04-14 10:22:45", "2023-04-14 10:23:05"],
    "0 0 0 1 1 ? 2020": [],
    "0 0 0 1 1 ? 2025-2026": ["2025-01-01 00:00:00", "2026-01-01 00:00:00"],
}


@pytest.mark.parametrize("expression", EXAMPLES)
def test_an_expression_fires_when_quartz_would(expression):
    assert fires(expression, START) == EXAMPLES[expression]


def test_hours_are_those_of_the_zone():
    moment = datetime(2023, 4, 14, 10, tzinfo=SHANGHAI).timestamp()

    assert read_quartz("0 0 12 * * ?").after(moment, SHANGHAI) == moment + 2 * 3600


def test_an_hour_that_the_clocks_go_through_twice_fires_and_goes_on():
    assert fires("0 30 * * * ?", "2023-10-29 01:00:00", 3, ZoneInfo("Europe/Berlin")) == [
        "2023-10-29 01:30:00",
        "2023-10-29 02:30:00",
        "2023-10-29 03:30:00",
    ]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("0 12 * * ?", "has 5 fields"),
        ("", "has 0 fields"),
        ("0 0 12 * * *", "exactly one"),
        ("0 0 12 ? * ?", "exactly one"),
        ("60 0 12 * * ?", "second '60' is not between 0 and 59"),
        ("0 0 24 * * ?", "hour '24'"),
        ("0 0 12 32 * ?", "day of month '32'"),
        ("0 0 12 * 13 ?", "month '13'"),
        ("0 0 12 ? * 0", "day of week '0'"),
        ("0 0 12 ? * FUN", "day of week 'FUN'"),
        ("0 0 12 ? * 2#6", "day of week '2#6'"),
        ("0 0/0 12 * * ?", "no step above 0"),
        ("0 0 12 L-40 * ?", "more than 30 days"),
        ("0 0 12 * * ? 1969", "year '1969'"),
        ("0 0 ² * * ?", "hour '²'"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_wrong_with_it(expression, why):
    with pytest.raises(ValueError, match=r"cron expression") as error:
        read_quartz(expression)
    assert why in str(error.value)


def spans(low, high):
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        number.map(str),
        # croniter takes 5-5 for every number.
        st.sets(number, min_size=2, max_size=2).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.lists(number, min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
        st.integers(2, high).map(lambda step: f"*/{step}"),
    )


@settings(deadline=None)
@given(spans(0, 59), spans(0, 59), spans(0, 23), spans(1, 28), spans(1, 12), st.integers(0, 2**31 - 1))
def test_it_agrees_with_croniter_where_the_dialects_do(second, minute, hour, day, month, moment):
    theirs = croniter(f"{minute} {hour} {day} {month} * {second}", moment).get_next(float)

    assert read_quartz(f"{second} {minute} {hour} {day} {month} ?").after(moment, UTC) == theirs
