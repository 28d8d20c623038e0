"""A run's progress: one shape, whoever writes it and however much the server tells."""

import json
from datetime import UTC, datetime

from airflow_provider_flowengine.protocol.models import Node, NodeRun, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.progress import MAX_MESSAGE_LENGTH, describe_progress, run_from_progress
from airflow_provider_flowengine.protocol.status import RunState

STARTED = datetime(2026, 11, 26, 8, tzinfo=UTC)
TRAINED = NodeRun("train", "Train", "SUCCEEDED", RunState.SUCCEEDED, STARTED, STARTED, "done")
RUN = PipelineRun(17, 12, "RUNNING", RunState.RUNNING, STARTED, trigger="cron", nodes=(TRAINED,))
PIPELINE = Pipeline(
    12,
    "Churn model",
    "churn_model",
    nodes=(Node("fetch", "Fetch"), Node("train", "train.py"), Node("publish")),
    content={
        "data": {
            "edges": [
                {"srcNodeId": "fetch", "destNodeId": "train", "srcSlotId": "1"},
                {"srcNodeId": "fetch", "destNodeId": "train", "srcSlotId": "2"},
                {"srcNodeId": "train", "destNodeId": "publish"},
                {"srcNodeId": "train"},
            ]
        }
    },
)


def states(progress):
    return {node["id"]: node["state"] for node in progress["nodes"]}


def test_it_has_every_field_even_if_only_the_run_is_known():
    bare = PipelineRun(17, 12, "RUNNING", RunState.RUNNING)

    assert describe_progress(bare) == {
        "run_id": 17,
        "pipeline_id": 12,
        "pipeline_key": "",
        "pipeline_name": "",
        "status": "RUNNING",
        "state": "running",
        "started": None,
        "ended": None,
        "trigger": "",
        "nodes": [],
        "edges": [],
    }


def test_nodes_stand_in_the_definitions_order_and_those_that_the_run_does_not_mention_have_no_state():
    assert list(states(describe_progress(RUN, PIPELINE)).items()) == [
        ("fetch", None),
        ("train", "succeeded"),
        ("publish", None),
    ]


def test_a_node_tells_its_name_times_and_message():
    assert describe_progress(RUN, PIPELINE)["nodes"][1] == {
        "id": "train",
        "name": "Train",
        "state": "succeeded",
        "started": "2026-11-26T08:00:00+00:00",
        "ended": "2026-11-26T08:00:00+00:00",
        "message": "done",
    }


def test_nodes_that_several_slots_connect_have_one_edge():
    assert describe_progress(RUN, PIPELINE)["edges"] == [["fetch", "train"], ["train", "publish"]]


def test_what_only_the_worker_has_read_survives_an_update_from_the_triggerer():
    first = describe_progress(PipelineRun(17, 12, "RUNNING", RunState.RUNNING), PIPELINE)

    update = describe_progress(RUN, previous=first)

    assert (update["pipeline_key"], update["pipeline_name"]) == ("churn_model", "Churn model")
    assert update["edges"] == first["edges"]
    assert states(update) == {"fetch": None, "train": "succeeded", "publish": None}


def test_nodes_that_were_known_stay_if_the_next_answer_tells_none():
    update = describe_progress(PipelineRun(17, 12, "RUNNING", RunState.RUNNING), previous=describe_progress(RUN))

    assert states(update) == {"train": "succeeded"}


def test_an_earlier_progress_of_another_run_is_ignored():
    update = describe_progress(PipelineRun(18, 12, "RUNNING", RunState.RUNNING), previous=describe_progress(RUN))

    assert update["nodes"] == []


def test_a_long_message_is_cut():
    node = NodeRun("train", "Train", "FAILED", RunState.FAILED, message="x" * 100_000)
    run = PipelineRun(17, 12, "FAILED", RunState.FAILED, nodes=(node,))

    assert len(describe_progress(run)["nodes"][0]["message"]) == MAX_MESSAGE_LENGTH


def test_it_is_plain_json_and_comes_back_as_the_run_with_its_nodes():
    progress = describe_progress(RUN, PIPELINE)

    again = run_from_progress(json.loads(json.dumps(progress)))

    assert (again.id, again.state, again.started) == (17, RunState.RUNNING, STARTED)
    assert [(node.id, node.state, node.message) for node in again.nodes] == [("train", RunState.SUCCEEDED, "done")]
    assert describe_progress(again, previous=progress) == progress
