"""Quartz's cron expressions in Airflow's words: they fire at the same moments, or are refused with the reason."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.definitions.quartz import UntranslatableError, to_cron
from airflow_provider_flowengine.emulator.quartz import read_quartz

START = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
TWO_YEARS = timedelta(days=730).total_seconds()
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
DAYS = "SUN MON TUE WED THU FRI SAT".split()


def field(low, high, words=()):
    """One field: lists of numbers, words, spans and steps, over the end too."""
    number = st.integers(low, high).map(str) | (st.sampled_from(words) if words else st.nothing())
    span = st.tuples(number, number).map("-".join)
    stepped = st.tuples(st.just("*") | number | span, st.integers(1, high).map(str)).map("/".join)
    return st.lists(st.one_of(number, span, stepped), min_size=1, max_size=3).map(",".join) | st.just("*")


weekday = st.integers(1, 7).map(str) | st.sampled_from([*DAYS, "fri"])
dates = st.one_of(
    field(1, 31), st.sampled_from(["L", "L-3", "LW", "1W", "15W", "31W", "L-2W", "29", "31", "28-31"])
).map(lambda text: (text, "?"))
weekdays = st.one_of(
    field(1, 7, DAYS),
    st.just("L"),
    weekday.map(lambda day: f"{day}L"),
    st.tuples(weekday, st.integers(1, 5).map(str)).map("#".join),
).map(lambda text: ("?", text))
years = st.sampled_from([(), (), ("*",), ("2027",), ("2027-2028",)])


@st.composite
def expressions(draw):
    """Expressions that the emulator's own reader takes."""
    seconds = draw(st.sampled_from(["0", "0", "0", "0", "30", "0/20"]))
    date, day = draw(dates | weekdays)
    fields = (seconds, draw(field(0, 59)), draw(field(0, 23)), date, draw(field(1, 12, MONTHS)), day, *draw(years))
    expression = " ".join(fields)
    read_quartz(expression)
    return expression


def airflow_fires(cron, zone):
    """Return a function from a moment to when Airflow's own timetable fires next."""
    from airflow.timetables.base import DataInterval, TimeRestriction
    from airflow.timetables.trigger import CronTriggerTimetable

    timetable = CronTriggerTimetable(cron, timezone=zone)
    timetable.validate()

    def after(moment):
        last = DataInterval.exact(pendulum.from_timestamp(moment))
        restriction = TimeRestriction(earliest=pendulum.from_timestamp(0), latest=None, catchup=True)
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        return info.run_after.timestamp()

    return after


def moments(fires, samples):
    """Go through two years: each moment that fires, or where they are many, three in a row every month."""
    at, end = START, START + TWO_YEARS
    while at < end:
        following = at
        for _ in range(3):
            following = fires(following)
            if following is None or following > end:
                return
            yield following
        at = max(following, at + TWO_YEARS / samples)


def clocks_change(zone, moment):
    """Whether clocks are changed within a day of a moment."""
    around = [datetime.fromtimestamp(moment + hours * 3600, zone).utcoffset() for hours in (-25, 0, 25)]
    return any(before != after for before, after in pairwise(around))


@settings(max_examples=300, deadline=None)
@given(expressions(), st.sampled_from(["Asia/Shanghai", "UTC", "America/St_Johns", "Europe/Berlin"]))
def test_airflow_fires_at_the_same_moments_over_two_years_or_the_expression_is_refused(expression, name):
    try:
        cron = to_cron(expression)
    except ValueError as error:
        event(f"refused: {str(error)[:30]}")
        return
    zone, quartz, airflow = ZoneInfo(name), read_quartz(expression), airflow_fires(cron, name)
    assume(quartz.after(START, zone) is not None)

    for moment in moments(lambda at: quartz.after(at, zone), samples=24):
        if not clocks_change(zone, moment):
            assert airflow(moment - 60) == moment
            following = quartz.after(moment, zone)
            if not clocks_change(zone, following):
                assert airflow(moment) == following


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789*?/,-LW# AMONSUJ", max_size=25) | expressions())
def test_it_reads_what_the_emulators_own_reader_reads_and_nothing_else(text):
    assert reads(to_cron, text) == reads(read_quartz, text)


def reads(read, text):
    try:
        read(text)
    except UntranslatableError:
        return True
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("quartz", "cron"),
    [
        ("0 0 2 * * ?", "0 2 * * *"),
        ("0 0/15 * * * ?", "*/15 * * * *"),
        ("0 5/15 8-18 ? * MON-FRI", "5-50/15 8-18 * * 1-5"),
        ("0 30 3 ? * 1", "30 3 * * 0"),
        ("0 0 0 ? * FRI-MON", "0 0 * * 0,1,5,6"),
        ("0 0 0 L * ?", "0 0 L * *"),
        ("0 0 0 ? * 6L", "0 0 * * L5"),
        ("0 0 0 ? * 6#3", "0 0 * * 5#3"),
        ("0 0 0 ? * L", "0 0 * * 6"),
        ("0 0 22-2 * * ?", "0 0,1,2,22,23 * * *"),
        ("0 0 12 1 1/3 ? *", "0 12 1 */3 *"),
    ],
)
def test_a_translation_reads_as_people_write_it(quartz, cron):

    assert to_cron(quartz) == cron


@pytest.mark.parametrize(
    ("quartz", "reason"),
    [
        ("30 0 2 * * ?", "Airflow's cron counts in minutes"),
        ("0 0 2 * * ? 2027", "names years"),
        ("0 0 2 15W * ?", "working day"),
        ("0 0 2 L-3 * ?", "days before a month's last"),
        ("0 0 2 30 2 ?", "never fires"),
        ("0 2 * * *", "5 fields"),
        ("0 0 2 * * *", "must be '?'"),
        ("0 0 24 * * ?", "hour '24' must be between 0 and 23"),
        ("0 0/0 2 * * ?", "step above 0"),
    ],
)
def test_what_cant_be_translated_is_refused_with_the_reason(quartz, reason):
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        to_cron(quartz)
