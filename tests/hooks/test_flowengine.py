"""The hook's methods, against the emulator."""

from datetime import timedelta
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    FlowEngineError,
    NodeNotFoundError,
    PipelineNotFoundError,
    RequestRejectedError,
    RunFailedError,
    RunNotFoundError,
    RunStoppedError,
    RunTimeoutError,
)

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


@pytest.fixture
def hook(emulator):
    return FlowEngineHook()


def names(emulator):
    return [call["name"] for call in emulator.calls()]


# --- the engine -------------------------------------------------------------------------------------------------------


def test_building_a_hook_asks_nothing(emulator):
    FlowEngineHook("there_is_no_such_connection")

    assert emulator.calls() == []


def test_the_engine_is_resolved_once(hook, emulator):
    hook.list_pipelines()
    hook.list_pipelines()

    assert (hook.engine.key, hook.engine.url, hook.engine.id) == ("demo", "/engine/15/cess-data-3", 6)
    assert names(emulator) == ["engine_url", "engine_id", "list", "list"]


def test_an_engine_key_of_its_own_wins_over_the_connections(emulator):
    hook = FlowEngineHook(engine_key="other")

    with pytest.raises(Exception, match="'other'"):
        _ = hook.engine


def test_without_an_engine_key_anywhere_nothing_is_sent(emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(engine_key=""))

    with pytest.raises(
        ConfigurationError,
        match=r"No engine_key: set it in the extra of connection flowengine_default \(type flowengine\), or",
    ):
        FlowEngineHook().list_pipelines()
    assert emulator.calls() == []


def test_a_runs_page_is_where_the_connection_says(emulator, monkeypatch):
    where = "{fl_url}/ui/{engine_key}/{pipeline_id}?run={run_id}"
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(ui_url=where))

    assert FlowEngineHook().run_url(3, 14) == f"{emulator.url}/ui/demo/3?run=14"


# --- pipelines --------------------------------------------------------------------------------------------------------

PIPELINE = {
    "pipelineKey": "nightly",
    "data": {
        "name": "Nightly",
        "nodes": [
            {
                "nodeId": "n1",
                "name": "train",
                "type": "TASK",
                "indexType": "SHELL",
                "params": {"values": [{"key": "epochs", "value": "3", "type": "TEXT"}]},
            }
        ],
        "edges": [],
    },
}


def test_a_pipeline_is_created_and_read_back(hook):
    made = hook.create_pipeline(PIPELINE)
    read = hook.get_pipeline(made.id)

    assert (read.id, read.key, read.name) == (made.id, "nightly", "Nightly")
    assert [(node.id, node.name, [param.key for param in node.params]) for node in read.nodes] == [
        ("n1", "train", ["epochs"])
    ]


def test_a_pipeline_is_changed_by_writing_it_back_whole(hook):
    content = hook.get_pipeline(hook.create_pipeline(PIPELINE).id).content
    content["data"]["describe"] = "v2"
    hook.update_pipeline(content)

    assert hook.get_pipeline(content["id"]).content["data"]["describe"] == "v2"


def test_pipelines_are_listed(hook, pipeline):
    pipeline("a")
    pipeline("b")

    assert [listed.key for listed in hook.list_pipelines()] == ["a", "b"]


def test_a_pipeline_is_found_by_its_key_or_its_name(hook, pipeline):
    wanted = pipeline("nightly", name="Nightly training")
    pipeline("other")

    assert hook.find_pipeline(key="nightly").id == wanted
    assert hook.find_pipeline(name="Nightly training").id == wanted


@pytest.mark.parametrize("wanted", [{}, {"key": "a", "name": "b"}])
def test_a_pipeline_is_found_by_one_of_the_two(hook, wanted):
    with pytest.raises(ConfigurationError, match="find_pipeline takes one of key and name"):
        hook.find_pipeline(**wanted)


def test_a_pipeline_that_is_not_there_is_answered_with_those_that_are(hook, pipeline):
    pipeline("nightly", name="Nightly training")

    with pytest.raises(PipelineNotFoundError, match=r"no pipeline 77; pipelines there are: 1 \(Nightly training\)"):
        hook.get_pipeline(77)
    with pytest.raises(PipelineNotFoundError, match=r"no pipeline of key 'daily'; keys there are: nightly"):
        hook.find_pipeline(key="daily")


def test_a_name_that_two_pipelines_have_names_neither(hook, pipeline):
    pipeline("a", name="Nightly")
    pipeline("b", name="Nightly")

    with pytest.raises(
        PipelineNotFoundError, match=r"2 pipelines of engine 'demo' have the name 'Nightly'.*pipeline_id"
    ):
        hook.find_pipeline(name="Nightly")


def test_a_schedule_is_turned_on_and_off(hook, emulator, pipeline):
    pipeline_id = pipeline()
    hook.set_schedule(pipeline_id, True)
    assert emulator.engine.pipeline(pipeline_id).scheduled

    hook.set_schedule(pipeline_id, False)
    assert not emulator.engine.pipeline(pipeline_id).scheduled


def test_a_file_is_uploaded(hook, emulator, tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("id,name\n1,Ann\n")

    assert hook.upload_file(file)
    (call,) = emulator.calls("upload")
    assert call["path"].endswith("/template/uploadJobFileParam/1")
    assert "engineKey" not in call["query"]


@pytest.mark.parametrize(("name", "why"), [("", "is a directory"), ("nothing.csv", "does not exist")])
def test_what_is_no_file_is_refused_before_anything_is_sent(hook, emulator, tmp_path, name, why):
    with pytest.raises(ConfigurationError, match=why):
        hook.upload_file(tmp_path / name)
    assert emulator.calls() == []


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("node", ["n1", "train"], ids=["by its id", "by its name"])
def test_a_pipeline_is_started_with_params_for_a_node(hook, emulator, pipeline, node):
    run = hook.start_pipeline(pipeline(epochs=3), {node: {"epochs": 5}})

    assert (run.id, run.pipeline_id, run.state) == (1, 1, "succeeded")
    assert emulator.engine.run(run.id).params == {"n1": {"epochs": "5"}}


@pytest.mark.parametrize("job_params", [{"nope": {"epochs": 5}}, {"train": {"epoch": 5}}], ids=["node", "key"])
def test_job_params_that_the_pipeline_does_not_have_start_nothing(hook, emulator, pipeline, job_params):
    with pytest.raises(NodeNotFoundError, match="there are: "):
        hook.start_pipeline(pipeline(epochs=3), job_params)
    assert emulator.count("start") == 0


def test_runs_are_listed_page_by_page(hook, pipeline):
    pipeline_id = pipeline()
    for _ in range(3):
        hook.start_pipeline(pipeline_id)

    assert [run.id for run in hook.list_runs(pipeline_id, size=2)] == [3, 2]
    assert [run.id for run in hook.list_runs(pipeline_id, page=2, size=2)] == [1]


def test_a_run_is_returned_with_its_nodes(hook, pipeline):
    run = hook.start_pipeline(pipeline(outcome="failed", message="no data"))
    run = hook.get_run(run.pipeline_id, run.id)

    assert run.state == "failed"
    assert [(node.id, node.state, node.message) for node in run.nodes] == [("n1", "failed", "no data")]


def test_ids_are_taken_as_digits_too(hook, pipeline):
    run = hook.start_pipeline(str(pipeline(duration="forever")))

    assert hook.get_pipeline("1").id == 1
    assert hook.list_runs("1") == [run]
    assert hook.get_run("1", "1").id == 1
    assert hook.stop_run("1", "1")
    with pytest.raises(RunStoppedError):
        hook.wait_for_run("1", "1")
    hook.resume_run("1", "1")


@pytest.mark.parametrize("nothing", [None, "", "None", 1.5, True])
def test_what_is_no_id_is_refused_before_anything_is_sent(hook, emulator, nothing):
    with pytest.raises(ConfigurationError, match=r"run_id is .*; it must be an id: digits or text"):
        hook.get_run(1, nothing)
    assert emulator.calls() == []


def test_a_run_that_is_not_there(hook, pipeline):
    with pytest.raises(RunNotFoundError, match="history of pipeline 1 has no run 99"):
        hook.get_run(pipeline(), 99)


def test_a_run_is_stopped_once(hook, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    run = hook.start_pipeline(pipeline_id)

    assert hook.stop_run(run.id, pipeline_id)
    assert not hook.stop_run(run.id, pipeline_id)
    assert emulator.count("stop") == 1
    assert hook.get_run(pipeline_id, run.id).state == "stopped"


def test_a_run_is_stopped_without_its_pipeline_too(hook, pipeline):
    run = hook.start_pipeline(pipeline(duration="forever"))

    assert hook.stop_run(run.id)
    assert hook.get_run(run.pipeline_id, run.id).state == "stopped"


def test_a_failed_run_is_resumed_under_its_id(hook, pipeline):
    pipeline_id = pipeline(outcome="failed_once")
    run = hook.start_pipeline(pipeline_id)
    assert hook.get_run(pipeline_id, run.id).state == "failed"

    hook.resume_run(run.id, pipeline_id)
    assert hook.get_run(pipeline_id, run.id).state == "succeeded"


def test_a_run_that_succeeded_is_not_resumed(hook, pipeline):
    run = hook.start_pipeline(pipeline())

    with pytest.raises(RequestRejectedError, match="can't be resumed"):
        hook.resume_run(run.id, run.pipeline_id)


def test_a_run_is_waited_for(hook, pipeline):
    pipeline_id = pipeline(duration=0.2)
    run = hook.start_pipeline(pipeline_id)

    assert hook.wait_for_run(pipeline_id, run.id, poll_interval=0.05).state == "succeeded"


def test_waiting_for_a_run_that_fails_tells_what_failed_and_where_to_look(hook, pipeline):
    run = hook.start_pipeline(pipeline(outcome="failed", message="no data"))

    with pytest.raises(RunFailedError) as failure:
        hook.wait_for_run(run.pipeline_id, run.id)
    assert "Run 1 of pipeline 1 failed" in str(failure.value)
    assert "no data" in str(failure.value)
    assert hook.run_url(1, 1) in str(failure.value)
    assert failure.value.run.nodes[0].message == "no data"


def test_waiting_for_a_run_that_is_stopped(hook, pipeline):
    run = hook.start_pipeline(pipeline(duration="forever"))
    hook.stop_run(run.id, run.pipeline_id)

    with pytest.raises(RunStoppedError, match="Run 1 of pipeline 1 was stopped"):
        hook.wait_for_run(run.pipeline_id, run.id)


def test_waiting_too_long_leaves_the_run_alone(hook, emulator, pipeline):
    run = hook.start_pipeline(pipeline(duration="forever"))

    with pytest.raises(RunTimeoutError, match="run 1 of pipeline 1 was still running"):
        hook.wait_for_run(run.pipeline_id, run.id, poll_interval=0.05, timeout=0.1)
    assert emulator.count("stop") == 0


def test_lengths_of_time_may_be_timedeltas(hook, pipeline):
    run = hook.start_pipeline(pipeline(duration="forever"))
    limits = {"poll_interval": timedelta(seconds=0.05), "timeout": timedelta(seconds=0.1)}

    with pytest.raises(RunTimeoutError, match="was still running"):
        hook.wait_for_run(run.pipeline_id, run.id, **limits, unreachable_timeout=timedelta(minutes=1))


@pytest.mark.parametrize("value", [0, -2, timedelta(seconds=-2), float("nan"), "30"])
@pytest.mark.parametrize("name", ["poll_interval", "timeout", "unreachable_timeout"])
def test_a_length_of_time_that_cannot_be_right_is_refused_before_anything_is_sent(hook, emulator, name, value):
    with pytest.raises(ConfigurationError, match=f"{name}: .* must be seconds or a timedelta, more than 0"):
        hook.wait_for_run(1, 1, **{name: value})
    assert emulator.calls() == []


def test_the_older_generation_does_the_same(emulator, monkeypatch, pipeline):
    emulator.options.generation = "automl"
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(api_root="automl/v1"))
    hook = FlowEngineHook()
    pipeline_id = pipeline(duration="forever")

    run = hook.start_pipeline(pipeline_id)
    assert hook.stop_run(run.id, pipeline_id)
    hook.resume_run(run.id, pipeline_id)
    hook.set_schedule(pipeline_id, True)
    hook.set_schedule(pipeline_id, False)
    assert hook.get_run(pipeline_id, run.id).state == "running"
    assert not emulator.engine.pipeline(pipeline_id).scheduled


def test_the_hook_is_usable_in_a_task(dag, run, emulator, pipeline):
    from airflow.providers.common.compat.sdk import task

    pipeline_id = pipeline()

    @task
    def count_runs():
        hook = FlowEngineHook()
        hook.start_pipeline(pipeline_id)
        return len(hook.list_runs(pipeline_id))

    with dag:
        count_runs()

    assert run(dag)["count_runs"].returned == 1


# --- what it returns --------------------------------------------------------------------------------------------------


def test_a_pipeline_is_searched_for_once_until_the_hook_changes_one(hook, emulator, pipeline):
    pipeline("nightly")
    assert hook.find_pipeline(key="nightly") is hook.find_pipeline(key="nightly")
    assert emulator.count("list") == 1

    hook.update_pipeline(hook.get_pipeline(1).content)
    hook.find_pipeline(key="nightly")
    assert emulator.count("list") == 2


def test_a_pipeline_without_an_id_is_not_written_back(hook, emulator):
    with pytest.raises(ConfigurationError, match="pipeline: it has no id"):
        hook.update_pipeline({"data": {"name": "nightly"}})
    assert emulator.count("update") == 0


@pytest.mark.parametrize("pipeline", [None, [1], "nightly"])
def test_a_pipeline_that_is_no_object_is_a_mistake(hook, emulator, pipeline):
    with pytest.raises(ConfigurationError, match="must be an object with data, or with nodes"):
        hook.create_pipeline(pipeline)
    assert emulator.calls() == []


def test_an_id_or_key_of_half_a_character_names_nothing(hook):
    with pytest.raises(PipelineNotFoundError):
        hook.get_pipeline("\ud800")
    with pytest.raises(FlowEngineError):
        _ = FlowEngineHook(engine_key="\ud800").engine


def test_a_run_and_a_pipeline_are_handed_from_task_to_task_as_dicts(dag, run, emulator, pipeline):
    from airflow.providers.common.compat.sdk import task

    pipeline("nightly")

    @task
    def begin():
        hook = FlowEngineHook()
        return {**hook.find_pipeline(key="nightly").as_dict(), **hook.start_pipeline(1).as_dict()}

    @task
    def wait(begun):
        return FlowEngineHook().wait_for_run(begun["pipeline_id"], begun["run_id"], poll_interval=0.05).as_dict()

    with dag:
        wait(begin())
    tasks = run(dag)

    assert tasks["begin"].returned["pipeline_key"] == "nightly"
    assert (tasks["wait"].state, tasks["wait"].returned["state"]) == ("success", "succeeded")


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="before Airflow 3.3 a deployment must allow each class in XCom")
def test_what_the_hook_returns_is_handed_from_task_to_task_as_it_is(dag, run, emulator, monkeypatch, pipeline):
    from airflow.providers.common.compat.sdk import task

    emulator.reset(times="text", timezone="Asia/Kathmandu", node_seconds=0)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timezone=""))
    pipeline("nightly", duration=0.1)
    expected, taken = [], []

    @task
    def begin():
        hook = FlowEngineHook()
        started = hook.start_pipeline(1)
        ended = hook.wait_for_run(1, started.id, poll_interval=0.05)
        expected.extend([hook.engine, hook.get_pipeline(1), [ended]])
        return expected

    @task
    def end(values):
        taken.extend(values)

    with dag:
        end(begin())
    run(dag)

    assert taken == expected
    assert taken[2][0].state.is_final
    assert taken[1].content == expected[1].content
    assert taken[2][0].content == {}, "it is as the server wrote it, and may echo a secret"
