"""Answers in: the envelope, HTTP's own outcome, and every odd thing that comes instead."""

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.envelope import parse_envelope, transport_error, unexpected_response
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.http import Request, Response

from .conftest import answer, refused, sample

REQUEST = Request(name="read pipeline 19", method="GET", path="/engine/15/x/pipeline/19", idempotent=True)
SECRETIVE = replace(REQUEST, redact=lambda text: text.replace("s3cret", "***"))
HANDSHAKE = replace(REQUEST, has_envelope=False)


def caught(answer, request=REQUEST):
    with pytest.raises(FlowEngineError) as error:
        parse_envelope(request, answer)
    return error.value


@pytest.mark.parametrize("name", ["get", "history.plain", "start.empty", "upload", "resume"])
def test_a_good_answer_is_its_whole_object(name):
    whole = parse_envelope(REQUEST, sample(name))

    assert whole == json.loads(sample(name).body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [(r"\ud800", "\ufffd"), (r"a\uDfFfb", "a\ufffdb"), (r"\ud83d\ude00", "😀"), (r"\\ud800", r"\ud800")],
)
def test_half_a_surrogate_pair_is_replaced_since_no_log_or_database_can_hold_it(escaped, text):
    body = f'{{"status": 0, "data": {{"{escaped}": ["{escaped}"]}}}}'.encode()

    assert parse_envelope(REQUEST, Response(200, body))["data"] == {text: [text]}


@pytest.mark.parametrize("status", [0, "0", " 0 ", 0.0, "00"])
@pytest.mark.parametrize("http", [200, 201, 202])
def test_success_is_0_as_a_number_or_as_text(status, http):
    assert parse_envelope(REQUEST, answer(http, {"status": status, "data": 1}))["data"] == 1


@pytest.mark.parametrize("name", ["refused", "refused.text"])
def test_a_refusal_carries_the_status_and_the_reason_as_flowengine_wrote_it(name):
    error = caught(sample(name))

    assert isinstance(error, RequestRejectedError)
    assert error.status in (1, "1")
    assert error.msg == "pipeline 99 does not exist"
    assert str(error).startswith("FlowEngine refused to read pipeline 19: pipeline 99 does not exist (status 1, GET")
    assert error.request == REQUEST


@pytest.mark.parametrize("status", [1, -1, "500", 0.5, 10**400, "zero"])
def test_any_other_status_is_a_refusal(status):
    assert isinstance(caught(refused("no", status)), RequestRejectedError)


@pytest.mark.parametrize("status", [True, False, [], {}, [0], None, float("nan"), "", " "])
def test_a_status_that_is_neither_a_number_nor_text_is_no_refusal(status):
    """A start that is refused may be sent again; after this answer it isn't known whether it was processed."""
    assert isinstance(caught(refused("no", status)), UnexpectedResponseError)


def test_a_refusal_without_a_reason_says_so():
    assert "it gave no reason" in str(caught(refused(None)))


@pytest.mark.parametrize("http", [400, 404, 405, 409, 422])
def test_a_4xx_is_a_refusal_of_https_own(http):
    error = caught(answer(http, "404 page not found"))

    assert type(error) is RequestRejectedError
    assert (error.http_status, error.status, error.msg) == (http, None, "404 page not found")


@pytest.mark.parametrize("http", [401, 403])
def test_who_is_not_let_in_learns_what_to_check(http):
    error = caught(Response(http, sample("unauthorized").body))

    assert isinstance(error, AccessDeniedError)
    assert error.msg == "未登录或登录已过期"
    assert "User id (login) and Access key (password)" in str(error)


@pytest.mark.parametrize("http", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_is_unable_to_answer_may_have_processed_the_request(http):
    error = caught(answer(http, "<html>Bad Gateway</html>", retry_after="7"))

    assert isinstance(error, ServiceUnavailableError)
    assert (error.http_status, error.may_have_been_processed, error.retry_after) == (http, True, 7.0)
    assert "<html>Bad Gateway</html>" in str(error)


@pytest.mark.parametrize(
    "page", ["<!DOCTYPE html><title>Login</title>", "  <HTML><body>", "<?xml version='1.0'?>", "<body>"]
)
def test_a_web_page_with_status_200_is_no_result(page):
    error = caught(answer(200, page))

    assert isinstance(error, UnexpectedResponseError)
    assert "a login page" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"ok", b"[]", b"null", b'"0"', b'{"status": 0,', b"\xff\xfe\x00", b"[" * 100_000]
)
def test_what_is_no_json_object_is_quoted(body):
    error = caught(Response(200, body))

    assert isinstance(error, UnexpectedResponseError)
    assert "expected a JSON object with status, msg and data" in str(error)


def test_an_answer_of_a_million_small_things_is_given_up_before_it_fills_the_memory():
    body = b'{"status": 0, "data": [' + b"[]," * 1_000_000 + b"0]}"

    tracemalloc.start()
    error = caught(Response(200, body))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "at most 1,000,000 lists and objects" in str(error)
    assert peak < 4 * len(body)


def test_a_large_answer_that_is_cut_off_is_not_said_to_hold_too_many_things():
    body = b'{"status": 0, "data": "' + b"x" * 1_000_001

    assert "lists and objects" not in str(caught(Response(200, body)))


def test_an_object_without_a_status_is_no_answer_of_flowengines():
    assert isinstance(caught(answer(200, {"hello": "world"})), UnexpectedResponseError)


@pytest.mark.parametrize(
    "content",
    [{"url": "/e"}, {"engineId": 6, "status": "running"}, {"url": "/e", "status": 1}, {"data": {"url": "/e"}}],
)
def test_the_handshake_may_answer_without_an_envelope(content):
    assert parse_envelope(HANDSHAKE, answer(200, content)) == content


def test_the_handshake_may_be_refused_all_the_same():
    assert isinstance(caught(refused("engine xyz does not exist"), HANDSHAKE), RequestRejectedError)


def test_a_redirect_is_no_answer_and_says_where_it_leads():
    error = caught(answer(302, "", location="https://login.example.com/?from=fl"))

    assert isinstance(error, UnexpectedResponseError)
    assert "https://login.example.com/?from=fl" in str(error)


def test_at_most_500_characters_are_quoted():
    for body in ("x" * 5000, json.dumps({"data": "y" * 5000}), "<html>" + "z" * 5000):
        error = caught(answer(200, body))
        assert len(error.excerpt) <= 500
        assert len(str(error)) < 900


@pytest.mark.parametrize("http", [200, 302, 401, 404, 500])
@pytest.mark.parametrize(
    "content",
    ["<html>s3cret</html>", {"status": "s3cret", "msg": "no s3cret"}, {"s3cret": 1}, {"status": None, "a": "s3cret"}],
)
def test_no_error_quotes_a_secret(http, content):
    error = caught(answer(http, content, location="http://x/?k=s3cret"), SECRETIVE)

    assert "s3cret" not in str(error)
    assert "s3cret" not in getattr(error, "excerpt", "") + getattr(error, "msg", "")


def test_what_is_nested_too_deeply_to_be_quoted_is_called_so():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    assert "nested too deeply" in str(unexpected_response(REQUEST, "a list", deep))


def test_no_answer_says_what_to_check_only_when_nothing_got_through():
    refused = transport_error(SECRETIVE, "refused by s3cret.host", may_have_been_processed=False)
    lost = transport_error(REQUEST, "connection reset", may_have_been_processed=True)

    assert str(refused) == (
        "Could not read pipeline 19: refused by ***.host. Check the connection's Gateway (host) and Port, and that "
        "FlowEngine is up. (GET /engine/15/x/pipeline/19)"
    )
    assert str(lost) == "Could not read pipeline 19: connection reset. (GET /engine/15/x/pipeline/19)"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 20:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("1.5", None),
        ("", None),
        ("Tue, 14 Nov 99999999999999999999 22:14:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_own_clock(value, seconds):
    assert answer(503, "", retry_after=value, date="Tue, 14 Nov 2023 22:13:20 GMT").retry_after == seconds


def test_retry_after_as_a_date_counts_from_now_if_the_server_sends_no_time():
    assert answer(503, "", retry_after="Tue, 14 Nov 2023 22:14:20 GMT").retry_after == 0.0


def test_the_servers_clock_is_read_from_its_date():
    assert answer(200, "", date="Tue, 14 Nov 2023 22:13:20 GMT").server_time == datetime(
        2023, 11, 14, 22, 13, 20, tzinfo=UTC
    )
    assert answer(200, "").server_time is None
    assert answer(200, "", date="yesterday").server_time is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["status", "msg", "data", "url", "x"]), inner),
    max_leaves=10,
)


@given(
    st.integers(100, 599),
    st.binary() | JSON.map(lambda content: json.dumps(content).encode()),
    st.dictionaries(st.sampled_from(["location", "retry-after", "date"]), st.text()),
    st.booleans(),
)
def test_whatever_comes_is_an_object_or_an_error_of_ours(status, body, headers, has_envelope):
    try:
        whole = parse_envelope(replace(REQUEST, has_envelope=has_envelope), Response(status, body, headers))
    except FlowEngineError:
        return
    assert 200 <= status < 300
    assert isinstance(whole, dict)
    assert not has_envelope or str(whole["status"]).strip() == "0"
