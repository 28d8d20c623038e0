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
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from benchmarks import calls, load, noticing, parsing, report, steps, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = [(100, 10), (1000, 1), (1000, 10), (1000, 100), (1000, 1000), (10_000, 100)]
PEERS = [(100, 100), (1000, 1000)]


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


def waits(port: int, environment: dict[str, str]) -> Iterator[dict[str, object]]:
    """Measure every case of waiting, one after the other."""
    cases = [("idle", 1, 1)]
    cases += [(name, *case) for name in ("dbt Cloud", "Databricks", "Airbyte", "HttpSensor") for case in PEERS]
    cases += [("FlowEngine", *case) for case in OURS]
    cases += [("idle", 1, 1)]  # twice, and the lesser counts: a machine is never quite idle
    for provider, number, pipelines in cases:
        row = waiting.measure(provider, number, pipelines, port=port, environment=environment)
        print(report.waiting_line(row), flush=True)
        yield row


def main() -> None:
    """Measure what is asked for; all by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["waiting", "parsing", "noticing", "calls", "load", "steps"])
    parser.add_argument("--into", type=Path, default=Path("docs/performance"))
    arguments = parser.parse_args()
    with remote() as (port, authority, environment):
        os.environ["AIRFLOW_HOME"] = environment["AIRFLOW_HOME"]
        if "waiting" in arguments.parts:
            report.waiting(list(waits(port, environment)), arguments.into)
        if "parsing" in arguments.parts:
            report.parsing(parsing.measure(environment), arguments.into)
        if "noticing" in arguments.parts:
            report.noticing(noticing.measure(), arguments.into)
        if "calls" in arguments.parts:
            report.calls(calls.measure(port, authority), arguments.into)
    if "load" in arguments.parts:
        report.load(load.measure(), arguments.into)
    if "steps" in arguments.parts:
        report.steps(steps.measure(), arguments.into)
    report.machine(arguments.into)


if __name__ == "__main__":
    main()
