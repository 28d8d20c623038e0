"""What must never be seen: the access key and the headers of a connection, whatever happens to a task."""

import base64
import json
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

ACCESS_KEY = "access-key-7f3a91"
TOKEN = "bearer-2c8e44"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}

BASIC = base64.b64encode(f"user:{ACCESS_KEY}".encode()).decode()

HAPPENINGS = {
    "it succeeds": {},
    "the run fails and tells the key": {"outcome": "failed", "message": f"bad key {ACCESS_KEY} {TOKEN}"},
    "a status": {"fault": {"kind": "status"}},
    "a reset": {"fault": {"kind": "reset"}},
    "broken JSON": {"fault": {"kind": "broken_json"}},
    "a refusal that tells the key": {"fault": {"kind": "envelope", "msg": f"bad key {ACCESS_KEY} {TOKEN}"}},
    "a refusal that tells the key encoded": {"fault": {"kind": "envelope", "msg": f"Basic {BASIC}, {ACCESS_KEY[:-2]}"}},
    "a redirect that tells the key": {"fault": {"kind": "redirect", "location": f"http://x.invalid/?k={ACCESS_KEY}"}},
}


@pytest.fixture
def secret_connection(emulator, monkeypatch):
    emulator.options.access_key = ACCESS_KEY
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(headers=HEADERS))
    return emulator


def assert_hidden(*places):
    for place in places:
        text = place if isinstance(place, str) else json.dumps(place, default=str, ensure_ascii=False)
        assert ACCESS_KEY not in text
        assert ACCESS_KEY[:-2] not in text
        assert BASIC not in text
        assert TOKEN not in text


def printed(capfd):
    """Return what was printed, where that tells anything: Airflow 3.0's dag.test() itself prints what it shall mask."""
    return () if version("apache-airflow").startswith("3.0.") else capfd.readouterr()


@pytest.mark.parametrize("happening", HAPPENINGS.values(), ids=HAPPENINGS.keys())
@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_no_secret_is_seen_of_a_start(run_task, secret_connection, pipeline, log, capfd, happening, deferrable):
    params = dict(happening)
    fault = params.pop("fault", None)
    if fault:
        secret_connection.fail(**fault)
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline(duration=0.2, **params),
        poll_interval=0.05,
        start_confirmation_timeout=0.2,
        deferrable=deferrable,
    )

    assert secret_connection.calls()
    assert_hidden(log.text, *printed(capfd), task.xcoms, task.rendered, str(task.link), task.error)


@pytest.mark.parametrize("fault", ["envelope", "redirect"])
def test_no_secret_is_seen_of_a_sensor(run_task, secret_connection, pipeline, log, capfd, fault):
    pipeline()
    secret_connection.fail(kind=fault, msg=ACCESS_KEY, location=f"http://x.invalid/{TOKEN}", times=3)
    task = run_task(FlowEnginePipelineRunSensor, pipeline_key="nightly", timeout=0.2, poke_interval=0.05)

    assert task.state == "failed"
    assert_hidden(log.text, *printed(capfd), task.xcoms, task.rendered, task.error)


def test_the_trigger_keeps_the_connections_id_and_nothing_of_what_is_in_it(secret_connection, pipeline):
    from airflow.providers.common.compat.sdk import TaskDeferred

    operator = FlowEngineStartPipelineOperator(
        task_id="task", pipeline_id=pipeline(duration="forever"), deferrable=True, durable=False
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": object()})
    _, kwargs = deferred.value.trigger.serialize()

    assert kwargs["flowengine_conn_id"] == "flowengine_default"
    assert_hidden(kwargs)


def test_neither_the_hook_nor_what_it_holds_tells_a_secret_when_it_is_printed(secret_connection):
    hook = FlowEngineHook()
    hook.list_pipelines()

    assert_hidden(repr(hook.settings), repr(hook.api), repr(hook.client), str(vars(hook.api)))


@pytest.mark.parametrize("kind", ["envelope", "redirect"])
def test_the_connections_test_tells_no_secret(secret_connection, kind):
    secret_connection.fail(kind=kind, msg=f"bad key {ACCESS_KEY}", location=f"http://x.invalid/?k={ACCESS_KEY}")
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert_hidden(says)
