"""The XCom that a deferred task's trigger writes: at each change, seldom enough, and never in the wait's way."""

import asyncio
import json
import threading
import time
from importlib.metadata import version
from itertools import pairwise
from types import SimpleNamespace

import pytest

from airflow_provider_flowengine.protocol.models import Node, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.progress import describe_progress
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.triggers import progress
from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

pytest.importorskip("fastapi")

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
writes_xcom = pytest.mark.skipif(AIRFLOW < (3, 0), reason="a trigger of Airflow 2.11 writes no XCom")
TASK = SimpleNamespace(dag_id="train", task_id="start", run_id="manual", map_index=-1)


class Supervisor:
    """A triggerer's supervisor, as far as it concerns XCom."""

    def __init__(self):
        self.values = {}
        self.writes = []
        self.reads = 0
        self.fails = None

    def send(self, message):
        """Answer a message."""
        from airflow.sdk.execution_time import comms

        if not isinstance(message, comms.SetXCom | comms.GetXCom):  # such as what is to be masked
            return None
        if self.fails:
            self.fails()
        if isinstance(message, comms.SetXCom):
            self.values[message.key] = message.value
            self.writes.append((time.monotonic(), message.value))
            return None
        self.reads += 1
        return comms.XComResult(key=message.key, value=self.values.get(message.key))

    async def asend(self, message):
        """Answer a coroutine's message."""
        return self.send(message)

    @property
    def told(self):
        """What was written, in order: the run's state and each node's."""
        return [(value["state"], {node["id"]: node["state"] for node in value["nodes"]}) for _, value in self.writes]


@pytest.fixture
def supervisor(monkeypatch, airflow_db):
    supervisor = Supervisor()
    if AIRFLOW >= (3, 0):
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


@pytest.fixture
def trigger(emulator, monkeypatch):
    """Build a task's trigger; nodes are asked for as often as it polls."""
    monkeypatch.setenv("AIRFLOW__FLOWENGINE__NODE_REQUESTS_PER_SECOND", "100")
    monkeypatch.setenv("AIRFLOW__FLOWENGINE__NODE_REQUEST_INTERVAL", "0")
    monkeypatch.setattr("airflow_provider_flowengine.triggers.flowengine.MIN_DEFERRAL", 0.0)

    def trigger(task_instance=TASK, **arguments):
        trigger = FlowEnginePipelineRunTrigger(
            flowengine_conn_id="flowengine_default",
            engine_key="demo",
            engine_url="/engine/15/cess-data-3",
            engine_id=6,
            pipeline_id=1,
            run_id=1,
            poll_interval=0.05,
            **arguments,
        )
        trigger.task_instance = task_instance
        return trigger

    return trigger


async def fire(trigger):
    """Return the trigger's one event, as it comes back from Airflow's database."""
    [event] = [event async for event in trigger.run()]
    return json.loads(json.dumps(event.payload))


async def until(true, seconds=15):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it didn't come true in time"
        await asyncio.sleep(0.01)


def finish_later(emulator, seconds):
    threading.Timer(seconds, emulator.engine.finish, [1]).start()


@writes_xcom
async def test_a_run_that_only_ends_costs_one_read_and_one_write(trigger, supervisor, emulator, pipeline, monkeypatch):
    monkeypatch.setenv("AIRFLOW__FLOWENGINE__NODE_REQUESTS_PER_SECOND", "0")
    emulator.engine.start(pipeline(duration="forever"))
    waiting = asyncio.create_task(fire(trigger()))
    await until(lambda: supervisor.writes)  # what the run's start time adds to what the worker knew
    await asyncio.sleep(1.1)
    supervisor.writes.clear()
    emulator.forget_calls()  # the last test's poller may have sent one that has only just arrived
    emulator.engine.finish(1)
    event = await waiting

    assert supervisor.told == [("succeeded", {})]
    assert supervisor.reads == 1
    assert (event["run"]["state"], event["published"]) == ("succeeded", True)
    assert emulator.count("run") == 0


@writes_xcom
async def test_an_unchanged_run_is_not_written_again(trigger, supervisor, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    waiting = asyncio.create_task(fire(trigger()))
    await until(lambda: supervisor.writes and supervisor.told[-1][1])
    await asyncio.sleep(1.1)
    before = emulator.count("history")
    await until(lambda: emulator.count("history") > before + 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert supervisor.told in ([("running", {}), ("running", {"n1": "running"})], [("running", {"n1": "running"})])

    supervisor.writes.clear()  # another triggerer takes over
    before = emulator.count("history")
    waiting = asyncio.create_task(fire(trigger()))
    await until(lambda: emulator.count("history") > before + 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert supervisor.told == []


@writes_xcom
async def test_each_change_of_a_node_is_written_at_most_once_a_second(trigger, supervisor, emulator):
    emulator.options.node_seconds = 0.3
    nodes = [{"nodeId": f"n{number}", "type": "TASK", "indexType": "PYTHON3"} for number in range(8)]
    edges = [{"id": str(n), "srcNodeId": f"n{n}", "destNodeId": f"n{n + 1}"} for n in range(7)]
    body = {"pipelineKey": "p", "data": {"name": "p", "nodes": nodes, "edges": edges}}
    emulator.engine.create_pipeline(body)
    emulator.engine.start(1)
    began = time.monotonic()
    await fire(trigger())
    took = time.monotonic() - began
    moments = [moment for moment, _ in supervisor.writes]

    assert 2 <= len(moments) <= took + 2
    assert all(later - earlier >= 0.95 for earlier, later in pairwise(moments))
    assert len({str(states) for _, states in supervisor.told}) == len(moments)


@writes_xcom
async def test_what_the_worker_has_read_of_the_pipeline_stays(trigger, supervisor, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    known = Pipeline(
        1,
        "Nightly",
        "nightly",
        (Node("n0"), Node("n1")),
        {"data": {"edges": [{"srcNodeId": "n0", "destNodeId": "n1"}]}},
    )
    run = PipelineRun(1, 1, "running", RunState.RUNNING)
    supervisor.values["flowengine_run"] = describe_progress(run, known)
    finish_later(emulator, 0.3)
    event = await fire(trigger())

    assert event["run"]["edges"] == [["n0", "n1"]]
    assert (event["run"]["pipeline_name"], [node["id"] for node in event["run"]["nodes"]]) == ("Nightly", ["n0", "n1"])


async def test_a_trigger_without_a_task_writes_nothing(trigger, supervisor, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    finish_later(emulator, 0.2)
    event = await fire(trigger(task_instance=None))

    assert (event["outcome"], event["published"]) == ("ended", False)
    assert (supervisor.reads, supervisor.writes) == (0, [])


@writes_xcom
async def test_a_write_that_fails_is_logged_once_and_harms_no_wait(trigger, supervisor, emulator, pipeline, log):
    def fail():
        raise OSError("Airflow's API server is down")

    supervisor.fails = fail
    emulator.engine.start(pipeline(duration="forever"))
    finish_later(emulator, 1.5)
    event = await fire(trigger())

    assert (event["outcome"], event["published"]) == ("ended", False)
    assert log.ours.count("can't be written: OSError: Airflow's API server is down") == 1


@writes_xcom
async def test_a_write_that_hangs_holds_the_end_up_for_a_bounded_time(
    trigger, supervisor, emulator, pipeline, monkeypatch
):
    monkeypatch.setattr(progress, "MAX_WRITE_TIME", 0.2)
    hanging = threading.Event()
    supervisor.fails = lambda: hanging.wait(5)
    emulator.engine.start(pipeline(duration="forever"))
    finish_later(emulator, 0.2)
    began = time.monotonic()
    event = await fire(trigger())
    took = time.monotonic() - began
    hanging.set()

    assert event["outcome"] == "ended"
    assert took < 4


async def test_the_log_of_a_deferred_task_tells_its_nodes(trigger, emulator, pipeline, log):
    texts = {"load": "0.1", "train": "forever"}
    job = {"type": "TASK", "indexType": "SHELL"}
    nodes = [
        {"nodeId": name, **job, "params": {"values": [{"key": "duration", "value": text, "type": "TEXT"}]}}
        for name, text in texts.items()
    ]
    emulator.engine.start(emulator.engine.create_pipeline({"data": {"name": "two", "nodes": nodes, "edges": []}}).id)
    waiting = asyncio.create_task(fire(trigger()))
    await until(lambda: "node load: succeeded" in log.ours)
    emulator.engine.finish(1)

    assert {each["id"] for each in (await waiting)["run"]["nodes"]} == {"load", "train"}
