"""What hostile, broken and slow servers and proxies can do to a request: it fails, in time, and nothing else does."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import time
import tracemalloc
import zlib
from dataclasses import replace

import pytest

from airflow_provider_flowengine.protocol.content import Content
from airflow_provider_flowengine.protocol.errors import FlowEngineError, ServiceUnavailableError
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.redaction import Redactor

from .conftest import Hangup, chunked, cut_off, hang_up, http, ok

MIB = 2**20
GBK = "http://网关.example/登录".encode("gbk")


def flow(request):
    return (yield request)


def start(conversation):
    return conversation.send("POST", body={})


def caught(conversation):
    """The error of a start, after which the client still works."""
    with pytest.raises(ServiceUnavailableError) as raised:
        start(conversation)
    conversation.server.replies = []
    assert conversation.send(idempotent=True).status == 200
    return raised.value


# --- redirects that no library can parse ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "location",
    [b"http://[", b"http://[::1", GBK, b"http://a:b@:99999999/", b"//", b"\xff\xfe", b"http://\x01/", b"x" * 60_000],
    ids=["[", "half an IPv6", "GBK", "a port", "nothing", "bytes", "control", "long"],
)
@pytest.mark.parametrize("status", [301, 302, 307])
def test_an_odd_redirect_is_an_answer_that_no_flow_follows(conversation, status, location):
    reply = b"HTTP/1.1 %d Found\r\nContent-Length: 0\r\nLocation: " % status + location + b"\r\n\r\n"
    conversation.server.replies = [reply, reply]

    with contextlib.suppress(ServiceUnavailableError):  # a library may refuse such a header
        assert start(conversation).status == status
    with pytest.raises(FlowEngineError) as raised:
        conversation.client.run(conversation.api.resolve())
    assert len(str(raised.value)) < 5000


@pytest.mark.parametrize(
    "url", ["http://[", "http://127.0.0.1:0/", "http://\ud800/", "http://h/\ud800", "", "nonsense"]
)
def test_an_address_that_cannot_be_used_is_a_request_that_was_not_sent(conversation, url):
    with pytest.raises(ServiceUnavailableError) as raised:
        conversation.client.run(flow(Request("try it", "GET", "/", url=url)))

    assert not raised.value.may_have_been_processed


def test_an_engines_address_of_half_a_character_fails_as_a_request_or_an_answer(conversation):
    conversation.server.replies = [http(b'{"status": 0, "data": {"url": "/engine/\\ud800"}}'), http(b"", 400)]

    with pytest.raises(FlowEngineError):
        conversation.client.run(conversation.api.resolve())


@pytest.mark.parametrize("value", ["\ud800", "a\r\nX-Evil: 1", "中"])
def test_a_header_that_cannot_be_sent_shows_no_value(conversation, value):
    url = conversation.api.settings.prepare(Request("try it", "GET", "/x")).url
    request = Request("try it", "GET", "/x", url=url, headers={"X-Key": f"s3cret-{value}"}, body={})
    request = replace(request, redact=Redactor([f"s3cret-{value}"]))

    try:
        conversation.client.run(flow(request))  # a library may send it somehow
    except ServiceUnavailableError as error:
        failure = error
    else:
        return
    assert "s3cret" not in str(failure)
    assert (failure.__cause__, failure.__context__) == (None, None)


def test_an_error_in_the_code_is_reported_as_one(conversation, monkeypatch):
    def add(self, chunk):
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(Content, "add", add)

    with pytest.raises(
        ServiceUnavailableError, match=r"KeyError: 'nobody foresaw this', raised at .*test_hostile.py:\d+"
    ):
        start(conversation)


# --- time -------------------------------------------------------------------------------------------------------------


def trickle(*pieces, last=b"x", pause=0.05):
    """Send pieces, then the last one again and again, one each 50 ms: each comes in time, all of them never do."""

    def reply(connection, request):
        for piece in pieces:
            connection.sendall(piece)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            connection.sendall(last)
            time.sleep(pause)
        raise Hangup

    return reply


SLOW = {
    "the status line": trickle(b"HTTP/1.1 200 O", last=b"K"),
    "headers": trickle(b"HTTP/1.1 200 OK\r\nX-Long: "),
    "many headers": trickle(b"HTTP/1.1 200 OK\r\n", last=b"X: 1\r\n", pause=0.3),
    "a body": trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
    "a body without a length": trickle(b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks": trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", last=b"1\r\nx\r\n"),
    "100 Continue": trickle(last=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "102 Processing": trickle(last=b"HTTP/1.1 102 Processing\r\n\r\n"),
}


@pytest.mark.parametrize("reply", SLOW.values(), ids=SLOW.keys())
def test_what_trickles_ends_at_the_requests_time(server, talk, reply):
    conversation = talk(server, timeout=2)
    conversation.server.replies = [reply]
    began = time.monotonic()

    error = caught(conversation)

    assert time.monotonic() - began < 15
    assert error.may_have_been_processed
    assert "no complete answer within 2 s" in str(error)


def test_tls_whose_handshake_never_ends_ends_at_the_requests_time(server, talk):
    server._serve = lambda connection, number: server.hang(connection, None)
    conversation = talk(server.url.replace("http:", "https:"), timeout=0.5)
    began = time.monotonic()

    with pytest.raises(ServiceUnavailableError) as raised:
        start(conversation)

    assert time.monotonic() - began < 5
    assert not raised.value.may_have_been_processed


def test_a_proxy_that_trickles_its_answer_ends_at_the_requests_time(server, talk, monkeypatch):
    conversation = talk("https://gw.example", timeout=0.5)
    server.replies = [trickle(b"HTTP/1.1 200 OK\r\nX-Long: ")]
    monkeypatch.setenv("https_proxy", server.url)
    began = time.monotonic()

    with pytest.raises(ServiceUnavailableError) as raised:
        start(conversation)

    assert time.monotonic() - began < 5
    assert not raised.value.may_have_been_processed


@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_is_passed_over(conversation, status):
    conversation.server.replies = [b"HTTP/1.1 %d Wait\r\nX: 1\r\n\r\n" % status + http(ok(1))]

    assert json.loads(start(conversation).body)["data"] == 1


@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_alone_is_none(conversation, status):
    conversation.server.replies = [cut_off(b"HTTP/1.1 %d Wait\r\n\r\n" % status)]

    assert caught(conversation).may_have_been_processed


# --- size -------------------------------------------------------------------------------------------------------------


def flood(head):
    """Send a megabyte again and again."""

    def reply(connection, request):
        connection.sendall(head)
        piece = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n" if b"chunked" in head else b"x" * MIB
        for _ in range(800):
            connection.sendall(piece)
        raise Hangup

    return reply


def bomb(encoding):
    compress = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    body = b"".join([*(compress.compress(bytes(MIB)) for _ in range(100)), compress.flush()])
    return http(body, 200, f"Content-Encoding: {encoding}")


LARGE = {
    "a length of 800 MB": flood(b"HTTP/1.1 200 OK\r\nContent-Length: 838860800\r\n\r\n"),
    "no length": flood(b"HTTP/1.1 200 OK\r\n\r\n"),
    "chunks": flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "an error's page": flood(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"),
    "gzip": bomb("gzip"),
    "deflate": bomb("deflate"),
    "a long status line": flood(b"HTTP/1.1 200 "),
    "a long header": flood(b"HTTP/1.1 200 OK\r\nX-Long: "),
}


@pytest.mark.parametrize("reply", LARGE.values(), ids=LARGE.keys())
def test_a_large_answer_is_given_up_before_it_fills_the_memory(server, talk, reply):
    conversation = talk(server, max_response_size=2)
    server.replies = [reply]
    tracemalloc.start()
    try:
        error = caught(conversation)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert error.may_have_been_processed
    assert peak < 24 * MIB  # the server's own piece included
    assert len(str(error)) < 1000


def test_an_answer_may_be_as_large_as_the_connection_says(server, talk):
    server.replies = [http(b"x" * (2 * MIB)), http(b"x" * (2 * MIB + 1))]
    conversation = talk(server, max_response_size=2)

    assert len(start(conversation).body) == 2 * MIB
    with pytest.raises(ServiceUnavailableError, match="larger than 2 MiB; max_response_size"):
        start(conversation)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(ok(1), mtime=0)),
        ("x-gzip", gzip.compress(ok(1)[:9], mtime=0) + gzip.compress(ok(1)[9:], mtime=0)),
        ("deflate", zlib.compress(ok(1))),
        ("Deflate", zlib.compress(ok(1))[2:-4]),
        ("identity", ok(1)),
    ],
)
def test_a_compressed_answer_is_decompressed(conversation, encoding, body):
    conversation.server.replies = [http(body, 200, f"Content-Encoding: {encoding}")]

    assert start(conversation).body == ok(1)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"no gzip"),
        ("gzip", gzip.compress(ok(), mtime=0)[:-9]),
        ("br", b"x"),
        ("gzip, gzip", b"x"),
        ("deflate", b"\xff"),
    ],
)
def test_what_cannot_be_decompressed_is_no_answer(conversation, encoding, body):
    conversation.server.replies = [http(body, 200, f"Content-Encoding: {encoding}")]

    assert caught(conversation).may_have_been_processed


def test_at_most_4000_characters_of_a_server_are_passed_on(conversation):
    long = json.dumps({"status": 1, "msg": "长" * 200_000, "data": None}).encode()
    conversation.server.replies = [http(long), chunked(long)]

    for _ in range(2):
        with pytest.raises(FlowEngineError) as raised:
            conversation.client.run(conversation.api.resolve())
        assert len(raised.value.msg if hasattr(raised.value, "msg") else "") <= 4000
        assert len(str(raised.value)) < 5000


# --- charsets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "header"),
    [
        ("gbk", "; charset=GBK"),
        ("gbk", "; charset=gb2312"),
        ("gb18030", ""),
        ("utf-8", "; charset=ISO-8859-1"),
        ("utf-8", "; charset=nonsense"),
        ("utf-8-sig", ""),
        ("utf-16", "; charset=utf-16"),
    ],
)
def test_an_answer_is_read_in_the_charset_that_it_is_in(conversation, charset, header):
    body = json.dumps({"status": 1, "msg": "引擎未启动"}, ensure_ascii=False).encode(charset)
    conversation.server.replies = [http(body, 200, f"Content-Type: application/json{header}")]

    with pytest.raises(FlowEngineError, match="引擎未启动"):
        conversation.client.run(conversation.api.resolve())


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy"])
@pytest.mark.parametrize("address", ["http://[", "http://u:Pr0xy/Pass1@127.0.0.1:1", "nonsense://x", "http://:0"])
def test_a_proxy_whose_address_cannot_be_used_is_a_request_that_was_not_sent(talk, monkeypatch, name, address):
    monkeypatch.setenv(name, address)
    conversation = talk(f"{name.removesuffix('_proxy')}://gw.example")

    with pytest.raises(ServiceUnavailableError) as raised:
        start(conversation)

    assert not raised.value.may_have_been_processed
    assert "Pr0xy" not in str(raised.value)
    assert "Pass1" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_echoes_its_credentials_is_quoted_without_them(talk, server, monkeypatch, scheme):
    basic = base64.b64encode(b"user:S3cret!Pass").decode()
    body = f"denied: Proxy-Authorization: Basic {basic} user:S3cret!Pass S3cret%21Pass".encode()
    server.replies = [http(body, 407, f"X-Echo: Basic {basic}")]
    monkeypatch.setenv(f"{scheme}_proxy", server.url.replace("//", "//user:S3cret!Pass@"))
    conversation = talk(f"{scheme}://gw.example")

    with pytest.raises(FlowEngineError) as raised:
        conversation.client.run(conversation.api.resolve())

    text = str(raised.value)
    assert basic not in text
    assert "S3cret" not in text


# --- after all of it --------------------------------------------------------------------------------------------------


def test_a_client_leaves_no_connection_behind(server, talk):
    conversation = talk(server, timeout=0.3)
    server.replies = [hang_up, SLOW["a body"], http(b"no gzip", 200, "Content-Encoding: gzip"), http(ok(), 500)]
    for _ in range(4):
        try:
            answer = start(conversation)
        except ServiceUnavailableError:
            continue
        assert isinstance(answer, Response)
    conversation.client.hang_up()

    until = time.monotonic() + 5
    while server.ended < server.connections and time.monotonic() < until:
        time.sleep(0.01)
    assert server.ended == server.connections
