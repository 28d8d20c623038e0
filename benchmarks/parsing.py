"""
What a provider's operator module costs a DAG file's parse, beyond what Airflow has loaded already.

Run as a program it measures all modules and prints the times as JSON; :func:`measure` runs that program. Each import
has a fresh process, forked from one that has loaded what every DAG file loads, as Airflow's DAG processor does it.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

MODULES = {
    "FlowEngine": "airflow_provider_flowengine.operators.flowengine",
    "FlowEngine sensor": "airflow_provider_flowengine.sensors.flowengine",
    "bash (standard)": "airflow.providers.standard.operators.bash",
    "HTTP": "airflow.providers.http.operators.http",
    "Airbyte": "airflow.providers.airbyte.operators.airbyte",
    "dbt Cloud": "airflow.providers.dbt.cloud.operators.dbt",
    "Databricks": "airflow.providers.databricks.operators.databricks",
    "Data Factory": "airflow.providers.microsoft.azure.operators.data_factory",
}
TIMES = 9


def _import(module: str, answer: Connection) -> None:
    before = time.process_time()
    importlib.import_module(module)
    answer.send(1000 * (time.process_time() - before))


def _time(module: str) -> float:
    """Milliseconds of CPU that the import takes in a fresh process."""
    forks = multiprocessing.get_context("fork")
    receiver, sender = forks.Pipe(duplex=False)
    process = forks.Process(target=_import, args=(module, sender))
    process.start()
    milliseconds: float = receiver.recv()
    process.join()
    return milliseconds


def measure(environment: dict[str, str]) -> list[dict[str, object]]:
    """Import each module in a fresh process, nine times; return the medians in milliseconds of CPU."""
    # With bytecode in place, as in any Airflow that has parsed a DAG file before.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.parsing"],
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def main() -> None:
    """Print the medians; the first import of each writes the bytecode."""
    from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task  # noqa: F401 - what every DAG file loads

    gc.collect()
    rows = []
    for name, module in MODULES.items():
        times = [_time(module) for _ in range(1 + TIMES)][1:]
        rows.append({"module": name, "milliseconds": statistics.median(times)})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
