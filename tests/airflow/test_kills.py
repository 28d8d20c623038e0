"""What becomes of a run when its task is ended while a worker waits: by a person, or by the worker's shutdown."""

import os
import signal
import threading
import time
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol.errors import TaskInterruptedError

AIRFLOW_3 = int(version("apache-airflow").split(".")[0]) > 2


@pytest.fixture
def end_task(emulator, dag):
    """End the task once it waits for its run: Airflow's state of it changes, and its process is sent a signal."""
    operators = []

    def tell(*_):
        operators[-1].on_kill()

    def end(state=None):
        while emulator.count("history") + emulator.count("run") < 7 or not operators:
            time.sleep(0.01)
        if state:
            set_state(dag, state)
        end_task.killed_at = time.monotonic()
        os.kill(os.getpid(), signal.SIGUSR1)

    def end_task(state=None):
        threading.Thread(target=end, args=[state], daemon=True).start()

    end_task.pre_execute = lambda context: operators.append(context["ti"].task)
    before = signal.signal(signal.SIGUSR1, tell)
    yield end_task
    signal.signal(signal.SIGUSR1, before)


def set_state(dag, state):
    """Do to the task what a person does who marks it."""
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        session.query(TaskInstance).filter_by(dag_id=dag.dag_id).update({"state": state})


@pytest.fixture
def start(run_task, end_task):
    def start(**arguments):
        return run_task(
            FlowEngineStartPipelineOperator, poll_interval=0.05, pre_execute=end_task.pre_execute, **arguments
        )

    return start


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_run_is_stopped_once_when_a_person_marks_its_task(start, end_task, emulator, pipeline, log, state):
    end_task(state)
    start(pipeline_id=pipeline(duration="forever"))

    assert emulator.count("stop") == 1
    assert emulator.engine.run(1).stopping
    assert "The task was ended by the user: stopping run 1 of pipeline 1." in log.ours


def test_a_task_whose_run_was_stopped_never_ends_well(start, end_task, emulator, pipeline):
    end_task("failed")
    task = start(pipeline_id=pipeline(duration="forever"))

    assert task.state == "failed"
    assert task.returned is None


def test_a_run_of_a_start_that_is_not_confirmed_yet_is_searched_for_and_stopped(start, end_task, emulator, pipeline):
    emulator.options.history_delay = 1.5
    emulator.fail("start", kind="reset", where="after")
    end_task("failed")
    start(pipeline_id=pipeline(duration="forever"))

    assert emulator.engine.run(1).stopping


@pytest.mark.parametrize("is_confirmed", [True, False], ids=["a known run", "an unconfirmed start"])
def test_a_kill_does_not_wait_for_a_flowengine_that_does_not_answer(
    start, end_task, emulator, pipeline, log, is_confirmed
):
    # Airflow kills the process 5 s after the signal: what is to be logged and saved must be done by then. The tests
    # may share a busy machine, so they allow more.
    if not is_confirmed:
        emulator.options.history_delay = 600
        emulator.fail("start", kind="reset", where="after")
    emulator.fail("history", "run", "stop", kind="hang", seconds=60, skip=7, times=100)
    end_task("failed")
    start(pipeline_id=pipeline(duration="forever"))

    assert time.monotonic() - end_task.killed_at < 20
    assert ("may still be running" if is_confirmed else "may have been started") in log.ours


def test_a_run_keeps_running_when_the_user_ends_its_task_if_cancel_on_kill_is_off(
    start, end_task, emulator, pipeline, log
):
    end_task("failed")
    start(pipeline_id=pipeline(duration="forever"), cancel_on_kill=False)

    assert emulator.count("stop") == 0
    assert "run 1 of pipeline 1 is left running, since cancel_on_kill is off" in log.ours


@pytest.mark.needs_task_state_store
def test_a_worker_that_is_shut_down_leaves_the_run_to_the_next_try(
    start, end_task, emulator, pipeline, after_polls, log
):
    end_task()
    task = start(
        pipeline_id=pipeline(duration="forever"),
        retries=1,
        between_tries=lambda: after_polls(6, emulator.engine.finish, 1),
    )

    assert (task.state, task.returned, task.tries) == ("success", 1, 2)
    assert isinstance(task.errors[0], TaskInterruptedError)
    assert str(task.errors[0]) == (
        "The task was ended before its run. The run was left running; the next try will reconnect. "
        f"See {emulator.run_url(1, 1)}"
    )
    assert (emulator.count("start"), emulator.count("stop")) == (1, 0)
    assert "The task's process was told to end, but the user hasn't ended the task." in log.ours


@pytest.mark.skipif(not AIRFLOW_3, reason="Airflow 2.11 executes operators in one thread only")
def test_a_run_is_stopped_when_the_end_comes_from_another_thread(emulator, pipeline):
    class TaskInstance:
        def xcom_push(self, key, value):
            pass

    operator = FlowEngineStartPipelineOperator(
        task_id="task", pipeline_id=pipeline(duration="forever"), poll_interval=0.05, durable=False
    )
    ended = []

    def execute():
        with pytest.raises(TaskInterruptedError):
            operator.execute({"ti": TaskInstance()})
        ended.append(True)

    thread = threading.Thread(target=execute)
    thread.start()
    while emulator.count("history") + emulator.count("run") < 7:
        time.sleep(0.01)
    operator.on_kill()
    thread.join(30)

    assert (emulator.count("stop"), ended) == (1, [True])


def test_a_worker_that_is_shut_down_stops_the_run_where_no_later_try_can_know_of_it(
    start, end_task, emulator, pipeline, after_polls
):
    end_task()
    task = start(
        pipeline_id=pipeline(duration="forever"),
        durable=False,
        retries=1,
        between_tries=lambda: after_polls(7, emulator.engine.finish, 2),
    )

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)
    assert (emulator.count("start"), emulator.count("stop")) == (2, 1)
    assert emulator.engine.run(1).stopping
