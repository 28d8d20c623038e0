"""``python -m benchmarks``: measure everything, print it, and write it into ``docs/performance``."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from benchmarks import calls, load, noticing, parsing, progress, report, steps, waiting
from benchmarks.waiting import Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PARTS = ("waiting", "limit", "parsing", "noticing", "calls", "load", "steps", "progress")
PEERS = [(100, 100), (1000, 1000)]
OURS = [(100, 10), (1000, 1), (1000, 10), (1000, 100), (1000, 1000), (10_000, 100)]
WAITING = [
    Case("idle", 1, 1),
    *(Case(name, *runs) for name in ("dbt Cloud", "Databricks", "Airbyte", "HttpSensor") for runs in PEERS),
    *(Case("FlowEngine", *runs) for runs in OURS),
    Case("idle", 1, 1),  # twice, and the lesser counts: a machine is never quite idle
]
LIMIT = [
    Case("idle", 1, 1),
    # At the default interval, and then with a third of it. Each for whole intervals, since the polls of pipelines with
    # several runs are not spread evenly over one.
    Case("FlowEngine", 10_000, 1000, interval=30.0, settle=35.0, seconds=30.0),
    Case("FlowEngine", 10_000, 10_000, interval=30.0, settle=35.0, seconds=30.0),
    Case("FlowEngine", 10_000, 10_000, interval=10.0, settle=15.0, seconds=20.0),
    Case("FlowEngine", 1000, 1000, profiled=True),
    Case("idle", 1, 1),
]


def quick(case: Case) -> Case:
    """Return a tenth of a case: whether it can be measured, not what it costs."""
    runs, pipelines = max(case.runs // 10, 1), max(case.pipelines // 10, 1)
    return replace(case, runs=runs, pipelines=pipelines, interval=case.interval / 5, settle=3.0, seconds=2.0)


@contextmanager
def remote() -> Iterator[tuple[int, str, dict[str, str]]]:
    """Run the remote system; give its port, its CA, and the environment in which everybody trusts it."""
    with tempfile.TemporaryDirectory(prefix="flowengine-bench-") as folder:
        ca = trustme.CA()
        authority, certificate = Path(folder) / "ca.pem", Path(folder) / "server.pem"
        ca.cert_pem.write_to_path(str(authority))
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen([sys.executable, "-m", "benchmarks.server", str(port), str(certificate)])
        environment = {
            "SSL_CERT_FILE": str(authority),
            "REQUESTS_CA_BUNDLE": str(authority),
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "no_proxy": "127.0.0.1",
        }
        try:
            _await(port)
            yield port, str(authority), environment
        finally:
            server.terminate()
            server.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the benchmark's server doesn't answer")


def waits(cases: Iterable[Case], port: int, environment: dict[str, str]) -> Iterator[dict[str, object]]:
    """Measure cases of waiting, one after the other."""
    for case in cases:
        row = waiting.measure(case, port=port, environment=environment)
        print(report.waiting_line(row), flush=True)
        yield row


def main() -> None:
    """Measure what is asked for; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(PARTS)}; all by default")
    parser.add_argument("--into", type=Path, help="the folder of the tables (default: docs/performance)")
    parser.add_argument("--steps", type=int, default=100, help="how many steps each way has (default: 100)")
    parser.add_argument("--quick", action="store_true", help="try each part in little, into a temporary folder")
    arguments = parser.parse_args()
    parts = arguments.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    is_quick = arguments.quick
    into = arguments.into or Path(tempfile.mkdtemp() if is_quick else "docs/performance")
    with remote() as (port, authority, environment):
        os.environ["AIRFLOW_HOME"] = environment["AIRFLOW_HOME"]
        for part, cases, write in (("waiting", WAITING, report.waiting), ("limit", LIMIT, report.limit)):
            if part in parts:
                write(list(waits(map(quick, cases) if is_quick else cases, port, environment)), into)
        if "parsing" in parts:
            report.parsing(parsing.measure(environment), into)
        if "noticing" in parts:
            report.noticing(noticing.measure(), into)
        if "calls" in parts:
            report.calls(calls.measure(port, authority), into)
    if "load" in parts:
        report.load(load.measure(seconds=1 if is_quick else 10), into)
    if "steps" in parts:
        report.steps(steps.measure(*(5, 5.0) if is_quick else (arguments.steps, 30.0)), into)
    if "progress" in parts:
        report.progress(progress.measure(*(20, 5.0) if is_quick else (1000, 60.0)), into)
    report.machine(into)


if __name__ == "__main__":
    main()
