"""Waiting: how long until the next poll, and when it is over, lost, out of reach or too late."""

import logging

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    ConfigurationError,
    PipelineNotFoundError,
    RunLostError,
    RunTimeoutError,
    ServiceUnavailableError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.models import NodeRun, PipelineRun
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor, delay
from airflow_provider_flowengine.protocol.status import RunState, StatusVocabulary
from airflow_provider_flowengine.protocol.waiting import poll_once, poll_until_done

from .conftest import NOW, answer, no_reply, not_connected, ok, refused

MINUTE, HOUR = 60, 3600
URL = "http://gw/engine/15/x/#/offline-pipeline"


def a_monitor(*, run_id=1, started_at=NOW, pre_resume_run=None, started_after=None, last=None, **limits):
    return RunMonitor(
        run_id,
        19,
        PollOptions(**limits),
        started_at,
        run_url=URL,
        pre_resume_run=pre_resume_run,
        started_after=started_after,
        last=last,
    )


def wait_for(server, monitor=None, **limits):
    return server.drive(poll_until_done(server.api(), monitor or a_monitor(**limits)))


def a_run(status="running", *, run_id=1, **fields):
    return PipelineRun(run_id, 19, status, StatusVocabulary().state_of(status), **fields)


def later(server, seconds, **changes):
    """Change run 1 once so much time has passed, whenever the history is asked."""
    due = NOW + seconds

    def act(request):
        if server.now >= due:
            server.set(1, **changes)
        return server._work(request)

    server.always("history", act)


# --- how long until the next poll -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("elapsed", "seconds"),
    [(0, 1), (5, 1), (10, 1), (60, 6), (299, 29.9), (300, 30), (6 * HOUR, 30), (-HOUR, 1)],
)
def test_the_delay_is_a_tenth_of_the_runs_length_within_bounds(elapsed, seconds):
    assert delay(elapsed, 30) == pytest.approx(seconds)


def test_a_poll_interval_of_nothing_still_leaves_a_pause():
    assert delay(HOUR, 0) == 0.05


@given(st.floats(-1e6, 1e9), st.floats(0.01, 1e5))
def test_the_delay_is_never_longer_than_the_poll_interval(elapsed, poll_interval):
    assert 0 < delay(elapsed, poll_interval) <= max(poll_interval, 0.05)  # which is the least


@pytest.mark.parametrize("length", [0.5, 3, 30, 200, 4 * HOUR])
def test_an_end_is_noticed_within_a_tenth_of_the_runs_length(server, length):
    server.add_run()
    later(server, length, status="succeeded")

    wait_for(server)

    assert server.now - NOW - length <= max(1.0, min(length / 10 + 1, 30.0))


def test_a_run_of_six_hours_costs_few_requests(server):
    server.add_run()
    later(server, 6 * HOUR, status="succeeded")

    wait_for(server)

    assert server.count("history") < 6 * HOUR / 30 + 60


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_a_server_whose_clock_is_an_hour_off_is_asked_no_more_often(server, skew):
    server.add_run(started=NOW + skew)
    later(server, 100, status="succeeded", endTime=int((NOW + 100 + skew) * 1000))

    run = wait_for(server)

    assert run.state is RunState.SUCCEEDED
    assert server.pauses[:3] == [1, 1, 1]
    assert server.count("history") < 50


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["succeeded", "FAILED", "已停止"])
def test_a_run_that_has_ended_is_returned_however_it_ended(server, status):
    server.add_run(status=status)

    assert wait_for(server).status == status
    assert server.pauses == []


def test_a_run_that_ended_in_time_is_not_too_late_though_it_is_seen_late(server):
    server.add_run(status="succeeded")

    assert wait_for(server, deadline=NOW - HOUR).state is RunState.SUCCEEDED


def test_a_run_that_is_running_past_the_deadline_ends_the_wait_at_the_deadline(server):
    server.add_run(status="running")

    with pytest.raises(RunTimeoutError, match=r"run 1 of pipeline 19 was still running \(status running\)") as caught:
        wait_for(server, deadline=NOW + 100)

    assert server.now - NOW == 100
    assert (caught.value.run.id, caught.value.run_url) == (1, URL)
    assert not isinstance(caught.value, StatusUnavailableError)
    assert URL in str(caught.value)


def test_the_deadline_holds_while_flowengine_is_silent(server):
    server.always("history", no_reply)

    with pytest.raises(RunTimeoutError, match="had not been seen to end") as caught:
        wait_for(server, deadline=NOW + 100)
    assert server.now - NOW == 100
    assert not isinstance(caught.value, StatusUnavailableError)


@pytest.mark.parametrize(("limit", "says"), [("", "time for it"), ("timeout of 2 h", "timeout of 2 h")])
def test_the_error_names_the_limit(limit, says):
    monitor = a_monitor(deadline=NOW, limit=limit)

    with pytest.raises(RunTimeoutError, match=f"The {says} is over"):
        monitor.observe(a_run(), NOW)


def test_a_limit_ends_the_wait_so_long_after_it_began_and_is_named():
    limited = PollOptions(poll_interval=7).limited("timeout", 2 * HOUR, NOW)

    assert limited == PollOptions(poll_interval=7, deadline=NOW + 2 * HOUR, limit="timeout of 2 h 0 min")


def test_without_a_limit_the_options_stay_as_they_are():
    assert PollOptions(poll_interval=7).limited("timeout", None, NOW) == PollOptions(poll_interval=7)


@pytest.mark.parametrize(("left", "pause"), [(0.5, 0.5), (0, 0), (-5, 0)])
def test_the_last_pause_ends_at_the_deadline(left, pause):
    assert a_monitor(deadline=NOW + left).delay(NOW) == pause


@pytest.mark.parametrize(
    ("limits", "failed_at", "seconds"),
    [
        ({}, None, 900),
        ({}, NOW - 100, 800),
        ({"deadline": NOW + 60}, None, 60),
        ({"deadline": NOW - 60}, None, 5),
        ({}, NOW - 2 * HOUR, 5),
    ],
)
def test_a_poll_may_take_as_long_as_the_limits_leave_and_a_few_seconds_at_least(limits, failed_at, seconds):
    monitor = a_monitor(**limits)
    monitor.unavailable_since = failed_at

    assert monitor.poll_deadline(NOW) == NOW + seconds


# --- no usable answer -------------------------------------------------------------------------------------------------

TROUBLES = [
    no_reply,
    not_connected,
    *(answer(status, "") for status in (500, 502, 503, 504, 429, 404, 401)),
    answer(200, "<html>login</html>"),
    answer(200, '{"status": 0, "da'),
    answer(302, "", location="http://elsewhere/"),
    refused("busy"),
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_poll_that_fails_doesnt_end_the_wait(server, trouble):
    server.add_run(status="succeeded")
    server.on("history", *[trouble] * 6)

    assert wait_for(server).state is RunState.SUCCEEDED


@pytest.mark.parametrize("trouble", TROUBLES)
def test_only_a_bounded_time_without_any_answer_does(server, trouble):
    server.add_run()
    server.on("history", server._work, *[trouble] * 500)

    with pytest.raises(
        StatusUnavailableError,
        match=r"^FlowEngine gives no usable answer: .* Run 1 .* may still be running; no answer for 15 min",
    ) as caught:
        wait_for(server)

    assert 900 <= server.now - NOW <= 940
    assert (caught.value.run.id, caught.value.run_url) == (1, URL)
    assert "may still be running" in str(caught.value)


def test_an_engine_that_cant_be_resolved_for_a_while_doesnt_end_the_wait(server):
    server.add_run(status="succeeded")
    server.on("resolve", refused("engine demo is starting"), answer(404, ""))

    assert wait_for(server).state is RunState.SUCCEEDED


def test_an_engine_that_moves_meanwhile_is_followed(server):
    server.add_run()
    later(server, 100, status="succeeded")
    api = server.api()
    server.drive(api.resolve())
    server.engine_url = "/engine/16/cess-data-3"

    assert server.drive(poll_until_done(api, a_monitor())).state is RunState.SUCCEEDED


def test_a_good_answer_between_makes_the_time_without_one_begin_anew(server):
    server.add_run()
    server.on("history", *([no_reply] * 20 + [server._work]) * 3, *[no_reply] * 100)

    with pytest.raises(StatusUnavailableError):
        wait_for(server, unreachable_timeout=600)
    assert server.count("history") > 63


def test_one_failure_long_after_the_last_poll_is_no_silence(server):
    monitor = a_monitor(unreachable_timeout=10, poll_interval=600)
    monitor.observe(a_run(), NOW)

    monitor.record_failure(ServiceUnavailableError("reset"), NOW + 600)

    with pytest.raises(StatusUnavailableError):
        monitor.record_failure(ServiceUnavailableError("reset"), NOW + 610)


def test_the_time_without_an_answer_counts_from_when_the_poll_began(server):
    def hangs(request):
        server.now += 20
        return no_reply(request)

    server.on("history", hangs)
    monitor = a_monitor()

    server.drive(poll_once(History(server.api(retry=NO_RETRY), 19), monitor))
    assert monitor.unavailable_since == NOW


def test_a_failure_makes_no_poll_of_a_long_run_come_sooner():
    monitor = a_monitor(started_at=NOW - HOUR)
    monitor.record_failure(ServiceUnavailableError("reset"), NOW)

    assert monitor.delay(NOW) == 30


@pytest.mark.parametrize("answers", [[answer(502, "")], [None, refused("busy")], [answer(502, ""), refused("busy")]])
def test_only_a_first_poll_that_is_refused_asks_whether_there_is_such_a_pipeline(server, answers):
    server.add_run()
    server.on("history", *(each or server._work for each in answers))
    monitor, history = a_monitor(), History(server.api(retry=NO_RETRY), 19)

    for _ in answers:
        server.drive(poll_once(history, monitor))
    assert server.count("pipeline") == 0


def test_polls_that_fail_are_repeated_soon_and_then_less_often(server):
    server.add_run()
    server.on("history", *[no_reply] * 7)
    server.set(1, status="succeeded")

    wait_for(server)

    assert server.pauses == [1, 2, 4, 8, 16, 30, 30]


def test_while_it_waits_each_poll_is_sent_once(server):
    server.add_run(status="succeeded")
    server.on("history", no_reply)

    wait_for(server)

    assert server.pauses == [1.0]
    assert server.count("history") == 2


def test_a_poll_waits_as_long_as_the_server_asks(server):
    server.add_run(status="succeeded")
    server.on("history", answer(429, "", retry_after="90"), answer(503, "", retry_after="86400"))

    wait_for(server)

    assert server.pauses == [90.0, 300.0]


def test_a_server_that_asks_for_patience_is_given_it_though_the_run_is_missing():
    monitor = a_monitor()
    monitor.observe(None, NOW)
    monitor.record_failure(ServiceUnavailableError("busy", retry_after=90), NOW + 1)

    assert monitor.delay(NOW + 1) == 90


def test_a_day_of_failures_is_counted_without_harm():
    monitor = a_monitor(unreachable_timeout=1e9)
    for place in range(3000):
        monitor.record_failure(ServiceUnavailableError("down"), NOW + 30 * place)

    assert monitor.delay(NOW + 90_000) == 30


def test_a_failure_is_warned_of_once_and_then_mentioned(server, caplog):
    server.add_run(status="succeeded")
    server.on("history", *[no_reply] * 4)

    with caplog.at_level(logging.INFO):
        wait_for(server)

    levels = [record.levelname for record in caplog.records if "failed" in record.message]
    assert levels == ["WARNING", "INFO", "INFO", "INFO"]


# --- what is odd ------------------------------------------------------------------------------------------------------


def test_a_run_that_has_vanished_ends_the_wait_after_a_grace(server):
    server.add_run()
    server.on("history", server._work)
    monitor = a_monitor()
    server.drive(poll_once(History(server.api(), 19), monitor))
    server.runs.clear()

    with pytest.raises(
        RunLostError, match=r"^The run is not in its pipeline's history .*: run 1 of pipeline 19,"
    ) as caught:
        wait_for(server, monitor)

    assert 120 <= server.now - NOW <= 160
    assert (caught.value.run.status, caught.value.run_url) == ("running", URL)
    assert caught.value.gone


def test_a_run_that_isnt_there_yet_is_waited_for(server):
    server.add_run(status="succeeded", appears=NOW + 100)

    assert wait_for(server).id == 1


def test_a_wait_begins_with_a_poll(server):
    server.add_run(status="succeeded")

    wait_for(server)

    assert server.pauses == []


@pytest.mark.parametrize(
    ("status", "says"), [("flourishing", "unrecognized status 'flourishing'"), ("", "has no status")]
)
def test_an_unrecognized_status_ends_the_wait_after_a_grace(server, status, says):
    server.add_run(status=status)

    with pytest.raises(RunLostError, match=f"{says}; say .*status_words.*: run 1 of pipeline 19, for 120 s") as caught:
        wait_for(server, deadline=NOW + HOUR)
    assert 120 <= server.now - NOW <= 160
    assert not caught.value.gone


def test_an_unrecognized_status_may_pass(server):
    server.add_run(status="flourishing")
    later(server, 100, status="succeeded")

    assert wait_for(server).state is RunState.SUCCEEDED


def test_an_end_time_without_a_final_status_ends_the_wait_after_a_grace(server):
    server.add_run(status="running", endTime=int(NOW * 1000))

    with pytest.raises(RunLostError, match=r"has ended at 2023-11-14.*but its status is still 'running'"):
        wait_for(server, deadline=NOW + HOUR)


def test_a_run_that_is_stopping_may_tell_its_end_already(server):
    server.add_run(status="stopping", endTime=int(NOW * 1000))
    later(server, 10 * MINUTE, status="stopped")

    assert wait_for(server).state is RunState.STOPPED


def test_an_end_before_the_start_is_that_of_an_earlier_attempt(server):
    server.add_run(status="running", endTime=int((NOW - HOUR) * 1000))
    later(server, 10 * MINUTE, status="succeeded")

    assert wait_for(server).state is RunState.SUCCEEDED


def test_each_suspicion_has_a_grace_of_its_own_once_it_has_cleared(server):
    monitor = a_monitor()
    for moment in (0, 100):
        monitor.observe(None, NOW + moment)
    monitor.observe(a_run(), NOW + 110)
    monitor.observe(None, NOW + 200)
    monitor.observe(None, NOW + 319)

    with pytest.raises(RunLostError):
        monitor.observe(None, NOW + 320)


def test_a_run_that_a_poll_did_not_look_up_is_not_missing():
    monitor = a_monitor()

    assert monitor.observe_lookup({2: None}, NOW) is None
    assert monitor.suspect_since is None


def test_the_run_that_a_poll_looked_up_is_the_one_that_is_waited_for():
    ended = a_run("succeeded")

    assert a_monitor().observe_lookup({1: ended, 2: None}, NOW) is ended


def test_a_poll_that_did_not_look_the_run_up_ends_the_wait_at_the_deadline_too():
    monitor = a_monitor(deadline=NOW + 10)
    monitor.observe_lookup({2: None}, NOW + 9)

    with pytest.raises(RunTimeoutError):
        monitor.observe_lookup({2: None}, NOW + 10)


def test_a_suspect_run_is_polled_after_a_quarter_of_the_grace():
    monitor = a_monitor(started_at=NOW - 10 * HOUR, poll_interval=600)
    monitor.observe(None, NOW)

    assert monitor.delay(NOW) == 30


def test_while_a_run_is_suspect_it_is_polled_at_least_four_times(server):
    with pytest.raises(RunLostError):
        wait_for(server, started_at=NOW - 10 * HOUR, poll_interval=600)
    assert server.count("history") >= 5


# --- a run that was resumed -------------------------------------------------------------------------------------------

ENDED = pendulum.from_timestamp(NOW - HOUR)
BEFORE = PipelineRun(1, 19, "failed", RunState.FAILED, ended=ENDED)


def test_the_end_from_before_a_resume_doesnt_count(server):
    server.add_run(status="failed", endTime=int(ENDED.timestamp() * 1000))
    later(server, 20, status="running", endTime=None)
    monitor = a_monitor(pre_resume_run=BEFORE)
    server.drive(poll_once(History(server.api(), 19), monitor))
    assert server.now == NOW
    server.now += 30
    server.drive(poll_once(History(server.api(), 19), monitor))
    later(server, 60, status="succeeded", endTime=int((NOW + 60) * 1000))

    assert wait_for(server, monitor).state is RunState.SUCCEEDED


def test_a_resumed_run_that_fails_again_has_failed(server):
    server.add_run(status="failed", endTime=int((NOW + 5) * 1000))

    assert wait_for(server, pre_resume_run=BEFORE).ended == pendulum.from_timestamp(NOW + 5)
    assert server.pauses == []


def test_a_resume_that_has_no_effect_ends_the_wait_after_a_grace(server, caplog):
    server.add_run(status="failed", endTime=int(ENDED.timestamp() * 1000))

    with caplog.at_level(logging.WARNING):
        run = wait_for(server, pre_resume_run=BEFORE)

    assert run.state is RunState.FAILED
    assert 120 <= server.now - NOW <= 140
    assert not caplog.records


@pytest.mark.parametrize(("seconds", "counts"), [(119, False), (120, True)])
def test_the_end_from_before_a_resume_counts_after_the_grace(seconds, counts):
    ended = a_monitor(pre_resume_run=BEFORE).observe(BEFORE, NOW + seconds)

    assert (ended is BEFORE) is counts


def test_a_resumed_run_that_still_tells_its_earlier_end_is_not_lost(server):
    server.add_run(status="running", endTime=int(ENDED.timestamp() * 1000), started=ENDED.timestamp() - 60)
    later(server, 30 * MINUTE, status="succeeded")

    assert wait_for(server, pre_resume_run=BEFORE).state is RunState.SUCCEEDED


# --- a run that is yet to come ----------------------------------------------------------------------------------------

MOMENT = pendulum.from_timestamp(NOW)


def test_the_first_run_since_a_moment_is_waited_for(server):
    server.fill(50)
    server.add_run(started=NOW + 5, appears=NOW + 100)
    server.add_run(started=NOW + 70, appears=NOW + 100)
    server.always(
        "history",
        lambda request: (
            (server.set(51, status="succeeded") if server.now > NOW + 300 else None) or server._work(request)
        ),
    )
    monitor = a_monitor(run_id=None, started_after=MOMENT)

    assert wait_for(server, monitor).id == 51
    assert monitor.run_id == 51
    assert server.now - NOW < 340


def test_of_runs_that_started_in_the_same_second_the_first_is_taken(server):
    for run_id in (9, 10):
        server.add_run(run_id, started=NOW, status="succeeded")

    assert wait_for(server, a_monitor(run_id=None, started_after=MOMENT)).id == 9


def test_a_pipeline_that_isnt_there_is_not_waited_for(server):
    server.always("history", refused("pipeline 19 does not exist"))
    server.always("pipeline", refused("pipeline 19 does not exist"))

    with pytest.raises(PipelineNotFoundError, match="has no pipeline 19"):
        wait_for(server, a_monitor())
    assert server.now == NOW


def test_a_history_that_is_refused_of_a_pipeline_that_is_there_is_waited_for(server):
    server.add_run(status="succeeded")
    server.on("history", refused("the database is locked"))
    server.on("pipeline", ok({"id": 19}))

    assert wait_for(server, a_monitor()).id == 1


def test_a_run_that_started_before_the_moment_is_not_the_one(server):
    server.fill(3)

    with pytest.raises(RunTimeoutError, match="there was no run of pipeline 19 that started at or after 2023"):
        wait_for(server, a_monitor(run_id=None, started_after=MOMENT, deadline=NOW + HOUR))


@pytest.mark.parametrize(("age", "pause"), [(5 * MINUTE, 30), (MINUTE, 6), (0, 1), (-HOUR, 1)])
def test_a_run_that_was_found_is_polled_as_often_as_its_own_length_says(age, pause):
    monitor = a_monitor(run_id=None, started_at=NOW - 9 * HOUR, started_after=pendulum.from_timestamp(NOW - HOUR))

    monitor.observe_any([a_run(run_id=7, started=pendulum.from_timestamp(NOW - age))], NOW)

    assert (monitor.run_id, monitor.last.id) == (7, 7)
    assert monitor.started_at == NOW - max(age, 0)
    assert monitor.delay(NOW) == pause


def test_a_run_that_was_found_past_the_deadline_ends_the_wait():
    monitor = a_monitor(run_id=None, started_after=MOMENT, deadline=NOW)

    with pytest.raises(RunTimeoutError, match="run 7 of pipeline 19 was still running"):
        monitor.observe_any([a_run(run_id=7, started=MOMENT)], NOW)


def test_without_a_moment_the_first_run_that_is_seen_is_waited_for():
    monitor = a_monitor(run_id=None)

    monitor.observe_any([a_run(run_id=7, started=MOMENT)], NOW)
    assert monitor.run_id == 7


def test_of_many_runs_since_the_moment_the_first_is_waited_for(server):
    server.fill(50)

    assert wait_for(server, a_monitor(run_id=None, started_after=MOMENT.subtract(minutes=50))).id == 1


@pytest.mark.parametrize(("age", "fits"), [(-HOUR * 15, True), (13 * HOUR, False)])
def test_a_time_without_a_zone_decides_where_any_zone_would_say_the_same(age, fits):
    monitor = a_monitor(run_id=None, started_after=pendulum.from_timestamp(NOW))

    monitor.observe_any([a_run(run_id=7, started=pendulum.from_timestamp(NOW - age), is_zone_certain=False)], NOW)

    assert (monitor.run_id == 7) is fits


@pytest.mark.parametrize("age", [-13 * HOUR, -8 * HOUR, 0, 5 * HOUR, 11 * HOUR])
def test_a_guessed_zone_never_decides_whether_a_run_started_after_the_moment(age):
    monitor = a_monitor(run_id=None, started_after=pendulum.from_timestamp(NOW))

    with pytest.raises(ConfigurationError, match=r"Set timezone in the connection's extra: .* started at or after"):
        monitor.observe_any([a_run(run_id=7, started=pendulum.from_timestamp(NOW - age), is_zone_certain=False)], NOW)


def test_the_latest_moment_at_which_a_run_may_have_started_decides_nothing_either():
    run = a_run(run_id=7, started=MOMENT, is_zone_certain=False)
    monitor = a_monitor(run_id=None, started_after=run.start_range[1])

    with pytest.raises(ConfigurationError, match="Set timezone"):
        monitor.observe_any([run], NOW)


def test_the_address_of_a_run_to_come_is_known_once_it_is(server):
    server.add_run(started=NOW, status="succeeded")
    monitor = a_monitor(run_id=None, started_after=MOMENT)
    monitor.run_url = "http://ui/{run_id}"

    wait_for(server, monitor)

    assert monitor.run_url == "http://ui/1"


def test_failures_are_borne_while_the_run_is_yet_to_come_too(server):
    server.on("history", *[no_reply] * 200)

    with pytest.raises(StatusUnavailableError):
        wait_for(server, a_monitor(run_id=None, started_after=MOMENT))


def test_too_many_runs_since_the_moment_are_reported(server):
    server.fill(6_000)

    with pytest.raises(AmbiguousRunError):
        wait_for(server, a_monitor(run_id=None, started_after=pendulum.from_timestamp(0)))


# --- what is logged ---------------------------------------------------------------------------------------------------


def test_each_change_is_logged_once_and_each_node_at_its_end(server, caplog):
    server.add_run("Run-AB", status="AWAITING")
    node = {"nodeId": "train", "title": "训练"}

    def act(request):
        elapsed = server.now - NOW
        if elapsed > 30:
            server.set("Run-AB", status="running", nodes=[{**node, "status": "running", "startTime": int(NOW * 1000)}])
        if elapsed > 90:
            done = {**node, "status": "succeeded", "startTime": int(NOW * 1000), "endTime": int(NOW * 1000) + 65_000}
            server.set("Run-AB", status="succeeded", nodes=[done])
        return server._work(request)

    server.always("history", act)
    with caplog.at_level(logging.INFO, logger="airflow_provider_flowengine"):
        wait_for(server, run_id="Run-AB")

    assert [record.message for record in caplog.records] == [
        "Run Run-AB of pipeline 19: running",
        "  node 训练 (train): succeeded, after 1 min 5 s",
    ]


def test_a_run_to_come_is_logged_when_it_is_found(caplog):
    monitor = a_monitor(run_id=None, started_after=MOMENT)

    with caplog.at_level(logging.INFO):
        monitor.observe_any([a_run(run_id=7, started=MOMENT)], NOW)
        assert caplog.messages == ["Run 7 of pipeline 19: running"]

        monitor.observe_any([a_run(run_id=7, started=MOMENT)], NOW)
        assert len(caplog.messages) == 1


def test_a_node_that_has_ended_is_logged_once(caplog):
    node = NodeRun("train", "train", "succeeded", RunState.SUCCEEDED)
    monitor = a_monitor()

    with caplog.at_level(logging.INFO):
        for _ in range(2):
            monitor.observe(a_run(nodes=(node,)), NOW)

    assert len(caplog.records) == 1


def a_run_with_nodes(server, seconds=60):
    """Let run 1 tell of its node, and end after so much time, whichever call it is asked by."""
    node = {"nodeId": "train", "title": "train", "status": "running", "startTime": int(NOW * 1000)}
    server.add_run(1, nodes=[node])
    server.one_run_call = True

    def act(request):
        if server.now >= NOW + seconds:
            server.set(1, status="succeeded", nodes=[{**node, "status": "succeeded"}])
        return server._work(request)

    server.always("one run", act)
    server.always("history", act)
    return a_monitor(deadline=NOW + HOUR)


def fetch_nodes(monitor):
    monitor.fetch_nodes = True
    return monitor


def test_a_poll_of_the_run_itself_takes_the_place_of_one_of_the_history(server):
    wait_for(server, a_run_with_nodes(server))
    polls = server.count("history")
    closer = type(server)()

    run = wait_for(closer, fetch_nodes(a_run_with_nodes(closer)))

    assert (run.status, [node.status for node in run.nodes]) == ("succeeded", ["succeeded"])
    assert (closer.count("one run"), closer.count("history")) == (polls, 0)


@pytest.mark.parametrize(("last", "is_read"), [(a_run(), True), (None, False)])
def test_a_run_that_does_not_say_whose_it_is_is_read_by_its_id_once_the_history_has_shown_it(server, last, is_read):
    monitor = a_run_with_nodes(server)
    server.always("one run", ok(server.runs[0]))
    monitor.last = last

    server.drive(poll_once(server.history(), fetch_nodes(monitor)))

    assert (monitor.last is not None) is is_read
    assert monitor.last is None or (monitor.last.pipeline_id, len(monitor.last.nodes)) == (19, 1)


def test_a_server_without_the_one_run_call_makes_no_run_look_missing(server):
    monitor = fetch_nodes(a_run_with_nodes(server))
    server.always("one run", answer(404, "no"))

    server.drive(poll_once(server.history(), monitor))
    assert monitor.suspect_since is None


def test_if_the_run_itself_shows_no_nodes_the_history_is_polled_from_then_on(server):
    monitor = a_run_with_nodes(server)
    server.set(1, nodes=None)
    later(server, 60, status="succeeded")

    wait_for(server, fetch_nodes(monitor))

    assert server.count("one run") == 1


@pytest.mark.parametrize("trouble", [answer(500, "oops"), answer(404, "no"), refused("no such call"), no_reply])
def test_a_server_without_the_one_run_call_is_asked_for_it_once(server, trouble):
    monitor = a_run_with_nodes(server)
    server.always("one run", trouble)

    run = wait_for(server, fetch_nodes(monitor))

    assert (run.status, server.count("one run")) == ("succeeded", 1)


def test_a_poll_of_the_run_itself_that_fails_once_it_has_worked_is_made_again_later(server):
    monitor = a_run_with_nodes(server, seconds=9)
    [act] = server._script["one run"]
    answers = iter([act, no_reply])
    server.always("one run", lambda request: next(answers, act)(request))

    run = wait_for(server, fetch_nodes(monitor))

    assert run.status == "succeeded"
    assert [call for call in server.calls if call in ("one run", "history")][:4] == [
        "one run",
        "one run",
        "history",
        "one run",
    ]


# --- whatever is seen -------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 500),
            st.sampled_from(["running", "succeeded", "failed", "odd", "missing", "silent", "stopping"]),
        ),
        max_size=60,
    )
)
def test_success_is_only_what_was_seen_to_succeed_and_the_wait_never_outlasts_its_limits(polls):
    monitor = a_monitor(deadline=NOW + 5_000, unreachable_timeout=300)
    now = NOW
    for seconds, status in polls:
        now += seconds
        try:
            if status == "silent":
                monitor.record_failure(ServiceUnavailableError("reset"), now)
                ended = None
            else:
                ended = monitor.observe(None if status == "missing" else a_run(status), now)
        except RunTimeoutError:
            return
        except RunLostError:
            assert status in ("odd", "missing")
            return
        if ended:
            assert status in ("succeeded", "failed")
            return
        assert status not in ("succeeded", "failed")
        assert now < NOW + 5_000
        assert 0 <= monitor.delay(now) <= 30
