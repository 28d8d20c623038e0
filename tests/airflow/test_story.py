"""The story of the examples, with jobs that really run."""

import runpy
from pathlib import Path

import pytest

STORY = Path(__file__).parent.parent.parent / "example_dags" / "flowengine_churn_story.py"


@pytest.fixture
def emulator(monkeypatch, tmp_path):
    server = pytest.importorskip("airflow_provider_flowengine.emulator.server")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with server.Emulator(execute=True) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", emulator.connection())
        yield emulator


def test_a_poor_model_is_trained_longer_before_it_is_published(run, emulator):
    result = run(runpy.run_path(str(STORY))["dag"])

    assert result.state == "success"
    tasks = ("train", "judge", "train_longer", "judge_again", "publish")
    assert [result[task].state for task in tasks] == ["success"] * 5
    assert result["publish"].returned > 0.85
    assert emulator.count("start") == 2


def test_a_model_that_stays_poor_is_not_published(run, emulator, tmp_path):
    story = runpy.run_path(str(STORY))
    story["read_report"].__globals__["GOOD_ENOUGH"] = 1.01
    result = run(story["dag"])

    assert result.state == "failed"
    assert (result["judge_again"].state, result["publish"].state) == ("failed", "upstream_failed")
    assert "The model isn't published: its accuracy after longer training is 0." in str(
        result["judge_again"].errors[-1]
    )
    assert not list(tmp_path.rglob("model.json"))


def test_a_good_model_is_published_at_once(run, emulator):
    story = runpy.run_path(str(STORY))
    story["read_report"].__globals__["GOOD_ENOUGH"] = 0
    result = run(story["dag"])

    assert result.state == "success"
    assert [result[task].state for task in ("train_longer", "judge_again", "publish")] == [
        "skipped",
        "skipped",
        "success",
    ]
    assert emulator.count("start") == 1
