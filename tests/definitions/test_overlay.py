"""What differs per environment is laid over a definition."""

import copy

import pytest

from airflow_provider_flowengine.definitions.overlay import overlaid
from airflow_provider_flowengine.protocol.errors import ConfigurationError


@pytest.fixture
def pipeline():
    params = {"values": [{"key": "trees", "value": "100", "type": "TEXT"}, {"key": "day", "value": "1"}]}
    nodes = [{"nodeId": "train", "params": params}, {"nodeId": "publish"}]
    return {"pipelineKey": "churn", "data": {"name": "Churn", "describe": "dev", "nodes": nodes}}


def test_params_are_named_by_node_and_key(pipeline):
    result = overlaid(pipeline, {"churn": {"data": {"nodes": {"train": {"params": {"trees": "500"}}}}}})

    (trees, day) = result["data"]["nodes"][0]["params"]["values"]
    assert trees == {"key": "trees", "value": "500", "type": "TEXT"}
    assert day == {"key": "day", "value": "1"}


def test_an_object_in_a_param_is_merged_whatever_its_keys_are_called(pipeline):
    pipeline["data"]["nodes"][0]["params"]["values"][0]["value"] = {"values": {"a": 1}, "z": 2}
    changes = {"data": {"nodes": {"train": {"params": {"trees": {"values": {"a": 3}}}}}}}

    (trees, _) = overlaid(pipeline, {"churn": changes})["data"]["nodes"][0]["params"]["values"]

    assert trees["value"] == {"values": {"a": 3}, "z": 2}


def test_objects_are_merged_and_null_removes(pipeline):
    changes = {"data": {"describe": None, "executionConfig": {"runMode": "SINGLE"}}}

    result = overlaid(pipeline, {"churn": changes})

    assert result["data"] == {
        "name": "Churn",
        "nodes": pipeline["data"]["nodes"],
        "executionConfig": {"runMode": "SINGLE"},
    }


@pytest.mark.parametrize("key", ["churn", "*"])
def test_null_removes_a_node_too(pipeline, key):
    result = overlaid(pipeline, {key: {"data": {"nodes": {"train": None}}}})

    assert result["data"]["nodes"] == [{"nodeId": "publish"}]


def test_what_is_for_all_comes_before_what_is_for_one(pipeline):
    overlay = {"*": {"data": {"describe": "all", "name": "all"}}, "churn": {"data": {"name": "one"}}, "other": 3}

    data = overlaid(pipeline, overlay)["data"]

    assert (data["describe"], data["name"]) == ("all", "one")


def test_what_is_for_all_skips_what_a_pipeline_doesnt_have(pipeline):
    assert overlaid(pipeline, {"*": {"data": {"nodes": {"other": {"params": {"x": "1"}}}}}}) == pipeline


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"nodes": {"tran": {}}}}, "nodes: the pipeline has no 'tran'; did you mean 'train'"),
        ({"data": {"nodes": {"train": {"params": {"tree": 1}}}}}, "has no 'tree'; did you mean 'trees'"),
        ([], "overlay: 'churn' must hold an object"),
        ({"data": {"nodes": {"train": "none"}}}, "nodes, train: it must be an object, or null to remove it"),
    ],
)  # fmt: skip
def test_what_the_pipeline_doesnt_have_is_named(pipeline, changes, said):
    with pytest.raises(ConfigurationError, match=said):
        overlaid(pipeline, {"churn": changes})


def test_the_definition_itself_is_left_as_it_is(pipeline):
    before = copy.deepcopy(pipeline)

    overlaid(pipeline, {"churn": {"data": {"nodes": {"train": {"params": {"trees": "500"}}}}}})

    assert pipeline == before
