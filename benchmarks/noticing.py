"""How late an end is noticed, and what that costs in requests, by the run's length, on a simulated clock."""

from __future__ import annotations

from airflow_provider_flowengine.protocol.monitor import delay

LENGTHS = {"1 s": 1, "10 s": 10, "1 min": 60, "10 min": 600, "1 h": 3600, "6 h": 21600}

PEERS = {"dbt Cloud": 60.0, "Databricks": 30.0, "Airbyte": 60.0, "Data Factory": 60.0, "HttpSensor": 60.0}
"""Seconds between two looks by default, as the operators of each provider set them (the HTTP sensor's is the
sensor's ``poke_interval``)."""

OURS = 30.0
_ENDS_PER_LENGTH = 200


def fixed(length: float, interval: float) -> tuple[float, int]:
    """Lag and requests of a wait that looks at once and then at a fixed interval."""
    looks = 1
    while (looks - 1) * interval < length:
        looks += 1
    return (looks - 1) * interval - length, looks


def adaptive(length: float, interval: float) -> tuple[float, int]:
    """Lag and requests of ours: at once, and then after a tenth of the run's length so far, within its bounds."""
    now, looks = 0.0, 1
    while now < length:
        now += delay(now, interval)
        looks += 1
    return now - length, looks


def measure() -> list[dict[str, object]]:
    """Return mean lag in seconds and requests, for run lengths spread over ±10 % so that no interval fits by luck."""
    rows: list[dict[str, object]] = []
    for name, length in LENGTHS.items():
        lengths = [length * (0.9 + 0.2 * step / _ENDS_PER_LENGTH) for step in range(_ENDS_PER_LENGTH)]
        row: dict[str, object] = {"run": name}
        for who, interval in {"FlowEngine": OURS, **PEERS}.items():
            wait = adaptive if who == "FlowEngine" else fixed
            results = [wait(one, interval) for one in lengths]
            row[who] = (
                sum(lag for lag, _ in results) / len(results),
                sum(looks for _, looks in results) / len(results),
            )
        rows.append(row)
    return rows
