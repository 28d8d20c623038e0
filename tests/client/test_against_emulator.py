"""Both clients, in both generations, go through a pipeline's whole life on the emulator."""

from __future__ import annotations

import time

import pytest

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import (
    EngineNotFoundError,
    PipelineNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_flowengine.protocol.flow import Retry
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.job_params import resolve_job_params
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.starting import find_started_run, start_once
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.protocol.stopping import active_runs, resume, stop
from airflow_provider_flowengine.protocol.waiting import poll_until_done

pytest.importorskip("fastapi")

QUICK = Retry(first_delay=0.01, max_delay=0.01)


def definition(key="nightly", **params):
    values = [{"key": key, "value": value, "type": "TEXT"} for key, value in params.items()]
    node = {"nodeId": "n1", "name": "train", "type": "TASK", "indexType": "SHELL", "params": {"values": values}}
    return {"pipelineKey": key, "data": {"name": f"{key} 训练", "describe": "", "nodes": [node], "edges": []}}


class Engine:
    """The emulator's engine, as one client sees it."""

    def __init__(self, emulator, clients, **connection):
        self.emulator = emulator
        settings = Settings.build(fl_url=emulator.url, engine_key=emulator.engine_key, **connection)
        self.api = Api(settings, retry=QUICK)
        self.run = clients.client(settings).run

    def create(self, **params):
        return self.run(self.api.create_pipeline(definition(**params))).id

    def start(self, pipeline_id, job_params=None, **options):
        return self.run(start_once(self.api, pipeline_id, job_params, **options))

    def wait(self, run):
        monitor = RunMonitor(run.id, run.pipeline_id, PollOptions(poll_interval=0.02), started_at=self.api.now())
        return self.run(poll_until_done(self.api, monitor))

    def history(self, pipeline_id):
        return History(self.api, pipeline_id)


@pytest.fixture(params=["kernel/v1", "automl/v1"])
def engine(request, flowengine_emulator, clients):
    flowengine_emulator.options.generation = request.param.partition("/")[0]
    return Engine(flowengine_emulator, clients, api_root=request.param)


@pytest.fixture
def slow(engine):
    """Runs go on until they are stopped."""
    engine.emulator.options.node_seconds = 9999
    return engine


def test_a_pipeline_is_created_read_changed_and_listed(engine):
    pipeline_id = engine.create()

    pipeline = engine.run(engine.api.get_pipeline(pipeline_id))
    pipeline.content["data"]["describe"] = "每晚"
    engine.run(engine.api.update_pipeline(pipeline.content))

    assert (pipeline.name, pipeline.key) == ("nightly 训练", "nightly")
    assert engine.run(engine.api.get_pipeline(pipeline_id)).content["data"]["describe"] == "每晚"
    assert [each.id for each in engine.run(engine.api.list_pipelines())] == [pipeline_id]
    assert engine.run(engine.api.find_pipeline(key="nightly")).id == pipeline_id
    with pytest.raises(PipelineNotFoundError):
        engine.run(engine.api.get_pipeline(pipeline_id + 1))


def test_its_schedule_is_turned_on_and_off(engine):
    pipeline_id = engine.create()

    engine.run(engine.api.set_schedule(pipeline_id, True))
    engine.run(engine.api.set_schedule(pipeline_id, False))

    assert [engine.emulator.count(call) for call in ("schedule_on", "schedule_off", "start")] == [1, 1, 0]


def test_a_file_is_uploaded(engine, tmp_path):
    path = tmp_path / "训练.csv"
    path.write_bytes(b"a,b\n1,2\n")

    answer = engine.run(engine.api.upload_file(path))

    assert (answer["name"], answer["size"]) == ("训练.csv", 8)


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_it_is_started_with_params_and_waited_for(engine, outcome):
    pipeline_id = engine.create(outcome="succeeded")
    pipeline = engine.run(engine.api.get_pipeline(pipeline_id))

    run = engine.start(pipeline_id, resolve_job_params(pipeline, {"train": {"outcome": outcome}}))
    ended = engine.wait(run)

    assert ended.state is RunState(outcome)
    assert engine.emulator.count("start") == 1
    details = engine.run(engine.api.read_run(pipeline_id, run.id))
    assert [(node.id, node.state) for node in details.nodes] == [("n1", RunState(outcome))]


def test_a_run_is_stopped_and_resumed(slow):
    run = slow.start(slow.create())

    assert [each.id for each in slow.run(active_runs(slow.api, run.pipeline_id))] == [run.id]
    assert slow.run(stop(slow.api, run.pipeline_id, run.id)) is True
    assert slow.wait(run).state is RunState.STOPPED
    assert slow.run(stop(slow.api, run.pipeline_id, run.id)) is False

    slow.emulator.options.node_seconds = 0
    before = slow.run(resume(slow.api, run.pipeline_id, run.id))
    assert before.state is RunState.STOPPED
    assert slow.wait(run).state is RunState.SUCCEEDED
    with pytest.raises(RequestRejectedError):
        slow.run(resume(slow.api, run.pipeline_id, run.id))


SHAPES = [
    {"handshake": "top", "start_answer": "empty"},
    {"handshake": "nested", "start_answer": "pipeline"},
    {"envelope_status": "text", "ids": "text", "times": "text", "timezone": "Asia/Shanghai"},
    {"history_under": "", "history_order": "ascending", "start_answer": "run_without_id"},
    {"history_paging": "never", "history_order": "shuffled", "start_answer": "empty"},
    {"vocabulary": "chinese", "pipelines_under": "engineJobPipelineTemplateList"},
    {"vocabulary": "success", "one_run_call": False, "strict_engine_id": True},
    {"success_status": 201},
    {"success_status": 202, "start_answer": "empty"},
    {"clock_skew": 3600, "history_delay": 0.05, "start_answer": "empty"},
]


@pytest.mark.parametrize(
    "shape", SHAPES, ids=lambda shape: " ".join(f"{name}={value}" for name, value in shape.items())
)
def test_a_run_is_started_and_waited_for_whatever_the_answers_look_like(engine, shape):
    pipeline_id = engine.create()
    for name, value in shape.items():
        setattr(engine.emulator.options, name, value)
    for run_id in (1, 2):
        run = engine.start(pipeline_id)
        assert engine.wait(run).state is RunState.SUCCEEDED
        assert run.id == run_id

    assert engine.emulator.count("start") == 2


@pytest.mark.parametrize("kind", ["status", "reset", "html", "broken_json"])
def test_a_start_whose_answer_is_lost_is_found_and_not_sent_again(engine, kind):
    pipeline_id = engine.create()
    engine.emulator.fail("start", kind=kind, where="after")

    run = engine.start(pipeline_id, confirmation_timeout=1.0)

    assert engine.wait(run).state is RunState.SUCCEEDED
    assert engine.emulator.count("start") == 1


def test_the_next_try_finds_the_run_of_one_that_was_broken_off(engine):
    pipeline_id = engine.create()
    intents = []

    engine.start(pipeline_id, save_intent=intents.append)

    found = engine.run(find_started_run(engine.api, intents[0], confirmation_timeout=1.0, deadline=time.time() + 2))
    assert found.id == 1


def test_an_engine_that_moves_is_followed(slow):
    run = slow.start(slow.create())
    slow.emulator.options.engine_url = "/engine/16/cess-data-3"

    assert slow.run(slow.history(run.pipeline_id).find(run.id)).state is RunState.RUNNING
    assert slow.api.engine.url == "/engine/16/cess-data-3"


def test_an_engine_that_is_restarted_on_the_same_port_is_found_again(slow):
    run = slow.start(slow.create())
    slow.emulator.stop()

    with pytest.raises(ServiceUnavailableError) as caught:
        slow.run(slow.history(run.pipeline_id).find(run.id))
    assert not caught.value.may_have_been_processed

    slow.emulator.start()
    assert slow.run(slow.history(run.pipeline_id).find(run.id)).state is RunState.RUNNING


def test_a_key_of_no_engine_is_reported(engine):
    engine.api.engine_key = "nowhere"

    with pytest.raises(EngineNotFoundError, match="nowhere"):
        engine.run(engine.api.resolve())
