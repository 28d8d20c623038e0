"""Bad pipelines and bad input: refused in FlowEngine's envelope, with nothing half-created."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.emulator.clock import Clock
from airflow_provider_flowengine.emulator.definition import RequestRejected
from airflow_provider_flowengine.emulator.engine import Engine
from airflow_provider_flowengine.emulator.options import Options
from airflow_provider_flowengine.emulator.serialization import run_object
from airflow_provider_flowengine.emulator.store import Store

from .conftest import node, pipeline

LOOP = ["a→b", "b→c", "c→a"]

BAD = {
    "a cycle": (pipeline(node("a"), node("b"), node("c"), edges=LOOP), "the pipeline has a cycle: a → b → c → a"),
    "an edge to itself": (pipeline(node("a"), edges=["a→a"]), "the pipeline has a cycle: a → a"),
    "a dangling edge": (pipeline(node("a"), edges=["a→b"]), "edge a→b leads to the unknown node 'b' (destNodeId)"),
    "an edge from nowhere": (pipeline(node("a"), edges=["b→a"]), "edge b→a leads to the unknown node 'b' (srcNodeId)"),
    "an edge to a list": (
        {"data": {"nodes": [], "edges": [{"id": "e", "srcNodeId": [], "destNodeId": {}}]}},
        "edge e leads to the unknown node [] (srcNodeId)",
    ),
    "two nodes of one id": (pipeline(node("a"), node("a")), "two nodes have the nodeId a"),
    "an unknown job type": (
        pipeline(node("a", job="COBOL")),
        "node a has the unknown indexType 'COBOL'; known: SHELL, PYTHON3, JAVA, NODEJS, DAG",
    ),
    "an unknown node type": (
        pipeline(node("a", type="DREAM")),
        "node a has the unknown type 'DREAM'; known: START, TASK, SENSOR",
    ),
    "a node without an id": (pipeline({"type": "TASK"}), "a node has no nodeId"),
    "nodes that are no list": ({"data": {"nodes": "a"}}, "nodes is not a list of objects"),
    "params that are no object": (
        {"data": {"nodes": [{"nodeId": "a", "type": "START", "params": []}]}},
        "params of node a is not an object",
    ),
    "no data": ({"pipelineKey": "x"}, "the pipeline has no data object"),
    "a list": ([], "the body is not a pipeline object"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_pipeline_is_refused_and_leaves_nothing_behind(call, what):
    body, message = BAD[what]

    assert call.refusal("POST", "/pipeline/template/6/create", body) == message
    assert call.data("GET", "/pipeline/6/list") == []


def test_a_bad_update_leaves_the_pipeline_as_it_was(call):
    pipeline_id = call.create(node("a"), node("b"), edges=["a→b"])
    before = call.data("GET", f"/pipeline/template/6/{pipeline_id}/get")
    bad = pipeline(node("a"), node("b"), edges=["a→b", "b→a"])

    assert "cycle" in call.refusal("PUT", "/pipeline/template/6/update", {**bad, "id": pipeline_id})
    assert call.data("GET", f"/pipeline/template/6/{pipeline_id}/get") == before


def test_ten_megabytes_of_json_are_refused(call):
    huge = pipeline(node("a", text="x" * 10 * 2**20))

    assert (
        call.refusal("POST", "/pipeline/template/6/create", huge)
        == "the body is too large; at most 5242880 bytes are taken"
    )
    assert call.data("GET", "/pipeline/6/list") == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"nobody": {"k": "v"}}, "start params for the unknown node nobody; nodes: a, b"),
        ([], "the start params are not an object {nodeId: {key: value}}"),
        ({"a": "v"}, "the start params of node a are not an object"),
    ],
)
def test_bad_start_params_are_refused_and_start_nothing(call, params, message):
    pipeline_id = call.create(node("a"), node("b"))

    assert call.refusal("POST", f"/pipeline/6/{pipeline_id}/start", params) == message
    assert call.history(pipeline_id) == []


@pytest.mark.parametrize("hook", [["echo"], {"indexType": "JAVA"}, {"indexSource": ["echo"]}, 1])
def test_a_hook_that_is_no_script_is_refused(call, hook):
    message = call.refusal("POST", "/pipeline/template/6/create", pipeline(node("a", hooks={"onError": hook})))

    assert message.startswith("onError of node a is neither a shell script nor an object with indexType")


KEYS = (
    "data nodes edges nodeId name type indexType params values key srcNodeId destNodeId executionConfig"
    " runMode cronExpression interval triggerList retryCount timeOut pipelineKey onError"
).split()
WORDS = "START TASK SHELL DAG a b PERIODICAL CRONTAB MESSAGE duration outcome forever nan 1e999".split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=3) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=15,
)
NODES = st.fixed_dictionaries(
    {"nodeId": st.sampled_from("abc"), "type": st.just("TASK"), "indexType": st.just("SHELL")},
    optional=dict.fromkeys(("name", "params", "executionConfig", "onError", "indexSource"), JSON),
)
PIPELINES = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"nodes": st.lists(NODES, max_size=3)}, optional={"executionConfig": JSON, "edges": JSON}
        )
    },
    optional={"id": JSON, "pipelineKey": JSON},
)


@given(st.dictionaries(st.sampled_from(["data", "id"]), JSON) | PIPELINES, JSON)
def test_any_json_is_taken_or_refused_and_what_is_taken_works(body, job_params):
    world = Engine(Store(), Clock(0), Options())
    try:
        pipeline_id = world.create_pipeline(body).id
    except RequestRejected:
        assert world.pipelines() == []
        return
    for what in (
        lambda: world.start(pipeline_id, job_params),
        lambda: world.set_schedule(pipeline_id, True),
        lambda: world.update_pipeline({**body, "id": pipeline_id}),
        lambda: world.publish("a"),
    ):
        with suppress(RequestRejected):
            what()
    world.clock.advance(60)
    now = world.clock.now()
    for run in world.runs(pipeline_id)[0]:
        json.dumps(run_object(world.options, world.run(run.id), now))
