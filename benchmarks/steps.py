"""
What a step costs in a real Airflow: mapped steps that each start a remote run and wait for its end.

Airflow runs as separate processes (LocalExecutor, SQLite), as for the system tests, with its own default intervals.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests
import trustme

from benchmarks.report import STEP_WAYS
from tests.system.airflow_api import ENDED
from tests.system.emulator import FlowEngine
from tests.system.processes import Process, end_all, free_port, kept_port, until
from tests.system.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_SECONDS = 10.0
TASKS = (
    ("empty", "step"),
    ("http", "both.step"),
    ("dbt", "step"),
    ("flowengine_sync", "step"),
    ("flowengine_deferred", "step"),
)
"""The DAG of each of :data:`STEP_WAYS`, and its task that ends a step."""

# As Airflow has them by default, in place of what the system tests shorten.
DEFAULTS = {
    "DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "0",
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "5",
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "15",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "300",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "5",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "600",
}


class Bench:
    """
    An Airflow with all that the steps talk to, in a folder of its own.

    :param folder: the folder.
    :param steps: how many steps each DAG has.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        # With bytecode in place, as in any Airflow that has run a task before.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AIRFLOW") and name != "PYTHONDONTWRITEBYTECODE"
        }
        self.env = {**kept, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "BENCH_STEPS": str(steps)}
        self.env["PYTHONPATH"] = os.getcwd()
        self.http_port, self.dbt_port, self.proxy_port = free_port(), free_port(), free_port()
        self.certificate = folder / "server.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.certificate))
        self.env |= {"SSL_CERT_FILE": str(folder / "ca.pem"), "REQUESTS_CA_BUNDLE": str(folder / "ca.pem")}
        self.flowengine = FlowEngine(folder, self.env)
        self.airflow = Stack("local", folder / "airflow", self._airflow_env(), self._airflow_settings())
        self._http = requests.Session()
        self._http.trust_env = False

    def _airflow_env(self) -> dict[str, str]:
        dbt = f"127.0.0.1:{self.dbt_port}"  # by https, whatever the connection says
        flowengine = self.flowengine.connection()
        del flowengine["connection_id"]
        connections = {
            "BENCH_HTTP": {"conn_type": "http", "host": "127.0.0.1", "port": self.http_port, "schema": "http"},
            "BENCH_DBT": {"conn_type": "dbt_cloud", "host": dbt, "login": "1", "password": "token"},
            "BENCH_FLOWENGINE": flowengine,
        }
        return self.env | {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()}

    def _airflow_settings(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.proxy_port}/execution/"
        folder = str(Path(__file__).parent / "dags")
        return {**DEFAULTS, "CORE__DAGS_FOLDER": folder, "CORE__EXECUTION_API_SERVER_URL": url}

    def start(self) -> None:
        """Start everything, and make the pipeline."""
        execution = f"http://127.0.0.1:{kept_port(self.airflow.folder / 'execution.port')}"
        for name, *arguments in (
            ("http", "jobs", str(self.http_port), str(RUN_SECONDS)),
            ("dbt", "jobs", str(self.dbt_port), str(RUN_SECONDS), str(self.certificate)),
            ("proxy", "proxy", str(self.proxy_port), execution),
        ):
            argv = [sys.executable, "-m", "benchmarks.steps_server", *arguments]
            Process(name, argv, self.env, self.folder).start()
        self.flowengine.start()
        self.pipeline = self.flowengine.create_pipeline("bench", str(RUN_SECONDS), ("step",))
        self.airflow.start()
        self.airflow.until_ready()
        until(lambda: self._dags() >= 5, 120, lambda: f"The DAGs don't come up: {self.airflow.logs()}")

    def _dags(self) -> int:
        return int(self.airflow.api.call("GET", "/dags")["total_entries"])

    # --- what is measured -------------------------------------------------------------------------------------------

    def cpu_seconds(self) -> float:
        """Return what all processes of Airflow have used so far, those that have ended included."""
        stack = self.airflow
        processes = (*stack.api_servers, stack.dag_processor, stack.scheduler, stack.triggerer)
        return sum(_used(pid) for process in processes for pid in process.tree())

    def calls(self) -> int:
        """Return how many calls the execution API has had."""
        return sum(self._http.get(f"http://127.0.0.1:{self.proxy_port}/counted", timeout=30).json().values())

    def rows(self) -> int:
        """Return how many rows Airflow's database has."""
        with closing(sqlite3.connect(self.airflow.folder / "airflow.db", timeout=60)) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables)

    def run_ends(self, dag: str) -> dict[int, float]:
        """Return when the run of each step ended."""
        if dag.startswith("flowengine"):
            ends = self.flowengine.ends(self.pipeline, "train", "step")
        else:
            url = {"http": f"http://127.0.0.1:{self.http_port}", "dbt": f"https://127.0.0.1:{self.dbt_port}"}[dag]
            ends = self._http.get(f"{url}/ends", timeout=30, verify=str(self.folder / "ca.pem")).json()
        return {int(step): end for step, end in ends.items()}

    def task_ends(self, dag: str, run: str, task: str) -> dict[int, float]:
        """Return when the task of each step ended that succeeded."""
        return {
            instance["map_index"]: datetime.fromisoformat(instance["end_date"]).timestamp()
            for instance in self.airflow.api.mapped(dag, run, task)
            if instance["state"] == "success"
        }


def _used(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _bench(steps: int) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="flowengine-steps-", ignore_cleanup_errors=True) as name:
        bench = Bench(Path(name), steps)
        try:
            bench.start()
            yield bench
        finally:
            end_all(Path(name))


def measure(steps: int = 100, idle_seconds: float = 30.0) -> list[dict[str, object]]:
    """
    Return what a step costs by each way.

    :param steps: how many steps each way has.
    :param idle_seconds: how long an Airflow without work is measured before.
    """
    with _bench(steps) as bench:
        time.sleep(10)  # until what was started has settled
        before = bench.cpu_seconds()
        time.sleep(idle_seconds)
        idle = (bench.cpu_seconds() - before) / idle_seconds
        return [_measure(bench, idle, way, *names) for way, names in zip(STEP_WAYS, TASKS, strict=True)]


def _measure(bench: Bench, idle: float, way: str, dag: str, task: str) -> dict[str, object]:
    began, used, calls, rows = time.monotonic(), bench.cpu_seconds(), bench.calls(), bench.rows()
    run = bench.airflow.api.trigger(dag, {})
    path = f"/dags/{dag}/dagRuns/{run.run_id}"
    until(lambda: bench.airflow.api.call("GET", path)["state"] in ENDED, 900, f"{way}: the DAG run doesn't end", 0.5)
    took = time.monotonic() - began
    time.sleep(3)  # the last processes end
    ends = bench.task_ends(dag, run.run_id, task)
    row: dict[str, object] = {
        "way": way,
        "steps": bench.steps,
        "failed": bench.steps - len(ends),
        "cpu_seconds": (bench.cpu_seconds() - used - idle * took) / bench.steps,
        "calls": (bench.calls() - calls) / bench.steps,
        "rows": (bench.rows() - rows) / bench.steps,
        "took": took,
    }
    if dag != "empty":
        run_ends = bench.run_ends(dag)
        row["late"] = statistics.median(end - run_ends[step] for step, end in ends.items())
    print(row, flush=True)
    return row
