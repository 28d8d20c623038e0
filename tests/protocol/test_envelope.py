"""Answers in: the envelope, HTTP's own outcome, and every odd thing that comes instead."""

import json
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.envelope import (
    hint_for,
    is_web_page,
    parse_envelope,
    transport_error,
    unexpected_response,
)
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.redaction import Redactor

from .conftest import answer, refused, sample

REQUEST = Request(name="read pipeline 19", method="GET", path="/engine/15/x/pipeline/19", idempotent=True)
START = Request(name="start pipeline 19", method="POST", path="/engine/15/x/pipeline/19/start")
SECRETIVE = replace(REQUEST, redact=lambda text: text.replace("s3cret", "***"))
HANDSHAKE = replace(REQUEST, has_envelope=False)


def caught(answer, request=REQUEST):
    with pytest.raises(FlowEngineError) as error:
        parse_envelope(request, answer)
    return error.value


def carried(error):
    """What an error carries beside its message and its request."""
    return {name: value for name, value in vars(error).items() if name not in ("message", "request")}


@pytest.mark.parametrize("name", ["get", "history.plain", "start.empty", "upload", "resume"])
def test_a_good_answer_is_its_whole_object(name):
    whole = parse_envelope(REQUEST, sample(name))

    assert whole == json.loads(sample(name).body)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud800", "\ufffd"),
        (r"a\uDfFfb", "a\ufffdb"),
        (r"\ud83d\ude00", "😀"),
        (r"\\ud800", r"\ud800"),
        (r"a\u0000b", "a\ufffdb"),
        (r"\\u0000", r"\u0000"),
        (r"\\\u0000\ud800", "\\\ufffd\ufffd"),
    ],
)
def test_nul_and_half_a_surrogate_pair_are_replaced_since_not_every_log_and_database_can_hold_them(escaped, text):
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


@pytest.mark.parametrize("http", [408, 425, 429, 500, 501, 502, 503, 504, 599])
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
    assert "s3cret" not in str(carried(error))


# --- what errors say, whole -------------------------------------------------------------------------------------------

READ, STARTED = "GET /engine/15/x/pipeline/19", "POST /engine/15/x/pipeline/19/start"

UNAVAILABLE = {
    "without a reason": (answer(502, ""), f"Could not start pipeline 19: HTTP 502, no reason given ({STARTED})"),
    "a web page, by its title": (
        answer(503, "<html><head><title>\n 503 No server \n</title></head><body><h1>Sorry</h1></body></html>"),
        f"Could not start pipeline 19: HTTP 503, a web page, '503 No server' ({STARTED})",
    ),
    "a text that only mentions a title": (
        answer(500, "no <title>x</title> in the template"),
        f"Could not start pipeline 19: HTTP 500, no <title>x</title> in the template ({STARTED})",
    ),
}


@pytest.mark.parametrize(("came", "message"), UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_an_answer_that_is_none_is_described_whole(came, message):
    error = caught(came, START)

    assert str(error) == message
    assert error.request == START
    assert carried(error) == {"may_have_been_processed": True, "retry_after": None, "http_status": came.status}


REFUSALS = {
    "without a reason": (
        refused(None, 7),
        f"FlowEngine refused to start pipeline 19: it gave no reason (status 7, {STARTED})",
        {"status": 7, "msg": "", "http_status": 200},
    ),
    "a status that is text": (
        refused("no such node", "E17"),
        f"FlowEngine refused to start pipeline 19: no such node (status E17, {STARTED})",
        {"status": "E17", "msg": "no such node", "http_status": 200},
    ),
    "a status that is a fraction": (
        refused("half", 0.5),
        f"FlowEngine refused to start pipeline 19: half (status 0.5, {STARTED})",
        {"status": "0.5", "msg": "half", "http_status": 200},
    ),
    "by HTTP, without a reason": (
        answer(404, ""),
        f"FlowEngine refused to start pipeline 19: it gave no reason. (HTTP 404, {STARTED})",
        {"status": None, "msg": "", "http_status": 404},
    ),
    "by HTTP, with an envelope": (
        answer(409, {"status": 3, "msg": "it is being edited"}),
        f"FlowEngine refused to start pipeline 19: it is being edited. (HTTP 409, {STARTED})",
        {"status": 3, "msg": "it is being edited", "http_status": 409},
    ),
    "by HTTP, with an envelope whose status is text": (
        answer(400, {"status": "E17", "msg": "no such node"}),
        f"FlowEngine refused to start pipeline 19: no such node. (HTTP 400, {STARTED})",
        {"status": "E17", "msg": "no such node", "http_status": 400},
    ),
    "by HTTP, with a status that says nothing": (
        answer(404, {"status": [404], "msg": "no such page"}),
        f"FlowEngine refused to start pipeline 19: no such page. (HTTP 404, {STARTED})",
        {"status": None, "msg": "no such page", "http_status": 404},
    ),
    "by a server that expects TLS": (
        answer(400, "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"),
        "FlowEngine refused to start pipeline 19: a web page, '400 The plain HTTP request was sent to HTTPS port'. "
        f"The server expects TLS: set the connection's Scheme to https. (HTTP 400, {STARTED})",
        {
            "status": None,
            "msg": "a web page, '400 The plain HTTP request was sent to HTTPS port'",
            "http_status": 400,
            "may_have_been_processed": True,
        },
    ),
    "of the user": (
        answer(403, "Forbidden"),
        "FlowEngine refused to start pipeline 19: Forbidden. Check the connection's User id (login) and Access key "
        f"(password). (HTTP 403, {STARTED})",
        {"status": None, "msg": "Forbidden", "http_status": 403, "may_have_been_processed": True},
    ),
    "by a gateway that moves a change elsewhere": (
        answer(301, "", location="https://gw/fl"),
        "FlowEngine's gateway refused to start pipeline 19: it redirects to https://gw/fl, and only reads follow "
        "redirects. Set the connection's Scheme and Gateway (host) so that none is needed. "
        f"(HTTP 301, {STARTED})",
        {"status": None, "msg": "a redirect to https://gw/fl", "http_status": 301},
    ),
}


@pytest.mark.parametrize(("came", "message", "facts"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_described_whole(came, message, facts):
    error = caught(came, START)

    assert isinstance(error, RequestRejectedError)
    assert str(error) == message
    assert error.request == START
    assert carried(error) == {"may_have_been_processed": False, **facts}


EXPECTED = "expected a JSON object with status, msg and data, but the answer was"
REDIRECTED = (
    "Redirects to another host are not followed, since credentials would go there: set the right Gateway (host) in "
    "the connection."
)

UNEXPECTED = {
    "nothing": (
        REQUEST,
        answer(200, ""),
        f"Could not read pipeline 19: {EXPECTED}: nothing. (HTTP 200, {READ})",
        "",
    ),
    "text": (
        REQUEST,
        answer(101, "ok,\n\tthen"),
        f"Could not read pipeline 19: {EXPECTED}: ok, then. (HTTP 101, {READ})",
        "ok, then",
    ),
    "a web page": (
        REQUEST,
        answer(200, "<html>Sign in</html>"),
        f"Could not read pipeline 19: {EXPECTED}: <html>Sign in</html>. It is a web page: a login page, or a proxy's "
        f"own? Check the connection's Gateway (host), Port, User id and Access key. (HTTP 200, {READ})",
        "<html>Sign in</html>",
    ),
    "an object without a status": (
        REQUEST,
        answer(201, {"hello": "world"}),
        "Could not read pipeline 19: expected a JSON object with a status, but the answer was: "
        f'{{"hello": "world"}} ({READ})',
        '{"hello": "world"}',
    ),
    "a redirect of a read": (
        REQUEST,
        answer(301, "moved", location="https://gw/fl"),
        f"Could not read pipeline 19: the answer is a redirect to https://gw/fl. {REDIRECTED} (HTTP 301, {READ})",
        "moved",
    ),
    "a redirect that may follow processing": (
        START,
        answer(302, "found", location="https://gw/fl"),
        f"Could not start pipeline 19: the answer is a redirect to https://gw/fl. {REDIRECTED} (HTTP 302, {STARTED})",
        "found",
    ),
    "a redirect that leads nowhere": (
        START,
        answer(300, ""),
        f"Could not start pipeline 19: the answer is a redirect to nowhere. {REDIRECTED} (HTTP 300, {STARTED})",
        "",
    ),
}


@pytest.mark.parametrize(("asked", "came", "message", "excerpt"), UNEXPECTED.values(), ids=UNEXPECTED)
def test_an_answer_that_says_neither_yes_nor_no_is_described_whole(asked, came, message, excerpt):
    error = caught(came, asked)

    assert isinstance(error, UnexpectedResponseError)
    assert str(error) == message
    assert error.request == asked
    assert carried(error) == {"http_status": came.status, "excerpt": excerpt}


def test_content_that_is_not_what_was_asked_for_is_quoted_as_flowengine_wrote_it():
    error = unexpected_response(REQUEST, "a list of runs", {"名称": "测试"}, http_status=200)

    assert (
        str(error)
        == f'Could not read pipeline 19: expected a list of runs, but the answer was: {{"名称": "测试"}} ({READ})'
    )
    assert error.request == REQUEST
    assert carried(error) == {"http_status": 200, "excerpt": '{"名称": "测试"}'}


def test_what_is_nested_too_deeply_to_be_quoted_is_called_so():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    assert unexpected_response(REQUEST, "a list", deep).excerpt == "JSON that is nested too deeply"


NO_ANSWER = {
    "nothing got through": (
        "refused by s3cret.host",
        False,
        "refused by ***.host. Check the connection's Gateway (host) and Port, and that FlowEngine is up.",
    ),
    "something may have got through": ("connection reset", True, "connection reset."),
    "a proxy's password stays secret": (
        "no way by http://me:word@proxy:3128, then by http://you@other",
        True,
        "no way by http://***@proxy:3128, then by http://***@other. Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the "
        "environment of Airflow's workers.",
    ),
}


@pytest.mark.parametrize(("reason", "processed", "told"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_no_answer_at_all_is_described_whole(reason, processed, told):
    error = transport_error(SECRETIVE, reason, may_have_been_processed=processed)

    assert str(error) == f"Could not read pipeline 19: {told} ({READ})"
    assert error.request == SECRETIVE
    assert carried(error) == {"may_have_been_processed": processed, "retry_after": None, "http_status": None}


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "The server does not speak TLS there"),
        ("SSL: UNEXPECTED_EOF_WHILE_READING", "The server does not speak TLS there"),
        ("certificate verify failed: self-signed certificate", "give the path of a CA bundle in Verify TLS"),
        ("Certificate has expired", "give the path of a CA bundle in Verify TLS"),
        (r"bad status line b'\x15\x03\x01\x00'", "The server expects TLS: set the connection's Scheme to https."),
        ("Client sent an HTTP request to an HTTPS server.", "The server expects TLS"),
        ("Cannot connect to proxy.", "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
        ("SSLError: internal error", "Check the connection's Scheme (http or https), Port and Verify TLS"),
        ("The connection broke before an answer came", "If this happens each time, the server may expect TLS"),
        ("no complete answer within 30 s", "Raise the connection's Timeout (timeout)"),
    ],
)
def test_a_reason_that_is_known_says_what_to_do(reason, advice):
    assert advice in hint_for(reason)


def test_a_reason_that_is_not_known_says_nothing_of_what_to_do():
    assert hint_for("out of memory") == ""


# --- what an answer may hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("small", [b"[],", b"{},"])
@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_a_million_lists_and_objects_are_the_most_that_is_read(small, more, is_read):
    body = b'{"status": 0, "data": [' + small * (999_998 + more) + b"0]}"

    if is_read:
        assert len(parse_envelope(REQUEST, Response(200, body))["data"]) == 999_999
    else:
        assert "An answer may hold at most 1,000,000 lists and objects." in str(caught(Response(200, body)))


def test_an_answer_that_holds_a_million_and_is_cut_off_is_not_said_to_hold_too_many():
    assert "lists and objects" not in str(caught(Response(200, b"[" * 1_000_000)))


def test_only_the_begin_of_an_answer_is_read_for_what_is_quoted_of_it():
    assert caught(answer(200, " " * 7_998 + "begin")).excerpt == "be"


def test_an_answer_is_read_in_the_charset_that_it_names():
    text = {"status": 1, "msg": "naïve"}
    response = Response(
        200, json.dumps(text, ensure_ascii=False).encode("cp1252"), {"content-type": "a/b; charset=cp1252"}
    )

    assert caught(response).msg == "naïve"
    assert caught(replace(response, status=500)).request == REQUEST
    assert "naïve" in str(caught(replace(response, status=500)))


@pytest.mark.parametrize(
    ("body", "is_page"),
    [
        (b"<!DOCTYPE html>", True),
        (" <html lang='中文'>".encode("utf-16"), True),
        (b"", False),
        (b'{"status": 0}', False),
    ],
)
def test_a_page_for_a_browser_is_known_by_its_begin(body, is_page):
    assert is_web_page(Response(200, body)) is is_page


@pytest.mark.parametrize(("blanks", "is_page"), [(507, True), (508, False)])
def test_a_page_for_a_browser_begins_within_512_bytes(blanks, is_page):
    assert is_web_page(Response(200, b" " * blanks + b"<html>")) is is_page


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
    assert not has_envelope or float(str(whole["status"])) == 0


def test_a_secret_that_a_server_has_wrapped_at_its_space_is_hidden():
    request = replace(REQUEST, redact=Redactor(["correct horse battery"]))

    with pytest.raises(RequestRejectedError) as raised:
        parse_envelope(request, Response(400, b"bad key correct\n  horse battery, sorry"))

    assert raised.value.msg == "bad key ***, sorry"
