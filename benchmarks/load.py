"""The emulator under load: 1,000 pipelines, 100,000 runs in one history, and many pages asked for at once."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

RATE = 500
RUNS, PIPELINES = 100_000, 1_000


async def _ask(url: str, seconds: int) -> list[float]:
    times: list[float] = []
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector, headers={"X-FlowEngine-UserId": "1"}) as session:

        async def one() -> None:
            before = time.perf_counter()
            async with session.get(url) as answer:
                body = await answer.json(content_type=None)
                assert body["status"] == 0, body
            times.append(time.perf_counter() - before)

        await one()  # until it serves, the emulator's start is what is measured
        times.clear()
        began, tasks = time.perf_counter(), []
        for number in range(RATE * seconds):
            late = began + number / RATE - time.perf_counter()
            if late > 0:
                await asyncio.sleep(late)
            tasks.append(asyncio.create_task(one()))
        await asyncio.gather(*tasks)
    return times


def measure(seconds: int = 10) -> list[dict[str, object]]:
    """
    Return the time of a history page in milliseconds, at 500 requests a second.

    :param seconds: how long to ask for pages.
    """
    with tempfile.TemporaryDirectory(prefix="flowengine-bench-") as folder:
        database = Path(folder) / "emulator.db"
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.loaded_emulator", str(database), str(PIPELINES), str(RUNS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            times = sorted(asyncio.run(_ask(url, seconds)))
        finally:
            process.terminate()
            process.wait()
    return [
        {
            "requests_per_second": RATE,
            "p50_ms": 1000 * statistics.median(times),
            "p99_ms": 1000 * times[int(len(times) * 0.99)],
        }
    ]
