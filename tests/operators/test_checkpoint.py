"""What a try does about what an earlier one left: the decision, row by row."""

import json
from types import SimpleNamespace

import pytest

from airflow_provider_flowengine.operators.checkpoint import Checkpoint, CheckpointStore, Next, Phase, decide
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState

RETRIES = 2


def record(phase, run_id=7):
    return Checkpoint(phase, pipeline_id=1, max_tries=RETRIES, run_id=run_id, try_number=1)


def run(state, status=None):
    return PipelineRun(7, 1, status or state, RunState(state))


RUNNING, SUCCEEDED, FAILED, STOPPED = (run(state) for state in ("running", "succeeded", "failed", "stopped"))
STOPPING = run("running", "stopping")
GONE = None


@pytest.mark.parametrize(
    ("left", "seen", "decision"),
    [
        (None, GONE, Next.START),
        (record(Phase.STARTING, None), GONE, Next.LOOK),
        (record(Phase.POLLING), RUNNING, Next.RECONNECT),
        (record(Phase.POLLING), SUCCEEDED, Next.TAKE),
        (record(Phase.POLLING), FAILED, Next.START),
        (record(Phase.POLLING), STOPPED, Next.START),
        (record(Phase.POLLING), STOPPING, Next.START),
        (record(Phase.POLLING), GONE, Next.RECONNECT),  # it may be missing for a moment only
        (record(Phase.DEFERRED), RUNNING, Next.RECONNECT),
        (record(Phase.DEFERRED), SUCCEEDED, Next.TAKE),
        (record(Phase.LOST), GONE, Next.START),
        (record(Phase.DELIVERED), SUCCEEDED, Next.TAKE),
        (record(Phase.DELIVERED), GONE, Next.TAKE),
    ],
)
def test_a_retry(left, seen, decision):
    assert decide(left, seen, cleared=False, resume=False) is decision


@pytest.mark.parametrize(
    ("left", "seen", "decision"),
    [
        (record(Phase.DELIVERED), SUCCEEDED, Next.START),  # who clears a task that succeeded wants a new run
        (record(Phase.POLLING), FAILED, Next.START),
        (record(Phase.DEFERRED), RUNNING, Next.REPLACE),  # the trigger may not have come to stop it
        (record(Phase.DEFERRED), SUCCEEDED, Next.START),
        (record(Phase.STARTING, None), GONE, Next.LOOK),
    ],
)
def test_a_clear(left, seen, decision):
    assert decide(left, seen, cleared=True, resume=False) is decision


@pytest.mark.parametrize(
    ("seen", "decision"),
    [(FAILED, Next.RESUME), (STOPPED, Next.START), (RUNNING, Next.RECONNECT), (SUCCEEDED, Next.TAKE)],
)
def test_a_retry_that_resumes(seen, decision):
    assert decide(record(Phase.POLLING), seen, cleared=False, resume=True) is decision


def test_a_record_survives_the_store():
    first = Checkpoint(Phase.POLLING, 1, RETRIES, run_id=7, intent={"newest": 6}, try_number=2)

    assert Checkpoint.from_dict(json.loads(json.dumps(first.as_dict()))) == first


# --- the store, as a try sees it --------------------------------------------------------------------------------------


class Store:
    """Airflow's task state store."""

    def __init__(self):
        self.rows = {}

    def get(self, key):
        return self.rows.get(key)

    def set(self, key, value):
        self.rows[key] = json.loads(json.dumps(value))

    def delete(self, key):
        self.rows.pop(key, None)


class Try:
    def __init__(self, number, max_tries=RETRIES):
        self.try_number, self.max_tries = number, max_tries


def ownership(store, number, durable=True, *, max_tries=RETRIES, retries=RETRIES, clears=0):
    dag_run, task = SimpleNamespace(clear_number=clears), SimpleNamespace(retries=retries)
    context = {"ti": Try(number, max_tries), "dag_run": dag_run, "task": task, "task_state_store": store}
    return CheckpointStore(context, durable)


def test_the_next_try_reads_what_the_one_before_has_noted():
    store = Store()
    first = ownership(store, 1)
    first.intend(1, {"newest": 6})
    first.note(Phase.POLLING, 1, 7)

    assert ownership(store, 2).read() == Checkpoint(Phase.POLLING, 1, RETRIES, 7, {"newest": 6}, 1, 0)


@pytest.mark.parametrize(
    ("later", "cleared"),
    [
        ({}, False),
        ({"clears": 1}, False),  # of another task of the DAG run
        ({"clears": 1, "max_tries": 1 + RETRIES}, True),
        ({"clears": 1, "max_tries": 1 + 1, "retries": 1}, True),  # the retries were lowered from 2 to 1 meanwhile
        ({"clears": 0, "max_tries": 1 + 1, "retries": 1}, False),
    ],
)
def test_a_clear_is_told_from_a_retry(later, cleared):
    store = Store()
    ownership(store, 1).note(Phase.DELIVERED, 1, 7)
    second = ownership(store, 2, **later)
    second.read()

    assert second.was_cleared is cleared


def test_what_came_to_nothing_is_forgotten():
    store = Store()
    first = ownership(store, 1)
    first.intend(1, {})
    first.forget()

    assert ownership(store, 2).read() is None


def test_a_try_that_finds_nothing_in_the_store_is_not_the_owner_any_more():
    store = Store()
    old = ownership(store, 1)
    old.note(Phase.POLLING, 1, 7)
    assert old.is_current_try()

    store.rows.clear()  # Airflow answers a try whose id is gone as if there were nothing
    assert not old.is_current_try()


@pytest.mark.parametrize(("number", "last"), [(1, False), (RETRIES, False), (RETRIES + 1, True)])
def test_which_try_is_the_last(number, last):
    assert ownership(Store(), number).is_last_try is last


def test_without_a_store_or_durable_nothing_is_kept():
    store = Store()
    undurable = ownership(store, 1, durable=False)
    undurable.note(Phase.POLLING, 1, 7)

    assert store.rows == {}
    assert not undurable.is_persistent
    assert not ownership(None, 1).is_persistent
