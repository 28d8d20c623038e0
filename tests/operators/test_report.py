"""What a task tells of its run: in its log, in its outlets' events, to OpenLineage."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


@pytest.fixture
def two_nodes(flowengine_emulator):
    """A pipeline of two nodes, ``fetch`` and then ``train``."""

    def make(**params):
        nodes = [
            {
                "nodeId": name,
                "name": name,
                "type": "TASK",
                "indexType": "SHELL",
                "params": {
                    "values": [{"key": key, "value": str(value), "type": "TEXT"} for key, value in each.items()]
                },
            }
            for name, each in (("fetch", {"duration": 0.3}), ("train", {"duration": 0.3, **params}))
        ]
        edges = [{"id": "e", "srcNodeId": "fetch", "destNodeId": "train"}]
        data = {"name": "nightly", "describe": "", "nodes": nodes, "edges": edges}
        return flowengine_emulator.engine.create_pipeline({"data": data, "pipelineKey": "nightly"}).id

    return make


# --- in XCom ----------------------------------------------------------------------------------------------------------


def test_times_are_in_the_zone_that_the_start_has_shown(start, emulator, pipeline, deferrable):
    emulator.reset(times="text", timezone="Asia/Shanghai", node_seconds=0)
    before = datetime.now(UTC) - timedelta(minutes=1)

    task = start(pipeline_id=pipeline(duration=1), deferrable=deferrable)

    told = task.xcoms["flowengine_run"]
    for name in ("started", "ended"):
        assert before < datetime.fromisoformat(told[name]) < before + timedelta(minutes=5)


def test_times_of_a_failed_run_are_in_that_zone_too(start, emulator, pipeline, deferrable):
    emulator.reset(times="text", timezone="Asia/Shanghai", node_seconds=0)
    before = datetime.now(UTC) - timedelta(minutes=1)

    task = start(pipeline_id=pipeline(duration=1, outcome="failed"), deferrable=deferrable)

    ended = datetime.fromisoformat(task.xcoms["flowengine_run"]["ended"])
    assert before < ended < before + timedelta(minutes=5)


def test_xcom_names_the_pipeline_and_shows_its_graph(start, emulator, two_nodes, deferrable):
    two_nodes()
    task = start(pipeline_key="nightly", job_params={"fetch": {"duration": 0.4}}, deferrable=deferrable)

    told = task.xcoms["flowengine_run"]
    assert (told["pipeline_key"], told["pipeline_name"]) == ("nightly", "nightly")
    assert told["edges"] == [["fetch", "train"]]
    assert [node["id"] for node in told["nodes"]] == ["fetch", "train"]


def test_xcom_knows_the_name_of_a_pipeline_that_was_found_by_its_key(start, emulator, pipeline, deferrable):
    pipeline("nightly", name="Nightly training", duration=0.3)
    task = start(pipeline_key="nightly", deferrable=deferrable)

    assert task.xcoms["flowengine_run"]["pipeline_name"] == "Nightly training"


@pytest.mark.parametrize("how", [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}], ids=str)
def test_a_sensors_xcom_names_the_pipeline_and_shows_its_nodes_at_their_end(run_task, emulator, pipeline, how):
    one = pipeline("nightly", name="Nightly training", duration=1)
    emulator.engine.start(one)

    task = run_task(FlowEnginePipelineRunSensor, pipeline_key="nightly", run_id=1, poke_interval=0.05, **how)

    told = task.xcoms["flowengine_run"]
    assert (told["pipeline_key"], told["pipeline_name"]) == ("nightly", "Nightly training")
    assert [node["state"] for node in told["nodes"]] == ["succeeded"]


# --- in the log -------------------------------------------------------------------------------------------------------


def test_a_success_reads_as_a_story_of_few_lines(start, emulator, two_nodes, log, deferrable):
    two_nodes()
    start(pipeline_key="nightly", deferrable=deferrable)

    lines = [line for line in log.ours.splitlines() if line.strip()]
    assert len(lines) <= 8, lines
    assert sum("Started run 1 of pipeline nightly. http" in line for line in lines) == 1
    for node in ("fetch", "train"):
        assert sum(f"node {node}: succeeded, after 0." in line for line in lines) <= 1
        assert not any(f"node {node}: running" in line for line in lines)
    assert sum("Run 1 of pipeline nightly succeeded after 0." in line for line in lines) == 1
    assert "Run 1 of pipeline nightly succeeded after 0." in lines[-1]


def test_each_node_is_logged_once_when_it_has_ended(start, emulator, two_nodes, log, deferrable):
    start(pipeline_id=two_nodes(duration=0.9), deferrable=deferrable)

    for node in ("fetch", "train"):
        assert len(re.findall(rf"node {node}: succeeded, after 0\.\d s", log.ours)) == 1


def test_a_failed_node_has_a_line_of_its_own_with_what_flowengine_says(start, emulator, two_nodes, log, deferrable):
    start(pipeline_id=two_nodes(outcome="failed", message="no data"), deferrable=deferrable)

    assert len(re.findall(r"  node train: failed, after 0\.\d s: no data", log.ours)) == 1


def test_xcom_holds_each_node_of_a_short_run_as_it_has_ended(start, emulator, two_nodes, deferrable):
    task = start(pipeline_id=two_nodes(duration=1), deferrable=deferrable)

    assert {node["state"] for node in task.xcoms["flowengine_run"]["nodes"]} == {"succeeded"}


def test_xcom_holds_each_node_as_it_has_ended(start, emulator, two_nodes, after_polls, deferrable):
    after_polls(6, emulator.clock.advance, 60)
    task = start(pipeline_id=two_nodes(duration=60), deferrable=deferrable)

    told = {node["id"]: node["state"] for node in task.xcoms["flowengine_run"]["nodes"]}
    assert told == {"fetch": "succeeded", "train": "succeeded"}


@pytest.mark.parametrize("how", [{"mode": "poke"}, {"mode": "reschedule"}, {"deferrable": True}], ids=str)
def test_a_sensor_logs_the_nodes_of_the_run_that_it_waits_for_too(run_task, emulator, two_nodes, log, how):
    one = two_nodes(duration=0.9)
    emulator.engine.start(one)

    run_task(FlowEnginePipelineRunSensor, pipeline_id=one, run_id=1, poke_interval=0.05, **how)

    assert len(re.findall(r"node train: succeeded, after 0\.\d s", log.ours)) == 1


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_sensor_sees_the_end_if_the_server_shows_no_nodes(run_task, emulator, pipeline, mode):
    emulator.options.one_run_call = False
    one = pipeline(duration=0.3)
    emulator.engine.start(one)

    task = run_task(FlowEnginePipelineRunSensor, pipeline_id=one, run_id=1, poke_interval=0.05, mode=mode)

    assert task.returned["state"] == "succeeded"


def test_a_wait_asks_for_no_more_of_the_history_than_it_needs(start, emulator, pipeline):
    emulator.options.one_run_call = False
    one = pipeline(duration=0)
    for _ in range(30):
        emulator.engine.start(one)

    start(pipeline_id=one, job_params={"n1": {"duration": "1"}})

    assert "page=1&size=2&" in emulator.calls("history")[-1]["query"]


@pytest.mark.parametrize("one_run_call", [True, False], ids=["with the one-run call", "without it"])
def test_watching_the_nodes_costs_no_more_requests_than_watching_the_run(start, emulator, pipeline, one_run_call):
    emulator.options.one_run_call = one_run_call
    start(pipeline_id=pipeline(duration=1.0))

    names = [call["name"] for call in emulator.calls()]
    after_start = names[names.index("start") + 1 :]
    if one_run_call:
        assert "history" not in after_start[after_start.index("run") :]  # the polls before that confirm the start
    else:
        assert len(after_start) - after_start.count("history") <= 1


# --- in the outlets' events -------------------------------------------------------------------------------------------


@pytest.fixture
def asset(airflow_db):
    """An asset that Airflow knows, as if a DAG with it had been parsed."""
    from airflow.providers.common.compat.sdk import Asset
    from airflow.utils.session import create_session

    asset = Asset("flowengine://gw.example.com/demo/nightly")
    with create_session() as session:
        for model, fields in _models()[:-1]:
            session.query(model).filter_by(**fields).delete()
            session.add(model(**fields))
    return asset


def _models():
    uri = "flowengine://gw.example.com/demo/nightly"
    if AIRFLOW >= (3, 0):
        from airflow.models.asset import AssetActive, AssetEvent, AssetModel

        return (AssetModel, {"name": uri, "uri": uri}), (AssetActive, {"name": uri, "uri": uri}), (AssetEvent, {})
    from airflow.models.dataset import DatasetEvent, DatasetModel

    return (DatasetModel, {"uri": uri}), (DatasetEvent, {})


def last_event():
    """The last event of an asset, as Airflow has stored it."""
    from airflow.utils.session import create_session

    event, _ = _models()[-1]
    with create_session() as session:
        return session.query(event).order_by(event.id.desc()).first().extra


def test_an_outlets_event_carries_the_run(start, emulator, pipeline, asset, deferrable):
    one = pipeline(duration=0.2)

    start(pipeline_id=one, deferrable=deferrable, outlets=[asset])

    payload = last_event()["payload"]
    assert (payload["run_id"], payload["pipeline_id"], payload["state"]) == (1, one, "succeeded")
    assert payload["run_url"].startswith(emulator.url)


def test_a_run_that_is_only_started_is_in_the_event_too(start, emulator, pipeline, asset):
    start(pipeline_id=pipeline(duration=99), wait_for_completion=False, outlets=[asset])

    assert last_event()["payload"]["state"] == "running"


def test_an_outlet_that_is_no_asset_fails_no_task(start, emulator, pipeline):
    from airflow.providers.common.compat.lineage.entities import File

    assert start(pipeline_id=pipeline(), outlets=[File("file://a")]).state == "success"


# --- to OpenLineage ---------------------------------------------------------------------------------------------------


@pytest.fixture
def told(dag, run):
    """Run the start operator, and return what OpenLineage's own extraction then gets of the task."""
    pytest.importorskip("airflow.providers.openlineage")
    seen = []

    def extract(context):
        from airflow.providers.openlineage.extractors.manager import ExtractorManager
        from airflow.utils.state import TaskInstanceState

        ti = context["ti"]
        state = TaskInstanceState.FAILED if context.get("exception") else TaskInstanceState.SUCCESS
        seen.append(ExtractorManager().extract_metadata(context["dag_run"], ti.task, state, task_instance=ti))

    def told(**arguments):
        FlowEngineStartPipelineOperator(
            task_id="task",
            dag=dag,
            on_success_callback=extract,
            on_failure_callback=extract,
            **{"poll_interval": 0.05, **arguments},
        )
        run(dag)
        [lineage] = seen
        return lineage

    return told


def test_openlineage_learns_of_the_run_and_its_pipeline(told, emulator, two_nodes, deferrable):
    two_nodes()

    lineage = told(pipeline_key="nightly", deferrable=deferrable)

    assert lineage.run_facets["externalQuery"].externalQueryId == "1"
    assert lineage.run_facets["externalQuery"].source == "flowengine"
    assert lineage.job_facets["flowengine_pipeline"].pipelineKey == "nightly"
    facet = lineage.run_facets["flowengine_run"]
    assert (facet.runId, facet.pipelineId, facet.state) == ("1", "1", "succeeded")
    assert facet.startedAt < facet.endedAt
    assert facet.runUrl.startswith(emulator.url)


def test_openlineage_learns_of_the_nodes_if_they_are_known(told, emulator, two_nodes):
    lineage = told(pipeline_id=two_nodes())

    nodes = lineage.run_facets["flowengine_run"].nodes
    assert [(node["id"], node["state"]) for node in nodes] == [("fetch", "succeeded"), ("train", "succeeded")]


def test_openlineage_learns_of_a_run_that_failed(told, emulator, two_nodes, deferrable):
    lineage = told(pipeline_id=two_nodes(outcome="failed"), deferrable=deferrable)

    facet = lineage.run_facets["flowengine_run"]
    assert (facet.state, [node["state"] for node in facet.nodes]) == ("failed", ["succeeded", "failed"])


def test_openlineage_learns_of_a_task_that_started_no_run(told, emulator):
    lineage = told(pipeline_id=4711)

    assert (lineage.run_facets, lineage.job_facets["flowengine_pipeline"].pipelineId) == ({}, "4711")


def test_openlineage_takes_the_datasets_from_inlets_and_outlets(told, emulator, pipeline, asset):
    from airflow.providers.common.compat.lineage.entities import File

    lineage = told(pipeline_id=pipeline(), inlets=[File("s3://bucket/raw.csv")], outlets=[asset])

    names = [[(dataset.namespace, dataset.name) for dataset in each] for each in (lineage.inputs, lineage.outputs)]
    assert names == [[("s3://bucket", "raw.csv")], [("flowengine://gw.example.com", "demo/nightly")]]


def test_without_openlineage_nothing_is_reported_and_nothing_fails(monkeypatch):
    monkeypatch.setitem(sys.modules, "airflow_provider_flowengine.lineage", None)  # as if it couldn't be imported
    task = FlowEngineStartPipelineOperator(task_id="task", pipeline_id=1)

    assert task.get_openlineage_facets_on_start() is None
    assert task.get_openlineage_facets_on_complete(None) is None


def test_facets_are_plain_json():
    from openlineage.client.serde import Serde

    from airflow_provider_flowengine.lineage import FlowEnginePipelineFacet

    facet = json.loads(Serde.to_json(FlowEnginePipelineFacet(pipelineKey="nightly")))

    assert facet["pipelineKey"] == "nightly"
