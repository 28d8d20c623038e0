"""
`make standalone`: the FlowEngine emulator and a whole Airflow, to try things on in the web page.

Everything lives in `.standalone` and on this machine's loopback address; Ctrl-C ends it all. What was done stays there
for the next time. Airflow's log servers don't run: they would listen to the whole network, and its page reads the log
files themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
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
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_flowengine.emulator.server import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent
HOME = ROOT / ".standalone"
LOG = HOME / "airflow.log"
START_TIMEOUT = 600  # seconds that Airflow may take to be ready; a busy machine takes minutes
# `airflow standalone` calls `airflow` for each of its parts; two of them would serve their logs to the whole network.
WRAPPER = """#!/bin/sh
case "$1" in
    scheduler | triggerer) exec "{airflow}" "$@" --skip-serve-logs ;;
    *) exec "{airflow}" "$@" ;;
esac
"""


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
        "PATH": os.pathsep.join((str(HOME / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONUNBUFFERED": "1",
        "no_proxy": "127.0.0.1",
    }


def write_wrapper(folder: Path) -> None:
    """Write the `airflow` that Airflow's parts are started by."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "airflow"
    path.write_text(WRAPPER.format(airflow=Path(sys.executable).parent / "airflow"))
    path.chmod(0o755)


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[IO[str]]:
    """
    Keep a file locked as long as this runs; what is written into it tells others where this is.

    :raises RuntimeError: when another one runs already, with where it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            where = file.read().strip() or "it is just starting"
            raise RuntimeError(f"One is running already: {where}. End it with Ctrl-C in its terminal.") from None
        file.truncate(0)
        yield file


def request(url: str, method: str = "GET", body: Any = None, token: str = "") -> Any:
    """Ask Airflow's API, and return what it answers."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = None if body is None else json.dumps(body).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return json.load(answer)


def health(url: str) -> dict[str, bool]:
    """Return which of Airflow's components are healthy; none as long as nothing answers."""
    try:
        components = request(f"{url}/api/v2/monitor/health")
    except (OSError, ValueError):
        return {}
    return {name: component["status"] == "healthy" for name, component in components.items()}


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


def add_sample(emulator: Emulator) -> None:
    """
    Create the sample pipeline as one that has run each night of two weeks.

    A start whose answer names the pipeline's own id cannot rely on it, and the first run of the first pipeline has that
    id: if several tasks started the sample at once, one would fail.
    """
    pipeline_id = emulator.add_sample()
    if not emulator.engine.runs(pipeline_id, size=1)[0]:
        now = emulator.clock.now()
        emulator.engine.add_history(pipeline_id, [now - night * 86_400 for night in range(14, 0, -1)])


def end_of_log(log: Path) -> str:
    """Return the last lines of Airflow's log."""
    return f"The end of {log}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:])


def wait_until_ready(
    airflow: subprocess.Popen[bytes], log: Path, ask: Callable[[], dict[str, bool]], timeout: float = START_TIMEOUT
) -> None:
    """
    Wait for Airflow, and say meanwhile what is ready.

    :param airflow: its process.
    :param log: its log.
    :param ask: asks it which of its components are healthy.
    :param timeout: seconds.
    :raises RuntimeError: with the end of the log, when it ends or isn't ready in time.
    """
    began = time.monotonic()
    reported: set[str] = set()
    next_report = 10.0
    while True:
        components = ask()
        elapsed = time.monotonic() - began
        for name in sorted({name for name, healthy in components.items() if healthy} - reported):
            say("", f"{elapsed:3.0f} s  its {name.replace('_', ' ')} is ready")
            reported.add(name)
        if components and all(components.values()):
            return
        if airflow.poll() is not None:
            raise RuntimeError(f"Airflow ended with code {airflow.returncode} while it started. {end_of_log(log)}")
        if elapsed > timeout:
            raise RuntimeError(f"Airflow wasn't ready after {timeout:.0f} s. {end_of_log(log)}")
        if elapsed > next_report:
            say("", f"{elapsed:3.0f} s  still starting; the first time takes a minute or two")
            next_report += 10
        time.sleep(0.5)


def stop(airflow: subprocess.Popen[bytes]) -> None:
    """End Airflow with all its processes, which form a group of their own; another Ctrl-C doesn't cut this short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write("\n  Stopping …\n")
    sys.stdout.flush()
    for end in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(airflow.pid, end)
            airflow.wait(15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def run(port: int, flowengine_port: int, lock: IO[str]) -> None:
    """Start both, say where they are, and wait until Airflow ends."""
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    write_wrapper(HOME / "bin")
    with (
        # Scripts really run, with this user's rights; the emulator is open to this machine alone.
        Emulator(db=str(HOME / "flowengine.sqlite"), port=flowengine_port, execute=True) as emulator,
        LOG.open("wb") as log,
    ):
        lock.write(f"Airflow at {url}, FlowEngine at {emulator.url}")
        lock.flush()
        add_sample(emulator)
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
            wait_until_ready(airflow, LOG, lambda: health(url))
            put_connection(url, json.loads(emulator.connection()))
            say("Airflow", f"{url}  ready after {time.monotonic() - began:.0f} s, no login")
            say("DAGs", "those of example_dags, with the connection flowengine_default; trigger one")
            say("", "Ctrl-C ends both")
            airflow.wait()
            raise RuntimeError(f"Airflow has ended with code {airflow.returncode}. {end_of_log(LOG)}")
        finally:
            stop(airflow)


def main() -> int:
    """Run until told to end, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8080, help="Airflow's port; a free one if it is taken")
    parser.add_argument("--flowengine-port", type=int, default=31101, help="the emulator's; a free one if it is taken")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with only_one(HOME / "lock") as lock:
            run(free_port(arguments.port), free_port(arguments.flowengine_port), lock)
    except KeyboardInterrupt:
        sys.stdout.write("  Stopped.\n")
        return 0
    except (RuntimeError, ValueError, OSError) as error:
        sys.stderr.write(f"\n{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
