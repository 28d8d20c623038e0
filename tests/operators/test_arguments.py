"""Arguments that can't be right: refused when the DAG file is read where they are known then, else before any call."""

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineResumePipelineRunOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineStartPipelineOperator,
    FlowEngineStopPipelineRunOperator,
    FlowEngineUpdatePipelineOperator,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

ABOUT_ONE_PIPELINE = [
    (FlowEngineStartPipelineOperator, {}),
    (FlowEngineStopPipelineRunOperator, {}),
    (FlowEngineResumePipelineRunOperator, {"run_id": 1}),
    (FlowEngineSetPipelineScheduleOperator, {"enabled": True}),
    (FlowEngineUpdatePipelineOperator, {"changes": {"pipelineKey": "new"}}),
    (FlowEnginePipelineRunSensor, {}),
]
about_one_pipeline = pytest.mark.parametrize(
    ("operator", "more"), ABOUT_ONE_PIPELINE, ids=[operator.__name__ for operator, _ in ABOUT_ONE_PIPELINE]
)

# --- when the DAG file is read ----------------------------------------------------------------------------------------


@about_one_pipeline
@pytest.mark.parametrize(
    ("named", "got"),
    [
        ({}, "got none"),
        ({"pipeline_id": 1, "pipeline_key": "nightly"}, "got pipeline_id and pipeline_key"),
        ({"pipeline_id": 1, "pipeline_name": "{{ params.name }}"}, "got pipeline_id and pipeline_name"),
    ],
    ids=["none", "two", "two, one a template"],
)
def test_a_pipeline_is_named_by_exactly_one_argument(operator, more, named, got):
    with pytest.raises(
        ConfigurationError, match=f"Task t: give exactly one of pipeline_id, pipeline_key, pipeline_name; {got}$"
    ):
        operator(task_id="t", **named, **more)


@about_one_pipeline
@pytest.mark.parametrize("nothing", ["", "  ", "None"])
def test_a_pipeline_named_by_nothing(operator, more, nothing):
    with pytest.raises(ConfigurationError, match=r"Task t: pipeline_key is '.*'; it must not be empty"):
        operator(task_id="t", pipeline_key=nothing, **more)


@pytest.mark.parametrize("value", [0, -5, timedelta(0), timedelta(seconds=-1), "30", True, float("nan")])
@pytest.mark.parametrize("name", ["poll_interval", "timeout", "unreachable_timeout", "start_confirmation_timeout"])
def test_a_length_of_time_is_positive(name, value):
    with pytest.raises(ConfigurationError, match=f"{name}: .* must be seconds or a timedelta, more than 0"):
        FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, **{name: value})


@pytest.mark.parametrize("value", [1, 0.5, timedelta(hours=6)])
def test_a_length_of_time_is_seconds_or_a_timedelta(value):
    FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, poll_interval=value, timeout=value)


@pytest.mark.parametrize("name", ["poke_interval", "timeout"])
def test_a_sensors_interval_is_not_negative(name):
    with pytest.raises((ValueError, AirflowException), match=f"{name}.* non-negative number"):
        FlowEnginePipelineRunSensor(task_id="t", pipeline_id=1, **{name: -5})


def test_a_sensors_patience_is_positive():
    with pytest.raises(ConfigurationError, match="unreachable_timeout: -1 must be seconds"):
        FlowEnginePipelineRunSensor(task_id="t", pipeline_id=1, unreachable_timeout=-1)


@pytest.mark.parametrize(
    ("operator", "arguments", "why"),
    [
        (
            FlowEngineStartPipelineOperator,
            {"pipeline_id": 1, "retry_mode": "again"},
            "Task t: retry_mode: 'again' must be one of restart, resume",
        ),
        (
            FlowEngineCreatePipelineOperator,
            {"pipeline": {}, "if_exists": "replace"},
            "Task t: if_exists: 'replace' must be one of fail, skip, update",
        ),
        (
            FlowEngineUpdatePipelineOperator,
            {"pipeline_id": 1},
            "Task t: give exactly one of changes, transform; got none",
        ),
        (
            FlowEngineStopPipelineRunOperator,
            {"pipeline_id": 1, "all_running": False},
            "Task t: give run_id, or leave all_running on",
        ),
        (
            FlowEnginePipelineRunSensor,
            {"pipeline_id": 1, "run_id": 2, "started_after": "2026-01-01"},
            "Task t: give run_id or started_after, not both",
        ),
    ],
)
def test_a_choice_that_does_not_exist(operator, arguments, why):
    with pytest.raises(ConfigurationError, match=why):
        operator(task_id="t", **arguments)


Start, Stop, Resume = (
    FlowEngineStartPipelineOperator,
    FlowEngineStopPipelineRunOperator,
    FlowEngineResumePipelineRunOperator,
)
OF_PIPELINE_1 = [
    (Start, {"job_params": [1]}, "job_params must be an object, not \\[1\\]"),
    (Start, {"job_params": {"a": 1}}, "job_params: node 'a' must be given an object {key: value}, not 1"),
    (Start, {"job_params": "epochs=3"}, "job_params is text that is no object: 'epochs=3'"),
    (Start, {"deferrable": "false"}, "deferrable is 'false'; it must be True or False"),
    (Start, {"flowengine_conn_id": ""}, "flowengine_conn_id is ''; it must not be empty"),
    (Start, {"flowengine_conn_id": None}, "flowengine_conn_id is None; it must not be empty"),
    (Start, {"engine_key": "None"}, "engine_key is 'None'; it must not be empty"),
    (Start, {"start_confirmation_timeout": -1}, "start_confirmation_timeout: -1 must be seconds or a timedelta"),
    (Stop, {"run_id": ""}, "run_id is ''; it must be an id: digits or text"),
    (Stop, {"all_running": "maybe"}, "all_running is 'maybe'; it must be true or false"),
    (Stop, {"poll_interval": -1}, "poll_interval: -1 must be seconds or a timedelta, more than 0"),
    (Resume, {"run_id": ""}, "run_id is ''; it must be an id: digits or text"),
    (Resume, {"run_id": None}, "run_id is None; it must be an id: digits or text"),
    (Resume, {"run_id": 1, "deferrable": "false"}, "deferrable is 'false'; it must be True or False"),
    (FlowEngineUpdatePipelineOperator, {"transform": "x"}, "transform is 'x'; it must be a function"),
    (FlowEngineUpdatePipelineOperator, {"changes": "x"}, "changes is text that is no object: 'x'"),
    (FlowEngineSetPipelineScheduleOperator, {"enabled": "maybe"}, "enabled is 'maybe'; it must be true or false"),
    (FlowEnginePipelineRunSensor, {"run_id": ""}, "run_id is ''; it must be an id: digits or text"),
    (FlowEnginePipelineRunSensor, {"started_after": "yesterday-ish"}, "started_after is 'yesterday-ish'; it must be a"),
    (FlowEnginePipelineRunSensor, {"deferrable": "false"}, "deferrable is 'false'; it must be True or False"),
    (FlowEnginePipelineRunSensor, {"flowengine_conn_id": ""}, "flowengine_conn_id is ''; it must not be empty"),
    (FlowEnginePipelineRunSensor, {"unreachable_timeout": -1}, "unreachable_timeout: -1 must be seconds"),
]


@pytest.mark.parametrize(("operator", "arguments", "why"), OF_PIPELINE_1)
def test_an_argument_that_cannot_be_right_is_named_with_its_task(operator, arguments, why):
    with pytest.raises(ConfigurationError, match=f"Task t: {why}"):
        operator(task_id="t", pipeline_id=1, **arguments)


@about_one_pipeline
@pytest.mark.parametrize("value", [1.5, True, [1], "", "None"])
def test_a_pipelines_id_that_is_no_id(operator, more, value):
    with pytest.raises(ConfigurationError, match=r"Task t: pipeline_id is .*; it must be an id: digits or text"):
        operator(task_id="t", pipeline_id=value, **more)


def test_what_is_known_only_when_the_task_runs_is_left_for_then(dag):
    from airflow.providers.common.compat.sdk import task

    @task
    def earlier():
        return None

    with dag:
        for number, later in enumerate([earlier(), "{{ params.later }}", "{% if true %}1{% endif %}"]):
            Start(
                task_id=f"start{number}",
                pipeline_id=later,
                job_params=later,
                flowengine_conn_id=later,
                engine_key=later,
            )
            Start(task_id=f"node{number}", pipeline_id=1, job_params={"train": later})
            Stop(task_id=f"stop{number}", pipeline_key=later, run_id=later, all_running=later)
            Resume(task_id=f"resume{number}", pipeline_name=later, run_id=later)
            FlowEngineUpdatePipelineOperator(task_id=f"update{number}", pipeline_id=later, changes=later)
            FlowEngineSetPipelineScheduleOperator(task_id=f"set{number}", pipeline_id=later, enabled=later)
            FlowEnginePipelineRunSensor(task_id=f"run{number}", pipeline_id=later, run_id=later)
            FlowEnginePipelineRunSensor(task_id=f"since{number}", pipeline_id=later, started_after=later)


# --- when the task runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pipeline_id", "pipeline_key", "pipeline_name"])
@pytest.mark.parametrize("template", ["{{ '' }}", "{{ none }}"], ids=["empty", "none"])
def test_a_template_that_renders_to_nothing_is_named(emulator, run_task, name, template):
    task = run_task(FlowEngineStartPipelineOperator, **{name: template})

    assert task.state == "failed"
    assert f"{name} has rendered to '" in task.error
    assert emulator.calls() == []


def test_a_native_template_that_renders_to_nothing(emulator, dag, run):
    dag.render_template_as_native_obj = True
    FlowEngineStartPipelineOperator(task_id="task", dag=dag, pipeline_id="{{ none }}")

    error = run(dag)["task"].error
    assert error == "None of pipeline_id, pipeline_key, pipeline_name is left after rendering; one must be"


@pytest.mark.parametrize(
    ("operator", "arguments", "why"),
    [
        (
            FlowEngineStartPipelineOperator,
            {"pipeline_id": 1, "job_params": "{{ 'epochs=3' }}"},
            "job_params has rendered to text that is no object: 'epochs=3'",
        ),
        (
            FlowEngineSetPipelineScheduleOperator,
            {"pipeline_id": 1, "enabled": "{{ 'maybe' }}"},
            "enabled has rendered to 'maybe'; it must be true or false",
        ),
        (
            FlowEngineResumePipelineRunOperator,
            {"pipeline_id": 1, "run_id": "{{ '' }}"},
            "run_id has rendered to ''; it must be an id: digits or text",
        ),
        (
            FlowEnginePipelineRunSensor,
            {"pipeline_id": 1, "started_after": "{{ 'yesterday' }}"},
            "started_after has rendered to 'yesterday'; it must be a time",
        ),
        (
            FlowEngineCreatePipelineOperator,
            {"pipeline": "{{ 'nightly' }}"},
            "pipeline has rendered to text that is no object: 'nightly'",
        ),
    ],
)
def test_a_template_that_renders_to_nonsense_is_named_before_anything_is_changed(
    emulator, pipeline, run_task, operator, arguments, why
):
    pipeline()
    task = run_task(operator, **arguments)

    assert task.state == "failed"
    assert why in task.error
    assert {call["method"] for call in emulator.calls()} <= {"GET"}


def test_text_that_is_nested_too_deeply_is_no_object():
    for text in ("[" * 100_000, "-" * 100_000):
        with pytest.raises(ConfigurationError, match="job_params is text that is no object"):
            FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, job_params=text)


@pytest.mark.parametrize("mapped", [{"pipeline_id": [None]}, {"pipeline_id": [1], "if_running": ["maybe"]}], ids=str)
def test_a_mistake_in_what_a_task_is_mapped_over_is_not_retried(dag, run, emulator, mapped):
    FlowEngineStartPipelineOperator.partial(task_id="start", dag=dag, retries=3).expand(**mapped)

    (task,) = run(dag).mapped("start")

    assert (task.state, task.tries) == ("failed", 1)
    assert task.error.startswith("Task start: ")
    assert emulator.count("start") == 0


def test_a_name_that_two_pipelines_have(emulator, pipeline, run_task):
    pipeline("a", name="Nightly")
    pipeline("b", name="Nightly")
    task = run_task(FlowEngineStartPipelineOperator, pipeline_name="Nightly")

    assert "2 pipelines of engine 'demo' have the name 'Nightly': 1 (Nightly), 2 (Nightly)" in task.error
    assert "Name it by pipeline_id" in task.error
    assert emulator.count("start") == 0


def test_no_operator_asks_anything_while_the_dag_file_is_read(emulator):
    with DAG("parsed", schedule=None):
        for operator, more in ABOUT_ONE_PIPELINE:
            operator(task_id=operator.__name__, pipeline_key="nightly", **more)

    assert emulator.calls() == []
