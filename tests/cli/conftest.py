"""What tests of the commands need: an engine to work on, and the commands themselves."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

import pytest

from airflow_provider_flowengine.cli.__main__ import main

SCRIPT = "import sys\nprint('training')\n"


@dataclass
class Result:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def flowengine(flowengine_emulator, monkeypatch, capsys):
    """Run a command on the emulator, by its address alone."""
    monkeypatch.setenv("FLOWENGINE_URL", flowengine_emulator.url)
    monkeypatch.setenv("FLOWENGINE_ENGINE_KEY", flowengine_emulator.engine_key)

    def flowengine(*arguments):
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return Result(code, *capsys.readouterr())

    return flowengine


@pytest.fixture
def churn():
    """A pipeline's definition."""
    return {
        "pipelineKey": "churn",
        "data": {
            "name": "Churn model",
            "nodes": [
                {"nodeId": "start_node", "name": "start", "type": "START"},
                {
                    "nodeId": "train",
                    "name": "train",
                    "type": "TASK",
                    "indexType": "PYTHON3",
                    "indexSource": SCRIPT,
                    "params": {
                        "values": [
                            {"key": "trees", "value": "100", "type": "TEXT"},
                            {"key": "duration", "value": "0.1", "type": "TEXT"},
                        ]
                    },
                    "sensorJobConfig": {"sensor_type": "PULL", "check_inteval": 5},
                    "executionConfig": {"retry_count": 1},
                },
            ],
            "edges": [{"id": "1", "srcNodeId": "start_node", "destNodeId": "train"}],
            "executionConfig": {"runMode": "CRONTAB", "cronExpression": "0 0 2 * * ?"},
        },
    }


@pytest.fixture
def existing(flowengine_emulator, churn):
    """The pipeline on the emulator; returns its id."""
    return flowengine_emulator.engine.create_pipeline(copy.deepcopy(churn)).id


@pytest.fixture
def on_engine(flowengine_emulator):
    """The object of a pipeline as the engine has it, by key."""

    def on_engine(key="churn", emulator=flowengine_emulator):
        (found,) = [one for one in emulator.engine.pipelines() if one.body.get("pipelineKey") == key]
        return found.body

    return on_engine


@pytest.fixture
def file(tmp_path, churn):
    """The definition in a file, as people write it."""
    path = tmp_path / "churn.json"
    path.write_text(json.dumps(churn), encoding="utf-8")
    return path
