"""The session call: its cookie, and sessions that end."""

import pytest

from .conftest import node


@pytest.fixture
def session(emulator, call):
    """A caller that is known by its session alone, signed in."""
    emulator.options.authentication = "session"
    del call.session.headers["X-FlowEngine-UserId"]
    sign_in(call)
    return call


def sign_in(call, password="admin"):
    return call("POST", "/keystone/v1/sessions", {"username": "admin", "password": password}, gateway=True)


def listing(call):
    return call("GET", "/pipeline/6/list")


def test_a_session_is_known_by_its_cookie(session):
    assert session.session.cookies.keys() == ["User-Token"]
    assert listing(session).status_code == 200


def test_the_header_of_a_user_is_no_session(emulator, call):
    emulator.options.authentication = "session"

    assert listing(call).status_code == 401


def test_a_wrong_password_gives_no_cookie(emulator, call):
    answer = sign_in(call, "x")

    assert (answer.status_code, answer.json()["status"]) == (200, 1)
    assert not answer.cookies


def test_a_session_ends_after_so_many_calls(emulator, session):
    emulator.options.session_calls = 2

    assert [listing(session).status_code for _ in range(3)] == [200, 200, 401]
    sign_in(session)
    assert listing(session).status_code == 200


def test_a_session_ends_after_so_many_seconds(emulator, session):
    emulator.options.session_seconds = 60

    emulator.clock.advance(59)
    assert listing(session).status_code == 200
    emulator.clock.advance(1)
    assert listing(session).status_code == 401


def test_all_sessions_end_at_once(emulator, session):
    emulator.end_sessions()

    assert listing(session).status_code == 401


@pytest.mark.parametrize(
    ("over", "status", "begins"),
    [("status", 401, '{"status":401'), ("envelope", 200, '{"status":401'), ("wall", 200, "<html>")],
)
def test_what_a_call_after_the_end_gets_can_be_chosen(emulator, session, over, status, begins):
    emulator.options.session_over = over
    emulator.end_sessions()
    answer = session("POST", "/pipeline/template/6/create", {"data": {"nodes": [node("a")]}})

    assert answer.status_code == status
    assert answer.text.startswith(begins)
    assert emulator.engine.pipelines() == []


def test_a_session_opens_another_emulator_of_the_same_machine_no_more_than_a_guess(emulator, call):
    emulator.options.authentication = "session"
    del call.session.headers["X-FlowEngine-UserId"]
    call.session.cookies["User-Token"] = "guessed"

    assert listing(call).status_code == 401


def test_a_session_stands_in_for_no_access_key(emulator, session):
    emulator.options.access_key = "s3cret"

    assert listing(session).status_code == 401
