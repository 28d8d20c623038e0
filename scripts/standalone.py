"""`make standalone`: the FlowEngine emulator and a whole Airflow, to try things on in the web page.

Everything lives in `.standalone` and on this machine's loopback address; Ctrl-C ends it all. What was done stays there
for the next time.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from airflow_provider_flowengine.emulator.server import Emulator

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".standalone"
LOG = HOME / "airflow.log"
PATIENCE = 180  # seconds that Airflow may take to be ready


def say(who: str, what: str) -> None:
    """Say something."""
    sys.stdout.write(f"  {who:<12}{what}\n")
    sys.stdout.flush()


def free_port(wish: int) -> int:
    """Return the wished port if nobody listens there, any free one otherwise."""
    for port in (wish, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("there is no free port")


def airflow_environment(port: int) -> dict[str, str]:
    """Return an environment in which Airflow stays in `.standalone`, and needs no login."""
    url = f"http://127.0.0.1:{port}"
    return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(HOME / "airflow"),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__TRIGGERER__HOST": "127.0.0.1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # it calls `airflow`
        "PYTHONUNBUFFERED": "1",
        "no_proxy": "127.0.0.1",
    }


def request(url: str, method: str = "GET", body: Any = None, token: str = "") -> Any:
    """Ask Airflow's API, and return what it answers."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return json.load(answer)


def is_ready(url: str) -> bool:
    """Tell whether all of Airflow's components are healthy."""
    try:
        health = request(f"{url}/api/v2/monitor/health")
    except (OSError, ValueError):
        return False
    return all(component["status"] == "healthy" for component in health.values())


def put_connection(url: str, connection: dict[str, Any]) -> None:
    """Make the connection `flowengine_default`, or bring it up to date."""
    token = request(f"{url}/auth/token")["access_token"]
    extra = json.dumps(connection.pop("extra", {}))
    body = {"connection_id": "flowengine_default", **connection, "extra": extra}
    try:
        request(f"{url}/api/v2/connections", "POST", body, token)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
        request(f"{url}/api/v2/connections/flowengine_default", "PATCH", body, token)


def wait_until_ready(airflow: subprocess.Popen[bytes], url: str) -> None:
    """Wait for Airflow, or fail with the end of its log."""
    given_up = time.monotonic() + PATIENCE
    while not is_ready(url):
        if airflow.poll() is not None or time.monotonic() > given_up:
            end = "\n".join(LOG.read_text(errors="replace").splitlines()[-30:])
            raise RuntimeError(f"Airflow didn't start; the end of {LOG.relative_to(ROOT)}:\n{end}")
        time.sleep(0.5)


def stop(airflow: subprocess.Popen[bytes]) -> None:
    """End Airflow with all its processes, which form a group of their own."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(airflow.pid, end)
            airflow.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def run(port: int, flowengine_port: int) -> None:
    """Start both, say where they are, and wait until Airflow ends."""
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    with (
        # Scripts really run, with this user's rights; the emulator is open to this machine alone.
        Emulator(db=str(HOME / "flowengine.sqlite"), port=flowengine_port, execute=True) as emulator,
        LOG.open("wb") as log,
    ):
        say("FlowEngine", f"{emulator.url}  an emulator stands in for it")
        say("Airflow", f"starts; its log is {LOG.relative_to(ROOT)}")
        airflow = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=airflow_environment(port),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until_ready(airflow, url)
            put_connection(url, json.loads(emulator.connection()))
            say("Airflow", f"{url}  ready after {time.monotonic() - began:.0f} s, no login")
            say("DAGs", "those of example_dags, with the connection flowengine_default; trigger one")
            say("", "Ctrl-C ends both")
            airflow.wait()
        finally:
            stop(airflow)


def main() -> int:
    """Run until told to end, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8080, help="Airflow's port; a free one if it is taken")
    parser.add_argument("--flowengine-port", type=int, default=31101, help="the emulator's; a free one if it is taken")
    arguments = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(free_port(arguments.port), free_port(arguments.flowengine_port))
    except KeyboardInterrupt:
        say("", "\nStopped.")
        return 0
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
