"""Stopping and resuming a run: after its state was read, once, and never repeated blindly."""

import pytest

from airflow_provider_flowengine.protocol.errors import (
    RequestRejectedError,
    RunNotFoundError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.protocol.stopping import active_runs, resume, stop

from .conftest import NOW, answer, no_reply, not_connected, ok, refused

LOST = [no_reply, answer(500, ""), answer(502, ""), answer(200, "<html>")]


def stop_run(server, run_id=1, *, history=True, **options):
    api = server.api()
    return server.drive(stop(api, 19 if history else None, run_id, **options))


def resume_run(server, run_id=1, *, history=True, **options):
    api = server.api()
    return server.drive(resume(api, 19 if history else None, run_id, **options))


def becoming(server, status, then, **row):
    """Let the run become something while a call is answered."""

    def act(request):
        server.set(1, status=status, **row)
        return then(request) if callable(then) else then

    return act


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "AWAITING", "flourishing", ""])
def test_a_running_run_is_stopped_with_one_call(server, status):
    server.add_run(status=status)

    assert stop_run(server) is True
    assert server.count("stop") == 1


@pytest.mark.parametrize("status", ["succeeded", "failed", "stopped", "STOPPING", "停止中"])
def test_a_run_that_has_ended_or_is_stopping_is_left_alone(server, status):
    server.add_run(status=status)

    assert stop_run(server) is False
    assert server.count("stop") == 0


def test_a_run_that_the_history_doesnt_show_isnt_stopped_since_it_may_be_another_pipelines(server):
    with pytest.raises(RunNotFoundError, match="The history of pipeline 19 has no run 1"):
        stop_run(server)
    assert server.count("stop") == 0
    assert server.pauses == []


def test_a_run_that_was_started_just_now_is_stopped_once_the_history_shows_it(server, caplog):
    server.add_run(appears=server.now + 20)

    assert stop_run(server, assume_exists=True) is True
    assert server.now - NOW >= 20
    assert server.count("stop") == 1
    assert caplog.messages[0].startswith("The history of pipeline 19 has no run 1: ")


def test_a_run_that_the_history_never_shows_is_never_stopped(server):
    with pytest.raises(RunNotFoundError, match="The history of pipeline 19 has no run 9001"):
        stop_run(server, 9001, assume_exists=True)
    assert server.count("stop") == 0
    assert server.now - NOW <= 60


def test_a_run_that_the_one_run_call_knows_as_another_pipelines_is_not_stopped(server):
    for owner in (20, None):
        server.always("one run", ok({"id": 9001, "pipelineId": owner, "status": "running"}))

        with pytest.raises(RunNotFoundError):
            stop_run(server, 9001)
    assert server.count("stop") == 0


@pytest.mark.parametrize("status", ["succeeded", "stopped", "stopping"])
def test_a_stop_that_is_refused_since_the_run_is_over_is_fine(server, status):
    server.add_run()
    server.on("stop", becoming(server, status, refused("run 1 is not running")))

    assert stop_run(server) is False


def test_a_stop_that_is_refused_while_the_run_is_running_is_reported(server):
    server.add_run()
    server.on("stop", refused("you may not"))

    with pytest.raises(RequestRejectedError, match="you may not"):
        stop_run(server)
    assert server.count("stop") == 1


def test_after_a_refusal_the_poll_is_repeated_too(server):
    server.add_run()
    server.on("stop", becoming(server, "stopped", refused("not running")))
    server.on("history", server._work, answer(500, ""), no_reply)

    assert stop_run(server) is False


@pytest.mark.parametrize("trouble", LOST)
def test_a_stop_without_an_answer_is_sent_again_when_the_run_is_still_running(server, trouble):
    server.add_run()
    server.on("stop", trouble)

    assert stop_run(server) is True
    assert server.count("stop") == 2
    assert 0.5 <= server.pauses[0] <= 0.5 * 1.25


@pytest.mark.parametrize("status", ["stopping", "stopped"])
@pytest.mark.parametrize("trouble", LOST)
def test_a_stop_without_an_answer_is_not_sent_again_when_it_was_taken(server, trouble, status):
    server.add_run()
    server.on("stop", becoming(server, status, trouble))

    assert stop_run(server) is True
    assert server.count("stop") == 1


def test_a_run_that_ended_by_itself_while_a_stop_went_unanswered_was_not_stopped(server):
    server.add_run()
    server.on("stop", becoming(server, "succeeded", no_reply))

    assert stop_run(server) is False


def test_a_run_that_somebody_else_stopped_while_no_stop_got_through_was_not_stopped_by_this_one(server):
    server.add_run()
    server.on("stop", *[not_connected] * 4, becoming(server, "stopped", not_connected))

    assert stop_run(server) is False


@pytest.mark.parametrize("trouble", [*LOST, answer(404, ""), refused("busy")])
def test_a_history_that_cant_be_read_for_a_while_doesnt_keep_a_run_from_being_stopped(server, trouble):
    server.add_run()
    server.on("history", trouble, trouble)

    assert stop_run(server) is True


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (no_reply, ServiceUnavailableError),
        (answer(200, "<html>"), UnexpectedResponseError),
        (refused("busy"), RequestRejectedError),
    ],
)
def test_patience_ends_with_the_last_error(server, trouble, error):
    server.add_run()
    server.always("history", trouble)

    with pytest.raises(error):
        stop_run(server, timeout=20)
    assert NOW + 10 <= server.now <= NOW + 40


@pytest.mark.parametrize("act", [stop, resume])
def test_a_minute_without_an_answer_is_enough(server, act):
    def hangs(request):
        server.now += 60
        return no_reply(request)

    server.always("history", hangs)
    api = server.api(retry=NO_RETRY)

    with pytest.raises(ServiceUnavailableError):
        server.drive(act(api, 19, 1))
    assert server.count("history") == 1


def test_pauses_are_as_long_as_the_server_asks(server):
    server.add_run()
    server.on("stop", answer(500, "", retry_after="17"))

    stop_run(server)

    assert 17 <= server.pauses[0] <= 17 * 1.25


def test_without_a_history_the_one_run_call_is_asked(server):
    server.on("one run", ok({"id": 1, "status": "succeeded"}))

    assert stop_run(server, history=False) is False
    assert server.calls[2:] == ["one run"]


def test_without_a_history_and_the_one_run_call_the_stop_is_sent_blindly(server):
    assert stop_run(server, history=False) is True
    assert server.calls[2:] == ["one run", "stop"]


def test_an_engine_that_moved_meanwhile_receives_the_stop_at_its_new_address(server):
    server.add_run()
    api = server.api()
    server.drive(api.resolve())
    server.engine_url = "/engine/16/cess-data-3"

    assert server.drive(stop(api, 19, 1)) is True
    assert "/engine/16/cess-data-3/" in server.requests[-1].url


@pytest.mark.parametrize("act", [stop, resume])
def test_an_engine_that_moved_is_found_without_a_history_too(server, act):
    api = server.api()
    server.drive(api.resolve())
    server.engine_url = "/engine/16/cess-data-3"

    server.drive(act(api, None, 1))
    assert "/engine/16/cess-data-3/" in server.requests[-1].url


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "stopped", "flourishing"])
def test_a_run_is_resumed_and_returned_as_it_was(server, status):
    server.add_run(status=status)

    assert resume_run(server).status == status
    assert server.count("resume") == 1


def test_a_run_that_is_already_running_is_left_alone(server):
    server.add_run(status="running")

    assert resume_run(server).state is RunState.RUNNING
    assert server.count("resume") == 0


def test_a_run_that_isnt_there_cant_be_resumed(server):
    with pytest.raises(RunNotFoundError, match="pipeline 19 has no run 1"):
        resume_run(server)
    assert server.count("resume") == 0


@pytest.mark.parametrize("trouble", LOST)
def test_a_resume_without_an_answer_is_sent_again_when_the_run_hasnt_moved(server, trouble):
    server.add_run(status="failed")
    server.on("resume", trouble)

    assert resume_run(server).status == "failed"
    assert server.count("resume") == 2


@pytest.mark.parametrize("trouble", LOST)
def test_a_resume_without_an_answer_is_not_sent_again_when_the_run_is_running(server, trouble):
    server.add_run(status="failed")
    server.on("resume", becoming(server, "running", trouble))

    assert resume_run(server).status == "failed"
    assert server.count("resume") == 1


@pytest.mark.parametrize("status", ["failed", "succeeded"])
def test_a_resumed_run_that_has_ended_anew_already_is_not_resumed_again(server, status):
    server.add_run(status="failed", endTime=int(NOW * 1000) - 60_000)
    server.on("resume", becoming(server, status, no_reply, endTime=int(NOW * 1000)))

    before = resume_run(server)

    assert (before.status, before.ended.timestamp()) == ("failed", NOW - 60)
    assert server.count("resume") == 1


def test_a_resume_that_is_refused_since_the_run_is_running_is_fine(server):
    server.add_run(status="failed")
    server.on("resume", no_reply, becoming(server, "running", refused("already running")))

    assert resume_run(server).status == "failed"


def test_a_resume_that_is_refused_is_reported(server):
    server.add_run(status="failed")
    server.on("resume", refused("run 1 can't be resumed"))

    with pytest.raises(RequestRejectedError, match="can't be resumed"):
        resume_run(server)
    assert server.count("resume") == 1


def test_a_run_that_is_stopping_is_resumed_once_it_has_stopped(server):
    server.add_run(status="stopping")
    server.on("history", server._work, becoming(server, "stopped", server._work))

    assert resume_run(server).status == "stopped"
    assert server.count("resume") == 1


def test_a_run_that_stays_stopping_isnt_resumed(server):
    server.add_run(status="stopping")

    with pytest.raises(ServiceUnavailableError, match="Run 1 is still stopping") as caught:
        resume_run(server, timeout=20)
    assert caught.value.may_have_been_processed is False
    assert server.count("resume") == 0


def test_without_a_history_a_resume_is_tried_once(server):
    server.on("resume", no_reply)

    with pytest.raises(ServiceUnavailableError):
        resume_run(server, history=False)
    assert server.count("resume") == 1


def test_without_a_history_the_one_run_call_tells_of_the_run_before(server):
    server.always("one run", ok({"id": 1, "status": "failed"}))

    before = resume_run(server, history=False)

    assert (before.id, before.pipeline_id, before.status) == (1, "", "failed")


def test_without_a_history_nothing_is_known_of_the_run_before(server):
    assert resume_run(server, history=False) is None
    assert server.count("resume") == 1


# --- all that run -----------------------------------------------------------------------------------------------------


def test_the_active_runs_are_listed_newest_first(server):
    for status in ("running", "succeeded", "stopping", "AWAITING", "failed", "flourishing"):
        server.add_run(status=status)

    assert [run.id for run in server.drive(active_runs(server.api(), 19))] == [6, 4, 3, 1]


@pytest.mark.parametrize(("status", "is_active"), [("running", True), ("flourishing", False)])
def test_a_run_that_tells_its_end_is_active_only_if_its_status_says_so(server, status, is_active):
    server.add_run(status=status, endTime=int(NOW * 1000))

    assert bool(server.drive(active_runs(server.api(), 19))) is is_active


def test_the_newest_hundred_runs_are_looked_through(server):
    server.fill(300)

    server.drive(active_runs(server.api(), 19))
    assert server.requests[-1].query["size"] == 100


def test_all_active_runs_are_found_if_the_servers_pages_are_short(server):
    server.most = 100
    server.fill(300)
    for run_id in (150, 299):
        server.set(run_id, status="running")

    assert [run.id for run in server.drive(active_runs(server.api(), 19, 1000))] == [299, 150]


def test_one_request_lists_them_if_a_page_holds_them_all(server):
    server.fill(2_000)

    server.drive(active_runs(server.api(), 19, 1000))
    assert server.calls == ["resolve", "engine id", "history"]
