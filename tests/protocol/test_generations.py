"""Which of FlowEngine's generations an engine is, found out by the handshake."""

import pytest

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    EngineNotRunningError,
    RequestRejectedError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.versions import AUTOML, COMMERCIAL, KERNEL

from .conftest import answer, ok

JSON_404 = answer(404, {"timestamp": 1682000000000, "status": 404, "error": "Not Found"})
JSON_405 = answer(405, {"timestamp": 1682000000000, "status": 405, "error": "Method Not Allowed"})
HTML_404 = answer(404, "<html><title>404 Not Found</title></html>")


def speaks(server, version, refusal=JSON_404):
    """Let the server answer the handshake of one generation alone."""
    server.engine_url = "/engine/15/x" if version is KERNEL else "/automl-engine/2"
    ending = f"/{version.root}/{version.param_path}"
    server.always("engine id", lambda request: ok({"engineId": 6}) if request.path.endswith(ending) else refusal)


@pytest.mark.parametrize("refusal", [JSON_404, JSON_405, HTML_404], ids=["404", "405", "page"])
@pytest.mark.parametrize("version", [KERNEL, AUTOML, COMMERCIAL], ids=lambda version: version.name)
def test_a_generation_is_found_out_under_its_root(server, version, refusal):
    speaks(server, version, refusal)

    engine = server.drive(server.api(api_root=version.root).resolve())

    assert (engine.id, engine.version) == (6, version)


def test_it_is_found_out_once_for_all_calls_of_a_client(server):
    speaks(server, AUTOML)
    api = server.api(api_root="automl/v1")

    server.drive(api.set_schedule(19, True))
    server.drive(api.set_schedule(19, False))

    assert server.calls == ["resolve", "engine id", "engine id", "schedule on", "schedule off"]
    assert server.requests[-1].method == "POST"


@pytest.mark.parametrize(
    ("version", "root"), [(AUTOML, "kernel/v1"), (COMMERCIAL, "kernel/v1"), (KERNEL, "automl/v1")], ids=str
)
@pytest.mark.parametrize("refusal", [JSON_404, HTML_404], ids=["json", "page"])
def test_the_wrong_root_is_named_with_the_right_one(server, version, root, refusal):
    speaks(server, version, refusal)

    with pytest.raises(ConfigurationError, match=f"^api_root: set it to {version.root} in the connection: engine 6"):
        server.drive(server.api(api_root=root).resolve())
    assert server.pauses == []


def test_an_engine_that_knows_no_handshake_of_ours_has_refused_it(server):
    server.always("engine id", JSON_404)

    with pytest.raises(RequestRejectedError):
        server.drive(server.api().resolve())


def test_another_dialect_is_not_tried_after_another_refusal(server):
    server.on("engine id", answer(401, {"msg": "no"}))

    with pytest.raises(AccessDeniedError):
        server.drive(server.api(api_root="automl/v1").resolve())
    assert server.count("engine id") == 1


@pytest.mark.parametrize("refusal", [JSON_404, JSON_405], ids=["404", "405"])
def test_a_schedule_is_turned_off_by_the_other_dialect_if_the_engine_has_no_such_call(server, refusal):
    speaks(server, COMMERCIAL)
    server.on("schedule off", refusal)
    api = server.api(api_root="automl/v1")

    server.drive(api.set_schedule(19, False))

    assert [request.method for request in server.requests[-2:]] == ["DELETE", "POST"]


def test_a_newer_engines_refusal_to_turn_a_schedule_off_is_final(server):
    server.on("schedule off", JSON_404)

    with pytest.raises(RequestRejectedError):
        server.drive(server.api().set_schedule(19, False))
    assert server.count("schedule off") == 1


def test_an_address_that_another_process_has_resolved_needs_no_request(server):
    api = Api(Settings.build(fl_url="http://gw:31101", engine_key="demo"), address=("/engine/15/x", 6))

    engine = server.drive(api.resolve())

    assert (engine.url, engine.id, engine.version, server.requests) == ("/engine/15/x", 6, KERNEL, [])


def test_an_address_of_two_dialects_needs_only_the_question_which(server):
    speaks(server, AUTOML)
    settings = Settings.build(fl_url="http://gw:31101", engine_key="demo", api_root="automl/v1")

    engine = server.drive(Api(settings, address=("/automl-engine/2", 6)).resolve())

    assert (engine.version, server.calls) == (AUTOML, ["engine id", "engine id"])


def test_if_no_dialect_is_answered_by_json_the_engine_is_not_there(server):
    server.always("engine id", HTML_404)

    with pytest.raises(EngineNotRunningError, match="Engine 'demo' isn't there"):
        server.drive(server.api(api_root="automl/v1", retry=NO_RETRY).resolve())
