"""
Whose a run is, row by row: what the next try does after a crash, a clear, a mark, an eviction, a failure.

The table is the reliability page's. Each row is played in the worker and deferred, on the campaign's model of Airflow.
"""

import pytest

from .airflow import Strike
from .case import Case
from .flowengine import Fault, Outage
from .play import play as play_case

MIDWAY, AFTERWARDS = 30.0, 120.0  # a run takes a minute


@pytest.fixture
def play(deferrable):
    """Play a case in one of the two modes; whatever the campaign's judge objects to fails the test."""

    def play(*strikes, **traits):
        shape = {"stop_seconds": 0, **traits.pop("shape", {})}
        airflow = play_case(Case(deferrable=deferrable, strikes=strikes, shape=shape, **traits))
        assert airflow.judge.violations == [], "\n".join(airflow.story)
        return airflow

    return play


def started(airflow):
    """How the runs are that the task has started, the oldest first."""
    return [airflow.flowengine.state(run_id) for run_id in airflow.flowengine.ours]


def stops(airflow):
    """Which of them were stopped: 0 is the first one."""
    return [airflow.flowengine.ours.index(run_id) for run_id in airflow.flowengine.stops]


# --- worker, executor or triggerer died -------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["wrote run", "write run", "defer", "begin", "resume"])
def test_after_a_crash_the_next_try_reconnects_to_the_run(play, at):
    airflow = play(Strike("crash", at=at), duration=2000)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


def test_after_a_crash_midway_the_next_try_reconnects_to_the_run(play):
    airflow = play(Strike("crash", seconds=MIDWAY), duration=2000)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


def test_crash_after_crash_the_same_run_is_gone_on_with(play):
    airflow = play(*[Strike("crash", seconds=700)] * 4, duration=5000, retry_delay=1)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


def test_after_a_crash_the_result_of_a_run_that_has_succeeded_meanwhile_is_taken(play):
    airflow = play(Strike("crash", at="wrote run"), duration=60, retry_delay=300)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


@pytest.mark.parametrize("at", ["write delivered", "wrote delivered", "report"])
def test_a_result_that_airflow_hasnt_got_is_taken_again(play, at):
    airflow = play(Strike("crash", at=at))

    assert (airflow.task.state, airflow.task.try_number, started(airflow)) == ("success", 2, ["succeeded"])


@pytest.mark.parametrize("at", ["sent start pipeline", "done start pipeline", "write run"])
@pytest.mark.parametrize("answer", ["run", "empty"])
def test_after_a_crash_between_start_and_note_the_run_is_found_by_the_intent(play, at, answer):
    airflow = play(Strike("crash", at=at), duration=2000, shape={"start_answer": answer})

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


@pytest.mark.parametrize("delay", [3, 25])
def test_a_hasty_retry_gives_the_run_the_time_that_it_may_take_to_appear(play, delay):
    airflow = play(
        Strike("crash", at="sent start pipeline"), duration=300, retry_delay=1, shape={"history_delay": delay}
    )

    assert (airflow.task.state, started(airflow)) == ("success", ["succeeded"])


@pytest.mark.parametrize("at", ["wrote starting", "send start pipeline"])
def test_after_a_crash_before_the_start_was_sent_the_next_try_starts(play, at):
    airflow = play(Strike("crash", at=at))

    assert (airflow.task.state, airflow.task.try_number, started(airflow)) == ("success", 2, ["succeeded"])


def test_the_next_try_doesnt_take_a_colleagues_run_for_its_own(play):
    airflow = play(
        Strike("crash", at="send start pipeline"),
        job_params={"train": {"x": "7"}},
        colleagues=((20, {"n1": {"x": "8"}}), (30, None)),
        older=0,
    )

    assert (airflow.task.returned, started(airflow)) == (3, ["succeeded"])


# --- the run failed ---------------------------------------------------------------------------------------------------


def test_after_a_failure_a_new_run_is_started(play):
    airflow = play(outcomes=("failed", "succeeded"))

    assert (airflow.task.state, started(airflow)) == ("success", ["failed", "succeeded"])


def test_after_a_failure_the_run_can_be_resumed(play):
    airflow = play(outcomes=("failed_once",), retry_mode="resume")

    assert (airflow.task.state, airflow.task.try_number, started(airflow)) == ("success", 2, ["succeeded"])


def test_if_flowengine_refuses_to_resume_a_new_run_is_started(play):
    airflow = play(outcomes=("failed", "succeeded"), retry_mode="resume", shape={"refuse_resume": "不能恢复"})

    assert (airflow.task.state, started(airflow)) == ("success", ["failed", "succeeded"])


def test_a_run_that_somebody_stopped_fails_the_task_at_once(play):
    airflow = play(Strike("end run", seconds=MIDWAY))

    assert (airflow.task.state, airflow.task.try_number) == ("failed", 1)
    assert (started(airflow), stops(airflow)) == (["stopped"], [])


def test_a_run_that_somebody_stopped_while_no_try_waited_for_it_fails_the_next_one_at_once(play):
    airflow = play(Strike("crash", at="wrote run"), Strike("end run", seconds=1), duration=2000)

    assert (airflow.task.state, airflow.task.try_number) == ("failed", 2)
    assert (started(airflow), stops(airflow)) == (["stopped"], [])


def test_a_run_that_somebody_stopped_is_started_anew_if_requested(play):
    airflow = play(Strike("end run", seconds=MIDWAY), retry_stopped=True)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["stopped", "succeeded"], [])


def test_a_run_that_took_too_long_is_started_anew_by_the_next_try(play):
    airflow = play(duration=2000, retries=1, timeout=90)

    assert (airflow.task.state, airflow.task.try_number) == ("failed", 2)
    assert (started(airflow), stops(airflow)) == (["stopped", "stopped"], [0, 1])


def test_a_run_that_stays_gone_from_the_history_is_replaced(play):
    airflow = play(duration=2000, prunings=(MIDWAY,))

    assert (airflow.task.state, airflow.task.try_number) == ("success", 2)
    assert len(airflow.flowengine.ours) == 2


def test_a_run_whose_status_nobody_knows_for_long_is_not_replaced(play):
    strange = ((MIDWAY, {"words": {"running": "flourishing"}}), (MIDWAY + 250, {"words": {}}))
    airflow = play(duration=900, changes=strange)

    assert (airflow.task.state, airflow.task.try_number, started(airflow)) == ("success", 2, ["succeeded"])


# --- a person clears the task -----------------------------------------------------------------------------------------


def test_a_clear_of_a_succeeded_task_starts_a_new_run(play):
    airflow = play(Strike("clear", seconds=AFTERWARDS))

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded", "succeeded"], [])
    assert airflow.task.returned == airflow.flowengine.ours[-1]


def test_a_clear_of_a_failed_task_is_a_retry(play):
    airflow = play(Strike("clear", seconds=AFTERWARDS), outcomes=("failed_once",), retry_mode="resume", retries=0)

    assert (airflow.task.state, airflow.task.try_number, started(airflow)) == ("success", 2, ["succeeded"])


@pytest.mark.parametrize("stop_seconds", [0.5, 600])
@pytest.mark.parametrize("retries", [0, 8])
def test_a_clear_midway_stops_the_run_and_starts_a_new_one(play, stop_seconds, retries):
    airflow = play(
        Strike("clear", seconds=MIDWAY), retries=retries, retry_delay=1, shape={"stop_seconds": stop_seconds}
    )

    assert (airflow.task.state, airflow.task.try_number, stops(airflow)) == ("success", 2, [0])
    assert started(airflow) in (["stopped", "succeeded"], ["stopping", "succeeded"])


@pytest.mark.parametrize("deferrable", [True])
@pytest.mark.parametrize("wakes", [1, 5, 20])
def test_a_triggerer_that_is_late_stops_nothing_but_the_old_run(play, wakes):
    airflow = play(Strike("clear", seconds=MIDWAY, wakes=wakes))

    assert (airflow.task.state, started(airflow)) == ("success", ["stopped", "succeeded"])
    assert set(stops(airflow)) == {0}


@pytest.mark.parametrize("deferrable", [True])
def test_while_the_old_run_cant_be_stopped_no_new_one_is_started(play):
    airflow = play(
        Strike("clear", seconds=MIDWAY), duration=4000, retries=8, faults=(Fault("stop run", "500", times=60),)
    )

    assert (airflow.task.state, started(airflow)) == ("success", ["stopped", "succeeded"])


# --- a person marks the task ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["fail", "succeed"])
def test_a_mark_stops_the_run(play, mark):
    airflow = play(Strike(mark, seconds=MIDWAY))

    assert (started(airflow), stops(airflow)) == (["stopped"], [0])


@pytest.mark.parametrize("mark", ["fail", "succeed"])
def test_a_mark_leaves_the_run_alone_if_cancel_on_kill_is_off(play, mark):
    airflow = play(Strike(mark, seconds=MIDWAY), cancel_on_kill=False)

    assert (started(airflow), stops(airflow)) == (["running"], [])


@pytest.mark.parametrize("at", ["begin", "send list runs", "write starting", "send start pipeline"])
def test_a_mark_before_the_start_prevents_it(play, at):
    airflow = play(Strike("fail", at=at, delay=0))

    assert started(airflow) == []


@pytest.mark.parametrize("at", ["sent start pipeline", "write run", "wrote run"])
@pytest.mark.parametrize("delay", [0, 2])
def test_a_mark_during_the_start_stops_the_run_that_it_makes(play, at, delay):
    airflow = play(Strike("fail", at=at, delay=delay))

    assert (started(airflow), stops(airflow)) == (["stopped"], [0])


@pytest.mark.parametrize("deferrable", [True])
@pytest.mark.parametrize("at", ["write run", "wrote run"])
def test_a_mark_in_the_moment_before_the_deferral_stops_the_run(play, at):
    # Airflow doesn't tell: the process ends before its next heartbeat, and a trigger never comes to be.
    airflow = play(Strike("fail", at=at))

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


def test_a_stop_that_fails_is_tried_again(play):
    airflow = play(Strike("fail", seconds=MIDWAY), faults=(Fault("stop run", "503"),))

    assert (started(airflow), stops(airflow)) == (["stopped"], [0, 0])


# --- a try that was thought dead --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wakes", [0, 3, 25])
@pytest.mark.parametrize("delay", [0, 4], ids=["told at once", "told later"])
def test_a_try_that_wakes_up_leaves_the_run_untouched(play, wakes, delay):
    airflow = play(Strike("freeze", at="wrote run", wakes=wakes, delay=delay), duration=2000)

    assert (airflow.task.state, airflow.task.try_number) == ("success", 2)
    assert (started(airflow), stops(airflow)) == (["succeeded"], [])


def test_a_last_try_that_wakes_up_after_its_time_leaves_the_run_untouched(play):
    # With a new try by a person's clear: the old one is the last by its own reckoning, and its time is over.
    airflow = play(
        Strike("freeze", at="write run", wakes=12, delay=5),
        Strike("clear", seconds=400),
        duration=1500,
        retries=0,
        timeout=1800,
    )

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


@pytest.mark.parametrize("at", ["done list runs", "write starting"])
def test_a_try_that_wakes_up_before_its_start_starts_nothing(play, at):
    airflow = play(Strike("freeze", at=at, wakes=25), duration=2000)

    assert (airflow.task.state, started(airflow)) == ("success", ["succeeded"])


def test_a_try_that_wakes_up_between_two_attempts_to_start_sends_no_second_one(play):
    airflow = play(
        Strike("freeze", at="done start pipeline", wakes=25, delay=5),
        duration=2000,
        faults=(Fault("start pipeline", "503"),),
    )

    assert (airflow.task.state, started(airflow)) == ("success", ["succeeded"])


# --- eviction ---------------------------------------------------------------------------------------------------------


def test_an_eviction_leaves_the_run_to_the_next_try(play):
    airflow = play(Strike("evict", seconds=MIDWAY), duration=2000)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


def test_an_eviction_during_the_start_leaves_the_run_to_the_next_try(play):
    airflow = play(Strike("evict", at="sent start pipeline"), duration=2000)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


@pytest.mark.parametrize("deferrable", [False])
def test_an_eviction_of_the_last_try_stops_the_run_since_no_try_reconnects_to_it(play):
    airflow = play(Strike("evict", seconds=MIDWAY), duration=2000, retries=0)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


# --- giving up --------------------------------------------------------------------------------------------------------

SILENCE = (Outage(20, 200, "502"),)


def test_a_try_that_gives_up_leaves_the_run_alone_while_tries_remain(play):
    airflow = play(duration=2000, unreachable_timeout=90, outages=SILENCE, retries=1)

    assert (airflow.task.state, airflow.task.try_number) == ("success", 2)
    assert (started(airflow), stops(airflow)) == (["succeeded"], [])


def test_the_last_try_that_gives_up_stops_the_run(play):
    strange = ((MIDWAY, {"words": {"running": "flourishing"}}),)
    airflow = play(duration=9000, changes=strange, retries=0)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


def test_the_last_try_that_gives_up_leaves_the_run_alone_if_cancel_on_kill_is_off(play):
    strange = ((MIDWAY, {"words": {"running": "flourishing"}}),)
    airflow = play(duration=9000, changes=strange, retries=0, cancel_on_kill=False)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["running"], [])


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_run_that_takes_too_long_is_stopped(play, limit):
    airflow = play(duration=2000, retries=0, **{limit: 90})

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


@pytest.mark.parametrize("deferrable", [True])
def test_a_triggerers_restart_doesnt_lengthen_the_time_that_a_run_may_take(play):
    airflow = play(Strike("crash", seconds=60, delay=20), duration=2000, retries=0, timeout=90)

    assert started(airflow) == ["stopped"]
    assert airflow.clock.now - airflow.task.start_date.timestamp() < 100


@pytest.mark.parametrize("deferrable", [True])
def test_if_airflow_itself_ends_the_deferral_the_run_is_stopped(play):
    airflow = play(Strike("no triggerer", seconds=MIDWAY), duration=2000, retries=0, timeout=90)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


@pytest.mark.parametrize("deferrable", [True])
def test_a_trigger_that_breaks_down_leaves_the_run_to_the_next_try(play):
    airflow = play(Strike("break", seconds=MIDWAY), duration=2000)

    assert (airflow.task.state, airflow.task.try_number) == ("success", 2)
    assert (started(airflow), stops(airflow)) == (["succeeded"], [])


@pytest.mark.parametrize("at", ["write run", "write delivered"])
def test_a_note_that_fails_doesnt_fail_the_task(play, at):
    airflow = play(Strike("deaf", at=at), retries=0)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("success", ["succeeded"], [])


def test_a_start_that_cant_be_noted_before_is_not_sent(play):
    airflow = play(Strike("deaf", at="write starting"), retries=0)

    assert (airflow.task.state, started(airflow)) == ("failed", [])


# --- the checkpoint is not what it was --------------------------------------------------------------------------------


def test_a_checkpoint_that_the_user_deleted_while_the_task_waits_is_no_other_owners(play):
    airflow = play(Strike("forget", seconds=MIDWAY), duration=2000, retries=0, timeout=90)

    assert (airflow.task.state, started(airflow), stops(airflow)) == ("failed", ["stopped"], [0])


@pytest.mark.parametrize("retries", [0, 1])
def test_a_run_past_its_timeout_is_stopped_while_tries_remain_too(play, retries):
    airflow = play(duration=2000, retries=retries, timeout=90)

    assert (airflow.task.state, set(started(airflow))) == ("failed", {"stopped"})
    assert len(started(airflow)) == retries + 1


def test_an_outage_that_ends_just_after_the_give_up_leaves_the_run_to_the_next_try(play):
    airflow = play(duration=2000, unreachable_timeout=90, outages=(Outage(20, 140, "502"),), retries=1)

    assert (airflow.task.state, airflow.task.try_number) == ("success", 2)
    assert (started(airflow), stops(airflow)) == (["succeeded"], [])
