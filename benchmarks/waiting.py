"""
What waiting costs: one provider's triggers in a process and an event loop of their own, as in a triggerer.

Run as a program it measures one case and prints it as JSON; :func:`measure` runs that program for each case.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import logging
import os
import pstats
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Trigger = Any


@dataclass(frozen=True)
class Case:
    """
    What waits, and for how long it is measured.

    :param provider: whose trigger, one of :data:`PROVIDERS`.
    :param runs: how many runs are waited for at once.
    :param pipelines: over how many pipelines they are spread.
    :param interval: seconds between two polls.
    :param settle: seconds until the measurement begins: longer than the interval, so that each run was polled once.
    :param seconds: seconds that it takes.
    :param profiled: whether to tell where the time goes too, which makes all of it slower.
    """

    provider: str
    runs: int
    pipelines: int
    interval: float = 5.0
    settle: float = 6.0
    seconds: float = 10.0
    profiled: bool = False


def ours(case: Case) -> Callable[[int], Trigger]:
    from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

    def build(index: int) -> Trigger:
        # The runs of one pipeline are its newest ones. They began long ago, so they are polled at the interval.
        return FlowEnginePipelineRunTrigger(
            flowengine_conn_id="flowengine_default",
            engine_key="bench",
            engine_url="/engine/1/bench",
            engine_id=1,
            pipeline_id=1 + index % case.pipelines,
            run_id=1_000_000 - index // case.pipelines,
            poll_interval=case.interval,
            started_at=time.time() - 3600,
        )

    return build


def dbt(case: Case) -> Callable[[int], Trigger]:
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    return lambda index: DbtCloudRunJobTrigger(
        conn_id="dbt", run_id=index, end_time=time.time() + 9999, poll_interval=case.interval, account_id=1
    )


def databricks(case: Case) -> Callable[[int], Trigger]:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return lambda index: DatabricksExecutionTrigger(
        run_id=index, databricks_conn_id="databricks", polling_period_seconds=int(case.interval)
    )


def airbyte(case: Case) -> Callable[[int], Trigger]:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return lambda index: AirbyteSyncTrigger(
        job_id=index, conn_id="airbyte", end_time=time.time() + 9999, poll_interval=case.interval
    )


def http(case: Case) -> Callable[[int], Trigger]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return lambda index: HttpSensorTrigger(http_conn_id="http", endpoint=f"run/{index}", poke_interval=case.interval)


def idle(case: Case) -> Callable[[int], Trigger]:
    """An event loop with nothing in it, to tell what the measurement itself costs."""

    class Nothing:
        async def run(self) -> Any:
            await asyncio.sleep(9999)
            yield None

    return lambda index: Nothing()


PROVIDERS = {
    "FlowEngine": ours,
    "dbt Cloud": dbt,
    "Databricks": databricks,
    "Airbyte": airbyte,
    "HttpSensor": http,
    "idle": idle,
}


def connections(port: int) -> dict[str, str]:
    """Airflow connections to the local server, for every provider."""
    secure = {"host": "127.0.0.1", "port": port, "schema": "https"}
    return {
        "AIRFLOW_CONN_FLOWENGINE_DEFAULT": json.dumps({"conn_type": "flowengine", **secure}),
        "AIRFLOW_CONN_DBT": json.dumps({"conn_type": "dbt_cloud", "host": f"127.0.0.1:{port}", "password": "bench"}),
        "AIRFLOW_CONN_DATABRICKS": json.dumps(
            {"conn_type": "databricks", **secure, "host": f"https://127.0.0.1:{port}", "password": "bench"}
        ),
        "AIRFLOW_CONN_AIRBYTE": json.dumps({"conn_type": "airbyte", "host": f"https://127.0.0.1:{port}/api/public/v1"}),
        "AIRFLOW_CONN_HTTP": json.dumps({"conn_type": "http", **secure}),
    }


async def _lags(seconds: float) -> list[float]:
    """How late the event loop wakes a sleeper, in seconds, over some time."""
    lags, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        before = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - before - 0.01)
    return sorted(lags)


async def _first(trigger: Trigger) -> Any:
    return await anext(aiter(trigger.run()))


async def _case(case: Case, asked: Callable[[], int]) -> dict[str, Any]:
    build = PROVIDERS[case.provider](case)
    # What the first waiter brings along (imports, a session) belongs to nobody in particular.
    warm = asyncio.create_task(_first(build(0)))
    await asyncio.sleep(1)
    gc.collect()
    memory = _memory()
    tasks = [asyncio.create_task(_first(build(index))) for index in range(1, case.runs)]
    await asyncio.sleep(case.settle)
    gc.collect()
    memory = _memory() - memory
    requests, cpu, wall = asked(), time.process_time(), time.perf_counter()
    profile = cProfile.Profile(time.process_time)
    with profile if case.profiled else nullcontext():
        lags = await _lags(case.seconds)
    cpu, wall, requests = time.process_time() - cpu, time.perf_counter() - wall, asked() - requests
    ended = [task for task in (warm, *tasks) if task.done()]
    for task in (warm, *tasks):
        task.cancel()
    results = await asyncio.gather(warm, *tasks, return_exceptions=True)
    return {
        "provider": case.provider,
        "runs": case.runs,
        "pipelines": case.pipelines,
        "interval": case.interval,
        "requests_per_second": requests / wall,
        "cpu_percent": 100 * cpu / wall,
        "lag_p50_ms": 1000 * lags[len(lags) // 2],
        "lag_p99_ms": 1000 * lags[int(len(lags) * 0.99)],
        "kilobytes_per_run": memory / 1024 / max(case.runs - 1, 1),
        "megabytes": memory / 1024**2,
        "layers": _layers(profile) if case.profiled else {},
        "ended_early": len(ended),
        "first_end": str(
            next((result for task, result in zip((warm, *tasks), results, strict=False) if task in ended), "")
        ),
    }


LAYERS = {
    "aiohttp, the HTTP library": ("/aiohttp/", "/aiosignal/", "/yarl/", "/multidict/"),
    "asyncio, sockets and TLS": ("/asyncio/", "/selectors.py", "/ssl.py", "_socket", "_ssl", "select.epoll"),
    "this provider": ("/airflow_provider_flowengine/",),
    "other libraries": ("",),
}
"""Where a poll's time goes: by what the file of a function contains, or the name of one that has none."""


def _layers(profile: cProfile.Profile) -> dict[str, float]:
    """Return each layer's part of the time, in %; what is written in C counts as its caller's, but for sockets."""

    def layer(function: tuple[str, int, str]) -> str:
        place = function[2] if function[0] == "~" else function[0]
        return next(name for name, marks in LAYERS.items() if any(mark in place for mark in marks))

    times = dict.fromkeys(LAYERS, 0.0)
    for function, (_, _, own, _, callers) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # untyped
        if function[0] == "~" and layer(function) == "other libraries":
            for caller, (_, _, part, _) in callers.items():
                times[layer(caller)] += part
        else:
            times[layer(function)] += own
    whole = sum(times.values())
    return {name: 100 * seconds / whole for name, seconds in times.items()}


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(case: Case, *, port: int, environment: dict[str, str]) -> dict[str, Any]:
    """Measure one case in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.waiting", json.dumps(asdict(case)), str(port)],
        env={**os.environ, **environment, **connections(port)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    import ssl
    import urllib.request

    case, port = Case(**json.loads(sys.argv[1])), int(sys.argv[2])
    context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])

    def asked() -> int:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/asked", context=context) as answer:
            return int(answer.read())

    logging.disable(logging.INFO)
    print(json.dumps(asyncio.run(_case(case, asked))))


if __name__ == "__main__":
    main()
