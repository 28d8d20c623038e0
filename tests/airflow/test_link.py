"""The task's button “FlowEngine run” and its XComs: there as soon as there is a run, and whatever becomes of it."""

from importlib.metadata import version

import pytest

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineResumePipelineRunOperator,
    FlowEngineStartPipelineOperator,
)
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_the_link_leads_to_the_runs_page_however_the_run_ends(run_task, emulator, pipeline, outcome, deferrable):
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline(duration=0.1, outcome=outcome),
        poll_interval=0.05,
        deferrable=deferrable,
    )

    assert task.link == emulator.run_url(1, 1)
    assert task.xcoms["flowengine_run"]["run_id"] == 1
    assert task.xcoms["flowengine_run"]["pipeline_id"] == 1


def test_each_mapped_task_has_a_link_of_its_own(dag, run, emulator, pipeline, deferrable):
    pipelines = [pipeline("a"), pipeline("b", outcome="failed")]
    FlowEngineStartPipelineOperator.partial(task_id="task", dag=dag, deferrable=deferrable).expand(
        pipeline_id=pipelines
    )
    tasks = run(dag).mapped("task")

    assert [task.state for task in tasks] == ["success", "failed"]
    for task in tasks:
        known = task.xcoms["flowengine_run"]
        assert task.link == emulator.run_url(known["pipeline_id"], known["run_id"])
    assert tasks[0].link != tasks[1].link


def test_a_resumed_run_has_its_link_too(run_task, emulator, pipeline):
    emulator.engine.start(pipeline(outcome="failed_once"))
    task = run_task(FlowEngineResumePipelineRunOperator, pipeline_id=1, run_id=1, poll_interval=0.05)

    assert task.link == emulator.run_url(1, 1)


class ReferenceBackend:
    """An XCom backend that keeps the values itself, and leaves Airflow a reference to each."""

    def __init__(self):
        self.values = []

    def serialize_value(self, value, **where):
        self.values.append(value)
        return f"reference {len(self.values) - 1}"

    def deserialize_value(self, result):
        return self.values[int(result.value.removeprefix("reference "))]


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2.11's page reads XComs through their backend")
@pytest.mark.parametrize("operator", [FlowEngineStartPipelineOperator, FlowEnginePipelineRunSensor])
def test_the_link_leads_to_the_run_where_a_backend_keeps_the_xcoms(
    run_task, emulator, pipeline, deferrable, operator, monkeypatch
):
    from airflow.sdk.bases.xcom import BaseXCom

    backend = ReferenceBackend()
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", "deployment.ReferenceBackend")
    monkeypatch.setattr(BaseXCom, "serialize_value", backend.serialize_value)
    monkeypatch.setattr(BaseXCom, "deserialize_value", backend.deserialize_value)
    pipeline_id = pipeline(duration=0.1)
    which = {}
    if operator is FlowEnginePipelineRunSensor:
        which = {"run_id": emulator.engine.start(pipeline_id).id}
    task = run_task(operator, pipeline_id=pipeline_id, deferrable=deferrable, **which)

    assert task.state == "success"
    assert task.link == emulator.run_url(1, 1)
    assert task.xcoms["flowengine_run_url"].startswith("reference ")
    assert emulator.run_url(1, 1) in backend.values


class TaskInstance:
    """A task instance that notes what FlowEngine had been asked when something was first pushed."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.pushed = {}

    def xcom_push(self, key, value):
        self.pushed.setdefault(key, [call["name"] for call in self.emulator.calls()])


def test_the_link_is_pushed_before_the_run_is_waited_for(emulator, pipeline, after_polls):
    ti = TaskInstance(emulator)
    pipeline()  # so that the run's id is not its pipeline's, which an answer to a start may mean too
    operator = FlowEngineStartPipelineOperator(
        task_id="task", pipeline_id=pipeline(duration="forever"), poll_interval=0.05, durable=False
    )
    after_polls(8, emulator.engine.finish, 1)
    operator.execute({"ti": ti})

    known = ["engine_url", "engine_id", "history", "start", "history"]
    assert ti.pushed["flowengine_run_url"] == known
    assert len(emulator.calls()) > len(known)


def test_a_run_that_cannot_be_pushed_is_waited_for_all_the_same(emulator, pipeline, log):
    operator = FlowEngineStartPipelineOperator(
        task_id="task", pipeline_id=pipeline(duration=0.1), poll_interval=0.05, durable=False
    )

    assert operator.execute({"ti": object()}) == 1
    assert "could not be saved" in log.text


def test_a_task_that_starts_no_run_has_no_link(run_task, emulator, pipeline, deferrable):
    task = run_task(FlowEngineStartPipelineOperator, pipeline_key="no-such-pipeline", deferrable=deferrable)

    assert task.state == "failed"
    assert not task.link
