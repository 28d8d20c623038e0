"""Signing in with an account, by both clients: once, again when the session is over, and never in a loop."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from airflow_provider_flowengine.client.aio import AsyncClient
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    FlowEngineError,
    ServiceUnavailableError,
)
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.settings import Settings

from .conftest import hang_up, http, ok

PASSWORD = 'p"ä&ss wörd'
LOGIN_PAGE = http(b"<!DOCTYPE html><title>Login</title><input type=password>")
OVER = {
    "401": http(b"", 401),
    "401 in JSON": http(json.dumps({"status": 401, "msg": "token expired"}).encode(), 401),
    "the envelope": http(json.dumps({"status": "1", "msg": "未登录或登录已过期"}, ensure_ascii=False).encode()),
    "a login page": LOGIN_PAGE,
    "a redirect to one": http(b"", 302, "Location: /login?next=/x"),
}


class Keystone:
    """Answers sign-ins; everything else needs the newest token, as a test may take it away."""

    def __init__(self, server):
        self.tokens = 0
        self.valid = True
        self.over = OVER["401"]
        self.refusal = None
        server.otherwise = self

    def __call__(self, connection, request):
        if request.target == "/keystone/v1/sessions":
            if self.refusal:
                return self.refusal
            self.tokens += 1
            self.valid = True
            return http(ok({}), 200, f"Set-Cookie: a=b; Path=/\r\nSet-Cookie: User-Token=token-{self.tokens}; HttpOnly")
        is_signed_in = f"User-Token=token-{self.tokens}" in "; ".join(request.header("Cookie"))
        return http(ok(1)) if self.valid and is_signed_in else self.over


@pytest.fixture
def keystone(server):
    return Keystone(server)


@pytest.fixture
def signed_in(server, keystone, talk):
    return talk(server, authentication="session", user="admin", access_key=PASSWORD, user_id="7")


def targets(server):
    return [request.target for request in server.requests]


SIGN_IN, CALL = "/keystone/v1/sessions", "/x"


def test_a_client_signs_in_once_for_all_its_requests(signed_in, server):
    for method in ("GET", "POST", "GET"):
        assert signed_in.send(method).status == 200

    assert targets(server) == [SIGN_IN, CALL, CALL, CALL]
    assert json.loads(server.requests[0].body) == {"username": "admin", "password": PASSWORD}
    assert {request.header("X-FlowEngine-UserId")[0] for request in server.requests} == {"7"}
    assert not any(request.header("Access-Key") for request in server.requests)


@pytest.mark.parametrize("over", OVER.values(), ids=OVER.keys())
def test_a_read_that_finds_the_session_over_signs_in_and_is_sent_again(signed_in, server, keystone, over):
    signed_in.send(idempotent=True)
    keystone.valid, keystone.over = False, over

    assert json.loads(signed_in.send(idempotent=True).body)["data"] == 1
    assert targets(server) == [SIGN_IN, CALL, CALL, SIGN_IN, CALL]


@pytest.mark.parametrize("over", ["401", "401 in JSON", "the envelope"])
def test_a_start_that_was_refused_for_want_of_a_session_is_sent_once_more(signed_in, server, keystone, over):
    signed_in.send(idempotent=True)
    keystone.valid, keystone.over = False, OVER[over]

    assert signed_in.send("POST", body={}).status == 200
    assert targets(server) == [SIGN_IN, CALL, CALL, SIGN_IN, CALL]


@pytest.mark.parametrize("over", ["a login page", "a redirect to one"])
def test_a_start_that_a_page_answers_is_not_sent_again(signed_in, server, keystone, over):
    signed_in.send(idempotent=True)
    keystone.valid, keystone.over = False, OVER[over]

    signed_in.send("POST", body={})
    assert targets(server) == [SIGN_IN, CALL, CALL]
    assert signed_in.send(idempotent=True).status == 200
    assert targets(server)[3:] == [SIGN_IN, CALL]


def test_a_session_that_is_over_at_once_ends_in_the_refusal_and_in_no_loop(signed_in, server, keystone):
    keystone.valid = True
    keystone.__class__ = type("Never", (Keystone,), {"__call__": never_valid})

    assert signed_in.send(idempotent=True).status == 401
    assert targets(server) == [SIGN_IN, CALL, SIGN_IN, CALL]


def never_valid(self, connection, request):
    return Keystone.__call__(self, connection, request) if request.target == SIGN_IN else OVER["401"]


@pytest.mark.parametrize(
    "refusal",
    [
        http(b"", 401),
        http(json.dumps({"status": 1, "msg": "bad password"}).encode()),
        http(ok({})),
        http(b"<html>nothing here", 404),
    ],
    ids=["401", "the envelope", "no cookie", "no such call"],
)
def test_a_refused_account_is_not_tried_again_at_each_request(signed_in, server, keystone, refusal):
    keystone.refusal = refusal

    for _ in range(5):
        with pytest.raises(AccessDeniedError, match=r"sign in as 'admin': .*User id \(login\) and Access key"):
            signed_in.send("POST", body={})
    assert targets(server) == [SIGN_IN]


@pytest.mark.parametrize("reply", [hang_up, http(b"", 503)], ids=["hang up", "503"])
def test_a_start_whose_sign_in_has_no_answer_was_surely_not_processed(signed_in, server, keystone, reply):
    keystone.refusal = reply if isinstance(reply, bytes) else None
    server.replies = [] if keystone.refusal else [reply]

    with pytest.raises(ServiceUnavailableError, match="sign in as") as raised:
        signed_in.send("POST", body={})
    assert not raised.value.may_have_been_processed
    assert targets(server) == [SIGN_IN]


def test_the_cookies_of_the_connection_are_sent_too(server, keystone, talk):
    account = {"authentication": "session", "user": "admin", "access_key": PASSWORD}
    talk(server, headers={"cookie": "lb=3"}, **account).send()

    assert server.requests[-1].header("Cookie") == ["lb=3; User-Token=token-1"]


@pytest.mark.parametrize("value", ["token-1", '"dG9rZW4=="', '"a b,c;d"', "a=b=="])
def test_a_token_is_sent_back_as_it_was_set(server, keystone, talk, value):
    server.replies = [http(ok({}), 200, f"Set-Cookie: User-Token={value}; Path=/; HttpOnly")]
    account = {"authentication": "session", "user": "admin", "access_key": PASSWORD}

    with contextlib.suppress(FlowEngineError):
        talk(server, **account).send()

    assert server.requests[1].header("Cookie") == [f"User-Token={value}"]


def test_neither_password_nor_token_is_seen_in_an_error(signed_in, server):
    signed_in.send()
    server.replies = [http(json.dumps({"a": PASSWORD, "b": "User-Token=token-1"}).encode())]

    with pytest.raises(FlowEngineError) as raised:
        signed_in.client.run(signed_in.api.resolve())

    assert "***" in str(raised.value)
    assert "token-1" not in str(raised.value)
    assert "ss w" not in str(raised.value)


def test_requests_that_come_together_sign_in_once(server, keystone):
    settings = Settings.build(fl_url=server.url, authentication="session", user="admin", access_key=PASSWORD)
    request = Request("try it", "GET", "/x", idempotent=True, url=f"{server.url}/x", headers=settings.headers)

    def flow():
        return (yield request)

    async def send_all():
        async with AsyncClient(settings) as client:
            for _ in range(2):
                answers = await asyncio.gather(*(client.run(flow()) for _ in range(10)))
                keystone.valid = False
            return answers

    assert {answer.status for answer in asyncio.run(send_all())} == {200}
    assert keystone.tokens == 2
