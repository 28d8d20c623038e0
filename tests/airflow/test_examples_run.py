"""The example DAGs, run as they are against the emulator."""

import json
import re
import runpy
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG

EXAMPLES = Path(__file__).parent.parent.parent / "example_dags"


@contextmanager
def time_flies(emulator, once):
    """Let the emulator's time go twenty times as fast: a node that takes seconds is over in a moment.

    :param once: the call that was made before.
    """
    over = threading.Event()

    def advance():
        while not over.wait(0.05):
            if emulator.count(once):
                emulator.clock.advance(1)

    hand = threading.Thread(target=advance)
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join()


@pytest.fixture
def run_example(run, emulator):
    def run_example(name, flies_once="create"):
        with time_flies(emulator, flies_once):
            return run(runpy.run_path(str(EXAMPLES / f"flowengine_{name}.py"))["dag"])

    return run_example


def params(emulator, run_id):
    return emulator.engine.run(run_id).params


@pytest.mark.parametrize("name", ["quickstart", "deferrable"])
def test_start_and_wait(run_example, emulator, name):
    result = run_example(name)

    assert result.state == "success"
    assert result["train_model"].returned == 1
    assert emulator.count("start") == 1


def test_the_examples_can_be_run_again(run_example, emulator):
    run_example("quickstart")
    result = run_example("quickstart")

    assert result.state == "success"
    assert result["train_model"].returned == 2
    assert params(emulator, 2) == {"train": {"trees": "200"}}
    assert len(emulator.engine.pipelines()) == 1


def test_sensor(run_example, emulator):
    result = run_example("sensor")

    assert result.state == "success"
    assert result["wait_for_run"].returned["trigger"] == "周期触发"
    assert emulator.count("start") == 0
    assert not emulator.engine.pipeline(1).scheduled


def test_create_update_schedule(run_example, emulator):
    result = run_example("create_update_schedule")
    pipeline = emulator.engine.pipeline(result["create_pipeline"].returned)

    assert result.state == "success"
    assert pipeline.scheduled
    assert pipeline.body["data"]["describe"].startswith("Rolled out by flowengine_create_update_schedule on 20")
    assert pipeline.body["data"]["executionConfig"]["cronExpression"] == "0 0 3 ? * MON"


def test_stop_and_resume(run_example, emulator):
    result = run_example("stop_and_resume", flies_once="stop")

    assert result.state == "success"
    assert [result[task].returned for task in ("start_run", "stop_run", "resume_run")] == [1, [1], 1]
    assert [emulator.count(call) for call in ("start", "stop", "resume")] == [1, 1, 1]


def test_many_pipelines(run_example, emulator):
    result = run_example("many_pipelines")

    assert result.state == "success"
    assert sorted(task.returned for task in result.mapped("train_model")) == [1, 2, 3]
    assert {made.key for made in emulator.engine.pipelines()} == {"churn_north", "churn_south", "churn_east"}


def test_hook_in_task(run_example):
    assert run_example("hook_in_task")["find_slowest_node"].returned


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readmes_dag_runs_as_it_stands_on_the_emulators_sample(run, emulator, tmp_path, monkeypatch, readme):
    text = (EXAMPLES.parent / readme).read_text(encoding="utf-8")
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "with DAG(" in block)
    file = tmp_path / "churn.py"
    file.write_text(code, encoding="utf-8")
    entered, enter = [], DAG.__enter__  # it gives its DAG no name
    monkeypatch.setattr(DAG, "__enter__", lambda dag: entered.append(dag) or enter(dag))
    runpy.run_path(str(file))
    pipeline_id = emulator.add_sample()
    with time_flies(emulator, "start"):
        result = run(entered[0])

    assert result.state == "success"
    (run_of_it,) = emulator.engine.runs(pipeline_id)[0]
    assert list(run_of_it.params) == ["fetch"]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", run_of_it.params["fetch"]["day"])


def test_the_sample_is_the_examples_pipeline(emulator):
    emulator.add_sample()
    assert emulator.add_sample() == 1
    (pipeline,) = emulator.engine.pipelines()

    assert pipeline.key == "churn_model"
    assert pipeline.body["data"] == json.loads((EXAMPLES / "churn_model.json").read_text(encoding="utf-8"))


def test_drift_check(run_example, emulator):
    definition = json.loads((EXAMPLES / "churn_model.json").read_text(encoding="utf-8"))
    pipeline_id = emulator.add_sample()

    assert run_example("drift_check").state == "success"

    definition["nodes"][4]["params"]["values"][0]["value"] = "7"
    emulator.engine.update_pipeline({"id": pipeline_id, "pipelineKey": "churn_model", "data": definition})
    result = run_example("drift_check")
    assert result.state == "failed"
    assert '~ node train, param trees: "7" → "100"' in result["find_drift"].error
