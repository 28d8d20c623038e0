"""One contract: the whole hook, and a DAG that starts and waits, against every FlowEngine that there is."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from airflow_provider_flowengine.hooks import flowengine as hook_module
from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol.errors import AmbiguousRunError, ConfigurationError, PipelineNotFoundError
from airflow_provider_flowengine.protocol.versions import AUTOML, COMMERCIAL, KERNEL

VERSIONS = {"2020": COMMERCIAL, "0.0.3.2": AUTOML, "0.0.3.4": KERNEL}
AWAY = 0.4
"""Seconds that the engine is away."""

WORLDS = [
    (version, *world)
    for version in VERSIONS
    for world in [
        ("user", "never", "there"),
        ("user", "always", "there"),
        ("access_key", "asked", "there"),
        ("session", "never", "there"),
        ("user", "never", "away"),
    ]
]


@pytest.fixture(params=WORLDS, ids="-".join)
def world(request, emulator, monkeypatch):
    """An emulated FlowEngine of one kind; its connection says no more than it must."""
    like, authentication, pages, mood = request.param
    emulator.reset(
        like,
        node_seconds=0,
        stop_seconds=0,
        authentication=authentication,
        pipelines_paging=pages,
        pipelines_page_size=2,
    )
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection())
    return World(emulator, VERSIONS[like], is_away=mood == "away")


class World:
    def __init__(self, emulator, version, is_away):
        self.emulator, self.version, self.is_away = emulator, version, is_away

    def disturb(self):
        """Take the engine away for a moment, where that is what this world is about."""
        if self.is_away:
            self.emulator.take_away(AWAY)


def definition(key, **params):
    values = [{"key": name, "value": str(value), "type": "TEXT"} for name, value in params.items()]
    node = {"nodeId": "n1", "name": "train", "type": "TASK", "indexType": "SHELL", "params": {"values": values}}
    return {"pipelineKey": key, "name": f"Pipeline {key}", "describe": "", "nodes": [node], "edges": []}


def test_the_whole_hook(world, tmp_path):
    hook = FlowEngineHook()
    works, says = hook.test_connection()
    assert works, says
    assert world.version.name in says

    world.disturb()
    created = [hook.create_pipeline(definition(f"key-{number}", duration=0)).id for number in range(5)]
    assert sorted(pipeline.id for pipeline in hook.list_pipelines()) == created
    pipeline = hook.find_pipeline(key="key-4")
    assert pipeline == hook.find_pipeline(name="Pipeline key-4")
    with pytest.raises(PipelineNotFoundError, match="did you mean 'key-0'"):
        hook.find_pipeline(key="kye-0")

    world.disturb()
    whole = hook.get_pipeline(pipeline.id).content
    whole["data"]["describe"] = "changed"
    hook.update_pipeline(whole)
    assert hook.get_pipeline(pipeline.id).content == whole

    world.disturb()
    hook.set_schedule(pipeline.id, True)
    world.disturb()
    hook.set_schedule(pipeline.id, False)

    world.disturb()
    (tmp_path / "train.csv").write_text("a,b\n")
    hook.upload_file(tmp_path / "train.csv")

    world.disturb()
    run = hook.start_pipeline(pipeline.id, {"train": {"duration": 0.2}})
    assert hook.wait_for_run(pipeline.id, run.id, poll_interval=0.05).state == "succeeded"
    assert [found.id for found in hook.list_runs(pipeline.id)] == [run.id]
    assert hook.get_run(pipeline.id, run.id).state == "succeeded"

    long = hook.start_pipeline(pipeline.id, {"train": {"duration": 60}})
    world.disturb()
    assert hook.stop_run(long.id, pipeline.id)
    world.disturb()
    hook.resume_run(long.id, pipeline.id)
    assert hook.get_run(pipeline.id, long.id).state == "running"
    assert len(hook.list_runs(pipeline.id)) == 2


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_dag_that_starts_and_waits(world, run_task, pipeline, deferrable):
    pipeline_id = pipeline("nightly", duration=0.3)
    world.disturb()
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_key="nightly",
        job_params={"train": {"duration": 0.1}},
        poll_interval=0.05,
        deferrable=deferrable,
    )

    assert (task.state, task.error) == ("success", "")
    assert [run.id for run in world.emulator.engine.runs(pipeline_id)[0]] == [task.returned]


@pytest.mark.parametrize(
    ("like", "api_root", "right"),
    [("2020", "kernel/v1", "automl/v1"), ("0.0.3.2", "kernel/v1", "automl/v1"), ("0.0.3.4", "automl/v1", "kernel/v1")],
)
def test_a_task_says_what_to_set_if_the_connection_names_the_wrong_generation(
    emulator, monkeypatch, run_task, like, api_root, right
):
    emulator.reset(like)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(api_root=api_root))
    task = run_task(FlowEngineStartPipelineOperator, pipeline_key="nightly", retries=2)

    assert isinstance(task.errors[-1], ConfigurationError)
    assert f"api_root: set it to {right} in connection flowengine_default" in task.error


def test_a_definition_as_flowengine_shows_it_survives_unchanged(emulator):
    """As a node of each kind of the vendor's model has it."""
    odd = {
        "sensorJobConfig": {
            "sensor_type": "PULL",
            "message_topic": None,
            "check_inteval": 5,
            "interval_unit": "MINUTE",
        },
        "openNodeMsgTopicConfig": [{"type": "POST_START", "topic": "PIPELINE_236_JOB_n1_POST_START", "describe": ""}],
        "outputConfig": {"outPutNodeId": "n1", "outputType": "Table", "outPutFileKey": "outputFile"},
        "executionConfig": {"run_mode": "SINGLE", "retry_count": 1, "time_out": None},
    }
    shown = definition("adopted")
    shown["nodes"][0] |= odd | {"id": 7, "runId": 8}
    hook = FlowEngineHook()
    first = hook.create_pipeline(shown)
    copy = hook.create_pipeline({**hook.get_pipeline(first.id).content, "pipelineKey": "copy"})

    content = hook.get_pipeline(copy.id).content
    assert copy.id != first.id
    assert {name: content["data"]["nodes"][0][name] for name in odd} == odd
    assert (content["pipelineKey"], content["id"]) == ("copy", copy.id)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "Asia/Kathmandu"])
def test_the_zone_of_text_times_is_found_out_by_a_start(emulator, monkeypatch, pipeline, zone):
    emulator.reset(times="text", timezone=zone, node_seconds=0)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timezone=""))
    before = datetime.now(UTC) - timedelta(seconds=5)
    hook = FlowEngineHook()
    run = hook.start_pipeline(pipeline())

    assert before <= run.started <= datetime.now(UTC)
    assert before <= hook.get_run(1, run.id).started <= datetime.now(UTC)


def test_west_of_utc_a_run_that_seems_too_early_is_not_taken_and_the_zone_is_reported(emulator, monkeypatch, pipeline):
    emulator.reset(times="text", timezone="America/St_Johns", node_seconds=0)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timezone=""))
    monkeypatch.setattr(hook_module, "start_once", partial(hook_module.start_once, confirmation_timeout=1))

    with pytest.raises(AmbiguousRunError, match="the connection's timezone is wrong"):
        FlowEngineHook().start_pipeline(pipeline())


def test_the_test_of_a_connection_shows_a_zone_that_is_hours_off(emulator, monkeypatch, pipeline):
    emulator.reset(times="text", timezone="Asia/Shanghai", node_seconds=0)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timezone="UTC"))
    FlowEngineHook().start_pipeline(pipeline())
    works, says = FlowEngineHook().test_connection()

    assert works
    assert "read as UTC, which is wrong: a run of pipeline 1 seems to be 8.0 hours ahead" in says


def test_a_zone_that_the_connection_names_wrongly_is_reported_in_the_tasks_log(
    emulator, monkeypatch, pipeline, run_task, log
):
    emulator.reset(times="text", timezone="Asia/Shanghai", node_seconds=0)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timezone="Europe/Berlin"))
    run_task(FlowEngineStartPipelineOperator, pipeline_id=pipeline(), poll_interval=0.05)

    assert log.ours.count("(type flowengine) names the time zone Europe/Berlin") == 1
