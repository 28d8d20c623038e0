"""What a provider's operator module costs a DAG file's parse, beyond what Airflow has loaded already."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

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

_PROGRAM = """
import importlib, json, sys, time
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task
before = time.process_time()
importlib.import_module(sys.argv[1])
print(json.dumps(1000 * (time.process_time() - before)))
"""


def measure(environment: dict[str, str]) -> list[dict[str, object]]:
    """Import each module in a fresh process, nine times; return the medians in milliseconds of CPU."""
    rows: list[dict[str, object]] = []
    # With bytecode in place, as in any Airflow that has parsed a DAG file before.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for name, module in MODULES.items():
        times = []
        for _ in range(1 + TIMES):  # the first writes the bytecode
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, module],
                env={**inherited, **environment},
                capture_output=True,
                text=True,
                check=True,
            )
            times.append(float(json.loads(done.stdout.splitlines()[-1])))
        rows.append({"module": name, "milliseconds": statistics.median(times[1:])})
    return rows
