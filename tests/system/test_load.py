"""Many steps while a whole worker and the triggerer are killed: each run is started once, and none is lost."""

import signal
from collections import Counter

import pytest

from .processes import until

STEPS, PIPELINES = 150, 10
RUN_SECONDS = 20


@pytest.mark.alone
@pytest.mark.parametrize("stack", ["celery"], indirect=True)
def test_150_steps_survive_the_death_of_a_worker_and_of_the_triggerer(stack, flowengine):
    pipelines = [flowengine.create_pipeline(duration=str(RUN_SECONDS), params=("step",)) for _ in range(PIPELINES)]
    conf = {"connection": flowengine.conn_id, "pipelines": pipelines, "steps": STEPS}
    dag_run = stack.api.trigger("load", conf)

    def seen():
        return [flowengine.seen(pipeline) for pipeline in pipelines]

    def starts():
        return sum(each.starts for each in seen())

    def states():
        return Counter(step["state"] for step in stack.api.mapped(dag_run.dag_id, dag_run.run_id, "run"))

    until(lambda: starts() >= STEPS // 4, 120, lambda: f"Few steps start: {states()}")
    worker = stack.workers[0]
    worker.end(signal.SIGKILL, whole_tree=True)
    worker.start()
    until(lambda: starts() >= STEPS // 2, 120, lambda: f"The steps stop starting: {states()}")
    stack.triggerer.end(signal.SIGKILL, whole_tree=True)
    stack.triggerer.start()
    until(lambda: states()["success"] == STEPS, 300, lambda: f"Not all steps succeed: {states()}", 2)

    runs = Counter(state for each in seen() for state in each.runs.values())
    assert (starts(), runs) == (STEPS, Counter(succeeded=STEPS))
