"""How many requests of ours a task that succeeds sends to Airflow's execution API, and what each is for."""

from collections import Counter

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

pytestmark = pytest.mark.needs_task_state_store

IN_BOTH = {
    "checkpoint starting": 1,  # exactly-once start: the intent stands before anything is sent
    "xcom flowengine_run_url": 1,  # the link to the run's page, from when there is one
    "checkpoint delivered": 1,  # user actions: who clears a succeeded task wants a new run
}
SYNC = {
    **IN_BOTH,
    "xcom flowengine_run": 1,  # the run at its end
    "checkpoint polling": 1,  # recovery on retry: the next try reconnects to this run
}
LONG_SYNC = {
    **SYNC,
    "xcom flowengine_run": 2,  # the run while it goes on, and at its end
}
DEFERRED = {
    **IN_BOTH,
    "xcom flowengine_run": 2,  # the run when it is known, and at its end
    "checkpoint deferred": 1,  # the same; and who clears a deferred task has its run replaced
    "GetTaskStates": 1,  # user actions: the task's end in the moment before the deferral, of which nobody is told
}


@pytest.fixture
def calls(monkeypatch):
    """What this provider asks of Airflow: by the key that it is about, and by what it asks."""
    from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

    calls, contents, send = Counter(), Counter(), InProcessSupervisorComms.send

    def count(self, msg):
        kind, key = type(msg).__name__, str(getattr(msg, "key", ""))
        if kind.endswith("TaskStateStore"):
            calls[f"checkpoint {msg.value['phase']}" if kind == "SetTaskStateStore" else kind] += 1
            contents[str(msg)] += 1
        elif key.startswith("flowengine_") and kind != "DeleteXCom":
            calls[f"xcom {key}" if kind == "SetXCom" else f"{kind} {key}"] += 1
            contents[str(msg)] += 1
        elif kind == "GetTaskStates":
            calls[kind] += 1
        return send(self, msg)

    monkeypatch.setattr(InProcessSupervisorComms, "send", count)
    calls.contents = contents
    return calls


@pytest.mark.parametrize(
    ("deferrable", "duration", "wanted", "most"),
    [(False, 1, SYNC, 5), (False, 3, LONG_SYNC, 6), (True, 1, DEFERRED, 7)],
    ids=["sync", "sync, a longer run", "deferrable"],
)
def test_each_request_is_sent_for_a_promise_and_none_twice(
    run_task, emulator, pipeline, calls, deferrable, duration, wanted, most
):
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline(duration=duration),
        poll_interval=0.1,
        deferrable=deferrable,
    )

    assert task.state == "success"
    assert task.xcoms["flowengine_run"]["state"] == "succeeded"
    assert dict(calls) == wanted
    assert sum(calls.values()) <= most
    assert set(calls.contents.values()) == {1}
