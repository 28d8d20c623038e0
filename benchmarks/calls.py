"""One pooled session against a new one for every call, over TLS."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from airflow_provider_flowengine.client.sync import Client
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 200


def measure(port: int, ca: str) -> list[dict[str, object]]:
    """Return the median time of a history call in milliseconds, for both ways."""
    settings = Settings.build(fl_url=f"https://127.0.0.1:{port}", verify=ca)
    api = Api(settings, "bench", engine=Engine("bench", "/engine/1/bench", 1))

    def pooled() -> Callable[[], object]:
        client = Client(settings)
        return lambda: client.run(api.list_runs(1))

    def anew() -> object:
        with Client(settings) as client:
            return client.run(api.list_runs(1))

    rows: list[dict[str, object]] = []
    for name, call in {"one pooled session": pooled(), "a new session a call": anew}.items():
        times = []
        for _ in range(CALLS):
            before = time.perf_counter()
            call()
            times.append(time.perf_counter() - before)
        rows.append({"way": name, "milliseconds": 1000 * statistics.median(times)})
    return rows
