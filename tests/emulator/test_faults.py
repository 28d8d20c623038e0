"""What can be made to go wrong, before or after the work is done."""

import time

import pytest
import requests

from airflow_provider_flowengine.emulator.faults import Fault

from .conftest import node


@pytest.fixture
def pipeline_id(call):
    return call.create(node("a", duration="9"))


def start(call, pipeline_id):
    return call("POST", f"/pipeline/6/{pipeline_id}/start", {})


@pytest.mark.parametrize(("where", "runs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("status", [404, 429, 500, 502, 503, 504])
def test_an_http_error_with_html(emulator, call, pipeline_id, status, where, runs):
    emulator.fail("start", status=status, where=where, retry_after="7")
    answer = start(call, pipeline_id)

    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")
    assert answer.text.startswith("<html>")
    assert len(call.history(pipeline_id)) == runs


@pytest.mark.parametrize(("where", "runs"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["reset", "hang", "truncated"])
def test_a_connection_that_breaks(emulator, call, pipeline_id, kind, where, runs):
    emulator.fail("start", kind=kind, where=where, seconds=0.01)

    with pytest.raises(requests.exceptions.RequestException):
        start(call, pipeline_id)
    assert len(call.history(pipeline_id)) == runs


def test_a_reset_is_a_real_one(emulator, call, pipeline_id):
    emulator.fail("start", kind="reset")

    with pytest.raises(requests.exceptions.ConnectionError, match="ConnectionResetError"):
        start(call, pipeline_id)


def test_no_answer_in_time(emulator, call, pipeline_id):
    emulator.fail("history", kind="hang", seconds=60)

    with pytest.raises(requests.exceptions.ReadTimeout):
        call.session.get(
            f"{emulator.url}{emulator.options.engine_url}/kernel/v1/pipeline/{pipeline_id}/historyList",
            params={"engineKey": "demo"},
            timeout=0.05,
        )


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_slow_answer_is_the_right_one(emulator, call, pipeline_id, where):
    emulator.fail("start", kind="slow", where=where, seconds=0.1)
    begun = time.monotonic()

    assert start(call, pipeline_id).json()["data"]["id"] == 1
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize("kind", ["html", "broken_json"])
def test_status_200_without_json(emulator, call, pipeline_id, kind):
    emulator.fail("start", kind=kind, where="after")
    answer = start(call, pipeline_id)

    assert answer.status_code == 200
    with pytest.raises(ValueError, match="line 1"):
        answer.json()


def test_a_refusal_in_the_envelope(emulator, call, pipeline_id):
    emulator.fail("start", kind="envelope", msg="引擎未就绪")

    assert start(call, pipeline_id).json() == {"status": 1, "msg": "引擎未就绪", "data": None}
    assert call.history(pipeline_id) == []


def test_a_redirect_to_another_host(emulator, call, pipeline_id):
    emulator.fail("history", kind="redirect", location="http://127.0.0.2:9/stolen")
    url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/pipeline/{pipeline_id}/historyList"
    answer = call.session.get(url, params={"engineKey": "demo"}, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.2:9/stolen")


def test_a_fault_strikes_the_calls_it_names_as_often_as_it_says(emulator, call, pipeline_id):
    emulator.fail("start", "stop", status=503, times=2, skip=1)

    assert call("GET", "/pipeline/6/list").status_code == 200
    assert [start(call, pipeline_id).status_code for _ in range(4)] == [200, 503, 503, 200]


def test_faults_strike_in_the_order_they_were_scripted(emulator, call, pipeline_id):
    for status in (500, 502):
        emulator.fail("list", status=status)

    assert [call("GET", "/pipeline/6/list").status_code for _ in range(3)] == [500, 502, 200]


def test_random_faults_are_the_same_for_the_same_seed(emulator, call):
    def statuses(seed):
        emulator.fail_at_random(0.5, seed, Fault(status=500), Fault(status=503))
        return [call("GET", "/pipeline/6/list").status_code for _ in range(30)]

    first = statuses(1)
    assert set(first) == {200, 500, 503}
    assert statuses(1) == first
    assert statuses(2) != first


def test_faults_are_scripted_over_http_too(emulator, call, pipeline_id):
    fault = {"kind": "status", "status": 429, "retry_after": "1", "calls": ["start"], "where": "after"}
    assert call.control("POST", "/faults", fault).status_code == 201
    assert call.control("GET", "/faults").json()[0]["status"] == 429
    assert start(call, pipeline_id).status_code == 429
    assert call.control("GET", "/faults").json() == []

    random = {"rate": 1, "seed": 3, "faults": [{"kind": "html"}]}
    assert call.control("PUT", "/faults/random", random).status_code == 200
    assert start(call, pipeline_id).text.startswith("<html>")
    assert call.control("DELETE", "/faults").status_code == 204
    assert start(call, pipeline_id).json()["status"] == 0


def test_a_fault_that_names_no_known_kind_is_turned_down(call):
    assert call.control("POST", "/faults", {"kind": "earthquake"}).status_code == 422


@pytest.mark.parametrize("ask", ["fail", "count", "calls"])
def test_a_call_that_there_isnt_is_turned_down_with_those_there_are(emulator, ask):
    with pytest.raises(ValueError, match=r"no call 'strat'; calls: session, .*, start, history"):
        getattr(emulator, ask)("strat")


def test_a_call_that_there_isnt_is_turned_down_over_http_too(emulator, call):
    fault = call.control("POST", "/faults", {"calls": ["strat"]})
    random = call.control("PUT", "/faults/random", {"rate": 1, "faults": [{"calls": ["strat"]}]})
    calls = call.control("GET", "/calls", name="strat")

    assert [answer.status_code for answer in (fault, random, calls)] == [422] * 3
    assert "no call 'strat'" in fault.text
    assert emulator.faults.pending() == []


def test_control_calls_dont_fail(emulator, call):
    emulator.fail(status=500, times=9)

    assert call.control("GET", "/faults").json()[0]["times"] == 9


def test_a_stopped_emulator_refuses_connections_and_goes_on_where_it_was(emulator, call, pipeline_id):
    emulator.stop()
    with pytest.raises(requests.exceptions.ConnectionError):
        start(call, pipeline_id)

    emulator.start()
    assert start(call, pipeline_id).json()["data"]["id"] == 1


def test_the_connection_may_be_closed_after_each_answer(emulator, call):
    emulator.options.close_connections = True

    assert call("GET", "/pipeline/6/list").headers["Connection"] == "close"
    emulator.options.close_connections = False
    assert "Connection" not in call("GET", "/pipeline/6/list").headers


def test_every_answer_may_be_late(emulator, call):
    emulator.options.answer_delay = 0.1
    begun = time.monotonic()

    assert call("GET", "/pipeline/6/list").status_code == 200
    assert time.monotonic() - begun >= 0.1


@pytest.mark.parametrize("field", ["location", "retry_after"])
@pytest.mark.parametrize("text", ["a\r\nb", "表"])
def test_a_fault_that_no_header_can_hold_is_turned_down(emulator, field, text):
    with pytest.raises(ValueError, match=field):
        emulator.fail(kind="redirect", **{field: text})


def test_a_status_without_a_name_is_answered_too(emulator, call):
    emulator.fail("list", status=599)

    assert call("GET", "/pipeline/6/list").status_code == 599
