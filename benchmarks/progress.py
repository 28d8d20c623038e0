"""
What it costs to show 1,000 deferred runs in Airflow's page: a real triggerer with progress on, and with it off.

Each run has 30 nodes of a minute, one after the other. With progress on, the triggerer asks for nodes within its
budget and writes what has changed as XCom, into Airflow's database (SQLite). Off, it asks for no nodes and writes none.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import psutil

from tests.system.emulator import FlowEngine
from tests.system.processes import end_all, until
from tests.system.stack import Stack

RUNS_PER_PIPELINE = 10
NODES = tuple(f"node_{number}" for number in range(30))
NODE_SECONDS = 60
COUNTED = "CREATE TABLE written (at TEXT)"
COUNT = (
    "CREATE TRIGGER count_writes AFTER INSERT ON xcom WHEN NEW.key = 'flowengine_run' "
    "BEGIN INSERT INTO written VALUES (datetime('now')); END"
)


def measure(runs: int = 1000, seconds: float = 60.0) -> list[dict[str, object]]:
    """
    Return what the triggerer uses, how often it asks for nodes, and what it writes, with progress off and on.

    :param runs: how many deferred runs.
    :param seconds: how long to measure, after twice as long in which they settle.
    """
    return [_measure(progress, runs, seconds) for progress in ("off", "on")]


def _measure(progress: str, runs: int, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="flowengine-progress-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            return _measure_in(folder, progress, runs, seconds)
        finally:
            end_all(folder)


def _measure_in(folder: Path, progress: str, number: int, seconds: float) -> dict[str, object]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    env = {**kept, "HOME": str(folder), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    flowengine = FlowEngine(folder, env)
    flowengine.start()
    pipelines = [
        flowengine.create_pipeline(duration=str(NODE_SECONDS), nodes=NODES) for _ in range(number // RUNS_PER_PIPELINE)
    ]
    runs = [(pipeline, flowengine.start_run(pipeline)) for pipeline in pipelines for _ in range(RUNS_PER_PIPELINE)]
    (folder / "runs.json").write_text(json.dumps(runs), encoding="utf-8")
    connection = flowengine.connection()
    del connection["connection_id"]
    env |= {
        "BENCH_RUNS": str(folder / "runs.json"),
        "BENCH_PROGRESS": progress,
        "AIRFLOW_CONN_BENCH_FLOWENGINE": json.dumps(connection),
    }
    settings = {
        "CORE__DAGS_FOLDER": str(Path(__file__).parent / "progress_dags"),
        "TRIGGERER__CAPACITY": str(2 * number),
        **({} if progress == "on" else {"FLOWENGINE__NODE_REQUESTS_PER_SECOND": "0"}),
    }
    airflow = Stack("local", folder / "airflow", env, settings)
    airflow.start()
    airflow.until_ready()
    airflow.sql(COUNTED)
    airflow.sql(COUNT)
    airflow.api.trigger("deferred", {})
    until(lambda: _waiting(airflow) == number, 600, lambda: f"Only {_waiting(airflow)} are deferred", 2)
    time.sleep(2 * seconds)  # until each run has been written for the first time
    before, began = _used(airflow, flowengine), time.monotonic()
    time.sleep(seconds)
    after, took = _used(airflow, flowengine), time.monotonic() - began
    assert _waiting(airflow) == number, "Not all runs were waited for throughout"
    rates = {name: (after[name] - before[name]) / took for name in after}
    row: dict[str, object] = {
        "progress": progress,
        "runs": number,
        "loop_percent": 100 * rates["loop"],
        "cpu_percent": 100 * rates["cpu"],
        "requests_per_second": rates["requests"],
        "writes_per_second": rates["writes"],
    }
    print(row, flush=True)
    return row


def _waiting(airflow: Stack) -> int:
    """Return how many triggers the triggerer has taken."""
    return int(airflow.sql("SELECT count(*) FROM trigger WHERE triggerer_id IS NOT NULL")[0][0])


def _used(airflow: Stack, flowengine: FlowEngine) -> dict[str, float]:
    """
    Return what was used so far: CPU seconds of the triggerer, requests for nodes, writes of the XCom.

    The triggers run in a process of their own, whose CPU is ``loop``; ``cpu`` is that of its supervisor too.
    """
    used = {pid: psutil.Process(pid).cpu_times() for pid in airflow.triggerer.tree()}
    seconds = {pid: times.user + times.system for pid, times in used.items()}
    return {
        "loop": sum(seconds.values()) - seconds[airflow.triggerer.pid],
        "cpu": sum(seconds.values()),
        "requests": flowengine.count("run"),
        "writes": airflow.sql("SELECT count(*) FROM written")[0][0],
    }
