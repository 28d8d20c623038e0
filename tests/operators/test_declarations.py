"""What operators declare: explicit signatures, one description and one default of each argument."""

import inspect
import re
from collections import defaultdict

import pytest

from airflow_provider_flowengine.operators import flowengine
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

OPERATORS = [getattr(flowengine, name) for name in flowengine.__all__]
OF_THEIR_OWN = {
    *((name, "FlowEngineStopPipelineRunOperator") for name in ("timeout", "run_id", "wait_for_completion")),
    ("pipeline_key", "FlowEngineCreatePipelineOperator"),
}
"""Arguments that mean something else there, and say so."""


def arguments(operator):
    """An operator's own arguments, with their defaults."""
    parameters = inspect.signature(operator).parameters.values()
    return {one.name: one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY}


def descriptions(operator):
    """What an operator's docstring says of each argument."""
    return {
        name: " ".join(text.split())
        for name, text in re.findall(r":param (\w+):((?:(?!\n\s*:).)*)", inspect.getdoc(operator), re.DOTALL)
    }


@pytest.mark.parametrize("operator", [*OPERATORS, FlowEnginePipelineRunSensor])
def test_the_signature_shows_and_types_each_argument_and_the_docstring_describes_it(operator):
    assert {"flowengine_conn_id", "engine_key"} <= arguments(operator).keys()
    assert all(one.annotation is not inspect.Parameter.empty for one in arguments(operator).values())
    assert descriptions(operator).keys() == arguments(operator).keys()


def test_an_argument_of_several_operators_has_one_default_and_one_description():
    seen = defaultdict(set)
    for operator in OPERATORS:
        for name, one in arguments(operator).items():
            if (name, operator.__name__) not in OF_THEIR_OWN:
                seen[name].add((repr(one.default), descriptions(operator)[name]))

    assert {name: said for name, said in seen.items() if len(said) > 1} == {}


# --- how they are declared --------------------------------------------------------------------------------------------


def test_default_args_reach_every_argument(dag):
    dag.default_args |= {"poll_interval": 5, "if_running": "wait", "engine_key": "risk", "pipeline_key": "nightly"}
    operator = FlowEngineStartPipelineOperator(task_id="t", dag=dag, if_running="skip")

    assert (operator.poll_interval, operator.engine_key, operator.pipeline_key) == (5, "risk", "nightly")
    assert operator.if_running == "skip"


def test_a_subclass_may_have_defaults_of_its_own(dag):
    class Patient(FlowEngineStartPipelineOperator):
        def __init__(self, *, timeout=3600, if_running="wait", **kwargs):
            super().__init__(timeout=timeout, if_running=if_running, **kwargs)

    dag.default_args |= {"timeout": 60}

    assert Patient(task_id="a", pipeline_id=1).timeout == 3600
    assert Patient(task_id="b", dag=dag, pipeline_id=1).timeout == 60
    assert Patient(task_id="c", pipeline_id=1, timeout=5).if_running == "wait"


def test_a_function_gives_a_templated_argument_when_the_task_runs(run_task, emulator, pipeline):
    pipeline("nightly", epochs=3)

    def key(context, jinja_env):
        return context["dag_run"].conf["key"]

    def job_params(context, jinja_env):
        return {"train": {"epochs": context["dag_run"].conf["epochs"]}}

    task = run_task(
        FlowEngineStartPipelineOperator, pipeline_key=key, job_params=job_params, conf={"key": "nightly", "epochs": 7}
    )

    assert task.returned == 1
    assert emulator.engine.run(1).params == {"n1": {"epochs": "7"}}


def test_it_is_mapped_over_several_arguments_at_once(dag, run, emulator, pipeline):
    ids = [pipeline("a", epochs=1), pipeline("b", epochs=1)]
    FlowEngineStartPipelineOperator.partial(task_id="task", dag=dag, poll_interval=0.05).expand_kwargs(
        [{"pipeline_id": one, "job_params": {"train": {"epochs": one}}} for one in ids]
    )
    tasks = run(dag).mapped("task")

    assert [task.xcoms["flowengine_run"]["pipeline_id"] for task in tasks] == ids


def test_a_declaration_that_has_executed_is_what_it_was(run_task, emulator, pipeline, dag):
    run_task(FlowEngineStartPipelineOperator, pipeline_id=pipeline())

    assert dag.get_task("task")._task is None
