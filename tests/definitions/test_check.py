"""What an engine would refuse is said before anything is sent, and nothing else is."""

import copy

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.definitions.check import missing_files, problems
from airflow_provider_flowengine.emulator.definition import RequestRejected, read_definition
from airflow_provider_flowengine.emulator.schedule import check_schedule

from .strategies import pipelines, values

GOOD = {
    "pipelineKey": "churn",
    "data": {
        "nodes": [
            {"nodeId": "start_node", "type": "START"},
            {"nodeId": "a", "type": "TASK", "indexType": "SHELL", "params": {"values": []}, "onError": "echo"},
            {"nodeId": "b", "type": "SENSOR", "indexType": "PYTHON3", "onError": {"indexSource": "x"}},
        ],
        "edges": [{"srcNodeId": "a", "destNodeId": "b"}],
        "executionConfig": {"runMode": "PERIODICAL", "interval": "5", "intervalUnit": "HOUR"},
    },
}


def refused(pipeline):
    """What the emulator says of a pipeline; empty if it takes it."""
    try:
        check_schedule(read_definition(pipeline).config)
    except RequestRejected as error:
        return str(error)
    return ""


def places(value, path=()):
    """Yield the path of every value in an object."""
    yield path
    fields = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in fields:
        yield from places(item, (*path, name))


def put(pipeline, path, value):
    changed = copy.deepcopy(pipeline)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    holder[path[-1]] = value
    return changed


odd = values | st.sampled_from(
    ["START", "TASK", "SHELL", "CRONTAB", "MESSAGE", "MINUTE", "a", "b", 0, -1, 1e400, "nan"]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([path for path in places(GOOD) if path]), odd)
def test_it_says_something_exactly_where_an_engine_would_refuse(path, value):
    pipeline = put(GOOD, path, value)

    assume(value is not True or path[-1] != "interval")  # which the emulator takes for 1
    event("refused" if refused(pipeline) else "taken")
    assert bool(problems(pipeline)) == bool(refused(pipeline)), refused(pipeline)


@given(pipelines())
def test_so_it_is_with_pipelines_of_every_form(pipeline):
    assert bool(problems(pipeline)) == bool(refused(pipeline)), refused(pipeline)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("data",), None, "it has no data object with the pipeline's nodes"),
        (("data", "nodes", 1, "nodeId"), "b", "two nodes have the nodeId 'b'"),
        (("data", "nodes", 1, "type"), "JOB", "node 'a': type 'JOB' isn't known; types there are: START, TASK, SENSOR"),
        (
            ("data", "edges", 0, "destNodeId"),
            "c",
            "edge number 1 names the node 'c'; nodes there are: start_node, a, b",
        ),
        (("data", "edges", 0, "destNodeId"), "a", "its edges make a cycle: a → a"),
        (
            ("data", "executionConfig"),
            {"runMode": "CRONTAB", "cronExpression": "0 2 * * *"},
            "executionConfig: cronExpression '0 2 * * *': it has 5 fields; Quartz takes 6, or 7 with the year",
        ),
        (
            ("data", "executionConfig", "intervalUnit"),
            "WEEK",
            "executionConfig: intervalUnit 'WEEK' isn't known; units there are: SECOND, MINUTE, HOUR, DAY",
        ),
    ],
)
def test_it_says_what_is_wrong_where(path, value, said):
    assert said in problems(put(GOOD, path, value))


def test_it_says_all_at_once():
    bad = put(put(GOOD, ("data", "nodes", 1, "type"), "JOB"), ("data", "nodes", 2, "indexType"), "PERL")

    assert len(problems(bad)) == 2


def test_a_file_param_without_its_file_is_named():
    file = {"key": "table", "type": "FILE", "value": ""}

    assert missing_files(put(GOOD, ("data", "nodes", 1, "params", "values"), [file])) == ["a.table"]
