"""The FlowEngine that the tasks talk to: the emulator as a process of its own, and what it has seen."""

import itertools
import json
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import requests

from .processes import Process, free_port, until


@dataclass(frozen=True)
class Seen:
    """What FlowEngine has seen of one pipeline: how many starts and stops were sent, and its runs' states by id."""

    starts: int
    stops: int
    runs: dict[int, str]


class FlowEngine:
    """
    The emulator, with its state in a file: it can be killed and started again.

    :param folder: where its database and its log are.
    :param env: its environment.
    """

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.conn_id = f"flowengine_{self.port}"
        database = folder / f"emulator-{self.port}.db"
        argv = [sys.executable, "-m", "airflow_provider_flowengine.emulator", "--port", str(self.port)]
        argv += ["--db", str(database), "--stop-seconds", "0.5"]
        self.process = Process(f"emulator-{self.port}", argv, env, folder)
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["X-FlowEngine-UserId"] = "1"
        self._names = itertools.count(1)

    def start(self) -> None:
        self.process.start()
        until(self._answers, 60, lambda: f"The emulator doesn't answer: {self.process.log.read_text()}")

    def kill(self, sign: signal.Signals) -> None:
        self.process.end(sign)

    def connection(self, conn_id: str = "") -> dict:
        """The Airflow connection that leads here, as Airflow's REST API takes it."""
        return {
            "connection_id": conn_id or self.conn_id,
            "conn_type": "flowengine",
            "schema": "http",
            "host": "127.0.0.1",
            "port": self.port,
            "login": "1",
            "extra": json.dumps({"engine_key": "demo"}),
        }

    # --- what happens there -----------------------------------------------------------------------------------------

    def create_pipeline(
        self,
        key: str = "",
        duration: str = "forever",
        params: tuple[str, ...] = (),
        nodes: tuple[str, ...] = ("train",),
    ) -> int:
        """A pipeline of nodes one after the other; each goes on until somebody ends it, or for some seconds."""
        texts = {"duration": duration, **dict.fromkeys(params, "")}
        values = [{"key": key, "value": value, "type": "TEXT"} for key, value in texts.items()]
        node = {"type": "TASK", "indexType": "SHELL", "params": {"values": values}}
        data = {
            "name": f"pipeline {next(self._names)}",
            "nodes": [{"nodeId": name, "name": name, **node} for name in nodes],
            "edges": [
                {"id": f"{one} {next_}", "srcNodeId": one, "destNodeId": next_} for one, next_ in pairwise(nodes)
            ],
        }
        pipeline = {"data": data, "pipelineKey": key}
        return int(self._call("POST", "/pipeline/template/6/create", json=pipeline)["data"]["id"])

    def start_run(self, pipeline_id: int) -> int:
        """Start a run by hand, as a person would."""
        return int(self._call("POST", f"/pipeline/6/{pipeline_id}/start", json={})["data"]["id"])

    def finish(self, run_id: int, outcome: str = "succeeded") -> None:
        """End a run."""
        self._control("POST", f"/runs/{run_id}/finish", json={"outcome": outcome})

    def fail(self, *calls: str, **fault) -> None:
        """Script a fault for the next of these calls."""
        self._control("POST", "/faults", json={"calls": list(calls), **fault})

    def clear_faults(self) -> None:
        self._control("DELETE", "/faults")

    # --- what it has seen -------------------------------------------------------------------------------------------

    def seen(self, pipeline_id: int) -> Seen:
        page = self._call("GET", f"/pipeline/{pipeline_id}/historyList", params={"page": 1, "size": 100})
        runs = {int(run["id"]): run["status"] for run in page["data"]["list"]}
        starts = [call for call in self._calls("start") if call["path"].endswith(f"/{pipeline_id}/start")]
        stops = [call for call in self._calls("stop") if int(call["path"].split("/")[-2]) in runs]
        return Seen(len(starts), len(stops), runs)

    def count(self, call: str) -> int:
        """How often a call was made in all, whoever made it."""
        return int(self._control("GET", "/calls/counts").get(call, 0))

    def requests(self, pipeline_id: int, run_id: int) -> Counter[str]:
        """How often tasks have asked for a pipeline's history, and for one run of it: the second tells nodes."""
        history = [call for call in self._calls("history") if f"/pipeline/{pipeline_id}/" in call["path"]]
        run = [call for call in self._calls("run") if f"/pipeline/{run_id}/" in call["path"]]
        return Counter(run=len(run), history=sum("size=100" not in call["query"] for call in history))  # not seen()'s

    def ends(self, pipeline_id: int, node: str, param: str) -> dict[str, float]:
        """When the newest runs of a pipeline ended, in seconds since the epoch, by what a param of theirs was."""
        page = self._call("GET", f"/pipeline/{pipeline_id}/historyList", params={"page": 1, "size": 1000})
        runs = sorted((run for run in page["data"]["list"] if run["endTime"]), key=lambda run: int(run["id"]))
        return {run["params"][node][param]: run["endTime"] / 1000 for run in runs}

    def run_of(self, pipeline_id: int, seconds: float = 90) -> int:
        """Wait until a run of a pipeline goes on, and return its id."""
        return until(lambda: self._going_on(pipeline_id), seconds, f"No run of pipeline {pipeline_id} goes on")[0]

    def _going_on(self, pipeline_id: int) -> list[int]:
        return [run_id for run_id, state in self.seen(pipeline_id).runs.items() if state == "running"]

    def until_run(self, pipeline_id: int, run_id: int, state: str, describe=str) -> None:
        """Wait until a run is in a state; what describes the rest goes into the error."""
        until(
            lambda: self.seen(pipeline_id).runs.get(run_id) == state,
            30,
            lambda: f"Run {run_id} is not {state}: {self.seen(pipeline_id)}\n{describe()}",
        )

    def is_polled(self, pipeline_id: int, run_id: int, seconds: float = 90) -> None:
        """Wait until the run, or the pipeline's history, is requested."""
        before = self.requests(pipeline_id, run_id).total()
        until(lambda: self.requests(pipeline_id, run_id).total() > before, seconds, f"Run {run_id} is not polled")

    def _calls(self, name: str) -> list[dict]:
        return self._control("GET", "/calls", params={"name": name, "limit": 100_000})

    def _answers(self) -> bool:
        assert self.process.is_alive(), f"The emulator has ended: {self.process.log.read_text()}"
        try:
            self._control("GET", "/clock")
        except requests.ConnectionError:
            return False
        return True

    def _call(self, method: str, path: str, params: dict | None = None, **more) -> dict:
        url = f"{self.url}/engine/15/cess-data-3/kernel/v1{path}"
        answer = self._http.request(method, url, params={"engineKey": "demo", **(params or {})}, timeout=30, **more)
        answer.raise_for_status()
        return answer.json()

    def _control(self, method: str, path: str, **more):
        answer = self._http.request(method, f"{self.url}/__control__{path}", timeout=30, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None
