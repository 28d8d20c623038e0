"""What a try does about what an earlier one left: the pipeline is started once, whatever happened in between."""

import threading
import time
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import version

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from airflow.triggers.base import TriggerEvent

from airflow_provider_flowengine.operators.checkpoint import CheckpointStore
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    RunFailedError,
    StartUnconfirmedError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

in_both_modes_anew = pytest.mark.parametrize(
    "deferrable",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(
                version("apache-airflow").startswith("3.0."),
                reason="Airflow 3.0 resumes a deferred task's next try with the event of its last (its issue 56704)",
            ),
        ),
    ],
    ids=["sync", "deferrable"],
)
"""For a try that fails after it was deferred, and a next one that begins anew."""
READS_TO_START = 3
"""Requests for the run that a start makes: for the baseline, and to find its run."""
needs_task_state_store = pytest.mark.needs_task_state_store


@pytest.fixture
def pipeline(emulator, pipeline):
    """Make pipelines that have run before, an hour ago: by run 1, so that a task's run is run 2."""

    def make(*key, **params):
        made = pipeline(*key, **params)
        emulator.engine.add_history(made, [emulator.clock.now() - 3600])
        return made

    return make


@pytest.fixture
def start(run_task):
    """Run the start operator with one retry."""

    def start(**arguments):
        return run_task(FlowEngineStartPipelineOperator, **{"poll_interval": 0.05, "retries": 1, **arguments})

    return start


def state(emulator, run_id):
    return emulator.engine.run(run_id).state(emulator.clock.now() + 10)


# --- the run goes on --------------------------------------------------------------------------------------------------


@needs_task_state_store
def test_a_try_goes_on_with_the_run_of_one_that_gave_up(start, emulator, pipeline, after_polls, log, deferrable):
    def go_on():
        emulator.faults.clear()
        after_polls(6, emulator.engine.finish, 2)

    emulator.fail("history", "run", status=500, skip=READS_TO_START, times=100)
    task = start(
        pipeline_id=pipeline(duration="forever"), unreachable_timeout=0.01, deferrable=deferrable, between_tries=go_on
    )

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert isinstance(task.errors[0], StatusUnavailableError)
    assert (emulator.count("start"), emulator.count("stop")) == (1, 0)
    assert "Leaving run 2 of pipeline 1 running; the next try will reconnect." in log.ours
    assert "Try 1 left run 2 of pipeline 1 (status running). Reconnecting to it." in log.ours


@needs_task_state_store
def test_a_try_takes_the_result_of_a_run_that_has_succeeded_meanwhile(start, emulator, pipeline, log, deferrable):
    def succeed():
        emulator.faults.clear()
        emulator.engine.finish(2)

    emulator.fail("history", "run", status=500, skip=READS_TO_START, times=100)
    task = start(
        pipeline_id=pipeline(duration="forever"),
        unreachable_timeout=0.01,
        deferrable=deferrable,
        between_tries=succeed,
    )

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert emulator.count("start") == 1
    assert "Try 1 left run 2 of pipeline 1 (status succeeded). Taking its result." in log.ours
    assert task.link
    assert task.xcoms["flowengine_run"]["run_id"] == 2


@needs_task_state_store
def test_a_result_that_was_handed_on_is_taken_again_when_the_try_fails_after_it(start, emulator, pipeline, deferrable):
    failures = [OSError("no lineage backend")]

    def post_execute(context, result):
        if failures:
            raise failures.pop()

    task = start(pipeline_id=pipeline(duration=0.1), post_execute=post_execute, deferrable=deferrable)

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert emulator.count("start") == 1


@needs_task_state_store
def test_the_last_try_that_gives_up_stops_the_run(start, emulator, pipeline):
    def let_it_be_stopped():
        emulator.faults.clear()
        emulator.fail("history", "run", status=500, skip=1, times=2)  # the first finds the run

    emulator.fail("history", "run", status=500, skip=READS_TO_START, times=100)
    task = start(pipeline_id=pipeline(duration="forever"), unreachable_timeout=0.01, between_tries=let_it_be_stopped)

    assert task.state == "failed"
    assert (emulator.count("start"), emulator.count("stop")) == (1, 1)
    assert state(emulator, 2) == "stopped"


@needs_task_state_store
@pytest.mark.parametrize("fault", [{"kind": "status"}, {"kind": "broken_json"}], ids=["no answer", "an odd answer"])
def test_the_last_try_stops_the_run_of_before_though_it_cant_even_find_the_pipeline(start, emulator, pipeline, fault):
    pipeline("nightly", duration="forever")

    def lose_the_pipelines():
        emulator.faults.clear()
        emulator.fail("list", times=100, **fault)

    emulator.fail("history", "run", status=500, skip=READS_TO_START, times=100)
    task = start(pipeline_key="nightly", unreachable_timeout=0.01, between_tries=lose_the_pipelines)

    assert task.state == "failed"
    assert (emulator.count("start"), state(emulator, 2)) == (1, "stopped")


@needs_task_state_store
def test_a_try_that_fails_for_good_by_its_retry_policy_stops_the_run_of_before(start, emulator, pipeline):
    from airflow_provider_flowengine.retry import default_retry_policy

    def forbid():
        emulator.faults.clear()
        emulator.fail("engine_id", status=403, times=1)

    emulator.fail("history", "run", status=500, skip=READS_TO_START, times=100)
    task = start(
        pipeline_id=pipeline(duration="forever"),
        unreachable_timeout=0.01,
        retries=5,
        retry_policy=default_retry_policy(),
        timeout=20,
        between_tries=forbid,
    )

    assert (task.state, task.tries) == ("failed", 2)
    assert state(emulator, 2) == "stopped"


@in_both_modes_anew
def test_a_try_that_leaves_nothing_behind_stops_the_run_that_it_gives_up(
    start, emulator, pipeline, log, deferrable, let_runs_end_at_once
):
    # Without a record the next try would start a second run beside the first.
    pipeline_id = pipeline(duration="forever")
    emulator.fail(
        "history", "run", status=500, skip=READS_TO_START, times=3 if deferrable else 2
    )  # deferred, the operator polls first
    task = start(
        pipeline_id=pipeline_id,
        unreachable_timeout=0.01,
        durable=False,
        deferrable=deferrable,
        between_tries=lambda: let_runs_end_at_once(pipeline_id),
    )

    assert (task.state, task.returned, task.tries) == ("success", 3, 2)
    assert state(emulator, 2) == "stopped"
    assert "No later try can reconnect to this run" in log.ours


# --- whether it was started isn't known -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset", "broken_json"])
def test_a_start_whose_answer_is_lost_is_found_in_the_history(start, emulator, pipeline, kind):
    emulator.fail("start", where="after", kind=kind)
    task = start(pipeline_id=pipeline(duration=0.2), start_confirmation_timeout=2)

    assert (task.state, task.returned, task.tries) == ("success", 2, 1)
    assert emulator.count("start") == 1


@needs_task_state_store
def test_a_start_that_shows_only_later_is_found_by_the_next_try(start, emulator, pipeline, log, deferrable):
    emulator.options.history_delay = 60
    emulator.fail("start", kind="reset", where="after")
    task = start(
        pipeline_id=pipeline(duration=0.1),
        start_confirmation_timeout=0.2,
        deferrable=deferrable,
        between_tries=lambda: emulator.clock.advance(61),
    )

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert isinstance(task.errors[0], StartUnconfirmedError)
    assert "It was not started again, since a slow server may still do it" in str(task.errors[0])
    assert emulator.count("start") == 1
    assert "Try 1 may have started the pipeline; looking for its run." in log.ours


@needs_task_state_store
@pytest.mark.parametrize(("others", "returned"), [("running", None), ("ended", 4)])
def test_after_a_clear_runs_that_could_be_the_one_bar_a_new_one_only_while_they_are_running(
    start, emulator, pipeline, log, monkeypatch, others, returned, let_runs_end_at_once
):
    pipeline_id = pipeline(duration="forever")
    emulator.options.history_delay = 60
    emulator.fail("start", kind="reset", where="after")

    def clear():
        emulator.engine.start(pipeline_id)
        emulator.clock.advance(61)
        if others == "ended":
            for run_id in (2, 3):
                emulator.engine.finish(run_id)
            let_runs_end_at_once(pipeline_id)
            emulator.options.history_delay = 0
        monkeypatch.setattr(CheckpointStore, "__init__", cleared)

    made = CheckpointStore.__init__

    def cleared(self, *args):
        made(self, *args)
        self.max_tries += 1

    task = start(pipeline_id=pipeline_id, start_confirmation_timeout=0.2, between_tries=clear)

    assert (task.returned, emulator.count("start")) == (returned, 2 if returned else 1)
    if not returned:
        assert isinstance(task.errors[-1], AmbiguousRunError)


@needs_task_state_store
def test_a_start_that_surely_came_to_nothing_is_made_by_the_next_try(start, emulator, pipeline, log, monkeypatch):
    # The next try allows the lost request its time to be answered too.
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection(timeout=1))
    emulator.fail("start", kind="reset", where="before")
    task = start(pipeline_id=pipeline(), start_confirmation_timeout=0.2)

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert isinstance(task.errors[0], StartUnconfirmedError)
    assert "the history shows no run of it. Starting a new run." in log.ours


@needs_task_state_store
def test_a_refused_start_leaves_nothing_to_search_for(start, emulator, pipeline, log):
    emulator.options.refuse_start = "任务队列已满"

    def allow():
        emulator.options.refuse_start = ""

    task = start(pipeline_id=pipeline(), between_tries=allow)

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert "Try 1" not in log.ours


# --- the run failed ---------------------------------------------------------------------------------------------------


@in_both_modes_anew
def test_a_retry_starts_a_new_run_by_default(start, emulator, pipeline, deferrable, let_runs_end_at_once):
    task = start(
        pipeline_id=pipeline(duration=0.1, outcome="failed"),
        deferrable=deferrable,
        between_tries=lambda: let_runs_end_at_once(1),
    )

    assert (task.state, task.returned, task.tries) == ("success", 3, 2)
    assert isinstance(task.errors[0], RunFailedError)
    assert (emulator.count("start"), emulator.count("resume")) == (2, 0)


@needs_task_state_store
def test_a_retry_knows_the_failed_run_even_if_the_history_does_not_show_it_yet(start, emulator, pipeline, monkeypatch):
    pipeline_id, intents = pipeline(duration=0.1, outcome="failed"), []
    emulator.engine.add_history(pipeline_id, [emulator.clock.now() - 60 * minutes for minutes in range(9, 0, -1)])
    record = CheckpointStore.record_intent

    def spy(store, pipeline_id, intent):
        intents.append(intent)
        record(store, pipeline_id, intent)

    monkeypatch.setattr(CheckpointStore, "record_intent", spy)
    start(pipeline_id=pipeline_id)

    assert [intent["baseline_ids"] for intent in intents] == [[], [11]]


@needs_task_state_store
def test_a_retry_resumes_the_failed_run_if_requested(start, emulator, pipeline, log, deferrable):
    task = start(pipeline_id=pipeline(duration=0.1, outcome="failed_once"), retry_mode="resume", deferrable=deferrable)

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert (emulator.count("start"), emulator.count("resume")) == (1, 1)
    assert "Try 1 left run 2 of pipeline 1 (status failed). Resuming it." in log.ours


@needs_task_state_store
def test_a_run_that_flowengine_will_not_resume_is_started_anew(start, emulator, pipeline, log, deferrable):
    emulator.options.refuse_resume = "运行已归档"
    task = start(pipeline_id=pipeline(outcome="failed"), retry_mode="resume", deferrable=deferrable)

    assert task.state == "failed"
    assert (emulator.count("start"), emulator.count("resume")) == (2, 1)
    assert "运行已归档" in log.ours
    assert "Starting a new run instead." in log.ours


@needs_task_state_store
def test_a_retry_that_is_about_another_pipeline_leaves_the_first_ones_run_alone(start, emulator, pipeline, log):
    pipeline("first", outcome="failed")
    pipeline("second")
    task = start(pipeline_key="{{ 'first' if ti.try_number == 1 else 'second' }}")

    assert (task.state, task.returned, task.tries) == ("success", 4, 2)
    assert (
        "An earlier try was about pipeline 1, this one is about 2: starting a new run. Leaving run 3 as it is."
        in log.ours
    )


# --- what isn't the task's own ----------------------------------------------------------------------------------------


def test_a_start_that_was_refused_leaves_a_run_that_somebody_else_starts_meanwhile_alone(start, emulator, pipeline):
    made = pipeline(duration="forever")
    emulator.fail("start", kind="away", seconds=100)  # the gateway knows no way to the engine

    def start_by_hand():
        while not emulator.count("start"):
            time.sleep(0.01)
        emulator.engine.start(made)

    threading.Thread(target=start_by_hand, daemon=True).start()
    with suppress(AirflowTaskTimeout):  # the dag.test() of Airflow 2.11 doesn't hold it
        start(pipeline_id=made, execution_timeout=timedelta(seconds=2), retries=0)

    assert emulator.count("stop") == 0


def test_a_mapped_task_remembers_its_own_run(dag, run, emulator, pipeline, monkeypatch):
    async def fire_nonsense(self):
        yield TriggerEvent("nonsense")

    monkeypatch.setattr(FlowEnginePipelineRunTrigger, "run", fire_nonsense)
    pipelines = [pipeline(key, duration="forever") for key in ("first", "second")]
    FlowEngineStartPipelineOperator.partial(
        task_id="task", dag=dag, deferrable=True, durable=False, poll_interval=0.05
    ).expand(pipeline_id=pipelines)

    assert [task.state for task in run(dag).mapped("task")] == ["failed", "failed"]
    assert (emulator.count("start"), emulator.count("stop")) == (2, 2)
