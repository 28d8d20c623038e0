"""The zone of times that name none, found out from a run that was started just now."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_flowengine.protocol.offset import learn_offset, offset_of
from airflow_provider_flowengine.protocol.zone import local_time

from .conftest import NOW

SENT = datetime(2026, 11, 26, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("hours", [-12, -9.5, 0, 5.75, 8, 14])
@pytest.mark.parametrize("late", [-60, 0, 3, 200])
def test_an_offset_is_known_by_a_start_between_two_moments(hours, late):
    local = (SENT + timedelta(hours=hours, seconds=late)).replace(tzinfo=None)

    assert offset_of(local, SENT, SENT + timedelta(seconds=240)).utcoffset(None) == timedelta(hours=hours)


def test_a_clock_that_tells_whole_seconds_may_seem_to_go_back():
    assert offset_of((SENT + timedelta(hours=8)).replace(tzinfo=None), SENT, SENT - timedelta(seconds=1)) is not None


@pytest.mark.parametrize(
    ("ahead", "later"),
    [
        (timedelta(hours=8, minutes=7), timedelta(seconds=10)),  # the start lies in no quarter of an hour
        (timedelta(hours=8), timedelta(minutes=20)),  # it may lie in two
        (timedelta(hours=8), timedelta(seconds=-10)),  # the server's clock was set back
        (timedelta(hours=20), timedelta(seconds=10)),  # no zone is so far
        (timedelta(days=-2), timedelta(seconds=10)),  # an older run
    ],
)
def test_what_is_not_sure_is_not_taken_for_an_offset(ahead, later):
    assert offset_of((SENT + ahead).replace(tzinfo=None), SENT, SENT + later) is None


@pytest.mark.parametrize(
    ("value", "is_local"),
    [
        ("2026-11-26 16:00:00", True),
        ("2026/11/26 16:00", True),
        ("2026-11-26T16:00:00.123", True),
        ("2026-11-26T16:00:00Z", False),
        ("2026-11-26 16:00:00+08:00", False),
        ("1795680000000", False),
        (1795680000000, False),
        ("-", False),
        ("2026-13-26 16:00:00", False),
        (None, False),
    ],
)
def test_only_text_without_a_zone_is_local(value, is_local):
    assert (local_time(value) is not None) is is_local


def started(server, hours=8, **connection):
    """Start a run on a server whose clock is some hours ahead, and read it from the history."""
    api = server.api(**connection)
    at = datetime.fromtimestamp(NOW, UTC) + timedelta(hours=hours)
    server.runs.append({"id": 1, "status": "running", "startTime": f"{at:%Y-%m-%d %H:%M:%S}"})
    server.drive(api.list_runs(19))
    sent = api.server_time
    server.now += 3
    return api, server.drive(api.list_runs(19)).runs[0], sent


def test_a_run_started_just_now_shows_the_zone_which_is_used_and_logged_once(server, caplog):
    api, run, sent = started(server)
    assert (run.started.timestamp() - NOW, run.is_zone_certain) == (8 * 3600, False)

    with caplog.at_level(logging.INFO):
        right = learn_offset(api, run, sent, api.server_time)
        learn_offset(api, right, sent, api.server_time)

    assert (right.started.timestamp(), right.is_zone_certain, right.pipeline_id) == (NOW, True, 19)
    assert server.drive(api.list_runs(19, seen={1: run})).runs[0].started.timestamp() == NOW
    assert caplog.text.count("+08:00") == 1


def test_a_zone_that_the_connection_names_stays_and_a_wrong_one_is_reported(server, caplog):
    api, run, sent = started(server, timezone="Europe/Berlin")

    with caplog.at_level(logging.WARNING):
        assert learn_offset(api, run, sent, api.server_time) is run

    assert run.is_zone_certain
    assert "gives times at UTC+08:00, but the connection names the time zone Europe/Berlin" in caplog.text


def test_a_zone_that_is_an_hour_off_is_reported(server, caplog):
    api, run, sent = started(server, timezone="Asia/Tokyo")

    learn_offset(api, run, sent, api.server_time)

    assert "the connection names the time zone Asia/Tokyo" in caplog.text


@pytest.mark.parametrize(("hours", "timezone"), [(8, "Asia/Shanghai"), (0, "UTC")])
def test_a_zone_that_is_right_is_not_reported(server, caplog, hours, timezone):
    api, run, sent = started(server, hours, timezone=timezone)

    assert learn_offset(api, run, sent, api.server_time).started.timestamp() == NOW
    assert caplog.text == ""


def test_a_start_at_an_unknown_time_tells_no_zone(server):
    api, run, _ = started(server)

    assert learn_offset(api, run, None, api.server_time) is run


def test_a_run_that_was_seen_at_an_unknown_time_tells_no_zone(server):
    api, run, sent = started(server)

    assert learn_offset(api, run, sent, None) is run


def test_a_time_that_names_its_zone_tells_no_other(server):
    api, run, sent = started(server)

    assert learn_offset(api, replace(run, content={"startTime": int(NOW * 1000)}), sent, api.server_time).content
    assert api.offset is None


def test_an_older_run_tells_no_zone(server):
    api, run, sent = started(server)

    assert learn_offset(api, run, sent + timedelta(minutes=40), api.server_time) is run
    assert api.offset is None


@pytest.mark.parametrize("later", [timedelta(seconds=-2), timedelta(minutes=9)])
def test_moments_may_lie_as_far_apart_as_tells_one_quarter_of_an_hour(later):
    assert offset_of(SENT.replace(tzinfo=None), SENT, SENT + later) == UTC


@pytest.mark.parametrize(("minutes", "is_known"), [(2, True), (3, False)])
def test_a_start_may_seem_two_minutes_later_than_the_last_moment(minutes, is_known):
    local = (SENT + timedelta(minutes=minutes)).replace(tzinfo=None)

    assert (offset_of(local, SENT, SENT) is not None) is is_known


def test_an_offset_does_not_depend_on_this_machines_zone(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert offset_of(SENT.replace(tzinfo=None), SENT, SENT) == UTC
    finally:
        monkeypatch.undo()
        time.tzset()
