"""The operators that create, change and schedule pipelines, and that upload files."""

import json

import pytest

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineUpdatePipelineOperator,
    FlowEngineUploadFileOperator,
)
from airflow_provider_flowengine.protocol import creating
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    PipelineExistsError,
    RequestRejectedError,
    ServiceUnavailableError,
)

NODE = {
    "nodeId": "n1",
    "name": "train",
    "type": "TASK",
    "indexType": "SHELL",
    "params": {"values": [{"key": "day", "value": "{{ dag_run.conf['day'] }}", "type": "TEXT"}]},
}
DEFINITION = {"name": "Nightly", "describe": "v1", "nodes": [NODE], "edges": []}
PIPELINE = {"pipelineKey": "nightly", "data": DEFINITION}


def body(emulator, pipeline_id):
    return emulator.engine.pipeline(pipeline_id).body


# --- create -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def create(run_task):
    def create(**arguments):
        return run_task(FlowEngineCreatePipelineOperator, conf={"day": "Monday"}, **arguments)

    return create


SCRIPT = "{{ dag_run.conf['day'] }}"  # what looks like Jinja is the script's own


def script(emulator, pipeline_id):
    return body(emulator, pipeline_id)["data"]["nodes"][0]["params"]["values"][0]["value"]


@pytest.mark.parametrize("pipeline", [PIPELINE, json.dumps(PIPELINE)], ids=["dict", "text"])
def test_a_definition_is_never_rendered(create, emulator, pipeline):
    task = create(pipeline=pipeline)

    assert (task.state, task.returned) == ("success", 1)
    assert body(emulator, 1)["pipelineKey"] == "nightly"
    assert script(emulator, 1) == SCRIPT


def test_definitions_that_a_task_is_mapped_over_are_never_rendered(dag, run, emulator):
    pipelines = [{**PIPELINE, "pipelineKey": key} for key in ("a", "b")]
    FlowEngineCreatePipelineOperator.partial(task_id="task", dag=dag).expand(pipeline=pipelines)
    tasks = run(dag, {"day": "Monday"}).mapped("task")

    assert sorted(task.returned for task in tasks) == [1, 2]
    assert [script(emulator, pipeline_id) for pipeline_id in (1, 2)] == [SCRIPT, SCRIPT]


def test_a_definition_comes_from_another_task(dag, run, emulator):
    from airflow.providers.common.compat.sdk import task

    @task
    def make():
        return PIPELINE

    with dag:
        FlowEngineCreatePipelineOperator(task_id="task", pipeline=make())

    assert run(dag, {"day": "Monday"})["task"].returned == 1
    assert script(emulator, 1) == SCRIPT


def test_what_varies_stands_in_changes_and_is_rendered(create, emulator):
    create(pipeline=PIPELINE, changes={"data": {"describe": "of {{ dag_run.conf['day'] }}"}})

    assert body(emulator, 1)["data"]["describe"] == "of Monday"
    assert script(emulator, 1) == SCRIPT


def test_a_definition_alone_is_enough(create, emulator):
    task = create(pipeline=DEFINITION, pipeline_key="from-{{ dag_run.conf['day'] }}", name="Night", description="v2")

    assert task.returned == 1
    made = body(emulator, 1)
    assert (made["pipelineKey"], made["data"]["name"], made["data"]["describe"]) == ("from-Monday", "Night", "v2")


def test_a_pipeline_comes_from_a_file_beside_the_dag_which_is_not_rendered(dag, run, emulator, tmp_path):
    (tmp_path / "nightly.json").write_text(json.dumps(PIPELINE))
    dag.template_searchpath = [str(tmp_path)]
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="nightly.json")
    task = run(dag, {"day": "Monday"})["task"]

    assert task.returned == 1
    assert script(emulator, 1) == SCRIPT


def test_a_script_beside_its_json_is_read_to_the_byte(dag, run, emulator, tmp_path):
    kept = {**PIPELINE, "data": {**DEFINITION, "nodes": [{**NODE, "indexSource": {"$file": "nightly/n1.sh"}}]}}
    (tmp_path / "nightly").mkdir()
    (tmp_path / "nightly" / "n1.sh").write_bytes(b"echo 1\r\necho 2\n")
    (tmp_path / "nightly.json").write_text(json.dumps(kept))
    dag.template_searchpath = [str(tmp_path)]
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="nightly.json")

    assert run(dag, {"day": "Monday"})["task"].returned == 1
    assert body(emulator, 1)["data"]["nodes"][0]["indexSource"] == "echo 1\r\necho 2\n"


def test_a_file_may_be_given_as_a_path(create, emulator, tmp_path):
    (tmp_path / "nightly.json").write_text(json.dumps(PIPELINE))

    assert create(pipeline=tmp_path / "nightly.json").state == "success"


def test_which_file_it_is_may_be_a_template(dag, run, emulator, tmp_path):
    (tmp_path / "Monday.json").write_text(json.dumps(PIPELINE))
    dag.template_searchpath = [str(tmp_path)]
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="{{ dag_run.conf['day'] }}.json")

    assert run(dag, {"day": "Monday"})["task"].returned == 1


def test_a_file_whose_path_is_a_template_is_read_when_the_task_runs(dag, run, emulator, tmp_path):
    (tmp_path / "nightly.json").write_text(json.dumps(PIPELINE))
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="{{ dag_run.conf['folder'] }}/nightly.json")
    dag.resolve_template_files()  # as Airflow does when it parses a DAG file

    assert run(dag, {"day": "Monday", "folder": str(tmp_path)})["task"].returned == 1
    assert script(emulator, 1) == SCRIPT


def test_a_file_may_be_in_a_folder_beside_the_dags_own(dag, run, emulator, tmp_path):
    for folder in ("dags", "pipelines"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pipelines" / "nightly.json").write_text(json.dumps(PIPELINE))
    dag.template_searchpath = [str(tmp_path / "dags")]
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="../pipelines/nightly.json")

    assert run(dag)["task"].returned == 1


def test_a_file_that_is_no_utf_8_is_named(dag, run, emulator, tmp_path):
    (tmp_path / "nightly.json").write_bytes('{"name": "流失模型"}'.encode("gbk"))
    dag.template_searchpath = [str(tmp_path)]
    FlowEngineCreatePipelineOperator(task_id="task", dag=dag, pipeline="nightly.json", retries=2)
    task = run(dag)["task"]

    assert isinstance(task.errors[-1], ConfigurationError)
    assert task.tries == 1
    assert f"{tmp_path / 'nightly.json'}: not UTF-8 text" in task.error


def test_a_file_that_is_not_there_is_named(create, emulator):
    task = create(pipeline="{{ dag_run.conf['day'] }}.json")

    assert isinstance(task.errors[-1], ConfigurationError)
    assert "no file 'Monday.json' beside the DAG or in its template_searchpath" in task.error


def test_what_is_no_pipeline_is_refused(create, emulator):
    task = create(pipeline={"steps": []})

    assert task.error == "pipeline: it must be a pipeline object with data, or a definition with nodes"
    assert emulator.calls() == []


def test_a_pipeline_that_is_there_already_is_not_created_twice(create, emulator, pipeline):
    pipeline("nightly", name="Nightly training")
    task = create(pipeline=PIPELINE)

    assert isinstance(task.errors[-1], PipelineExistsError)
    assert task.error == (
        "Engine 'demo' has pipeline 1 of key 'nightly' and name 'Nightly training' already; "
        "choose another pipeline_key, or set if_exists to skip or update"
    )
    assert len(emulator.engine.pipelines()) == 1


def test_a_pipeline_that_is_there_already_may_be_kept(create, emulator, pipeline):
    pipeline("nightly", name="Nightly training")

    assert create(pipeline=PIPELINE, if_exists="skip").returned == 1
    assert body(emulator, 1)["data"]["name"] == "Nightly training"


@pytest.mark.parametrize("totals", ["right", "none", "zero"])
def test_a_pipeline_on_a_later_page_is_not_created_twice(create, emulator, pipeline, totals):
    emulator.options.pipelines_paging, emulator.options.pipelines_page_size = "always", 2
    emulator.options.totals = totals
    for key in ("a", "b", "c", "d", "nightly"):
        pipeline(key, name=f"Pipeline {key}")

    assert create(pipeline=PIPELINE, if_exists="skip").returned == 5
    assert len(emulator.engine.pipelines()) == 5


def test_a_pipeline_is_not_created_for_want_of_a_page(create, emulator, pipeline):
    emulator.options.pipelines_paging, emulator.options.pipelines_page_size = "always", 2
    emulator.options.totals, emulator.options.pipelines_under = "huge", "list"
    pipeline("a")
    task = create(pipeline=PIPELINE, if_exists="skip")

    assert "a list with an end" in task.error
    assert len(emulator.engine.pipelines()) == 1


def test_a_pipeline_that_is_there_already_may_be_brought_up_to_date(create, emulator, pipeline):
    pipeline("nightly", name="Nightly training")

    assert create(pipeline=PIPELINE, if_exists="update").returned == 1
    assert body(emulator, 1)["data"]["name"] == "Nightly"
    assert len(emulator.engine.pipelines()) == 1


def test_what_differs_is_logged_and_what_does_not_is_not_sent(create, emulator, pipeline, log):
    pipeline("nightly", name="Nightly training")
    create(pipeline=PIPELINE, if_exists="update")
    assert "Updated pipeline 1 (nightly, Nightly" in log.ours
    assert "Nightly training" in log.ours


def test_an_update_by_which_nothing_differs_sends_nothing(create, emulator, log):
    emulator.engine.create_pipeline(PIPELINE)
    task = create(pipeline=PIPELINE, if_exists="update")

    assert (task.returned, emulator.count("update")) == (1, 0)
    assert "Nothing differs, nothing is written: pipeline 1 (nightly, Nightly)" in log.ours


def test_without_a_key_a_pipeline_is_recognised_by_its_name(create, emulator, pipeline):
    pipeline("another-key", name="Nightly")

    assert create(pipeline=DEFINITION, if_exists="skip").returned == 1


@pytest.mark.parametrize("if_exists", ["fail", "skip", "update"])
def test_of_two_pipelines_of_the_name_none_is_guessed(create, emulator, pipeline, if_exists):
    pipeline("a", name="Nightly")
    pipeline("b", name="Nightly")
    task = create(pipeline=DEFINITION, if_exists=if_exists)

    assert isinstance(task.errors[-1], PipelineExistsError)
    assert "2 pipelines of engine 'demo' have the name 'Nightly' already: 1, 2" in task.error
    assert {call["method"] for call in emulator.calls()} == {"GET"}


def test_a_create_whose_answer_is_lost_is_found_in_the_list(create, emulator, log):
    emulator.fail("create", kind="reset", where="after")
    task = create(pipeline=PIPELINE)

    assert (task.state, task.returned) == ("success", 1)
    assert emulator.count("create") == 1
    assert "But pipeline 1 is there now." in log.ours


def test_a_create_that_came_to_nothing_fails(create, emulator, monkeypatch):
    monkeypatch.setattr(creating, "CONFIRMATION_DELAYS", (0.0,))
    emulator.fail("create", kind="reset", where="before")
    task = create(pipeline=PIPELINE)

    assert isinstance(task.errors[-1], ServiceUnavailableError)
    assert emulator.engine.pipelines() == []


def test_what_flowengine_says_of_a_bad_definition_is_reported(create, emulator):
    task = create(pipeline={"nodes": [NODE, NODE], "edges": []}, pipeline_key="nightly")

    assert isinstance(task.errors[-1], RequestRejectedError)
    assert "two nodes have the nodeId n1" in task.error


# --- update -----------------------------------------------------------------------------------------------------------


def test_changes_are_merged_and_all_else_stays(run_task, emulator, pipeline):
    pipeline("nightly", name="Nightly", epochs=3)
    before = body(emulator, 1)
    task = run_task(
        FlowEngineUpdatePipelineOperator,
        pipeline_key="nightly",
        changes={"data": {"describe": "since {{ dag_run.conf['day'] }}"}},
        conf={"day": "Monday"},
    )

    assert task.returned == 1
    assert body(emulator, 1)["data"]["describe"] == "since Monday"
    assert body(emulator, 1)["data"]["nodes"] == before["data"]["nodes"]
    assert body(emulator, 1)["pipelineKey"] == "nightly"


def test_a_function_may_change_the_pipeline(run_task, emulator, pipeline):
    def rename(content):
        content["data"]["name"] = content["data"]["name"].upper()
        return content

    task = run_task(FlowEngineUpdatePipelineOperator, pipeline_id=pipeline("nightly", name="Nightly"), transform=rename)

    assert task.returned == 1
    assert body(emulator, 1)["data"]["name"] == "NIGHTLY"


def test_a_function_that_returns_no_pipeline_changes_nothing(run_task, emulator, pipeline):
    task = run_task(FlowEngineUpdatePipelineOperator, pipeline_id=pipeline(), transform=lambda content: None)

    assert task.error == "transform must return the changed pipeline object, not None"
    assert emulator.count("update") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"changes": {"id": 2}},
        {"changes": {"id": None}},
        {"transform": lambda content: {**content, "id": "2"}},
        {"transform": lambda content: {"data": content["data"]}},
    ],
    ids=["changes", "no id", "transform", "transform without it"],
)
def test_no_other_pipeline_is_written_over(run_task, emulator, pipeline, change):
    pipeline("first"), pipeline("second")

    task = run_task(FlowEngineUpdatePipelineOperator, pipeline_id=1, retries=1, **change)

    assert "The id of pipeline 1 must stay as it is" in task.error
    assert (task.tries, emulator.count("update")) == (1, 0)


def test_a_pipeline_that_is_as_it_should_be_is_not_written(run_task, emulator, pipeline):
    task = run_task(FlowEngineUpdatePipelineOperator, pipeline_id=pipeline(), changes={"pipelineKey": "nightly"})

    assert task.returned == 1
    assert emulator.count("update") == 0


# --- schedule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("enabled", "on"), [(True, True), (False, False), ("{{ dag_run.conf['on'] }}", True)])
def test_a_schedule_is_turned_on_or_off(run_task, emulator, pipeline, enabled, on):
    pipeline_id = pipeline()
    emulator.engine.set_schedule(pipeline_id, not on)
    task = run_task(FlowEngineSetPipelineScheduleOperator, pipeline_id=pipeline_id, enabled=enabled, conf={"on": "yes"})

    assert (task.state, task.returned) == ("success", None)
    assert emulator.engine.pipeline(pipeline_id).scheduled == on


# --- upload -----------------------------------------------------------------------------------------------------------


def test_a_file_is_uploaded_and_what_the_server_answers_is_returned(run_task, emulator, tmp_path):
    (tmp_path / "customers.csv").write_text("id\n1\n")
    task = run_task(
        FlowEngineUploadFileOperator, path=str(tmp_path / "{{ dag_run.conf['name'] }}.csv"), conf={"name": "customers"}
    )

    assert task.state == "success"
    assert task.returned
    assert emulator.count("upload") == 1


def test_a_file_that_does_not_exist_is_named_before_anything_is_sent(run_task, emulator, tmp_path):
    task = run_task(FlowEngineUploadFileOperator, path=str(tmp_path / "nothing.csv"))

    assert isinstance(task.errors[-1], ConfigurationError)
    assert "nothing.csv' does not exist" in task.error
    assert emulator.calls() == []
