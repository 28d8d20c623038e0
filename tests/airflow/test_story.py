"""The story of the examples, with jobs that really run."""

import runpy
from pathlib import Path

import pytest

STORY = Path(__file__).parent.parent.parent / "example_dags" / "flowengine_churn_story.py"


def test_a_poor_model_is_trained_longer_before_it_is_published(run, monkeypatch, tmp_path):
    server = pytest.importorskip("airflow_provider_flowengine.emulator.server")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with server.Emulator(execute=True) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection())
        result = run(runpy.run_path(str(STORY))["dag"])

        assert result.state == "success"
        assert [result[task].state for task in ("train", "judge", "train_longer", "publish")] == ["success"] * 4
        assert result["publish"].returned > 0.85
        assert emulator.count("start") == 2
