"""A run is started exactly once, whatever the answer, the history and others do meanwhile."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.candidates import Intent
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    AmbiguousRunError,
    ConfigurationError,
    RequestRejectedError,
    ServiceUnavailableError,
    StartUnconfirmedError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.starting import find_started_run, start_once
from airflow_provider_flowengine.protocol.status import RunState

from . import conftest
from .conftest import NOW, FakeServer, answer, no_reply, not_connected, ok, refused, sample

HOUR = 3600


def start(server, job_params=None, **options):
    connection = options.pop("connection", {})
    return server.drive(start_once(server.api(**connection), 19, job_params, **options))


def caught(server, error, job_params=None, **options):
    with pytest.raises(error) as raised:
        start(server, job_params, **options)
    return raised.value


def an_intent(baseline_run_id=None):
    """What a start that is sent at NOW has saved."""
    return Intent(19, baseline_run_id, server_time=datetime.fromtimestamp(NOW, UTC), recorded_at=NOW)


def run_record(run_id):
    return {"id": run_id, "status": "running", "startTime": int(NOW * 1000)}


# --- taken ------------------------------------------------------------------------------------------------------------


def test_before_anything_is_sent_the_newest_run_is_noted(server):
    server.fill(3)
    noted = []

    start(server, save_intent=lambda intent: noted.append((intent, list(server.calls))))

    ((intent, calls),) = noted
    assert (intent.pipeline_id, intent.baseline_run_id) == (19, 3)
    assert intent.server_time == datetime.fromtimestamp(NOW, UTC)
    assert calls == ["resolve", "engine id", "history", "history"]


def test_a_start_whose_intent_cant_be_noted_is_not_sent(server):
    def fail(intent):
        raise OSError("no task state store")

    with pytest.raises(OSError, match="no task state store"):
        start(server, save_intent=fail)
    assert server.count("start") == 0


def test_a_start_whose_baseline_cant_be_read_is_not_sent(server):
    server.always("history", answer(500, ""))

    caught(server, ServiceUnavailableError)
    assert server.count("start") == 0


@pytest.mark.parametrize("length", [0, 1, 20, 21, 300])
@pytest.mark.parametrize("order", ["descending", "ascending"])
@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        "started",
        [],
        {"status": "running"},
        {"pipelineId": 19, "status": "running"},
        json.loads(sample("start.pipeline").body)["data"],
        {"id": 19, "status": "running"},  # the pipeline's id
        {"id": 1, "status": "running"},  # older than the baseline, or somebody's
        {"id": "soon", "status": "running", "startTime": "yesterday"},
    ],
)
def test_an_answer_that_names_no_run_is_made_up_for_by_the_history(server, order, length, content):
    server.order = order
    server.fill(length)
    server.start_answer = content

    run = start(server)

    assert (run.id, run.state) == (length + 1, RunState.RUNNING)
    assert server.count("start") == 1


def test_the_run_that_the_answer_names_is_taken_once_the_history_shows_it(server):
    server.fill(6)
    server.start_answer = run_record

    assert start(server).id == 7
    assert server.calls[2:] == ["history", "start", "history"]


def test_beside_the_run_that_the_answer_names_a_row_that_cannot_be_parsed_does_not_matter(server):
    server.fill(5)

    def start_beside_nonsense(run_id):
        server.add_run(status="failed", endTime="soon")
        return run_record(run_id)

    server.start_answer = start_beside_nonsense

    assert start(server).id == 6


def test_of_several_new_runs_the_one_that_the_answer_names_is_taken(server):
    server.fill(5)

    def start_beside_another(run_id):
        server.add_run()
        return run_record(run_id)

    server.start_answer = start_beside_another

    assert start(server).id == 6


def test_the_run_of_an_earlier_try_that_shows_late_is_not_taken(server):
    """A retry reads the history from a replica that doesn't show yet what the try before it has started."""
    server.fill(5)
    server.add_run(6, status="failed", appears=NOW + 2)
    server.lag = 4.0

    assert start(server, known_runs=[6]).id == 7


def test_an_id_in_the_answer_that_is_no_runs_is_not_believed(server):
    server.fill(5)
    server.start_answer = {"id": 9000, "status": "running"}  # a job's, or a schedule's: nobody says what it is

    assert start(server).id == 6
    assert server.count("start") == 1


def test_the_pipelines_own_id_in_the_answer_is_not_taken_for_a_runs(server):
    server.fill(5)
    server.start_answer = {"id": 19, "status": "running", "startTime": int(NOW * 1000)}

    assert start(server).id == 6
    assert server.now - NOW <= 3.0  # the run is looked for as if the answer named none


@pytest.mark.parametrize("content", [{"id": 9000}, {"id": 9000, "status": "running", "nodes": []}])
def test_an_answer_that_is_no_runs_record_is_not_believed(server, content):
    server.fill(5)
    server.start_answer = {"startTime": int(NOW * 1000), **content}

    assert start(server).id == 6
    assert server.now - NOW <= 3.0


def test_an_id_without_a_start_time_is_not_believed_while_no_run_shows_how_ids_look(server):
    server.start_answer = {"id": 7, "status": "running"}
    server.one_run_call = True

    assert start(server).id == 1
    assert server.now - NOW <= 3.0


def test_a_run_of_another_pipeline_is_never_taken_for_the_one_that_the_answer_names(server):
    server.fill(5)
    server.start_answer = {"id": 9000, "status": "running"}
    server.always("one run", ok({"id": 9000, "status": "running"}))

    assert start(server).id == 6


def test_an_id_in_the_answer_is_not_believed_while_the_history_cannot_be_read(server):
    server.fill(5)
    server.on("history", server._work)
    server.always("start", server.taken(_then_breaks_down(server)))

    assert "with id 6, which its history did not show within 30 s" in str(caught(server, StartUnconfirmedError))


@pytest.mark.parametrize(
    "start_answer", [ok({"id": 9001, "status": "running"}), ok(), answer(502, "")], ids=["another id", "no id", "lost"]
)
def test_a_single_candidate_is_not_taken_if_the_last_poll_failed(server, start_answer):
    """Another one may be there that nobody has seen: the run of this start."""
    server.fill(30)

    def breaks_down_after_one_poll(request):
        polls = iter([server._work])
        server.always("history", lambda request: next(polls, lambda _: answer(502, ""))(request))
        return start_answer

    server.on("start", server.taken(breaks_down_after_one_poll))

    caught(server, StartUnconfirmedError)
    assert server.count("history") > 2


def test_an_id_in_the_answer_that_no_history_shows_is_named_and_not_followed(server, caplog):
    server.fill(5)
    server.on("start", ok({"id": 9001, "status": "running"}))  # another pipeline's, maybe

    error = caught(server, StartUnconfirmedError)

    assert "with id 9001, which its history did not show" in str(error)
    assert "neither waited for nor stopped" in str(error)
    assert caplog.messages == ["FlowEngine answered with run 9001 of pipeline 19, but its history does not show it."]


@pytest.mark.parametrize(("owner", "is_taken"), [(19, True), (20, False), (None, False)])
def test_an_id_in_the_answer_is_believed_if_the_one_run_call_says_that_it_is_this_pipelines(server, owner, is_taken):
    server.fill(5)
    server.on("start", ok({"id": 9001, "status": "running"}))
    server.always("one run", ok({"id": 9001, "status": "running", "pipelineId": owner}))

    if is_taken:
        assert start(server).id == 9001
    else:
        caught(server, StartUnconfirmedError)


def _then_breaks_down(server):
    def breaks_down(request):
        server.always("history", answer(502, ""))
        return ok(run_record(6))

    return breaks_down


def test_job_params_are_sent_as_given_and_an_empty_object_without(server):
    start(server, {"train": {"rounds": 3}})
    start(server)

    assert [request.body for request in server.requests if "start" in request.url] == [
        {"train": {"rounds": 3}},
        {},
    ]


# --- refused, or surely not taken -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (refused("pipeline is disabled"), RequestRejectedError),
        (answer(400, ""), RequestRejectedError),
        (answer(404, ""), RequestRejectedError),
        (answer(409, ""), RequestRejectedError),
        (answer(401, ""), AccessDeniedError),
        (answer(401, "<html>Sign in</html>"), AccessDeniedError),
        (answer(403, {"msg": "not yours"}), AccessDeniedError),
    ],
)
def test_a_refusal_is_final(server, outcome, error):
    server.on("start", outcome)

    caught(server, error)
    assert server.calls[2:] == ["history", "start"]


def test_a_start_that_surely_was_not_processed_is_sent_again(server):
    server.on("start", not_connected, not_connected)

    assert start(server).id == 1
    assert server.count("start") == 3
    assert len(server.runs) == 1


def test_each_time_a_start_is_sent_its_intent_is_noted_anew(server):
    server.on("start", answer(503, "", retry_after="20"))
    noted = []

    start(server, save_intent=lambda intent: noted.append(intent.recorded_at))

    assert noted[0] == NOW
    assert noted[1] >= NOW + 20


@pytest.mark.parametrize(
    ("outcome", "is_later"), [(not_connected, True), (answer(503, ""), False)], ids=["not processed", "maybe processed"]
)
def test_the_servers_time_of_a_start_that_is_sent_again_is_a_later_one_if_the_first_was_not_processed(
    server, outcome, is_later
):
    server.on("start", outcome)
    noted = []

    start(server, save_intent=noted.append)

    waited = noted[1].recorded_at - noted[0].recorded_at
    assert waited > 0
    later = (noted[1].server_time - noted[0].server_time).total_seconds()
    assert later == pytest.approx(waited if is_later else 0, abs=1e-5)


def test_a_start_whose_intent_cant_be_noted_any_more_is_not_sent_again(server):
    def save_intent(intent):
        if server.count("start"):
            raise OSError("another try has taken over")

    server.always("start", answer(503, ""))

    with pytest.raises(OSError, match="another try has taken over"):
        start(server, save_intent=save_intent)
    assert server.count("start") == 1


def test_a_start_that_surely_was_never_taken_says_so(server):
    server.always("start", not_connected)

    assert caught(server, ServiceUnavailableError).may_have_been_processed is False
    assert server.count("start") == 5
    assert server.count("history") == 1


# --- unknown ----------------------------------------------------------------------------------------------------------

UNKNOWN = [
    no_reply,
    answer(500, "oops"),
    answer(502, "<html>"),
    answer(504, ""),
    answer(408, ""),
    answer(200, "<html>login</html>"),
    answer(200, '{"status": 0, "da'),
    answer(200, {"hello": 1}),
    answer(302, "", location="/login"),
    answer(403, "<html><title>Blocked by the firewall</title></html>"),
    answer(400, "Bad Request"),
]


@pytest.mark.parametrize("outcome", UNKNOWN)
def test_a_start_of_unknown_outcome_is_found_in_the_history_and_not_sent_again(server, outcome):
    server.fill(5)
    server.on("start", server.taken(outcome))

    assert start(server).id == 6
    assert server.count("start") == 1


@pytest.mark.parametrize("outcome", UNKNOWN)
def test_a_start_that_stays_unknown_is_not_sent_again(server, outcome):
    server.fill(5)
    server.on("start", outcome)

    error = caught(server, StartUnconfirmedError)

    assert error.pipeline_id == 19
    assert "not started again" in str(error)
    assert server.count("start") == 1
    assert server.now - NOW == 30.0


PATH = "/engine/15/cess-data-3/kernel/v1/pipeline"
UNCONFIRMED = (
    "It cannot be determined whether the pipeline was started; look at its runs in FlowEngine. {} It was not started "
    "again, since a slow server may still do it. A retry of the task looks for the run first, if Airflow keeps the "
    "task's state (3.3 and later, durable on). Raise start_confirmation_timeout if this FlowEngine is slow."
)


@pytest.mark.parametrize(
    ("start_answer", "history", "what"),
    [
        (
            no_reply,
            None,
            "No new run of pipeline 19 appeared in its history within 30 s. Could not start pipeline 19: connection "
            f"reset. (POST {PATH}/6/19/start).",
        ),
        (
            ok(),
            None,
            "No new run of pipeline 19 appeared in its history within 30 s. FlowEngine accepted the start, but its "
            "answer names no new run.",
        ),
        (
            ok({"id": 9001, "status": "running"}),
            None,
            "FlowEngine answered the start of pipeline 19 with id 9001, which its history did not show within 30 s. "
            "It may be another pipeline's, so it is neither waited for nor stopped.",
        ),
        (
            ok(),
            answer(502, ""),
            "The runs of pipeline 19 could not be read within 30 s: Could not list runs of pipeline 19 (page 1): HTTP "
            f"502, no reason given (GET {PATH}/19/historyList).",
        ),
    ],
    ids=["lost", "accepted", "another's id", "no history"],
)
def test_the_error_says_what_is_known_of_the_start_and_what_to_do(server, start_answer, history, what):
    server.fill(5)

    def answer_the_start(request):
        if history:
            server.always("history", history)
        return start_answer(request) if callable(start_answer) else start_answer

    server.on("start", answer_the_start)

    assert str(caught(server, StartUnconfirmedError)) == UNCONFIRMED.format(what)


def test_a_start_that_was_sent_again_and_is_unknown_then_is_not_sent_a_third_time(server):
    server.on("start", answer(503, ""), no_reply)

    caught(server, StartUnconfirmedError)
    assert server.count("start") == 2


@pytest.mark.parametrize("lag", [0.4, 3.0, 12.0, 29.9, 30.0])
@pytest.mark.parametrize("outcome", [no_reply, ok({}), ok({"id": 6, "status": "running"})])
def test_a_run_that_appears_late_is_waited_for(server, lag, outcome):
    server.fill(5)
    server.lag = lag
    server.on("start", server.taken(outcome))

    assert start(server).id == 6
    assert lag <= server.now - NOW <= 30.0


def test_a_run_that_appears_too_late_is_left_to_the_next_try(server):
    server.fill(5)
    server.lag = 60.0
    intents = []

    caught(server, StartUnconfirmedError, save_intent=intents.append)
    server.now += 300

    assert server.drive(find_started_run(server.api(), intents[0])).id == 6


@pytest.mark.parametrize(("lag", "timeout"), [(60.0, 90.0), (6.9, 7.0)])
def test_how_long_a_run_may_take_to_appear_can_be_set(server, lag, timeout):
    server.lag = lag

    assert start(server, confirmation_timeout=timeout).id == 1


def test_the_history_is_polled_less_often_the_longer_it_shows_no_run(server):
    server.on("start", no_reply)

    caught(server, StartUnconfirmedError)
    assert server.pauses == [0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0, 3.5]


def test_without_a_timeout_there_is_one_poll(server):
    server.on("start", no_reply)

    caught(server, StartUnconfirmedError, confirmation_timeout=0)
    assert server.calls[2:] == ["history", "start", "history"]
    assert server.pauses == []
    assert server.requests[-1].timeout == 1.0


@pytest.mark.parametrize(
    "trouble", [answer(500, ""), answer(404, ""), refused("busy"), answer(401, ""), answer(200, "<html>"), no_reply]
)
def test_a_history_that_cant_be_read_for_a_while_says_nothing_of_the_start(server, trouble):
    server.on("start", server.taken(no_reply))
    server.on("history", server._work, trouble, trouble)

    assert start(server).id == 1
    assert server.count("start") == 1


@pytest.mark.parametrize(
    "trouble", [answer(500, ""), answer(404, ""), refused("busy"), answer(200, "<html>"), no_reply]
)
def test_a_history_that_cant_be_read_any_more_never_makes_a_start_look_refused(server, trouble):
    server.on("history", server._work)

    def breaks_down(request):
        server.always("history", trouble)
        server.always("resolve", refused("no such engine"))
        return no_reply(request)

    server.on("start", server.taken(breaks_down))

    caught(server, StartUnconfirmedError)
    assert server.count("start") == 1


def test_polls_are_sent_once_so_that_the_timeout_is_kept(server):
    server.on("history", server._work)

    def hangs(request):
        server.now += request.timeout
        return no_reply(request)

    def breaks_down(request):
        server.always("history", hangs)
        return no_reply(request)

    server.on("start", breaks_down)

    caught(server, StartUnconfirmedError)
    assert server.now - NOW <= 2 * 30 + 5


# --- others start runs too --------------------------------------------------------------------------------------------


def beside(server, *others, **ours):
    """Let others start runs while this start is under way; each is a row."""
    server.fill(5)

    def take(request):
        for row in others:
            server.add_run(**row)
        server.add_run(**ours)
        return ok({})

    server.on("start", take)


@pytest.mark.parametrize(
    "kind",
    [
        *("CRONTAB", "scheduled", "Periodical", "LOOP", "interval", "by message", "automatic"),
        *("定时触发", "周期", "循环运行", "消息触发", "自动"),
    ],
)
def test_a_run_that_a_schedule_has_started_is_not_taken_for_ours(server, kind):
    server.fill(1, triggerType="手动触发")
    beside(server, {"triggerType": kind}, triggerType="手动触发")

    assert start(server).id == 8


@pytest.mark.parametrize("kind", ["", "MANUAL", "手动触发", "api", "rerun"])
def test_a_run_that_no_schedule_has_started_can_be_ours(server, kind):
    beside(server, triggerType=kind)

    assert start(server).id == 6


@pytest.mark.parametrize(("ours", "theirs"), [(3, "9"), ("full", "quick"), ("3", "full"), (True, "false"), ("a", 3)])
def test_a_run_that_was_given_other_params_is_not_taken_for_ours(server, ours, theirs):
    beside(server, {"params": {"train": {"mode": theirs}}}, params={"train": {"mode": ours}})

    assert start(server, {"train": {"mode": ours}}).id == 7


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (True, "true"),
        (False, "False"),
        (3, "3"),
        (3, "3.0"),
        (2.5, 2.50),
        ("a ", "a"),
        ("Full", "full"),
        ({"deep": [1, 2]}, '{"deep":[1,2]}'),
        ([1], [1, 2]),
        (None, ""),
        ("x", None),
    ],
)
def test_a_value_that_the_server_keeps_in_a_form_of_its_own_is_still_ours(server, sent, told):
    beside(server, params={"train": {"key": told}, "other": None})

    assert start(server, {"train": {"key": sent}}).id == 6


@pytest.mark.parametrize("params", ["text", {}, None, {"train": None}, {"other": {"rounds": "9"}}])
def test_a_run_that_doesnt_tell_its_params_may_be_ours(server, params):
    beside(server, params=params)

    assert start(server, {"train": {"rounds": 3}}).id == 6


def test_a_run_that_started_long_before_is_not_taken_for_ours(server):
    beside(server, {"started": NOW - HOUR})  # it appeared in the history after our look

    assert start(server).id == 7


def test_runs_that_nothing_tells_apart_are_listed_and_none_is_guessed(server):
    beside(server, {"triggerType": "手动触发"}, triggerType="手动触发")

    error = caught(server, AmbiguousRunError)

    assert [run.id for run in error.candidates] == [7, 6]
    assert error.pipeline_id == 19
    assert "run 7 (running, started 2023-11-14" in str(error)
    assert "手动触发" in str(error)
    assert server.count("start") == 1


def test_the_error_tells_of_each_run_what_the_user_needs_to_tell_them_apart(server):
    beside(server, {"status": "", "started": 0}, triggerType="手动触发")

    assert str(caught(server, AmbiguousRunError)).endswith(
        "pipeline 19 has 2 runs newer than the start of this task: run 7 (running, started 2023-11-14 22:13:20+00:00, "
        "手动触发); run 6 (no status, started unknown)."
    )


def test_a_run_that_hasnt_begun_yet_may_be_ours_beside_one_that_has(server):
    beside(server, {}, started=0)

    caught(server, AmbiguousRunError)


def test_clocks_that_differ_by_seconds_exclude_nobody(server):
    # Ours was told 10 s early, somebody else's began 20 s later: a narrow look at the times would take theirs.
    beside(server, {"started": NOW - 10}, started=NOW + 10)

    caught(server, AmbiguousRunError)


@pytest.mark.parametrize("skew", [-8 * HOUR, -HOUR, HOUR, 8 * HOUR])
def test_a_server_whose_clock_differs_from_ours_loses_no_run(server, skew):
    server.clock_skew = skew
    beside(server, started=NOW + skew)

    assert start(server).id == 6


@pytest.mark.parametrize("skew", [-8 * HOUR, 8 * HOUR])
def test_with_such_a_clock_two_runs_are_still_not_guessed_between(server, skew):
    server.clock_skew = skew
    beside(server, {"started": NOW + skew}, started=NOW + skew + 1)

    caught(server, AmbiguousRunError)


def test_a_run_that_began_ahead_of_the_servers_date_is_ours_if_the_start_was_accepted(server):
    beside(server, started=NOW + 600)

    assert start(server).id == 6


def test_a_run_that_began_ahead_of_the_servers_date_is_not_guessed_at_if_the_answer_was_lost(server):
    server.fill(5)
    server.on("start", lambda request: server.add_run(started=NOW + 600) and no_reply(request))

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [6]


# --- runs of somebody else's ------------------------------------------------------------------------------------------


def hidden_from_the_baseline(server, *rows):
    """Other runs exist already, but only later polls show them: the baseline came from a replica that lags."""
    server.fill(5)
    server.on("start", no_reply)

    def baseline(request):
        page = server._work(request)
        for row in rows:
            server.add_run(**row)
        return page

    server.on("history", baseline)


MINUTES_BEFORE = [40 / 60, 10, 60, 8 * 60, 24 * 60]


@pytest.mark.parametrize("minutes", MINUTES_BEFORE)
@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_a_run_that_started_before_the_start_was_sent_is_not_taken_though_it_is_alone(server, status, minutes):
    hidden_from_the_baseline(server, {"started": NOW - 60 * minutes, "status": status})

    caught(server, StartUnconfirmedError)


def test_when_the_start_was_sent_counts_and_not_when_the_baseline_was_begun(server):
    server.fill(12)
    server.most = 3

    def take_a_minute(request):
        server.now += 60
        return server._work(request)

    def start_after_another(request):
        server.add_run(started=server.now - 45)
        return no_reply(request)

    server.on("history", server._work, take_a_minute)
    server.on("start", start_after_another)

    caught(server, StartUnconfirmedError)


@pytest.mark.parametrize("skew", [-HOUR, HOUR])
def test_by_the_servers_clock_that_is(server, skew):
    server.clock_skew = skew
    hidden_from_the_baseline(server, {"started": NOW + skew - 600})

    caught(server, StartUnconfirmedError)


def test_if_runs_begin_ahead_of_the_servers_date_their_own_clock_counts(server):
    """Text times in another zone than the connection's: the newest run known before shows it."""
    server.add_run(started=NOW + 8 * HOUR - 1200)
    hidden_from_the_baseline(server, {"started": NOW + 8 * HOUR - 3600})

    caught(server, StartUnconfirmedError)


def text_time(moment):
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize("zone", [-8, -5.5, -0.25])
def test_a_start_time_that_only_the_zone_could_explain_is_reported_and_not_guessed_at(server, zone):
    hidden_from_the_baseline(server, {"startTime": text_time(NOW + 5 + zone * HOUR)})

    error = caught(server, AmbiguousRunError)

    assert [run.id for run in error.candidates] == [6]
    assert "pipeline 19 has one run that started at another time than this task's start" in str(error)
    assert "unless FlowEngine's clocks differ or the connection's timezone is wrong" in str(error)


@pytest.mark.parametrize(
    ("outcome", "started"), [(ok({}), NOW), (no_reply, NOW + 8 * HOUR)], ids=["surely processed", "unknown"]
)
def test_only_a_start_that_was_surely_processed_shows_the_zone_of_the_times(server, outcome, started):
    server.fill(5)

    def take(request):
        server.add_run(startTime=text_time(NOW + 8 * HOUR))
        return outcome(request) if callable(outcome) else outcome

    server.on("start", take)

    assert start(server).started.timestamp() == started


def test_a_run_that_began_a_quarter_of_an_hour_after_its_start_was_answered_shows_no_zone(server):
    server.fill(5)
    begin = NOW + 14 * 60

    def take(request):
        server.add_run(startTime=text_time(begin), appears=begin)
        return server._dated(ok({}))

    server.on("start", take)

    assert start(server, confirmation_timeout=HOUR).started.timestamp() == begin


def test_a_start_time_that_a_zone_explains_does_not_rule_out_one_that_a_wrong_clock_explains(server):
    server.sends_date = False
    by_zone, by_clock = text_time(NOW + 2700), text_time(NOW + 3661)
    hidden_from_the_baseline(server, {"startTime": by_zone}, {"startTime": by_clock})

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [7, 6]


@pytest.mark.parametrize(
    "start_time", [int(NOW * 1000) - 8 * 3600_000, "2023-11-14T14:13:25Z", text_time(NOW - 8 * HOUR - 400)]
)
def test_a_start_time_that_no_zone_could_explain_is_somebody_elses(server, start_time):
    hidden_from_the_baseline(server, {"startTime": start_time})

    caught(server, StartUnconfirmedError)


def test_a_server_that_tells_no_time_leaves_it_open_whose_an_older_run_is(server):
    server.sends_date = False
    hidden_from_the_baseline(server, {"started": NOW - 600})

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [6]


def test_a_run_without_a_start_time_is_taken_only_if_ids_grow(server):
    for run_id in ("a", "b", "c"):
        server.add_run(run_id, started=NOW - 600)
    server.on("start", lambda request: server.add_run("d", started=0) and ok({}))

    caught(server, StartUnconfirmedError)


def test_ids_that_do_not_grow_are_distinguished_by_the_start_times(server):
    for place, run_id in enumerate((700, 30, 512, 94, 333, 801)):
        server.add_run(run_id, started=NOW - 3600 + 60 * place)
    server.order = lambda row: -row["startTime"]
    server.on("start", lambda request: server.add_run(215) and server.add_run(901, started=NOW - 600) and ok({}))

    assert start(server).id == 215


@pytest.mark.parametrize("gap", [0.6, 4.0, 25.0])
def test_of_two_starters_at_once_whose_answers_are_lost_none_takes_the_first_run(server, gap):
    server.fill(5)

    def take(request):
        server.add_run()
        server.add_run(appears=server.now + gap)
        return no_reply(request)

    server.on("start", take)

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [7, 6]


def test_of_two_starters_at_once_whose_answers_name_no_run_none_takes_the_first_run(server):
    server.fill(5)

    def take(request):
        server.add_run(appears=server.now + 0.5)
        server.add_run(appears=server.now + 3.0)
        return ok({})

    server.on("start", take)

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [7, 6]


def test_the_run_of_a_start_that_was_accepted_is_taken_once_no_other_may_appear(server):
    server.fill(5)

    assert start(server).id == 6
    assert server.now - NOW == 3.0


# --- 429 and 503 ------------------------------------------------------------------------------------------------------

OVERLOADED = [answer(503, "upstream connect error"), answer(429, "")]


@pytest.mark.parametrize("outcome", OVERLOADED)
@pytest.mark.parametrize("lag", [0, 20])
def test_a_start_that_a_proxy_answers_by_overload_may_have_been_processed(server, outcome, lag):
    server.fill(5)
    server.lag = lag
    server.always("start", server.taken(outcome))

    assert start(server).id == 6
    assert server.count("start") == 1


@pytest.mark.parametrize("outcome", OVERLOADED)
def test_it_is_sent_again_when_its_run_had_the_time_to_appear(server, outcome):
    server.on("start", outcome, outcome)

    assert start(server).id == 1
    assert server.count("start") == 3
    assert server.now - NOW == 63.0  # at 0, 30 and 60 seconds; another candidate may appear for 3


@pytest.mark.parametrize("outcome", OVERLOADED)
def test_it_is_sent_again_a_few_times_only(server, outcome):
    server.on("start", outcome, outcome, outcome)  # a fourth one would be processed

    caught(server, StartUnconfirmedError)
    assert server.count("start") == 3


def test_it_is_sent_again_no_sooner_than_the_server_asks(server):
    server.on("start", answer(503, "", retry_after="120"))

    start(server)
    assert server.now - NOW == 123.0


def test_without_a_timeout_it_is_sent_again_at_once(server):
    server.on("start", answer(503, ""), answer(503, ""))

    assert start(server, confirmation_timeout=0).id == 1
    assert server.now == NOW


def test_it_is_not_sent_again_if_the_history_cannot_be_read(server):
    def breaks_down(request):
        server.always("history", answer(502, ""))
        return answer(503, "")

    server.on("start", breaks_down)

    assert "could not be read within 30 s" in str(caught(server, StartUnconfirmedError))
    assert server.count("start") == 1


@pytest.mark.parametrize("number", [1, 2, 3], ids="of request {}".format)
@pytest.mark.parametrize("has_date", [True, False], ids=["Date", "no Date"])
def test_a_run_of_any_of_its_requests_is_named_if_only_the_zone_could_explain_its_start_time(server, number, has_date):
    server.sends_date = has_date
    server.fill(5)

    def take(request):
        server.add_run(startTime=text_time(server.now + 5 - 5.5 * HOUR), appears=NOW + 70)
        return OVERLOADED[0]

    server.on("start", *[OVERLOADED[0]] * (number - 1), take, *[OVERLOADED[0]] * (3 - number))

    assert [run.id for run in caught(server, AmbiguousRunError).candidates] == [6]
    assert server.count("start") == 3


@pytest.mark.parametrize("has_date", [True, False], ids=["Date", "no Date"])
def test_a_run_of_the_first_request_is_taken_though_it_appears_after_the_second(server, has_date):
    server.sends_date = has_date
    server.fill(5)
    server.lag = 130.0
    server.on("start", server.taken(answer(503, "", retry_after="120")), answer(503, ""))

    assert start(server).id == 6
    assert server.count("start") == 2


def test_a_second_request_that_surely_was_not_processed_says_nothing_of_the_first(server):
    server.on("start", answer(503, ""), *[not_connected] * 5)
    noted = []

    caught(server, StartUnconfirmedError, save_intent=noted.append, discard_intent=lambda: noted.append("discarded"))
    assert "discarded" not in noted


def test_each_request_that_surely_was_not_processed_is_discarded(server):
    server.on("start", not_connected, not_connected)
    noted = []

    start(server, save_intent=lambda intent: noted.append("saved"), discard_intent=lambda: noted.append("discarded"))
    assert noted == ["saved", "discarded", "saved", "discarded", "saved"]


# --- a history in nasty shapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("paged", [True, False])
@pytest.mark.parametrize("order", ["descending", "ascending"])
@pytest.mark.parametrize("length", [19, 20, 40, 60])
@pytest.mark.parametrize("outcome", [no_reply, ok({})])
def test_a_history_that_grows_past_its_page_meanwhile_hides_nothing(server, order, paged, length, outcome):
    server.order, server.paged = order, paged
    server.fill(length)
    server.on("start", server.taken(outcome))

    assert start(server).id == length + 1


def test_a_first_page_that_is_cached_is_outwaited(server):
    server.fill(5)
    stale = server._work
    server.drive(server.api().list_runs(19))
    page = stale(server.requests[-1])
    server.on("history", page, page, page)
    server.on("start", server.taken(no_reply))

    assert start(server).id == 6
    assert server.count("start") == 1


def test_ids_that_are_text_are_distinguished_by_what_was_there_before(server):
    for name in ("run-c", "run-a"):
        server.add_run(name, started=NOW - 60)

    def take(request):
        server.add_run("run-b")
        return ok({})

    server.on("start", take)
    assert start(server).id == "run-b"


def test_a_run_that_the_first_page_doesnt_show_is_not_made_up_for_by_another(server):
    server.fill(100)
    server.order = lambda row: (row["id"] > 100, -row["id"])  # what is new comes last, on page 6

    caught(server, StartUnconfirmedError)
    assert server.count("start") == 1


@given(
    st.integers(0, 45),
    st.sampled_from(["descending", "ascending"]),
    st.booleans(),
    st.sampled_from(
        [ok({}), ok(run_record(9_999)), no_reply, answer(502, ""), answer(200, "<html>"), "its run", "a job"]
    ),
    st.lists(st.tuples(st.booleans(), st.sampled_from(["手动触发", "CRONTAB"]), st.booleans()), max_size=3),
    st.sampled_from([0, 0.3, 4.0]),
    st.sampled_from([0, -3600, 3600]),
    st.lists(st.sampled_from([None, no_reply, answer(500, ""), refused("busy")]), max_size=4),
)
def test_whatever_happens_one_start_is_sent_and_nobody_elses_run_is_taken(
    length, order, counts, outcome, others, lag, skew, troubles
):
    server = FakeServer()
    server.order, server.counts, server.clock_skew = order, counts, skew
    server.fill(length)
    ours = []

    def take(request):
        # Others start runs just before and just after ours; the history shows them all at once.
        for before in (True, False):
            for earlier, kind, same_params in others:
                if earlier is before:
                    params = {"train": {"rounds": "3" if same_params else "9"}}
                    server.add_run(started=server.now + skew, appears=server.now + lag, triggerType=kind, params=params)
            if before:
                params = {"train": {"rounds": "3"}}
                ours.append(server.add_run(started=server.now + skew, appears=server.now + lag, params=params))
        server.on("history", *(trouble or server._work for trouble in troubles))
        if outcome == "its run":
            return ok(run_record(ours[0]))
        if outcome == "a job":
            return ok({"id": ours[0] + 100_000, "status": "running"})
        return outcome(request) if callable(outcome) else outcome

    server.on("start", take)
    alike = any(kind == "手动触发" and same_params for _, kind, same_params in others)
    try:
        taken = [start(server, {"train": {"rounds": 3}})]
    except AmbiguousRunError as error:
        taken = list(error.candidates)

    assert ours[0] in [run.id for run in taken]
    assert len(taken) == 1 or alike
    assert server.count("start") == 1


# --- the next try -----------------------------------------------------------------------------------------------------


def test_an_intent_goes_through_json_and_comes_back():
    sent, earlier = datetime.fromtimestamp(NOW, UTC), datetime.fromtimestamp(NOW - 8000, UTC)
    for intent in (
        Intent(19, 5, frozenset(), True, sent, earlier, NOW),
        Intent("p-1", "run-b", frozenset({"run-b", "run-a"}), False),
        Intent(19),
    ):
        assert Intent.from_dict(json.loads(json.dumps(intent.as_dict()))) == intent


def test_an_intent_that_says_nothing_is_read_all_the_same():
    assert Intent.from_dict({}) == Intent("")


def test_an_intent_lists_ids_of_both_kinds():
    assert Intent(19, baseline_ids=frozenset({12, "a", 7})).as_dict()["baseline_ids"] == [12, 7, "a"]


@pytest.mark.parametrize("name", ["server_time", "latest_start"])
def test_a_time_of_an_intent_that_names_no_zone_counts_as_missing(name):
    assert getattr(Intent.from_dict({name: "2026-11-26T08:00:00"}), name) is None


def test_what_an_intent_says_of_ids_counts_only_as_yes_or_no():
    assert Intent.from_dict({"ids_grow": "yes"}).ids_grow is None


def test_the_next_try_finds_the_run_though_it_has_ended(server):
    server.fill(5)
    server.add_run(status="succeeded")

    assert server.drive(find_started_run(server.api(), an_intent(5))).state is RunState.SUCCEEDED


def test_the_next_try_finds_nothing_if_nothing_was_started(server):
    server.fill(5)

    assert server.drive(find_started_run(server.api(), an_intent(5))) is None


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_the_next_try_finds_the_run_among_hundreds_that_a_schedule_has_started_since(server, order):
    server.order = order
    server.fill(5)
    server.add_run(triggerType="手动触发")
    server.fill(430, triggerType="定时触发")

    assert server.drive(find_started_run(server.api(), an_intent(5))).id == 6


@pytest.mark.parametrize("lag", [5, 25, 55])
def test_the_next_try_can_give_the_run_the_time_that_it_may_take_to_appear(server, lag):
    server.fill(5)
    server.add_run(appears=NOW + lag)

    assert server.drive(find_started_run(server.api(), an_intent(5), deadline=NOW + 60)).id == 6
    assert server.now - NOW <= max(lag, 30) + 5


@pytest.mark.parametrize(("recorded_at", "seconds"), [(NOW, 60), (NOW - 10, 50), (NOW - HOUR, 30), (NOW + HOUR, 60)])
def test_the_next_try_searches_until_a_request_that_took_its_time_has_had_the_time_to_appear(
    server, recorded_at, seconds
):
    intent = replace(an_intent(), recorded_at=recorded_at)

    assert server.drive(find_started_run(server.api(timeout=30), intent)) is None
    assert server.now - NOW == seconds


@pytest.mark.parametrize("lag", [10, 29])
def test_the_next_try_takes_no_single_candidate_while_another_may_appear(server, lag):
    server.add_run()
    server.add_run(appears=NOW + lag)

    with pytest.raises(AmbiguousRunError):
        server.drive(find_started_run(server.api(), an_intent()))


def test_a_try_long_after_the_start_takes_no_single_candidate_in_the_first_instant(server):
    intent = replace(an_intent(), recorded_at=NOW - HOUR)
    server.add_run()
    server.add_run(appears=NOW + 2)

    with pytest.raises(AmbiguousRunError):
        server.drive(find_started_run(server.api(), intent))


@pytest.mark.parametrize(("confirmation_timeout", "seconds"), [(30, 3), (1, 1)])
def test_a_try_long_after_the_start_soon_takes_a_single_candidate(server, confirmation_timeout, seconds):
    intent = replace(an_intent(), recorded_at=NOW - HOUR)
    server.add_run()

    found = server.drive(find_started_run(server.api(), intent, confirmation_timeout=confirmation_timeout))

    assert found.id == 1
    assert server.now - NOW == pytest.approx(seconds, abs=0.5)


def test_the_next_try_looks_through_a_bounded_number_of_newer_runs(server):
    server.fill(6_005)

    with pytest.raises(AmbiguousRunError) as caught:
        server.drive(find_started_run(server.api(), an_intent(5)))
    assert str(caught.value) == (
        "It cannot be determined which run this task started. Look at the pipeline's runs in FlowEngine, then clear "
        "this task to start a new one: pipeline 19 has more than 5000 runs since run 5."
    )


def test_the_next_try_takes_no_run_that_was_given_other_params(server):
    server.add_run(params={"train": {"rounds": "9"}})

    assert server.drive(find_started_run(server.api(), an_intent(), {"train": {"rounds": 3}})) is None


def test_the_next_try_searches_no_longer_than_it_is_allowed(server):
    server.fill(5)

    assert server.drive(find_started_run(server.api(), an_intent(5), deadline=NOW + 60)) is None
    assert server.now - NOW == pytest.approx(60)


def test_a_last_search_continues_after_answers_that_say_nothing(server):
    server.fill(5)
    server.add_run()
    server.on("history", answer(502, ""), no_reply, answer(200, "<html>"))

    assert server.drive(find_started_run(server.api(), an_intent(5), deadline=NOW + 30, ignore_errors=True)).id == 6


def test_a_last_search_ends_when_its_timeout_does(server):
    server.always("history", answer(502, ""))

    assert (
        server.drive(
            find_started_run(server.api().without_retries(1), an_intent(5), deadline=NOW + 30, ignore_errors=True)
        )
        is None
    )
    assert server.now - NOW == pytest.approx(30, abs=5)


def test_the_next_try_doesnt_guess_either(server):
    server.fill(5)
    server.add_run()
    server.add_run()

    with pytest.raises(AmbiguousRunError):
        server.drive(find_started_run(server.api(), an_intent(5)))


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (answer(500, ""), ServiceUnavailableError),
        (refused("busy"), RequestRejectedError),
        (answer(200, "<html>"), UnexpectedResponseError),
    ],
)
def test_a_next_try_that_cant_search_fails_and_doesnt_say_that_there_is_nothing(server, trouble, error):
    server.always("history", trouble)

    with pytest.raises(error):
        server.drive(find_started_run(server.api(), an_intent(5)))


def test_a_start_that_cant_be_sent_leaves_no_intent(server):
    noted = []

    caught(server, ConfigurationError, {"n1": {"rounds": date(2026, 1, 1)}}, save_intent=noted.append)
    assert (noted, server.count("start")) == ([], 0)


# --- clocks that show no real time ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "lost"])
def test_a_server_whose_clock_shows_no_real_time_has_its_run_found(server, shown, told, monkeypatch):
    monkeypatch.setattr(conftest, "formatdate", lambda *_, **__: shown)
    server.fill(2)
    if not told:
        server.on("start", server.taken(no_reply))

    assert start(server).id == 3
    assert server.count("start") == 1


RECORDS = [{"recorded_at": odd} for odd in (-1, 1e300, float("inf"), float("nan"), 10**400, "soon", None, [])] + [
    {name: odd}
    for name in ("server_time", "latest_start")
    for odd in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00", "2026-11-27", "soon", 5, None, {})
]


@pytest.mark.parametrize("edited", RECORDS, ids=str)
def test_an_intent_that_somebody_edited_into_nonsense_is_read_without_it(edited):
    intent = Intent.from_dict({**an_intent(5).as_dict(), "latest_start": "", **edited})

    assert intent.baseline_run_id == 5
    assert intent.sent_at(NOW + 1).recorded_at == NOW + 1
    assert intent.earliest_start is None or intent.earliest_start.year == 2023
