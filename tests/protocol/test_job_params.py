"""Job parameters are checked against the pipeline before anything is sent."""

from datetime import date

import pytest

from airflow_provider_flowengine.protocol.errors import ConfigurationError, NodeNotFoundError
from airflow_provider_flowengine.protocol.job_params import resolve_job_params
from airflow_provider_flowengine.protocol.reply import Reply


def pipeline(*nodes):
    return Reply(None, None).pipeline(
        {
            "id": 19,
            "data": {
                "nodes": [
                    {"nodeId": node_id, "name": name, "params": {"values": [{"key": key} for key in keys.split()]}}
                    for node_id, name, keys in nodes
                ]
            },
        },
    )


PIPELINE = pipeline(("n1", "train", "rounds depth"), ("n2", "deploy", ""), ("n3", "twin", "x"), ("n4", "twin", "x"))


@pytest.mark.parametrize("name", ["n1", "train"])
def test_a_node_is_named_by_its_id_or_its_name(name):
    assert resolve_job_params(PIPELINE, {name: {"rounds": 3}}) == {"n1": {"rounds": 3}}


def test_a_node_named_both_ways_is_given_both():
    assert resolve_job_params(PIPELINE, {"n1": {"rounds": 3}, "train": {"depth": 2}}) == {
        "n1": {"rounds": 3, "depth": 2}
    }


def test_an_id_wins_over_a_name():
    nodes = pipeline(("a", "b", "x"), ("b", "c", "y"))

    assert resolve_job_params(nodes, {"b": {"y": 1}}) == {"b": {"y": 1}}


@pytest.mark.parametrize(
    ("job_params", "says"),
    [
        (
            {"trian": {}},
            r"no node 'trian'; did you mean 'train'\? "
            r"nodes there are: n1 \(train\), n2 \(deploy\), n3 \(twin\), n4 \(twin\)",
        ),
        ({"train": {"round": 3}}, "no parameter 'round'; did you mean 'rounds'\\? parameters there are: rounds, depth"),
        ({"deploy": {"x": 3}}, "no parameter 'x'; there are no parameters"),
        ({"twin": {"x": 3}}, "2 nodes of pipeline 19 are called 'twin'; name one by its id: n3, n4"),
    ],
)
def test_what_the_pipeline_doesnt_have_is_refused_with_what_it_has(job_params, says):
    with pytest.raises(NodeNotFoundError, match=says):
        resolve_job_params(PIPELINE, job_params)


@pytest.mark.parametrize("params", [None, "rounds", ["rounds"], 3])
def test_a_node_that_is_given_no_object_is_refused(params):
    with pytest.raises(ConfigurationError, match="node 'train' must be given an object"):
        resolve_job_params(PIPELINE, {"train": params})


@pytest.mark.parametrize("value", [date(2026, 1, 1), float("nan"), {"x"}])
def test_what_cant_be_json_is_refused_with_its_node_and_its_key(value):
    with pytest.raises(ConfigurationError, match="for 'rounds' of node 'train' can't be sent as JSON"):
        resolve_job_params(PIPELINE, {"train": {"rounds": value}})
