"""What a deferred task tells of its run, as Airflow's database gets it, and what that costs FlowEngine."""

import json
from itertools import pairwise

import pytest

from .processes import until

NODES = ("fetch", "features", "train", "publish")
NODE_SECONDS = 9
SECONDS = len(NODES) * NODE_SECONDS
NODE_INTERVAL = 15  # seconds between two requests for the nodes of a run, by default


@pytest.fixture
def written(stack):
    """What was written as a DAG run's XCom ``flowengine_run``, by whomever, in their order."""
    stack.sql("CREATE TABLE IF NOT EXISTS written (dag_run TEXT, content TEXT)")
    for event in ("INSERT", "UPDATE"):
        stack.sql(
            f"CREATE TRIGGER IF NOT EXISTS written_by_{event} AFTER {event} ON xcom WHEN NEW.key = 'flowengine_run' "
            f"BEGIN INSERT INTO written VALUES (NEW.run_id, NEW.value); END"
        )

    def written(dag_run):
        rows = stack.sql("SELECT content FROM written WHERE dag_run = ? ORDER BY rowid", dag_run)
        return [_read(content) for (content,) in rows]

    yield written
    for event in ("INSERT", "UPDATE"):
        stack.sql(f"DROP TRIGGER written_by_{event}")


def _read(content):
    value = json.loads(content)
    return json.loads(value) if isinstance(value, str) else value


def test_a_deferred_run_is_written_at_each_change_seldom_and_its_end_last(stack, flowengine, written):
    pipeline = flowengine.create_pipeline(duration=str(NODE_SECONDS), nodes=NODES)
    task = stack.api.trigger("start_deferrable", {"connection": flowengine.conn_id, "pipeline": pipeline})
    run = flowengine.run_of(pipeline)
    until(lambda: len(written(task.run_id)) > 2, 60, lambda: f"The trigger writes nothing: {task.describe()}")
    assert task.state == "deferred"
    assert task.ends() == "success"
    writes = written(task.run_id)
    seen = [{node["id"]: node["state"] for node in content["nodes"]} for content in writes]
    requests = flowengine.requests(pipeline, run)

    assert writes[0]["state"] == "running"
    assert writes[-1]["state"] == "succeeded"
    assert seen[-1] == dict.fromkeys(NODES, "succeeded")
    assert len({str(states) for states in seen}) >= 4, seen
    assert all(one != other for one, other in pairwise(writes)), "The same is written twice"
    assert len(writes) <= 10, f"{len(writes)} writes in {SECONDS} seconds"

    # The run is looked for before and after its start; its nodes are asked for at their interval, and at its end.
    assert requests["history"] <= SECONDS + 3, requests
    assert requests["run"] <= SECONDS / NODE_INTERVAL + 2, requests
