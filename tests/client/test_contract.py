"""What holds for the sync and for the async client alike: same answers, same errors, same care with credentials."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import json
import os
import socket
import time
import tracemalloc
import warnings
from functools import partial

import pytest

from airflow_provider_flowengine.client import tls as tls_of_client
from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import Sleep
from airflow_provider_flowengine.protocol.models import Engine

from .conftest import chunked, cut_off, hang_up, http, ok, reset, zipped

MIB = 1024 * 1024


def caught(send, *args, error=ServiceUnavailableError, **kwargs):
    with pytest.raises(error) as raised:
        send(*args, **kwargs)
    return raised.value


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (http(ok([1])), 200, ok([1])),
        (http(ok(), 201), 201, ok()),
        (http(b"", 204), 204, b""),
        (http(b"<html>Bad Gateway</html>", 502), 502, b"<html>Bad Gateway</html>"),
        (http(b"", 404), 404, b""),
        (chunked(ok("部分")[:30], ok("部分")[30:]), 200, ok("部分")),
        (zipped(ok("压缩")), 200, ok("压缩")),
        (cut_off(b"HTTP/1.0 200 OK\r\n\r\n" + ok()), 200, ok()),
    ],
)
def test_an_answer_is_its_status_and_its_bytes(conversation, reply, status, body):
    conversation.server.replies = [reply]

    answer = conversation.send()

    assert (answer.status, answer.body) == (status, body)


def test_header_names_are_lower_case_whatever_the_server_writes(conversation):
    conversation.server.replies = [http(ok(), 503, "RETRY-AFTER: 7", "date: Tue, 14 Nov 2023 22:13:20 GMT")]

    answer = conversation.send()

    assert answer.retry_after == 7.0
    assert answer.server_time.isoformat() == "2023-11-14T22:13:20+00:00"


def test_a_large_answer_is_read_whole(conversation):
    rows = [{"id": run_id, "status": "succeeded"} for run_id in range(20_000)]
    conversation.server.replies = [http(ok({"url": "/engine/1/x"})), http(ok({"engineId": 6})), http(ok(rows))]

    page = conversation.client.run(conversation.api.list_runs(19))

    assert len(page.runs) == 20_000


def test_a_header_of_many_kilobytes_is_read(conversation):
    conversation.server.replies = [http(ok(), 200, f"X-Long: {'x' * 20_000}")]

    assert len(conversation.send().headers["x-long"]) == 20_000


def test_sleeps_let_time_pass_and_are_sent_nothing(conversation):
    def flow():
        return (yield Sleep(0.001))

    assert conversation.client.run(flow()) is None


def test_what_a_flow_raises_comes_out(conversation):
    def flow():
        yield Sleep(0)
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError, match="a fault of ours"):
        conversation.client.run(flow())


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        hang_up,
        reset,
        partial(reset, after=b"HTTP/1.1 200 OK\r\nContent-Le"),
        partial(reset, after=b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status'),
        cut_off(http(ok(), length=1000)),
        cut_off(chunked(ok(), end=b"")),
        cut_off(chunked(ok(), end=b"zz\r\n")),
        cut_off(b"220 smtp.example.com ESMTP\r\n"),
        cut_off(b"HTTP/1.1 abc OK\r\n\r\n"),
        http(b"no gzip at all", 200, "Content-Encoding: gzip"),
    ],
    ids=[
        "nothing",
        "reset",
        "reset in the headers",
        "reset in the body",
        "body cut off",
        "last chunk missing",
        "chunk that is none",
        "another protocol",
        "status that is none",
        "compression that is none",
    ],
)
def test_an_answer_that_breaks_off_leaves_it_unknown_whether_the_request_was_processed(conversation, reply):
    conversation.server.replies = [reply] * 3

    error = caught(conversation.send, "POST", body={})

    assert error.may_have_been_processed
    assert error.http_status is None
    assert str(error).startswith("Could not try it: ")
    assert error.request.method == "POST"
    assert len(conversation.server.requests) == 1


def test_no_answer_in_time_leaves_it_unknown_whether_the_request_was_processed(server, talk):
    server.replies = [server.hang]

    assert caught(talk(server, timeout=0.2).send, "POST", body={}).may_have_been_processed


def test_an_answer_that_stops_halfway_is_given_up_in_time(server, talk):
    def stop_halfway(connection, request):
        connection.sendall(http(ok(), length=1000))
        server.hang(connection, request)

    server.replies = [stop_halfway]

    assert caught(talk(server, timeout=0.2).send, "POST", body={}).may_have_been_processed


def test_a_refused_connection_means_that_the_request_was_not_processed(server, talk):
    server.close()

    error = caught(talk(server).send, "POST", body={})

    assert not error.may_have_been_processed
    assert ". Check the connection's Gateway (host) and Port" in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


def test_a_name_that_cant_be_resolved_means_that_the_request_was_not_processed(talk, monkeypatch):
    def fail(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    assert not caught(talk("http://nowhere.example:31101").send, "POST", body={}).may_have_been_processed


def test_a_connection_that_doesnt_come_about_in_time_means_that_the_request_was_not_processed(talk):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        host, port = full.getsockname()
        waiting = []
        try:
            for _ in range(8):  # nobody accepts them, and there is no room for more
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex((host, port))

            error = caught(talk(f"http://{host}:{port}", timeout=0.3).send, "POST", body={})
        finally:
            for connection in waiting:
                connection.close()

    assert not error.may_have_been_processed


# --- connections ------------------------------------------------------------------------------------------------------


def test_one_connection_is_kept_and_used_for_all_requests_that_may_be_repeated(conversation):
    for method in ("GET", "POST", "PUT", "DELETE", "GET"):
        conversation.send(method, body={} if method != "GET" else None, idempotent=True)

    assert conversation.server.connections == 1
    assert len(conversation.server.requests) == 5


def test_a_request_that_must_not_be_repeated_goes_out_on_a_connection_of_its_own(conversation):
    conversation.send(idempotent=True)
    for _ in range(3):
        conversation.send("POST", body={})
    conversation.send(idempotent=True)

    assert [request.connection for request in conversation.server.requests] == [1, 2, 3, 4, 1]


def test_a_kept_connection_that_the_server_closes_meanwhile_loses_no_start(conversation):
    """A server, or a proxy, that closes each connection 2 ms after its answer: at the very moment of the next one."""

    def answer_and_close(connection, request):
        connection.sendall(http(ok()))
        time.sleep(0.002)
        hang_up(connection, request)

    conversation.server.replies = [answer_and_close] * 60

    for _ in range(20):
        with contextlib.suppress(ServiceUnavailableError):  # a read may be repeated
            conversation.send(idempotent=True)
        assert conversation.send("POST", body={}).status == 200


def test_a_refusal_and_an_error_page_dont_cost_the_connection(conversation):
    conversation.server.replies = [http(b"no", 404), http(b"<html>" + b"x" * 100_000, 500), http(b"", 503)]

    for _ in range(4):
        conversation.send(idempotent=True)

    assert conversation.server.connections == 1


def test_a_connection_that_the_server_closed_is_replaced(conversation):
    conversation.server.replies = [http(ok(), 200, "Connection: close"), cut_off(http(ok(1))), http(ok(2))]

    data = []
    for place in range(3):
        conversation.server.await_ends(place)
        data.append(json.loads(conversation.send(idempotent=True).body)["data"])

    assert data == [None, 1, 2]
    assert conversation.server.connections == 3


def test_a_client_that_was_closed_opens_anew(conversation):
    conversation.send()
    conversation.client.hang_up()

    assert conversation.send().status == 200
    assert conversation.server.connections == 2


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_a_header_is_sent_once_however_the_connection_writes_its_name(server, talk, tmp_path):
    path = tmp_path / "train.csv"
    path.write_bytes(b"x")
    engine(server).replies.append(http(ok({})))

    talk(server, headers={"content-type": "text/plain", "accept-encoding": "identity"}).upload(path)

    request = server.requests[-1]
    assert len(request.header("Content-Type")) == 1
    assert request.header("Content-Type")[0].startswith("multipart/form-data")
    assert request.header("Accept-Encoding") == ["identity"]


def test_headers_are_sent_as_the_connection_says(server, talk):
    talk(
        server,
        user="7",
        access_key="a-secret-key",
        workspace_id=3,
        headers={"x-flowengine-userid": "9", "Cookie": "User-Token=abc", "X-Tab": "a\tb"},
    ).send()

    (request,) = server.requests
    assert request.header("X-FlowEngine-UserId") == ["9"]
    assert request.header("Access-Key") == ["a-secret-key"]
    assert request.header("X-Prophet-Workspace-Id") == ["3"]
    assert request.header("Cookie") == ["User-Token=abc"]
    assert request.header("X-Tab") == ["a\tb"]


def test_an_empty_access_key_is_not_sent(conversation):
    conversation.send()

    assert conversation.server.requests[0].header("Access-Key") == []


@pytest.mark.parametrize(
    "cookie", ["User-Token=abc; Path=/", "User-Token=abc; Domain=127.0.0.1", "a=b; Path=/; Max-Age=9999"]
)
def test_cookies_of_a_server_are_not_kept(conversation, cookie):
    conversation.server.replies = [http(ok(), 200, f"Set-Cookie: {cookie}")]

    conversation.send()
    conversation.send()

    assert conversation.server.requests[1].header("Cookie") == []


@pytest.mark.parametrize("body", [{}, {"data": " "}, {"训练": {"轮数": 3, "深": None, "x": [True, 1.5]}}])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_body_is_sent_as_json(conversation, method, body):
    conversation.send(method, body=body)

    (request,) = conversation.server.requests
    assert json.loads(request.body) == body
    assert request.header("Content-Type") == ["application/json"]
    assert request.method == method


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_without_a_body_none_is_sent(conversation, method):
    conversation.send(method)

    (request,) = conversation.server.requests
    assert request.length == 0
    assert request.header("Content-Type") in ([], ["application/octet-stream"])


@pytest.mark.parametrize(
    ("key", "pipeline_id"),
    [("demo", 19), ("a b&c=中/文?#%+", "../19 x"), ("100%", "a%2Fb"), ("~a-b_c.d", "中;x,y=z@:!")],
)
def test_an_address_arrives_as_it_was_written(conversation, key, pipeline_id):
    request = conversation.api.settings.prepare(endpoints.list_runs(Engine(key, "/engine/15/x", 6), pipeline_id, 1, 20))

    conversation.client.run(conversation.api.send_once(request))

    assert conversation.server.requests[0].target == request.url.removeprefix(conversation.server.url)


def test_a_path_of_the_gateway_is_kept(server, talk):
    talk(f"{server.url}/fl/").send()

    assert server.requests[0].target == "/fl/x"


def test_every_call_reaches_the_server_as_the_table_has_it(conversation):
    server, api = conversation.server, conversation.api
    server.replies = [http(ok({"url": "/engine/15/x"})), http(ok({"engineId": 6})), http(ok({"id": 43}))]

    conversation.client.run(api.create_pipeline({"pipelineKey": "训练"}))

    assert [(request.method, request.target) for request in server.requests] == [
        ("GET", "/engine-manager/v1/k8s/info/?engineKey=demo"),
        ("GET", "/engine/15/x/kernel/v1/system/getParam?engineKey=demo"),
        ("POST", "/engine/15/x/kernel/v1/pipeline/template/6/create?engineKey=demo"),
    ]
    assert json.loads(server.requests[2].body) == {"pipelineKey": "训练"}


# --- other hosts ------------------------------------------------------------------------------------------------------


def test_a_redirect_to_another_host_is_not_followed(conversation, serve):
    other = serve(host="127.0.0.2")
    conversation.server.replies = [http(b"", 302, f"Location: {other.url}/elsewhere")]

    error = caught(conversation.client.run, conversation.api.resolve(), error=UnexpectedResponseError)

    assert other.connections == 0
    assert "a redirect to http://127.0.0.2" in str(error)


def test_a_redirect_of_a_change_is_not_followed_anywhere(conversation):
    conversation.server.replies = [http(b"", 307, "Location: /elsewhere")]

    assert conversation.send("POST", body={}).status == 307
    assert len(conversation.server.requests) == 1


def test_a_redirect_of_a_read_on_the_same_host_is_followed(conversation):
    conversation.server.replies = [http(b"", 302, "Location: /elsewhere")]

    assert conversation.send().status == 200
    assert [request.target for request in conversation.server.requests] == ["/x", "/elsewhere"]


def test_credentials_that_a_netrc_has_for_the_host_are_not_sent(server, talk, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    talk(server, headers={"Authorization": "Bearer ours-of-the-connection"}).send()
    talk(server).send()

    assert [request.header("Authorization") for request in server.requests] == [["Bearer ours-of-the-connection"], []]


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_that_the_environment_names_is_used(talk, server, monkeypatch, name):
    conversation = talk("http://gw.example:31101")
    monkeypatch.setenv(name, server.url)

    assert conversation.send().status == 200
    assert server.requests[0].target == "http://gw.example:31101/x"


@pytest.mark.parametrize("hosts", ["127.0.0.1", "example,127.0.0.0/8", "*"])
def test_a_host_that_the_environment_excepts_is_reached_without_a_proxy(serve, server, talk, monkeypatch, hosts):
    proxy = serve()
    conversation = talk(server)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", hosts)

    conversation.send()

    assert (proxy.connections, server.connections) == (0, 1)


def test_a_proxy_that_cant_be_reached_means_that_the_request_was_not_processed(talk, server, monkeypatch):
    conversation = talk("http://gw.example:31101")
    server.close()
    monkeypatch.setenv("http_proxy", server.url)

    assert not caught(conversation.send, "POST", body={}).may_have_been_processed


@pytest.mark.parametrize("reply", [hang_up, reset])
def test_behind_a_proxy_a_request_may_have_been_processed_when_no_answer_comes(talk, server, monkeypatch, reply):
    conversation = talk("http://gw.example:31101")
    server.replies = [reply]
    monkeypatch.setenv("http_proxy", server.url)

    assert caught(conversation.send, "POST", body={}).may_have_been_processed
    assert len(server.requests) == 1


def test_a_proxys_password_is_shown_to_nobody(talk, server, monkeypatch):
    conversation = talk("https://gw.example")
    server.replies = [http(b"", 407)]
    monkeypatch.setenv("https_proxy", server.url.replace("//", "//user:S3cret!@"))

    assert "S3cret" not in str(caught(conversation.send))


def test_a_proxy_that_lets_nobody_through_means_that_the_request_was_not_processed(talk, server, monkeypatch):
    conversation = talk("https://gw.example")
    server.replies = [http(b"no", 403)]
    monkeypatch.setenv("https_proxy", server.url)

    assert not caught(conversation.send, "POST", body={}).may_have_been_processed
    assert server.requests[0].method == "CONNECT"


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_a_server_that_the_bundle_trusts_is_talked_to(tls, talk, bundle):
    conversation = talk(tls(), verify=bundle)

    conversation.send(idempotent=True)
    conversation.send(idempotent=True)

    assert conversation.server.connections == 1


def test_a_bundle_that_the_environment_names_is_trusted(tls, talk, bundle, monkeypatch):
    conversation = talk(tls())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)

    assert conversation.send().status == 200


def test_a_server_without_a_trusted_certificate_is_sent_nothing(tls, talk):
    server = tls()

    error = caught(talk(server, access_key="a-secret-key").send, "POST", body={})

    assert not error.may_have_been_processed
    assert "verify" in str(error)
    assert server.requests == []


def test_a_certificate_for_another_host_is_not_accepted(serve, talk, bundle, make_context):
    server = serve(context=make_context("gw.example"))

    assert not caught(talk(server, verify=bundle).send, "POST", body={}).may_have_been_processed
    assert server.requests == []


def test_without_verification_any_certificate_does(tls, talk):
    with warnings.catch_warnings(action="ignore"):  # urllib3 warns of it
        assert talk(tls(), verify=False).send().status == 200


@pytest.mark.parametrize("name", ["none.pem", "garbage.pem", "empty.pem"])
def test_a_bundle_that_cant_be_read_is_a_mistake_in_the_connection(tls, talk, tmp_path, name):
    (tmp_path / "garbage.pem").write_text("no certificate")
    (tmp_path / "empty.pem").write_text("")
    server = tls()

    error = caught(talk(server, verify=str(tmp_path / name)).send, error=ConfigurationError)

    assert "verify" in str(error)
    assert name in str(error)
    assert server.requests == []


def test_plain_http_if_tls_is_expected_says_what_to_check(server, talk):
    error = caught(talk(server.url.replace("http:", "https:")).send)

    assert "check the connection's Scheme (http or https)" in str(error)


def test_an_alert_of_tls_if_plain_http_is_spoken_says_what_to_set(conversation):
    conversation.server.replies = [cut_off(bytes.fromhex("15030300020228"))]
    error = caught(conversation.send)

    assert "The server expects TLS: set the connection's Scheme to https." in str(error)


@pytest.mark.parametrize("path", ["ca\0.pem", "/" + "a" * 5_000])
def test_no_path_of_a_bundle_is_more_than_a_mistake_in_the_connection(path):
    with pytest.raises(ConfigurationError) as raised:
        tls_of_client.ssl_context(path)

    assert len(str(raised.value)) < 1_000


@pytest.mark.parametrize("kind", ["socks5", "socks4", "ftp"])
def test_a_proxy_of_another_kind_is_said_to_be_one(talk, monkeypatch, kind):
    monkeypatch.setenv("http_proxy", f"{kind}://someone:a-password@127.0.0.1:1")

    error = caught(talk("http://gw.example.invalid").send)

    assert "Check HTTP_PROXY" in str(error)
    assert "a-password" not in str(error)
    assert not error.may_have_been_processed


def test_tls_that_breaks_after_the_call_was_sent_leaves_it_unknown_whether_it_was_processed(tls, talk, bundle):
    server = tls()

    def break_tls(connection, request):
        os.write(connection.fileno(), b"\x15\x03\x03\x00\x02\x02\x50" + b"this is no TLS any more" * 10)
        server.hang(connection, request)

    server.replies = [break_tls]

    error = caught(talk(server, verify=bundle, timeout=2).send, "POST", body={})

    assert len(server.requests) == 1
    assert error.may_have_been_processed


# --- uploads ----------------------------------------------------------------------------------------------------------


def engine(server):
    server.replies = [http(ok({"url": "/engine/15/x"})), http(ok({"engineId": 6})), *server.replies]
    return server


def parts(request):
    """The parts of a multipart body: (headers, content)."""
    head = f"Content-Type: {request.header('Content-Type')[0]}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + request.body)
    return [(part, part.get_payload(decode=True)) for part in message.iter_parts()]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", bytes(range(256)) * 100, b"\r\n--x--\r\n"])
def test_a_file_is_sent_as_one_part_of_known_length(conversation, tmp_path, content):
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    engine(conversation.server).replies.append(http(ok({"path": "/opt/train.csv"})))

    assert conversation.upload(path) == {"path": "/opt/train.csv"}

    request = conversation.server.requests[-1]
    ((part, sent),) = parts(request)
    assert sent == content
    assert part.get_content_disposition() == "form-data"
    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_filename() == "train.csv"
    assert request.target == "/engine/15/x/kernel/v1/template/uploadJobFileParam/1"
    assert int(request.header("Content-Length")[0]) == request.length


@pytest.mark.parametrize("name", ["训练 数据.csv", 'a"b\\c.csv', "a\r\nX-Evil: 1.csv"])
def test_an_odd_file_name_is_sent_as_browsers_do(conversation, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"x")
    engine(conversation.server)

    conversation.upload(path)

    escaped = name.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22").replace("\\", "%5C")
    disposition = f'Content-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
    assert disposition.encode() in conversation.server.requests[-1].body


def test_a_large_file_is_streamed_and_never_held_in_memory(conversation, tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(200 * MIB)
    engine(conversation.server)
    conversation.client.run(conversation.api.resolve())

    tracemalloc.start()
    try:
        conversation.upload(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert conversation.server.requests[-1].length > 200 * MIB
    assert most < 8 * MIB


def test_a_file_that_grows_meanwhile_is_sent_as_long_as_it_was(conversation, tmp_path):
    path = tmp_path / "growing.log"
    path.write_bytes(b"x" * (20 * MIB))
    server = engine(conversation.server)
    read_body = server._read_body

    def grow(stream, request):
        if request.method == "POST":
            with path.open("ab") as file:
                file.write(b"y" * MIB)
        read_body(stream, request)

    server._read_body = grow

    conversation.upload(path)

    assert conversation.server.requests[-1].length < 20 * MIB + 1000
    assert conversation.send().status == 200


@pytest.mark.parametrize("name", ["", "none.csv"])
def test_what_is_no_file_is_refused_before_any_request(conversation, tmp_path, name):
    caught(conversation.upload, tmp_path / name, error=ConfigurationError)

    assert conversation.server.connections == 0


def test_an_upload_may_take_longer_than_an_answer(server, talk, tmp_path):
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * (30 * MIB))
    read_body = server._read_body

    def dawdle(stream, request):
        for _ in range(4 if request.method == "POST" else 0):
            server._end.wait(0.25)
            stream.read(MIB)
        if request.method == "POST":
            request.headers.append(("Content-Length", str(int(request.header("Content-Length")[0]) - 4 * MIB)))
            request.headers.reverse()
        read_body(stream, request)

    server._read_body = dawdle

    assert talk(engine(server), timeout=0.8).upload(path) is None


def test_an_upload_without_an_answer_is_given_up(server, talk, tmp_path):
    path = tmp_path / "small.csv"
    path.write_bytes(b"x")
    engine(server).replies.append(server.hang)

    assert caught(talk(server, timeout=0.3).upload, path).may_have_been_processed
