import json
from pathlib import Path

import pytest
import requests

from airflow_provider_flowengine.emulator.server import Emulator

SAMPLES = Path(__file__).parent.parent / "samples"
START = 1593483729.0  # 2020-06-30 10:22:09 +08:00, as on the vendor's screenshot


def sample(name):
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def node(node_id, *, type="TASK", job="SHELL", source=None, execution=None, hooks=None, **params):
    """A node as the vendor's page writes it; `params` are its own."""
    return {
        "nodeId": node_id,
        "name": node_id,
        "title": node_id,
        "type": type,
        "indexType": job,
        "indexSource": source,
        "params": {
            "values": [
                {"id": f"{node_id}.{key}", "key": key, "value": value, "type": "TEXT"} for key, value in params.items()
            ]
        },
        "executionConfig": execution,
        **(hooks or {}),
    }


def pipeline(*nodes, edges=(), key="nightly", execution=None):
    """A pipeline object; an edge is "a→b", or "a→b.key" where a's output becomes b's param."""
    return {
        "engineTemplateId": 23,
        "data": {
            "name": key,
            "describe": key,
            "nodes": list(nodes),
            "edges": [_edge(edge) for edge in edges],
            "executionConfig": execution or {"runMode": "SINGLE"},
        },
        "pipelineKey": key,
    }


def _edge(text):
    source, _, destination = text.partition("→")
    slot = destination if "." in destination else None
    return {"id": text, "srcNodeId": source, "destNodeId": destination.split(".")[0], "destSlotId": slot}


class Caller:
    """The bare calls over HTTP: no client of ours, so that no mistake of it can hide one of the emulator's."""

    def __init__(self, emulator, root="kernel/v1"):
        self.emulator = emulator
        self.root = root
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-FlowEngine-UserId"] = "1"

    def __call__(self, method, path, body=None, *, gateway=False, **query):
        base = self.emulator.url if gateway else f"{self.emulator.url}{self.emulator.options.engine_url}/{self.root}"
        query = {"engineKey": self.emulator.engine_key, **query}
        return self.session.request(method, base + path, params=query, json=body, timeout=10)

    def control(self, method, path, body=None, **query):
        return self.session.request(
            method, f"{self.emulator.url}/__control__{path}", params=query, json=body, timeout=10
        )

    def data(self, method, path, body=None, **query):
        answer = self(method, path, body, **query).json()
        assert answer["status"] in (0, "0"), answer["msg"]
        return answer["data"]

    def refusal(self, method, path, body=None, **query):
        response = self(method, path, body, **query)
        answer = response.json()
        assert response.status_code == 200
        assert answer["status"] not in (0, "0")
        return answer["msg"]

    def create(self, *nodes, **more):
        return self.data("POST", "/pipeline/template/6/create", pipeline(*nodes, **more))["id"]

    def start(self, pipeline_id, params=None):
        return self.data("POST", f"/pipeline/6/{pipeline_id}/start", params or {})["id"]

    def history(self, pipeline_id, page=1, size=20):
        found = self.data("GET", f"/pipeline/{pipeline_id}/historyList", page=page, size=size, engineId=6)
        return found if isinstance(found, list) else found["list"]

    def stop(self, run_id):
        return self.data("DELETE", f"/pipeline/{run_id}/stopHistory", engineId=6)

    def resume(self, run_id):
        return self.data("POST", f"/pipeline/{run_id}/resumeHistory", engineId=6)

    def run(self, run_id):
        return self.data("GET", f"/pipeline/{run_id}/get")

    def states(self, run_id):
        """The run's status and each node's."""
        run = self.run(run_id)
        return run["status"], {each["nodeId"]: each["status"] for each in run["nodes"]}


@pytest.fixture(scope="session")
def server():
    with Emulator() as server:
        yield server


@pytest.fixture
def emulator(server):
    """A new emulator whose clock stands still until it is advanced."""
    server.reset()
    server.clock.reset(START)
    server.start()
    return server


@pytest.fixture
def call(emulator):
    return Caller(emulator)
