"""
What tests of DAGs need: an Airflow home of their own, DAGs that run in this process, and pipelines to run.

The emulator and the connection to it come from the package's own pytest plugin (``flowengine_emulator``,
``flowengine_connection``). Airflow must not be imported before its home is set, so it is imported where it is used.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import distributions, version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pluggy import HookimplMarker

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "dags").mkdir()
for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(HOME / "dags"),
    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(bytes(range(32))).decode(),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(HOME / "logs"),
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our marks."""
    config.addinivalue_line("markers", "needs_task_state_store: about what a later try knows of an earlier one's run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this Airflow can't do, each with its reason."""
    if AIRFLOW < (3, 3):
        for item in items:
            if item.get_closest_marker("needs_task_state_store"):
                item.add_marker(pytest.mark.skip(reason="the task state store came with Airflow 3.3"))


@pytest.fixture(scope="session")
def airflow_db(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow's database in this process's own home: a copy of one that is migrated once for each set of versions."""
    packages = sorted(f"{found.name}=={found.version}" for found in distributions() if "airflow" in found.name)
    cache = getattr(pytestconfig, "cache", None)
    folder = cache.mkdir("airflow-db") if cache else tmp_path_factory.getbasetemp().parent
    template = folder / f"airflow-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:16]}.db"
    with (folder / "airflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several processes of one pytest run want the same
        if not template.exists():
            # By a process of its own, since it sets up logging anew.
            subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
            shutil.copy(HOME / "airflow.db", f"{template}.new")
            os.replace(f"{template}.new", template)
    shutil.copy(template, HOME / "airflow.db")


# --- DAGs -------------------------------------------------------------------------------------------------------------


@dataclass
class TaskResult:
    """
    How a task of a DAG run went.

    :param state: its last state.
    :param tries: how often it was tried.
    :param errors: what its tries failed or were skipped with, in order.
    :param xcoms: what it left in XCom, by key.
    :param link: what its button “FlowEngine run” opens.
    :param rendered: its templated arguments as Airflow shows them, rendered.
    """

    state: str
    tries: int
    errors: list[BaseException]
    xcoms: dict[str, Any]
    link: str | None
    rendered: dict[str, Any]

    @property
    def returned(self) -> Any:
        """What its execute returned."""
        return self.xcoms.get("return_value")

    @property
    def error(self) -> str:
        """The text of what its last try failed with."""
        return str(self.errors[-1]) if self.errors else ""


@dataclass
class DagResult:
    """How a DAG run went: its state, and its tasks by their ids, mapped ones as a list."""

    state: str
    tasks: dict[str, list[TaskResult]]

    def __getitem__(self, task_id: str) -> TaskResult:
        (only,) = self.tasks[task_id]
        return only

    def mapped(self, task_id: str) -> list[TaskResult]:
        """The mapped tasks, by map index."""
        return self.tasks[task_id]


_numbers = count(1)
hookimpl = HookimplMarker("airflow")


@pytest.fixture
def serialized() -> Callable[[Any], Any]:
    """Return a DAG as it comes back from Airflow's database."""
    from airflow.serialization import serialized_objects

    serializer = getattr(serialized_objects, "DagSerialization", None) or serialized_objects.SerializedDAG
    return lambda dag: serializer.from_dict(serializer.to_dict(dag))


@pytest.fixture
def dag(airflow_db: None) -> Any:
    """An empty DAG; ``run`` runs it."""
    from airflow.providers.common.compat.sdk import DAG

    dag = DAG(
        f"test_{next(_numbers)}",
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        default_args={"retry_delay": timedelta(0)},
    )
    dag.doc_md = None
    return dag


class Errors(dict[tuple[str, int], list[BaseException]]):
    """What tasks have failed with, by task id and map index: a listener, since not every Airflow tells callbacks."""

    @hookimpl
    def on_task_instance_failed(self, task_instance: Any, error: BaseException) -> None:
        """Take what a try failed with."""
        self.setdefault((task_instance.task_id, task_instance.map_index), []).append(error)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Any:
    """Run a DAG to its end in this process, triggers included, and tell how it went."""
    from airflow.providers.common.compat.sdk import get_listener_manager

    sleep = time.sleep
    # dag.test() looks only once a second whether a retry or a reschedule is due.
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(0.05 if seconds == 1 else seconds))
    if (3, 0) <= AIRFLOW < (3, 3):
        # dag.test() makes an API server anew for each task, in over a second.
        from airflow.sdk.execution_time import supervisor

        monkeypatch.setattr(supervisor, "in_process_api_server", _api_server)
    if AIRFLOW == (3, 0):
        # Its dag.test() hands this time to a rescheduled sensor as text, with which no sensor gets along.
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        ask = RuntimeTaskInstance.get_first_reschedule_date

        def first_reschedule_date(ti: Any, context: Any) -> Any:
            first = ask(ti, context)
            return datetime.fromisoformat(first) if isinstance(first, str) else first

        monkeypatch.setattr(RuntimeTaskInstance, "get_first_reschedule_date", first_reschedule_date)

    def run(dag: Any, conf: dict[str, Any] | None = None) -> DagResult:
        if AIRFLOW >= (3, 0):
            _write(dag)
        errors = Errors()
        listeners = get_listener_manager()
        listeners.add_listener(errors)
        try:
            dag_run = dag.test(run_conf=conf)
        finally:
            listeners.pm.unregister(errors)
        shown = _shown(dag)
        tasks: dict[str, list[TaskResult]] = {}
        for ti in sorted(dag_run.get_task_instances(), key=lambda ti: ti.map_index):
            seen = errors.get((ti.task_id, ti.map_index), [])
            tasks.setdefault(ti.task_id, []).append(_result(shown.get_task(ti.task_id), ti, seen))
        return DagResult(str(dag_run.state), tasks)

    return run


@cache
def _api_server() -> Any:
    from airflow.api_fastapi.execution_api.app import InProcessExecutionAPI

    return InProcessExecutionAPI()


@pytest.fixture
def run_task(dag: Any, run: Any) -> Any:
    """Run one task in a DAG of its own; ``between_tries`` is called before each retry."""

    def run_task(
        operator: Any,
        conf: dict[str, Any] | None = None,
        between_tries: Callable[[], object] | None = None,
        **arguments: Any,
    ) -> TaskResult:
        if between_tries:
            arguments["on_retry_callback"] = lambda context: between_tries()
        operator(task_id="task", dag=dag, **arguments)
        return run(dag, conf)["task"]

    return run_task


def _write(dag: Any) -> None:
    """Write a DAG into the database, as the DAG processor would have done."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.models.dag import DagModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        DagBundlesManager().sync_bundles_to_db(session=session)
        session.flush()
        if not session.get(DagModel, dag.dag_id):
            session.add(DagModel(dag_id=dag.dag_id, bundle_name="dags-folder"))
            session.flush()
        serialized = dag if AIRFLOW < (3, 1) else LazyDeserializedDAG.from_dag(dag)
        SerializedDagModel.write_dag(serialized, bundle_name="dags-folder", session=session)


def _result(task: Any, ti: Any, errors: list[BaseException]) -> TaskResult:
    from airflow.models import xcom
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session

    model = xcom.XComModel if AIRFLOW >= (3, 0) else xcom.XCom

    with create_session() as session:
        where = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
        rows = session.query(model.key, model.value).filter_by(**where)
        xcoms = {row.key: model.deserialize_value(row) for row in rows}
        rendered = RenderedTaskInstanceFields.get_templated_fields(ti, session=session)
    return TaskResult(
        state=str(ti.state),
        tries=ti.try_number,
        errors=list(errors),
        xcoms=xcoms,
        link=task.get_extra_links(ti, "FlowEngine run"),
        rendered=rendered or {},
    )


def _shown(dag: Any) -> Any:
    """Return the DAG as the web page knows it: as it was serialized."""
    if AIRFLOW < (3, 0):
        from airflow.serialization.serialized_objects import SerializedDAG

        return SerializedDAG.from_dict(SerializedDAG.to_dict(dag))
    from airflow.models.serialized_dag import SerializedDagModel

    return SerializedDagModel.get(dag.dag_id).dag


# --- logs -------------------------------------------------------------------------------------------------------------


class Log(logging.Handler):
    """What was logged from INFO on, by anybody."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of Python's own logging."""
        self.lines.append((record.name, self.format(record)))

    def take(self, logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        """Take a line of structlog, with which Airflow 3 logs."""
        if method != "debug":
            self.lines.append((str(event.get("logger") or getattr(logger, "name", "")), str(event)))
        return event

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(text for _, text in self.lines)

    @property
    def ours(self) -> str:
        """What this package logged."""
        return "\n".join(text for name, text in self.lines if "airflow_provider_flowengine" in name)


@pytest.fixture
def log() -> Any:
    """What is logged during the test."""
    log = Log()
    processors: list[Any] = []
    if AIRFLOW >= (3, 0):
        import airflow.settings  # noqa: F401 - sets structlog up
        import structlog

        processors = structlog.get_config()["processors"]
        processors.insert(-1, log.take)
    logging.getLogger().addHandler(log)
    yield log
    logging.getLogger().removeHandler(log)
    if log.take in processors:
        processors.remove(log.take)


# --- FlowEngine -------------------------------------------------------------------------------------------------------


@pytest.fixture
def emulator(flowengine_emulator: Any, flowengine_connection: str) -> Any:
    """The emulator, with the connection ``flowengine_default`` leading to it."""
    return flowengine_emulator


@pytest.fixture(params=[False, True], ids=["sync", "deferrable"])
def deferrable(request: pytest.FixtureRequest) -> bool:
    """Whether the task waits in the triggerer: a test that takes this is run in both ways."""
    return bool(request.param)


@pytest.fixture
def pipeline(flowengine_emulator: Any) -> Any:
    """Make a pipeline of one node ``train``, whose params set its duration and outcome; return its id."""

    def make(key: str = "nightly", *, name: str = "", **params: object) -> int:
        values = [{"key": key, "value": str(value), "type": "TEXT"} for key, value in params.items()]
        node = {"nodeId": "n1", "name": "train", "type": "TASK", "indexType": "SHELL", "params": {"values": values}}
        data = {"name": name or key, "describe": "", "nodes": [node], "edges": []}
        return flowengine_emulator.engine.create_pipeline({"data": data, "pipelineKey": key}).id

    return make


@pytest.fixture
def after_polls(emulator: Any) -> Any:
    """Do something after so many more polls: at that moment, however slow the machine is."""
    over = threading.Event()

    def polls() -> int:
        return emulator.count("history") + emulator.count("run")

    def after_polls(number: int, what: Callable[..., object], *arguments: object) -> None:
        enough = polls() + number

        def wait() -> None:
            while not over.wait(0.01):
                if polls() >= enough:
                    what(*arguments)
                    return

        threading.Thread(target=wait, daemon=True).start()

    yield after_polls
    over.set()


@pytest.fixture(autouse=True)
def _settle_soon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where time is real, wait less for another candidate to appear beside a start's run."""
    if not {"protocol", "faults", "emulator"} & set(request.path.parts):
        monkeypatch.setattr("airflow_provider_flowengine.protocol.starting.SETTLE_TIME", 0.2)
