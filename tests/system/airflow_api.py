"""Airflow as a person uses it: its REST API."""

import fcntl
import time
from pathlib import Path

import requests

from .processes import until

ENDED = ("success", "failed", "upstream_failed", "skipped")


class AirflowApi:
    """
    The REST API of one Airflow.

    :param url: where its API server is.
    :param lock: a file that keeps people's acts apart, from all test processes: on SQLite two at once lock each other
        out in Airflow's audit log.
    """

    def __init__(self, url: str, lock: Path) -> None:
        self.url, self._lock = url, lock
        self._http = requests.Session()
        self._http.trust_env = False

    def log_in(self) -> None:
        """Get a token; an Airflow in which everybody is an admin asks for no password."""
        token = self._http.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, **more):
        """Send a call; the answer's JSON. Fails where Airflow refuses."""
        with self._lock.open("w") as lock:
            if method != "GET":
                fcntl.flock(lock, fcntl.LOCK_EX)
            answer = self._http.request(method, f"{self.url}/api/v2{path}", timeout=60, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    def is_ready(self) -> bool:
        """Whether everything is up, and the DAGs are known."""
        try:
            health = self._http.get(f"{self.url}/api/v2/monitor/health", timeout=10).json()
            if any(health[part]["status"] != "healthy" for part in ("scheduler", "triggerer", "dag_processor")):
                return False
            self.log_in()
            return self.call("GET", "/dags")["total_entries"] > 0
        except (requests.ConnectionError, requests.Timeout, ValueError, KeyError):
            return False

    def trigger(self, dag_id: str, conf: dict) -> "Task":
        """Trigger a DAG of one task."""
        run = self.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return Task(self, dag_id, run["dag_run_id"])

    def mapped(self, dag_id: str, run_id: str, task_id: str) -> list[dict]:
        """All instances of a mapped task."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped"
        instances: list[dict] = []
        while True:
            page = self.call("GET", path, params={"limit": 100, "offset": len(instances)})
            instances += page["task_instances"]
            if len(instances) >= page["total_entries"]:
                return instances


class Task:
    """
    The one task of one DAG run.

    :param airflow: where it is.
    :param dag_id: its DAG.
    :param run_id: its DAG run.
    """

    task_id = "run"

    def __init__(self, airflow: AirflowApi, dag_id: str, run_id: str) -> None:
        self.airflow, self.dag_id, self.run_id = airflow, dag_id, run_id
        self._run_path = f"/dags/{dag_id}/dagRuns/{run_id}"
        self._path = f"{self._run_path}/taskInstances/{self.task_id}"

    # --- state ------------------------------------------------------------------------------------------------------

    def details(self) -> dict:
        """The task instance as the API shows it."""
        return self.airflow.call("GET", self._path)

    @property
    def state(self) -> str | None:
        return self.details()["state"]

    @property
    def try_number(self) -> int:
        return self.details()["try_number"]

    @property
    def pid(self) -> int:
        """The process that executes it."""
        return until(lambda: self.details()["pid"], 60, "The task has no process")

    def until(self, *states: str, try_number: int = 0, seconds: float = 180) -> dict:
        """Wait until the task is in one of some states, in this try or a later one."""

        def arrived():
            seen = self.details()
            return seen if seen["state"] in states and seen["try_number"] >= try_number else None

        return until(arrived, seconds, lambda: f"It is not {' or '.join(states)}: {self.describe()}")

    def ends(self, seconds: float = 180) -> str:
        """Wait until the task, and its DAG run, have ended; the task's state."""
        until(
            lambda: self.airflow.call("GET", self._run_path)["state"] in ENDED,
            seconds,
            lambda: f"{self} has not ended: {self.describe()}",
        )
        return self.state

    def stays(self, *states: str, seconds: float) -> None:
        """See that the task stays in some states for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.state in states, self.describe()
            time.sleep(0.5)

    def returned(self):
        """What the task returned, as its XCom says."""
        return self.airflow.call("GET", f"{self._path}/xcomEntries/return_value")["value"]

    def log(self, try_number: int) -> str:
        """One try's log."""
        log = self.airflow.call("GET", f"{self._path}/logs/{try_number}")["content"]
        return "\n".join(map(_line, log))

    def describe(self) -> str:
        """All that tells why a task isn't where it should be: its state, and the logs of its tries."""
        seen = self.details()
        logs = [f"--- log of try {number}\n{self.log(number)}" for number in range(1, seen["try_number"] + 1)]
        return "\n".join([f"{self} is {seen['state']} in try {seen['try_number']}", *logs])

    def __str__(self) -> str:
        return f"{self.dag_id} {self.run_id}"

    # --- what a person does -----------------------------------------------------------------------------------------

    def mark(self, state: str) -> None:
        """Mark the task failed or success."""
        self.airflow.call("PATCH", self._path, json={"new_state": state})

    def clear(self) -> None:
        """Clear the task, and let its DAG run go on."""
        order = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [self.task_id], "only_failed": False}
        self.airflow.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", json={**order, "reset_dag_runs": True})

    def fail_dag_run(self) -> None:
        """Mark the whole DAG run failed."""
        self.airflow.call("PATCH", self._run_path, json={"state": "failed"})


def _line(line: dict | str) -> str:
    if isinstance(line, str):
        return line
    raised = [f"\n    {error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or []]
    return " ".join((line.get("timestamp", "")[11:19], line.get("level", ""), line.get("event", ""), *raised))
