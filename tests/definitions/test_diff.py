"""How a pipeline differs from how it should be."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.definitions.content import fingerprint
from airflow_provider_flowengine.definitions.diff import diff

from .strategies import pipelines

SCRIPT_DIFF = ["    @@ -1,3 +1,3 @@", "     echo 1", "    -echo 2", "    +echo two", "     echo 3"]


@pytest.fixture
def current():
    """A pipeline as the server has it."""
    return {
        "id": 19,
        "createTime": 1681468370000,
        "historyList": None,
        "pipelineKey": "churn",
        "data": {
            "id": "b49a",
            "status": "init",
            "name": "Churn",
            "nodes": [
                {
                    "nodeId": "fetch",
                    "id": None,
                    "status": "INITIALIZED",
                    "indexSource": "echo 1\necho 2\necho 3\n",
                    "params": {"values": [{"key": "day", "value": "1"}, {"key": "db_password", "value": "pw"}]},
                    "sensorJobConfig": {"sensor_type": "PULL", "check_inteval": 5},
                },
                {"nodeId": "train", "status": "INITIALIZED"},
            ],
            "edges": [{"id": "1", "srcNodeId": "fetch", "destNodeId": "train"}],
        },
    }


def changed(current, change):
    wanted = copy.deepcopy(current)
    change(wanted["data"])
    return wanted


@given(pipelines(whole=True), pipelines(), st.sampled_from(["remove", "keep"]))
def test_what_a_diff_writes_leaves_no_difference(current, wanted, unnamed):
    written = diff(current, wanted, unnamed=unnamed).content

    assert diff(written, wanted, unnamed=unnamed).is_empty


@given(pipelines(whole=True), pipelines())
def test_the_servers_own_fields_are_written_back_as_they_are(current, wanted):
    written = diff(current, wanted).content

    for name in ("id", "engineTemplateId", "historyList", "createTime"):
        assert written[name] == current[name]
    assert (written["data"]["id"], written["data"]["status"]) == (current["data"]["id"], "init")


@given(pipelines(), st.randoms())
def test_the_order_of_nodes_edges_params_and_keys_says_nothing(pipeline, random):
    shuffled = shuffle(pipeline, random)

    assert diff(pipeline, shuffled).is_empty
    assert fingerprint(pipeline) == fingerprint(shuffled)


def shuffle(pipeline, random):
    """Put everything that has a name in another order."""

    def shuffled(value, name=""):
        if isinstance(value, dict):
            fields = random.sample(list(value.items()), len(value))
            return {key: shuffled(item, key) for key, item in fields}
        if name in ("nodes", "edges", "values") and isinstance(value, list):
            return [shuffled(item) for item in random.sample(value, len(value))]
        return value

    return shuffled(pipeline)


@given(pipelines(), pipelines())
def test_two_pipelines_share_a_fingerprint_if_nothing_differs(one, other):
    assert (fingerprint(one) == fingerprint(other)) == diff(one, other).is_empty


@given(pipelines(whole=True), pipelines())
def test_nothing_that_is_compared_is_changed(current, wanted):
    before = json.dumps([current, wanted])

    diff(current, wanted)

    assert json.dumps([current, wanted]) == before


@given(pipelines(whole=True))
def test_what_isnt_named_is_kept_if_asked(current):
    named = {"data": {"describe": "new"}}

    written = diff(current, named, unnamed="keep").content

    assert written == current | {"data": current["data"] | {"describe": "new"}}


def test_unknown_fields_survive_a_change_of_others(current):
    wanted = changed(current, lambda data: data["nodes"][0]["params"]["values"][0].update(value="2"))

    written = diff(current, wanted).content

    assert written["data"]["nodes"][0]["sensorJobConfig"] == {"sensor_type": "PULL", "check_inteval": 5}
    assert written["data"]["nodes"][1] == {"nodeId": "train", "status": "INITIALIZED"}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda data: data.update(name="Churn 2"), ['~ name: "Churn" → "Churn 2"']),
        (lambda data: data.update(layout=None, describe=""), []),
        (lambda data: data["nodes"][0]["params"]["values"][0].update(value=1), []),
        (lambda data: data["nodes"][0]["params"]["values"][0].update(value=2), ['~ node fetch, param day: "1" → "2"']),
        (lambda data: data["nodes"][0]["params"]["values"].pop(0), ['- node fetch, param day: "1"']),
        (
            lambda data: data["nodes"][0]["params"]["values"][1].update(value="other"),
            ["~ node fetch, param db_password: \"(hidden)\" → \"(hidden)\""],
        ),
        (
            lambda data: data["nodes"][0].update(indexSource="echo 1\necho two\necho 3\n"),
            ["~ node fetch, indexSource:", *SCRIPT_DIFF],
        ),
        (
            lambda data: data["nodes"][0].update(indexSource="echo 1\r\necho 2\r\necho 3\r\n"),
            ["~ node fetch, indexSource:", "    (only line ends or the end of the last line differ)"],
        ),
        (lambda data: data["nodes"].append({"nodeId": "publish"}), ["+ node publish"]),
        (lambda data: data["nodes"].pop(), ["- node train"]),
        (lambda data: data["edges"].clear(), ["- edge fetch → train"]),
        (lambda data: data["edges"][0].update(id="other"), []),
        (
            lambda data: data["edges"][0].update(destSlotId="in1"),
            ["- edge fetch → train", "+ edge fetch → train:in1"],
        ),
        (
            lambda data: data.update(executionConfig={"runMode": "CRONTAB", "cronExpression": "0 0 2 * * ?"}),
            ['+ executionConfig: {"cronExpression": "0 0 2 * * ?", "runMode": "CRONTAB"}'],
        ),
        (lambda data: data.update(executionConfig={"runMode": "SINGLE", "interval": 0, "cronExpression": None}), []),
        (lambda data: data["nodes"][1].update(onError="echo failed\necho again"), [
            "+ node train, onError:", "    +echo failed", "    +echo again"]),
    ],
)  # fmt: skip
def test_a_difference_reads_as_a_line(current, change, lines):
    assert diff(current, changed(current, change)).lines() == lines


def test_a_bare_definition_is_compared_with_the_pipelines_data(current):
    bare = {"pipelineKey": "churn", **current["data"], "describe": "new"}

    assert diff(current, bare).lines() == ['+ describe: "new"']


def test_nodes_without_names_of_their_own_are_compared_as_a_list(current):
    wanted = changed(current, lambda data: data["nodes"].append({"nodeId": "train"}))

    found = diff(current, wanted)

    assert [change.path for change in found.changes] == [("data", "nodes")]
    assert found.content["data"]["nodes"] == wanted["data"]["nodes"]
