"""A DAG that is started by runs which end: once for each, whatever happens to the triggerer."""

import json
import signal

import pytest

from .processes import until


@pytest.fixture
def watched(stack, flowengine):
    """A pipeline that Airflow's watcher has found; it has been looking for the connection and the pipeline before."""
    pipeline = flowengine.create_pipeline("watched")
    stack.api.call("POST", "/connections", json=flowengine.connection("flowengine_events"))
    until(lambda: positions(stack), 120, "The watcher has noted no position")
    return pipeline


def positions(stack):
    """Where the watcher stands, as Airflow's database holds it."""
    return [json.loads(value) for (value,) in stack.sql("SELECT value FROM asset_state_store")]


def told(stack):
    """The runs that Airflow has an event of; its REST API can't list events while one of their DAG runs is queued."""
    extras = [json.loads(extra) for (extra,) in stack.sql("SELECT extra FROM asset_event")]
    return sorted(extra["payload"]["run_id"] for extra in extras if "payload" in extra)


def read_by_dag_runs(stack):
    """The runs that the DAG's runs were started by."""
    where = "/dags/watching/dagRuns/~/taskInstances/told/xcomEntries"
    runs = stack.api.call("GET", "/dags/watching/dagRuns", params={"limit": 100})["dag_runs"]
    read = []
    for run in runs:
        if run["state"] != "success":
            return []
        entry = where.replace("~", run["dag_run_id"]) + "/return_value"
        read += stack.api.call("GET", entry)["value"]
    return sorted(read, key=lambda payload: payload["run_id"])


@pytest.mark.alone
def test_each_run_that_ends_starts_the_dag_once_though_triggerers_die(stack, flowengine, watched):
    ended = []

    def end(run, outcome="succeeded"):
        flowengine.finish(run, outcome)
        ended.append(run)

    older, newer = flowengine.start_run(watched), flowengine.start_run(watched)
    end(newer)
    until(lambda: told(stack) == ended, 60, lambda: f"{told(stack)} is told of {ended}")
    for sign in (signal.SIGTERM, signal.SIGKILL):
        going_on = flowengine.start_run(watched)
        stack.triggerer.end(sign, whole_tree=sign is signal.SIGKILL)
        end(flowengine.start_run(watched), "failed")
        stack.triggerer.start()
        until(lambda: told(stack) == sorted(ended), 120, lambda: f"{told(stack)} is told of {ended}")
        end(going_on)
        until(lambda: told(stack) == sorted(ended), 60, lambda: f"{told(stack)} is told of {ended}")
    end(older, "stopped")
    until(lambda: told(stack) == sorted(ended), 60, lambda: f"{told(stack)} is told of {ended}")

    payloads = until(
        lambda: len(read_by_dag_runs(stack)) == len(ended) and read_by_dag_runs(stack), 90, "The DAG hasn't run"
    )

    assert [payload["run_id"] for payload in payloads] == sorted(ended) == told(stack)
    assert {payload["run_id"]: payload["state"] for payload in payloads}[older] == "stopped"
    assert all(payload["pipeline_id"] == watched and payload["ended"] for payload in payloads)
