"""What Airflow 2.11 does in its own way: tasks run as its workers run them, not by ``dag.test()``."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

pytestmark = pytest.mark.skipif(int(version("apache-airflow").split(".")[0]) > 2, reason="about Airflow 2.11 alone")


class Task:
    """A task of a DAG run, which is run again and again."""

    def __init__(self, dag, operator):
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunType

        self.operator = operator
        dag.sync_to_db()
        SerializedDagModel.write_dag(dag)
        day = datetime(2024, 1, 1, tzinfo=UTC)
        self._dag_run = dag.create_dagrun(
            run_id="run",
            run_type=DagRunType.MANUAL,
            execution_date=day,
            data_interval=(day, day),
            state=DagRunState.RUNNING,
            start_date=datetime.now(UTC),
        )

    @property
    def instance(self):
        """The task instance as the database has it."""
        instance = self._dag_run.get_task_instance("task")
        instance.task = self.operator
        return instance

    def run(self):
        """Run it as a worker does, and return what it raised."""
        try:
            self.instance.run()
        except BaseException as error:
            return error
        return None

    def set(self, **columns):
        """Do to the task what a person or the scheduler does."""
        from airflow.models import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(TaskInstance).filter_by(dag_id=self.operator.dag_id).update(columns)


@pytest.fixture
def task(dag, pipeline):
    def task(**arguments):
        arguments = {"pipeline_id": pipeline(duration="forever"), "poll_interval": 0.05, **arguments}
        return Task(dag, FlowEngineStartPipelineOperator(task_id="task", dag=dag, **arguments))

    return task


@pytest.fixture
def _signals():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("state", ["success", "failed"])
def test_what_the_user_marks_a_running_task_as_is_left_so(task, emulator, after_polls, state):
    marked = task(retries=1)

    def mark():
        marked.set(state=state)
        os.kill(os.getpid(), signal.SIGTERM)

    after_polls(3, mark)
    marked.run()

    assert marked.instance.state == state
    assert emulator.count("stop") == 1


@pytest.mark.parametrize("who", ["the trigger", "Airflow"])
def test_execution_timeout_stops_the_run_of_a_deferred_task_whoever_ends_the_deferral(task, emulator, who):
    from airflow.exceptions import AirflowTaskTimeout
    from airflow.models.trigger import Trigger
    from airflow.utils.module_loading import import_string
    from airflow.utils.session import create_session

    late = task(deferrable=True, execution_timeout=timedelta(seconds=2))
    late.run()
    assert late.instance.state == "deferred"

    with create_session() as session:
        row = session.get(Trigger, late.instance.trigger_id)
        trigger_id, trigger = row.id, import_string(row.classpath)(**row.kwargs)

    async def first_event():
        return await anext(aiter(trigger.run()))

    event = asyncio.run(first_event())
    if who == "the trigger":
        Trigger.submit_event(trigger_id, event)
    else:
        late.set(next_method="__fail__", next_kwargs={"error": "Trigger/execution timeout"}, trigger_id=None)
    late.set(state="queued")

    assert isinstance(late.run(), AirflowTaskTimeout)
    assert late.instance.state == "failed"
    assert emulator.count("stop") == 1
