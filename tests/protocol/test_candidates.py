"""What is noted before a start, and what it says of each run that the history shows later."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_flowengine.protocol.candidates import Intent, Verdict, judge
from airflow_provider_flowengine.protocol.latest_runs import LatestRuns
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState

from .conftest import NOW

MOMENT = datetime.fromtimestamp(NOW, UTC)
HOUR = 3600
AN_HOUR_BEFORE = MOMENT - timedelta(hours=1)


def a_run(run_id, seconds=0.0, **content):
    """A run that started so many seconds after the start was sent; None for one that doesn't say when."""
    started = None if seconds is None else MOMENT + timedelta(seconds=seconds)
    return PipelineRun(run_id, 19, "running", RunState.RUNNING, started=started, content=content)


def an_intent(*, dated=True, **fields):
    return Intent(19, 5, server_time=MOMENT if dated else None, recorded_at=NOW, **fields)


def noted_of(*run_ids, **fields):
    """The intent that is noted of runs, one a minute, the first one first."""
    runs = [a_run(run_id, 60 * place) for place, run_id in enumerate(run_ids)]
    return Intent.from_baseline(19, LatestRuns(runs[::-1], **fields), NOW, MOMENT)


# --- what is noted ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run_ids", "grow"),
    [
        ((1, 2, 3, 4), None),  # too few
        ((1, 2, 3, 4, 5), True),
        ((1, 3, 2, 4, 5), True),  # one overtook another
        ((2, 1, 3, 5, 4, 6, 7, 8), False),
        ((5, 4, 3, 2, 1), False),
    ],
)
def test_ids_grow_if_later_runs_have_greater_ones_but_for_a_few(run_ids, grow):
    assert noted_of(*run_ids).ids_grow is grow


@pytest.mark.parametrize(
    ("is_complete", "is_ordered", "grow"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_a_part_of_a_history_in_no_order_does_not_tell_whether_ids_grow(is_complete, is_ordered, grow):
    assert noted_of(1, 2, 3, 4, 5, is_complete=is_complete, is_ordered=is_ordered).ids_grow is grow


def test_ids_that_do_not_tell_their_order_are_noted():
    assert noted_of(1, 2, 3, 4, 5, "a").baseline_ids == {"a"}
    assert noted_of(1, 2, 3).baseline_ids == {1, 2, 3}


def test_a_run_that_has_not_begun_says_nothing_of_the_order_or_the_time():
    runs = [a_run(6, None), *(a_run(run_id, 60 * run_id) for run_id in (5, 4, 3, 2, 1))]

    intent = Intent.from_baseline(19, LatestRuns(runs), NOW, MOMENT)

    assert intent.ids_grow is True
    assert intent.latest_start == MOMENT + timedelta(minutes=5)


def test_a_request_that_is_sent_later_notes_the_servers_time_then():
    later = an_intent().sent_at(NOW + 20)

    assert (later.server_time, later.recorded_at) == (MOMENT + timedelta(seconds=20), NOW + 20)


def test_a_clock_that_was_set_back_meanwhile_does_not_change_the_servers_time():
    assert an_intent().sent_at(NOW - 20).server_time == MOMENT


def test_a_request_that_is_sent_later_to_a_server_without_a_date_notes_none():
    later = an_intent(dated=False).sent_at(NOW + 20)

    assert (later.server_time, later.recorded_at) == (None, NOW + 20)


# --- what is new ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "seconds", "is_new"),
    [
        (an_intent(), -30, True),
        (an_intent(), -31, False),
        (an_intent(), None, False),
        (an_intent(ids_grow=True), 0, False),
        (an_intent(latest_start=AN_HOUR_BEFORE), -600, False),
        (an_intent(dated=False, latest_start=AN_HOUR_BEFORE), -HOUR - 30, True),
        (an_intent(dated=False, latest_start=AN_HOUR_BEFORE), -HOUR - 31, False),
        (an_intent(dated=False), -600, True),
        (Intent(19, 5), 0, False),
    ],
    ids=[
        *("in time", "before", "no start time", "ids grow", "by Date"),
        *("with the runs before", "before the runs before", "no runs before", "no time at all"),
    ],
)
def test_a_run_with_a_smaller_id_is_new_only_by_its_start_time(intent, seconds, is_new):
    assert intent.is_new(a_run(3, seconds)) is is_new


@pytest.mark.parametrize(
    ("seconds", "explains"),
    [
        (-8 * HOUR - 30, True),
        (-8 * HOUR + 60, True),
        (-8 * HOUR + 61, False),
        (26 * HOUR - 30, True),
        (26 * HOUR + 900 - 30, False),
    ],
)
def test_a_zone_explains_a_start_time_that_is_off_by_quarters_of_an_hour(seconds, explains):
    text = (MOMENT + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S")

    assert an_intent().zone_explains(a_run(6, seconds, startTime=text)) is explains


def test_a_zone_explains_nothing_where_no_time_is_known():
    text = MOMENT.strftime("%Y-%m-%d %H:%M:%S")

    assert not Intent(19).zone_explains(a_run(6, startTime=text))
    assert not an_intent().zone_explains(a_run(6))  # which tells its start time under an unknown name


# --- what a new run is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [
        (-31, Verdict.FOREIGN),
        (-30, Verdict.POSSIBLE),
        (0, Verdict.POSSIBLE),
        (30, Verdict.POSSIBLE),
        (31, Verdict.UNCERTAIN),
    ],
)
def test_a_run_is_judged_by_its_start_time_within_a_tolerance(seconds, verdict):
    assert judge(a_run(6, seconds), an_intent(), None, MOMENT, is_confirmed=False) is verdict


@pytest.mark.parametrize("is_confirmed", [True, False])
@pytest.mark.parametrize(
    ("seconds", "verdict"), [(8 * HOUR, Verdict.POSSIBLE_BY_ZONE), (8 * HOUR + 300, Verdict.UNCERTAIN)]
)
def test_a_start_time_without_a_zone_that_lies_ahead_is_explained_by_whole_quarters_of_an_hour(
    seconds, verdict, is_confirmed
):
    run = a_run(6, seconds, startTime=f"{MOMENT + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}")

    assert judge(run, an_intent(), None, MOMENT, is_confirmed=is_confirmed) is verdict


@pytest.mark.parametrize("name", ["params", "jobParams", "startParams"])
def test_a_run_with_other_parameters_is_foreign_whatever_the_server_calls_them(name):
    run = a_run(6, **{name: {"train": {"rounds": "9"}}})

    assert judge(run, an_intent(), {"train": {"rounds": 3}}, MOMENT, is_confirmed=True) is Verdict.FOREIGN
