"""The control endpoints and the Python handle: options, the log of calls, the clock, and runs."""

import json

import pytest

from .conftest import node


def test_every_request_is_logged_with_what_came_of_it(emulator, call):
    pipeline_id = call.create(node("a"))
    emulator.forget_calls()
    emulator.fail("start", status=502, where="after")
    call("POST", f"/pipeline/6/{pipeline_id}/start", {"a": {"duration": "1"}})
    call("GET", "/nothing")

    start, unknown = emulator.calls()
    assert (start["name"], start["method"], start["status"]) == ("start", "POST", 502)
    assert start["path"] == f"/engine/15/cess-data-3/kernel/v1/pipeline/6/{pipeline_id}/start"
    assert start["query"] == "engineKey=demo"
    assert json.loads(start["body"]) == {"a": {"duration": "1"}}
    assert json.loads(start["headers"])["x-flowengine-userid"] == "1"
    assert start["fault"] == "status after"
    assert (unknown["name"], unknown["status"]) == ("unknown", 404)


def test_the_log_is_read_counted_and_forgotten_over_http(emulator, call):
    pipeline_id = call.create(node("a"))
    call.start(pipeline_id)
    call.start(pipeline_id)

    assert call.control("GET", "/calls/counts").json() == {"create": 1, "start": 2}
    assert [each["name"] for each in call.control("GET", "/calls", name="start", limit=1).json()] == ["start"]
    assert emulator.count("start") == 2
    call.control("DELETE", "/calls")
    assert call.control("GET", "/calls").json() == []


def test_options_are_set_over_http_all_or_none(emulator, call):
    assert call.control("PATCH", "/options", {"ids": "text", "history_delay": 3}).json()["ids"] == "text"
    assert emulator.options.history_delay == 3

    answer = call.control("PATCH", "/options", {"ids": "number", "history_delay": -1})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["history_delay"]
    assert emulator.options.ids == "text"
    assert call.control("PATCH", "/options", {"nonsense": 1}).status_code == 422


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timezone", "Mars/Olympus"),
        ("ids", "roman"),
        ("node_seconds", -1),
        ("clock_skew", float("inf")),
        ("engine_url", "foo"),
        ("engine_url", "/engine/1/"),
        ("max_json_bytes", -1),
        ("words", {"sucess": "DONE"}),
    ],
)
def test_an_option_that_makes_no_sense_is_turned_down(emulator, name, value):
    with pytest.raises(ValueError, match=name):
        setattr(emulator.options, name, value)


def test_time_is_moved_over_http(emulator, call):
    run = call.start(call.create(node("a", duration="60")))
    before = call.control("GET", "/clock").json()["now"]

    assert call.control("POST", "/clock/advance", {"seconds": 60}).json()["now"] == before + 60
    assert call.states(run)[0] == "succeeded"


@pytest.mark.parametrize(
    ("outcome", "states"),
    [
        ("succeeded", {"a": "succeeded", "b": "succeeded", "c": "succeeded"}),
        ("failed", {"a": "succeeded", "b": "failed", "c": "unreached"}),
        ("stopped", {"a": "succeeded", "b": "stopped", "c": "unreached"}),
    ],
)
def test_a_run_is_ended_at_will(emulator, call, outcome, states):
    nodes = [node("a", duration="0"), node("b", duration="forever"), node("c")]
    run = call.start(call.create(*nodes, edges=["a→b", "b→c"]))

    assert call.control("POST", f"/runs/{run}/finish", {"outcome": outcome, "message": "enough"}).status_code == 204
    assert call.states(run) == (outcome, states)
    assert call.control("POST", f"/runs/{run}/finish", {}).status_code == 409
    assert call.control("POST", "/runs/99/finish", {}).status_code == 404


def test_a_run_is_read_whether_the_one_run_call_exists_or_not(emulator, call):
    run = call.start(call.create(node("a")))
    emulator.options.one_run_call = False

    assert call.control("GET", f"/runs/{run}").json()["status"] == "running"
    assert call.control("GET", "/runs/99").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/clock/advance", '{"seconds": 1e999}'),
        ("POST", "/faults", '{"kind": "slow", "seconds": Infinity}'),
        ("PATCH", "/options", '{"node_seconds": 1e999}'),
        ("PATCH", "/options", "{"),
    ],
)
def test_a_number_without_end_and_what_is_no_json_are_turned_down(emulator, call, method, path, body):
    answer = call.session.request(method, f"{emulator.url}/__control__{path}", data=body)

    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize("origin", ["http://example.com", "http://127.0.0.1:1", "null"])
def test_a_web_page_from_elsewhere_can_do_nothing(emulator, call, origin):
    call.session.headers["Origin"] = origin
    answers = [
        call.control("POST", "/topics/data"),
        call.control("POST", "/faults", {}),
        call.control("PATCH", "/options", {"ids": "text"}),
        call.control("GET", "/options"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert (emulator.options.ids, emulator.faults.pending()) == ("number", [])
    call.session.headers["Origin"] = emulator.url
    assert call.control("POST", "/topics/data").status_code == 200


def test_reset_begins_anew(emulator, call):
    call.start(call.create(node("a")))
    emulator.fail(status=500)
    emulator.options.ids = "text"
    emulator.reset(stop_seconds=9)

    assert (emulator.options.ids, emulator.options.stop_seconds) == ("number", 9)
    assert emulator.calls() == []
    assert call.start(call.create(node("a"))) == 1


def test_the_handle_makes_pipelines_and_reads_runs_without_http(emulator, call):
    pipeline = emulator.engine.create_pipeline({"data": {"name": "n", "nodes": [node("a")]}, "pipelineKey": "k"})
    run = emulator.engine.start(pipeline.id)

    assert run.state(emulator.clock.now()) == "running"
    assert call.history(pipeline.id)[0]["id"] == run.id
    assert pipeline.name == "n"


def test_the_connection_leads_an_airflow_here(emulator):
    emulator.options.access_key = "s3cret"
    connection = json.loads(emulator.connection(api_root="automl/v1"))

    assert (connection["host"], connection["port"]) == (emulator.host, emulator.port)
    run_page = "{fl_url}{engine_url}/#/offline-pipeline/{pipeline_id}/{run_id}"
    assert connection["extra"] == {"engine_key": "demo", "ui_url": run_page, "api_root": "automl/v1"}
    assert connection["password"] == "s3cret"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"like": "2020"}, {"password": "emulator-key", "api_root": "automl/v1"}),
        ({"like": "0.0.3.2"}, {"api_root": "automl/v1"}),
        ({"like": "0.0.3.4"}, {}),
        ({"times": "text", "timezone": "Asia/Shanghai"}, {"timezone": "Asia/Shanghai"}),
        ({"timezone": "Asia/Shanghai"}, {}),  # epoch milliseconds have no zone
    ],
)
def test_the_connection_holds_what_a_client_needs_for_such_an_engine(emulator, options, told):
    emulator.reset(**options)

    connection = json.loads(emulator.connection())
    fields = {**connection, **connection["extra"]}

    assert {name: fields[name] for name in ("api_root", "timezone", "password") if name in fields} == told


def test_a_pipeline_is_deleted_with_its_runs_over_http(emulator, call):
    gone, stays = call.create(node("a"), key="gone"), call.create(node("a"), key="stays")
    for pipeline_id in (gone, stays):
        call.start(pipeline_id)

    assert call.control("DELETE", f"/pipelines/{gone}").status_code == 204
    assert [each["pipelineKey"] for each in call.data("GET", "/pipeline/6/list")] == ["stays"]
    assert "does not exist" in call.refusal("GET", "/pipeline/1/get")
    assert len(call.history(stays)) == 1
    assert call.control("DELETE", f"/pipelines/{gone}").status_code == 404
    assert call.create(key="next") == 3


def test_the_sample_is_created_once(emulator, call):
    assert [call.control("POST", "/sample").json() for _ in range(2)] == [{"id": 1}] * 2
    assert [each["pipelineKey"] for each in call.data("GET", "/pipeline/6/list")] == ["churn_model"]


def test_the_connection_is_given_over_http_by_the_name_that_was_asked(emulator, call):
    answer = call.session.get(f"http://localhost:{emulator.port}/__control__/connection").json()

    assert json.loads(answer["connection"])["host"] == "localhost"
    assert answer["export"].startswith("export AIRFLOW_CONN_FLOWENGINE_DEFAULT='{")


def test_the_connection_tells_the_account_of_a_session(emulator):
    emulator.reset(authentication="session", username="ann", password="ann-pass")
    connection = json.loads(emulator.connection())

    assert (connection["login"], connection["password"]) == ("ann", "ann-pass")
    assert connection["extra"]["authentication"] == "session"


def test_the_handle_takes_a_definition_alone_as_it_stands_in_a_file(emulator, call):
    definition = {"name": "nightly", "nodes": [node("a")]}
    pipeline = emulator.engine.create_pipeline(definition)

    assert (pipeline.key, pipeline.name) == ("nightly", "nightly")
    assert call.refusal("POST", "/pipeline/template/6/create", definition) == "the pipeline has no data object"
