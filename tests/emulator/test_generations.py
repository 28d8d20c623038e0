"""Three generations of FlowEngine: the calls that each takes, and what it answers to those of another one."""

import pytest
import requests

from airflow_provider_flowengine.emulator.generations import PRESETS

from .conftest import Caller, node, pipeline

ENGINE_INFO = "/engine-manager/v1/k8s/info/"


class Bare:
    """Requests as they stand, and nothing that a client of ours would add."""

    def __init__(self, url, headers):
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(headers)

    def __call__(self, method, path, body=None):
        return self.session.request(method, self.url + path, json=body, timeout=10)

    def data(self, method, path, body=None):
        answer = self(method, path, body).json()
        assert answer["status"] == "0", answer
        return answer["data"]


@pytest.fixture
def like(emulator):
    """Make the emulator one of a generation, and return a caller that speaks as clients of that time do."""

    def like(name, **options):
        emulator.reset(like=name, **options)
        caller = Caller(emulator, "kernel/v1" if name == "0.0.3.4" else "automl/v1")
        caller.session.headers["Access-Key"] = "k"
        return caller

    return like


def test_the_vendors_older_client_makes_every_pipeline_call_on_the_commercial_one(emulator, like):
    like("2020", stop_seconds=0, node_seconds=600)
    root = f"{emulator.url}/automl-engine/2/automl/v1"
    call = Bare(root, {"Access-Key": "0123-4567", "X-Prophet-Workspace-Id": "1"})

    engine = call.data("GET", "/system/getParamWithoutTemplate?engineKey=demo")["engineId"]
    assert call.data("GET", "/system/getParamWithoutTemplate")["engineId"] == engine

    made = call.data("POST", f"/pipeline/template/{engine}/create", pipeline(node("a"), key="nightly"))
    (listed,) = call.data("GET", f"/pipeline/{engine}/list")
    read = call.data("GET", f"/pipeline/template/{engine}/{made['id']}/get")
    assert (listed["pipelineKey"], listed["data"]["status"], read["id"]) == ("nightly", "init", made["id"])
    read["data"]["describe"] = "every night"
    assert call.data("PUT", f"/pipeline/template/{engine}/update", read)["data"]["describe"] == "every night"

    call.data("POST", f"/pipeline/{engine}/{made['id']}/start?once=false", {})
    call.data("DELETE", f"/pipeline/{engine}/{made['id']}/stop", {})
    assert call.data("GET", f"/pipeline/{made['id']}/historyList?engineId={engine}") == []

    started = call.data("POST", f"/pipeline/{engine}/{made['id']}/start?once=true", {"a": {}})
    (run,) = call.data("GET", f"/pipeline/{made['id']}/historyList?engineId={engine}")
    assert (run["id"], run["status"]) == (started["id"], "running")
    call.data("DELETE", f"/pipeline/{run['id']}/stopHistory?engineId={engine}", {})
    call.data("POST", f"/pipeline/{run['id']}/resumeHistory?engineId={engine}", {})
    assert call.data("GET", f"/pipeline/{run['id']}/get")["status"] == "running"


@pytest.mark.parametrize(
    ("name", "engine_url"),
    [("2020", "/automl-engine/2"), ("0.0.3.2", "/automl-engine/15"), ("0.0.3.4", "/engine/15/demo")],
)
def test_each_generation_has_an_engine_url_of_its_own_shape(like, name, engine_url):
    assert like(name)("GET", ENGINE_INFO, gateway=True).json()["data"]["url"] == engine_url


OF_ONE_DIALECT = {
    "2020": [("GET", "/system/getParamWithoutTemplate"), ("DELETE", "/pipeline/6/1/stop")],
    "0.0.3.2": [("GET", "/system/getParam"), ("POST", "/pipeline/6/1/stop")],
    "0.0.3.4": [("GET", "/system/getParam"), ("POST", "/pipeline/6/1/stop")],
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_call_of_the_other_dialect_does_nothing_and_is_answered_404_or_405(emulator, like, name):
    call = like(name)
    pipeline_id = call.create(node("a"))
    emulator.engine.set_schedule(pipeline_id, True)
    there, other = OF_ONE_DIALECT[name], OF_ONE_DIALECT["0.0.3.2" if name == "2020" else "2020"]

    assert [call(*each, {}).status_code for each in other] == [404, 405]
    assert emulator.engine.pipeline(pipeline_id).scheduled
    assert [call(*each, {}).status_code for each in there] == [200, 200]
    assert not emulator.engine.pipeline(pipeline_id).scheduled


@pytest.mark.parametrize(("name", "status"), [("2020", 200), ("0.0.3.2", 400), ("0.0.3.4", 400)])
def test_the_engine_key_is_optional_in_the_commercial_one_alone(like, name, status):
    call = like(name)
    param = "getParamWithoutTemplate" if name == "2020" else "getParam"

    assert call("GET", f"/system/{param}", engineKey=None).status_code == status
    assert call("GET", "/pipeline/6/list", engineKey=None).status_code == status


@pytest.mark.parametrize(("name", "root"), [("2020", "kernel/v1"), ("0.0.3.2", "kernel/v1"), ("0.0.3.4", "automl/v1")])
def test_nothing_answers_at_the_other_generations_root(emulator, like, name, root):
    like(name)
    other = Caller(emulator, root)
    other.session.headers["Access-Key"] = "k"

    assert other("GET", "/pipeline/6/list").status_code == 404


@pytest.mark.parametrize(("name", "runs"), [("2020", 5), ("0.0.3.2", 2), ("0.0.3.4", 2)])
def test_the_history_is_whole_in_the_commercial_one_and_paged_in_the_others(like, name, runs):
    call = like(name)
    pipeline_id = call.create(node("a"))
    for _ in range(5):
        call.start(pipeline_id)

    assert len(call.history(pipeline_id, page=1, size=2)) == runs


def test_the_commercial_one_takes_the_cookie_of_a_session_too(emulator, like):
    like("2020")
    call = Caller(emulator, "automl/v1")
    del call.session.headers["X-FlowEngine-UserId"]
    assert call("GET", "/pipeline/6/list").status_code == 401

    call("POST", "/keystone/v1/sessions", {"username": "admin", "password": "admin"}, gateway=True)
    assert call("GET", "/pipeline/6/list").status_code == 200


@pytest.mark.parametrize("name", PRESETS)
def test_a_failed_node_is_tried_once_more_where_its_definition_says_nothing(emulator, like, name):
    call = like(name)
    emulator.clock.reset(0)
    silent, never = (
        call.start(call.create(node("a", duration="1", outcome="failed", execution=execution)))
        for execution in (None, {"retryCount": 0})
    )
    emulator.clock.advance(9)

    assert [call.run(run)["nodes"][0]["attempts"] for run in (silent, never)] == [2, 1]


def test_a_preset_that_there_isnt_is_turned_down_with_those_there_are(emulator):
    with pytest.raises(ValueError, match=r"no preset '1999'; presets: 2020, 0\.0\.3\.2, 0\.0\.3\.4"):
        emulator.reset(like="1999")


# --- the engine is away -----------------------------------------------------------------------------------------------

CALLS = [
    ("GET", "/pipeline/6/list", 404),
    ("POST", "/pipeline/6/1/start", 404),
    ("PUT", "/pipeline/template/6/update", 405),
    ("DELETE", "/pipeline/1/stopHistory", 405),
]


def is_html(answer):
    return answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(("method", "path", "status"), CALLS)
def test_a_stock_gateway_answers_in_html_while_the_engine_is_away(emulator, call, method, path, status):
    call.start(call.create(node("a", duration="600")))
    emulator.options.engine_running = False
    answer = call(method, path, {})

    assert (answer.status_code, is_html(answer)) == (status, True)
    assert call("GET", ENGINE_INFO, gateway=True).json()["data"]["url"] == emulator.options.engine_url
    emulator.options.engine_running = True
    assert [run["status"] for run in call.history(1)] == ["running"]


@pytest.mark.parametrize("status", [502, 503])
def test_another_gateway_answers_its_own_status(emulator, call, status):
    emulator.reset(engine_running=False, wrong_address=status)

    assert {call(method, path, {}).status_code for method, path, _ in CALLS} == {status}


def test_an_engine_that_restarts_is_back_after_a_while(emulator, call):
    emulator.take_away(30)
    assert call("GET", "/pipeline/6/list").status_code == 404
    emulator.clock.advance(30)
    assert call("GET", "/pipeline/6/list").status_code == 200

    assert call.control("POST", "/engine/away", {"seconds": 5}).status_code == 200
    assert call("GET", "/pipeline/6/list").status_code == 404


@pytest.mark.parametrize(("where", "first", "runs"), [("before", 404, 0), ("after", 200, 1)])
def test_an_engine_goes_away_at_a_call_or_just_after_it(emulator, call, where, first, runs):
    pipeline_id = call.create(node("a"))
    emulator.fail("start", kind="away", seconds=30, where=where)

    assert call("POST", f"/pipeline/6/{pipeline_id}/start", {}).status_code == first
    assert call("GET", "/pipeline/6/list").status_code == 404
    emulator.clock.advance(30)
    assert len(call.history(pipeline_id)) == runs
