"""The start operator: what it waits for, what it returns, and what it tells when a run doesn't end well."""

from contextlib import suppress
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol.errors import (
    NodeNotFoundError,
    PipelineNotFoundError,
    RequestRejectedError,
    RunFailedError,
    RunStoppedError,
    RunTimeoutError,
)

READS_TO_START = 3
"""Requests for the run that a start makes: for the baseline, and to find its run."""


def names(emulator):
    return [call["name"] for call in emulator.calls()]


# --- the run ends well ------------------------------------------------------------------------------------------------


def test_it_waits_for_the_run_and_returns_its_id(start, emulator, pipeline, deferrable):
    task = start(pipeline_id=pipeline(duration=0.2), deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)
    assert emulator.engine.run(1).state(emulator.clock.now()) == "succeeded"


@pytest.mark.parametrize("named", [{"pipeline_id": "1"}, {"pipeline_key": "nightly"}, {"pipeline_name": "Nightly run"}])
def test_the_pipeline_is_named_by_id_key_or_name(start, emulator, pipeline, named, deferrable):
    pipeline("nightly", name="Nightly run")

    assert start(**named, deferrable=deferrable).returned == 1


def test_every_name_is_a_template(start, emulator, pipeline, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_RISK", emulator.connection(engine_key="unused"))
    task = start(
        pipeline_id="{{ dag_run.conf['pipeline'] }}",
        job_params={"train": {"epochs": "{{ dag_run.conf['epochs'] }}"}},
        flowengine_conn_id="flowengine_{{ dag_run.conf['team'] }}",
        engine_key="{{ dag_run.conf['engine'] }}",
        conf={"pipeline": pipeline(epochs=1), "epochs": 5, "team": "risk", "engine": "demo"},
    )

    assert task.returned == 1
    assert emulator.engine.run(1).params == {"n1": {"epochs": "5"}}
    assert task.rendered["pipeline_id"] == "1"


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
@pytest.mark.parametrize(
    "job_params",
    [
        {"train": {"epochs": "{{ dag_run.conf['epochs'] }}"}},
        "{{ {'train': {'epochs': dag_run.conf['epochs']}} }}",
        "{{ {'train': {'epochs': dag_run.conf['epochs']}} | tojson }}",
    ],
    ids=["in a dict", "a dict", "JSON"],
)
def test_job_params_are_rendered_as_text_or_natively(dag, run, emulator, pipeline, native, job_params):
    dag.render_template_as_native_obj = native
    FlowEngineStartPipelineOperator(
        task_id="task", dag=dag, pipeline_id="{{ dag_run.conf['pipeline'] }}", job_params=job_params
    )
    task = run(dag, {"pipeline": pipeline(epochs=1), "epochs": 5})["task"]

    assert task.returned == 1
    assert emulator.engine.run(1).params == {"n1": {"epochs": "5"}}


def test_ids_come_from_other_tasks(dag, run, emulator, pipeline):
    from airflow.providers.common.compat.sdk import task

    pipeline_id = pipeline(epochs=1)

    @task(multiple_outputs=True)
    def choose():
        return {"pipeline": str(pipeline_id), "params": {"train": {"epochs": 7}}}

    with dag:
        chosen = choose()
        FlowEngineStartPipelineOperator(
            task_id="task", pipeline_id=chosen["pipeline"], job_params=chosen["params"], poll_interval=0.05
        )

    assert run(dag)["task"].returned == 1
    assert emulator.engine.run(1).params == {"n1": {"epochs": "7"}}


def test_it_is_mapped_over_pipelines(dag, run, emulator, pipeline, deferrable):
    ids = [pipeline("a"), pipeline("b"), pipeline("c")]
    FlowEngineStartPipelineOperator.partial(task_id="task", dag=dag, poll_interval=0.05, deferrable=deferrable).expand(
        pipeline_id=ids
    )
    tasks = run(dag).mapped("task")

    assert [task.state for task in tasks] == ["success"] * 3
    assert sorted(task.returned for task in tasks) == [1, 2, 3]
    assert [task.xcoms["flowengine_run"]["pipeline_id"] for task in tasks] == ids


def test_it_is_mapped_over_job_params(dag, run, emulator, pipeline):
    FlowEngineStartPipelineOperator.partial(
        task_id="task", dag=dag, pipeline_id=pipeline(region=""), poll_interval=0.05
    ).expand(job_params=[{"train": {"region": region}} for region in ("north", "south")])
    tasks = run(dag).mapped("task")

    regions = [emulator.engine.run(task.returned).params["n1"]["region"] for task in tasks]
    assert regions == ["north", "south"]


def test_without_waiting_it_ends_once_the_run_is_started(start, emulator, pipeline, deferrable):
    task = start(pipeline_id=pipeline(duration="forever"), wait_for_completion=False, deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)
    assert names(emulator)[-1] == "start" or names(emulator)[-1] == "history"
    assert emulator.count("stop") == 0


def test_a_run_that_is_over_before_it_would_defer_does_not_defer(start, emulator, pipeline, log):
    emulator.options.start_answer = "empty"
    task = start(pipeline_id=pipeline(), deferrable=True)

    assert task.returned == 1
    assert "in the triggerer" not in log.text


@pytest.mark.parametrize("answer", ["run", "run_without_id", "empty", "pipeline"])
def test_the_run_is_known_whatever_the_start_answers(start, emulator, pipeline, answer):
    emulator.options.start_answer = answer

    assert start(pipeline_id=pipeline(duration=0.2)).returned == 1
    assert emulator.count("start") == 1


# --- the run doesn't --------------------------------------------------------------------------------------------------


def test_a_failed_run_fails_the_task_with_what_is_known_of_it(start, emulator, pipeline, deferrable):
    task = start(pipeline_id=pipeline(duration=0.1, outcome="failed", message="no data"), deferrable=deferrable)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], RunFailedError)
    assert task.error.startswith("Node train (n1) failed: no data. Run 1 of pipeline 1 failed (status failed, after ")
    assert task.error.endswith(f"See {emulator.run_url(1, 1)}")


def test_a_failed_run_is_reported_without_its_nodes_if_flowengine_does_not_show_them(start, emulator, pipeline):
    emulator.options.one_run_call = False
    task = start(pipeline_id=pipeline(outcome="failed"))

    assert task.error.startswith("Run 1 of pipeline 1 failed (status failed, after 0.0 s). See http")


def test_a_run_that_somebody_stops_fails_the_task(start, emulator, pipeline, deferrable):
    emulator.options.words = {"succeeded": "TERMINATED"}
    task = start(pipeline_id=pipeline(duration=0.1), deferrable=deferrable)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], RunStoppedError)
    assert "Run 1 of pipeline 1 was stopped (status TERMINATED" in task.error


def test_a_run_that_takes_too_long_is_stopped(start, emulator, pipeline, deferrable):
    task = start(pipeline_id=pipeline(duration="forever"), timeout=0.2, deferrable=deferrable)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], RunTimeoutError)
    assert task.error == (
        "The timeout of 0.2 s is over: run 1 of pipeline 1 was still running (status running). The run was stopped. "
        f"See {emulator.run_url(1, 1)}"
    )
    assert emulator.engine.run(1).state(emulator.clock.now() + 1) == "stopped"
    assert emulator.count("stop") == 1


def test_a_run_that_takes_too_long_keeps_running_if_cancel_on_kill_is_off(start, emulator, pipeline, log, deferrable):
    pipeline_id = pipeline(duration="forever")
    task = start(pipeline_id=pipeline_id, timeout=0.2, cancel_on_kill=False, deferrable=deferrable)

    assert task.state == "failed"
    assert emulator.count("stop") == 0
    assert "run 1 of pipeline 1 is left running, since cancel_on_kill is off" in log.ours
    assert "The run is left running, since cancel_on_kill is off." in task.error


@pytest.mark.parametrize("timeout", [1e300, timedelta.max])
def test_a_timeout_beyond_any_date_is_without_end(start, emulator, pipeline, timeout, deferrable):
    task = start(pipeline_id=pipeline(duration=0.2), timeout=timeout, deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)


def test_execution_timeout_stops_the_run(start, emulator, pipeline, deferrable):
    with suppress(AirflowTaskTimeout):  # the dag.test() of Airflow 2.11 doesn't hold it
        task = start(
            pipeline_id=pipeline(duration="forever"), execution_timeout=timedelta(seconds=1.5), deferrable=deferrable
        )
        assert task.state == "failed"
        assert task.error.startswith("The execution_timeout of 1.5 s is over: run 1 of pipeline 1 was still running")
        assert task.error.endswith(f"The run was stopped. See {emulator.run_url(1, 1)}")

    assert emulator.engine.run(1).state(emulator.clock.now() + 1) == "stopped"
    assert emulator.count("stop") == 1


# --- nothing is started -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job_params", "why"),
    [
        (
            {"trian": {"epochs": 5}},
            "job_params: pipeline 1 has no node 'trian'; did you mean 'train'? nodes there are: n1 (train)",
        ),
        (
            {"train": {"epoch": 5}},
            "job_params: node 'train' of pipeline 1 has no parameter 'epoch'; did you mean 'epochs'? "
            "parameters there are: epochs",
        ),
    ],
    ids=["node", "key"],
)
def test_job_params_for_what_does_not_exist_are_refused_with_what_does(start, emulator, pipeline, job_params, why):
    task = start(pipeline_id=pipeline(epochs=3), job_params=job_params)

    assert isinstance(task.errors[-1], NodeNotFoundError)
    assert task.error == why
    assert emulator.count("start") == 0


def test_job_params_that_are_no_objects_are_refused(start, emulator, pipeline):
    task = start(pipeline_id=pipeline(epochs=3), job_params={"train": "{{ 5 }}"})

    assert task.error == "job_params: node 'train' must be given an object {key: value}, not '5'"
    assert emulator.count("start") == 0


def test_a_pipeline_that_does_not_exist(start, emulator, pipeline):
    pipeline("nightly", name="Nightly run")
    task = start(pipeline_key="daily")

    assert isinstance(task.errors[-1], PipelineNotFoundError)
    assert "no pipeline of key 'daily'; keys there are: nightly" in task.error


def test_what_flowengine_says_no_with_is_reported_as_it_said_it(start, emulator, pipeline):
    emulator.options.refuse_start = "任务队列已满"
    task = start(pipeline_id=pipeline(), retries=1)

    assert [type(error) for error in task.errors] == [RequestRejectedError, RequestRejectedError]
    assert "FlowEngine refused to start pipeline 1: 任务队列已满" in task.error


def test_a_start_that_was_surely_not_processed_is_sent_again(start, emulator, pipeline):
    emulator.fail("start", status=404)
    task = start(pipeline_id=pipeline())

    assert task.returned == 1
    assert emulator.count("start") == 2
    assert len(emulator.engine.runs(1)[0]) == 1


# --- what goes wrong while it waits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "broken_json", "envelope"])
def test_a_poll_that_fails_does_not_fail_the_task(start, emulator, pipeline, kind, deferrable):
    emulator.fail("history", "run", kind=kind, skip=READS_TO_START)
    task = start(pipeline_id=pipeline(duration=0.1), deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)
    assert emulator.count("start") == 1
