"""What the DAGs of the benchmark of steps share: one mapped step a run, and how many says the environment."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import DAG

STEPS = [str(number) for number in range(int(os.environ["BENCH_STEPS"]))]
POLL_INTERVAL = 5


def dag(name: str) -> DAG:
    """Return a DAG that limits nothing but what Airflow itself limits."""
    return DAG(name, schedule=None, catchup=False, max_active_tasks=1000)
