"""An engine that isn't there: a stock gateway answers 404 or 405 by a page, and nothing was processed."""

from contextlib import contextmanager

import pytest

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    EngineNotFoundError,
    EngineNotRunningError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY

from .conftest import answer, ok

PAGE = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center><hr>nginx</body>\r\n</html>"
HTML_404, HTML_405 = answer(404, PAGE.format("404 Not Found")), answer(405, PAGE.format("405 Not Allowed"))
TEXT_404 = answer(404, "404 page not found\n")
CALLS = {
    "pipelines": lambda api: api.list_pipelines(),
    "create": lambda api: api.create_pipeline({}),
    "update": lambda api: api.update_pipeline({"id": 19}),
    "schedule on": lambda api: api.set_schedule(19, True),
    "start": lambda api: api.call(lambda engine: endpoints.start_pipeline(engine, 19, {})),
    "stop": lambda api: api.call(lambda engine: endpoints.stop_run(engine, 43)),
    "resume": lambda api: api.call(lambda engine: endpoints.resume_run(engine, 43)),
}


def is_away(server, seconds):
    """Let the gateway answer for the engine by nginx's pages, for so long."""
    back = server.now + seconds

    def outcome(request):
        if server.now >= back:
            return server._work(request)
        return HTML_404 if request.method in ("GET", "POST") else HTML_405

    for call in (*CALLS, "engine id", "history"):
        server.always(call, outcome)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_waits_for_the_engine_and_is_sent_again(server, call):
    api = server.api()
    server.drive(api.resolve())
    server.on("create", ok({"id": 20}))
    is_away(server, 40)
    server.always("create", lambda request: ok({"id": 20}) if sum(server.pauses) >= 40 else HTML_404)

    server.drive(CALLS[call](api))

    assert 40 <= sum(server.pauses) < 60
    assert max(server.pauses) <= 6.25


def test_an_upload_is_sent_again_too(server, tmp_path):
    (tmp_path / "train.csv").write_text("a,b")
    server.on("upload", HTML_404, ok({"size": 3}))

    assert server.drive(server.api().upload_file(tmp_path / "train.csv")) == {"size": 3}


def test_the_handshake_waits_for_an_engine_that_is_being_started(server):
    is_away(server, 40)

    assert server.drive(server.api().resolve()).id == 6


def test_the_handshake_waits_for_an_engine_that_returns_between_the_questions_of_its_dialect(server):
    missing = answer(404, {"timestamp": 1682000000000, "status": 404, "error": "Not Found"})
    server.on("engine id", HTML_404, missing, missing, ok({"engineId": 6}))

    assert server.drive(server.api(api_root="automl/v1").resolve()).id == 6


@pytest.mark.parametrize(("patience", "least", "most"), [("60", 50, 60), ("5", 2, 5), ("0", 0, 0)])
def test_an_engine_is_waited_for_as_long_as_the_connection_says(server, patience, least, most):
    is_away(server, 10_000)

    with pytest.raises(EngineNotRunningError, match=r"Engine 'demo' isn't there \(stopped or restarting\?\)") as caught:
        server.drive(
            server.api(engine_patience=patience).call(
                lambda engine: endpoints.start_pipeline(engine, 19, {}),
            )
        )
    assert least <= sum(server.pauses) <= most
    assert "refused" not in str(caught.value)
    assert not caught.value.may_have_been_processed


def test_each_attempt_that_was_not_processed_is_reported(server):
    api, events = server.api(), []

    @contextmanager
    def sending():
        events.append("attempt")
        try:
            yield
        except EngineNotRunningError:
            events.append("not processed")
            raise

    server.drive(api.resolve())
    is_away(server, 3)

    server.drive(api.call(lambda engine: endpoints.start_pipeline(engine, 19, {}), sending))

    assert events[-1] == "attempt"
    assert events[:-1] == ["attempt", "not processed"] * (len(events) // 2)


def test_a_poll_does_not_wait_since_the_next_poll_is_the_retry(server):
    api = server.api(retry=NO_RETRY)
    server.drive(api.resolve())
    is_away(server, 40)

    with pytest.raises(EngineNotRunningError):
        server.drive(api.list_runs(19))
    assert server.pauses == []


@pytest.mark.parametrize("refusal", [answer(404, {"status": 404, "error": "Not Found"}), answer(404, "")])
def test_a_refusal_of_the_engines_own_is_final(server, refusal):
    server.on("create", refusal)

    with pytest.raises(RequestRejectedError):
        server.drive(server.api().create_pipeline({}))
    assert server.pauses == []


@pytest.mark.parametrize("page", [HTML_404, TEXT_404], ids=["nginx", "traefik"])
def test_a_wrong_host_is_reported_by_the_first_call_at_once(server, page):
    server.always("resolve", page)

    with pytest.raises(EngineNotFoundError, match="does the connection's host lead to FlowEngine's gateway"):
        server.drive(server.api().resolve())
    assert server.pauses == []


def test_an_engine_that_moved_meanwhile_is_found_at_its_new_address(server):
    api = server.api()
    server.drive(api.resolve())
    server.on("resolve", HTML_404)  # the manager of engines is being restarted too
    server.engine_url = "/engine/16/cess-data-3"
    server.on("create", HTML_404, HTML_404, ok({"id": 20}))

    assert server.drive(api.create_pipeline({})).id == 20
    assert api.engine.url == "/engine/16/cess-data-3"


def test_an_engine_that_moves_without_end_is_given_up(server):
    api, moves = server.api(), iter(range(100_000))
    server.always("resolve", lambda request: ok({"url": f"/engine/{next(moves)}/x"}))
    server.always("engine id", ok({"engineId": 6}))
    server.always("create", HTML_404)

    with pytest.raises(EngineNotRunningError):
        server.drive(api.create_pipeline({}))
    assert len(server.requests) < 150


def test_a_change_that_the_gateway_could_not_pass_on_is_not_sent_again(server):
    server.on("create", answer(502, "<html>"))

    with pytest.raises(ServiceUnavailableError):
        server.drive(server.api().create_pipeline({}))
    assert server.count("create") == 1
