"""The command promote, and the whole way from one engine to another and into Airflow."""

import json
import re

import pytest

from airflow_provider_flowengine.emulator.server import Emulator

from .test_dags import load


@pytest.fixture
def production():
    """A second engine."""
    with Emulator(port=0, engine_key="prod") as emulator:
        yield emulator


@pytest.fixture
def promote(flowengine, flowengine_emulator, production):
    """Run promote from the one engine to the other."""
    engines = ("--from", flowengine_emulator.url, "--from-engine-key", flowengine_emulator.engine_key)
    engines += ("--to", production.url, "--to-engine-key", "prod")
    return lambda *arguments: flowengine("promote", *arguments, *engines)


def test_promote_shows_the_plan_and_writes_nothing_unless_told(promote, production, existing):
    result = promote("churn")

    assert result.code == 2
    assert result.out.startswith("+ pipeline churn: will be created")
    assert production.engine.pipelines() == []


def test_promote_goes_by_pipeline_key_whatever_the_ids(promote, production, existing, churn, on_engine):
    production.engine.create_pipeline({**churn, "pipelineKey": "other"})
    production.engine.create_pipeline({**churn, "data": {**churn["data"], "name": "Old name"}})

    result = promote("churn", "--apply", "-o", "json")

    assert [step["state"] for step in result.json] == ["changed"]
    assert on_engine(emulator=production)["data"]["name"] == "Churn model"
    assert promote("churn").code == 0


def test_an_overlay_says_what_differs_there(promote, production, existing, on_engine, tmp_path):
    overlay = tmp_path / "production.json"
    overlay.write_text('{"churn": {"data": {"nodes": {"train": {"params": {"trees": "500"}}}}}}')

    promote("churn", "--apply", "--overlay", overlay)

    assert on_engine(emulator=production)["data"]["nodes"][1]["params"]["values"][0]["value"] == "500"
    assert promote("churn", "--overlay", overlay).code == 0


def test_a_schedule_that_is_carried_over_is_said(promote, existing):
    assert "its schedule (CRONTAB) is carried over as it is" in promote("churn").err


@pytest.fixture
def with_file(churn):
    """The definition with a FILE param, whose value is a path on the first engine's disk."""
    file = {"key": "table", "type": "FILE", "value": "/opt/work/job_template_3/4e3443e5/table.csv"}
    churn["data"]["nodes"][1]["params"]["values"].append(file)
    return churn


def test_a_files_path_is_not_carried_over(promote, with_file, existing, production, tmp_path):
    result = promote("churn", "--apply")

    assert result.code == 1
    assert "FILE param train.table has no file; give --file train.table=PATH" in result.err
    assert production.engine.pipelines() == []


def test_a_file_is_uploaded_to_the_other_engine_and_then_kept(
    promote, with_file, existing, production, tmp_path, on_engine
):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n")

    assert promote("churn", "--apply", "--file", f"train.table={table}").code == 0

    value = on_engine(emulator=production)["data"]["nodes"][1]["params"]["values"][2]["value"]
    assert value.endswith("/table.csv")
    assert value != "/opt/work/job_template_3/4e3443e5/table.csv"
    assert promote("churn").code == 0


def test_one_sides_credentials_are_not_sent_to_the_other(
    promote, flowengine_emulator, production, existing, monkeypatch
):
    monkeypatch.setenv("FLOWENGINE_ACCESS_KEY", "key-of-neither")
    monkeypatch.setenv("FLOWENGINE_FROM_ACCESS_KEY", "key-of-from")
    production.options.authentication = "access_key"

    result = promote("churn")

    assert result.code == 1
    assert "401" in result.err


def test_from_one_engine_to_another_and_onto_a_dag(
    flowengine, flowengine_emulator, flowengine_connection, production, existing, tmp_path, run, monkeypatch, on_engine
):
    repo, engine = tmp_path / "repo", ("--url", production.url, "--engine-key", "prod")

    # It is made in one engine, and exported.
    assert flowengine("export", "churn", "--dir", repo).code == 0
    assert flowengine("plan", repo).code == 0

    # A change is reviewed as a diff, and applied there.
    script = repo / "churn" / "train.py"
    script.write_text(script.read_text().replace("training", "training more"))
    reviewed = flowengine("plan", repo, "--plan-file", tmp_path / "plan.json")
    assert reviewed.code == 2
    assert "        +print('training more')" in reviewed.out
    assert flowengine("apply", repo, "--plan-file", tmp_path / "plan.json").code == 0

    # It is promoted to the second one.
    sides = ("--from", flowengine_emulator.url, "--from-engine-key", "demo", "--to", production.url)
    assert flowengine("promote", "churn", *sides, "--to-engine-key", "prod", "--apply").code == 0
    assert flowengine("plan", repo, *engine).code == 0

    # Its schedule is moved to a DAG, and the DAG runs it.
    dags = ("--dir", tmp_path / "dags", "--param", "train.trees", "--zone", "Asia/Shanghai")
    assert flowengine("dag", "churn", *engine, *dags).code == 0
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", production.connection())
    dag = load(tmp_path / "dags" / "flowengine_churn.py")
    result = run(dag, conf={"train.trees": "7"})
    assert result.state == "success", result["run_pipeline"].error
    (row,) = flowengine("runs", "churn", *engine, "-o", "json").json
    assert row["state"] == "succeeded"
    assert production.engine.run(1).params == {"train": {"trees": "7"}}

    # Somebody changes it by hand: the drift is found, and mended.
    body = json.loads(json.dumps(on_engine(emulator=production)))
    body["data"]["nodes"][1]["onError"] = "echo by hand"
    production.engine.update_pipeline({**body, "id": 1})
    drift = flowengine("plan", repo, *engine)
    assert drift.code == 2
    assert re.search(r'- node train, onError: "echo by hand"', drift.out)
    assert flowengine("apply", repo, *engine).code == 0
    assert flowengine("plan", repo, *engine).code == 0


# --- by Airflow connections -------------------------------------------------------------------------------------------


@pytest.fixture
def connections(flowengine_emulator, production, monkeypatch, airflow_db):
    """The two engines as Airflow's connections dev and prod."""
    monkeypatch.delenv("FLOWENGINE_URL", raising=False)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEV", flowengine_emulator.connection())
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_PROD", production.connection())


@pytest.mark.usefixtures("connections", "existing")
@pytest.mark.parametrize("target", ["flowengine_prod", "address"])
@pytest.mark.parametrize("source", ["flowengine_dev", "address"])
def test_either_side_is_a_connection_or_an_address(
    flowengine, flowengine_emulator, production, on_engine, source, target
):
    sides = [
        "--from",
        flowengine_emulator.url if source == "address" else source,
        "--to",
        production.url if target == "address" else target,
        *(("--from-engine-key", flowengine_emulator.engine_key) if source == "address" else ()),
        *(("--to-engine-key", "prod") if target == "address" else ()),
    ]

    assert flowengine("promote", "churn", *sides).code == 2
    assert flowengine("promote", "churn", *sides, "--apply", "-o", "json").json[0]["state"] == "created"

    assert on_engine(emulator=production)["data"]["name"] == "Churn model"
    assert flowengine("promote", "churn", *sides).code == 0
    assert {call["method"] for call in flowengine_emulator.calls()} == {"GET"}


@pytest.mark.usefixtures("connections", "existing")
def test_the_environment_of_plain_commands_says_nothing_of_either_side(
    flowengine, flowengine_emulator, production, monkeypatch
):
    production.options.access_key = "key-of-production"
    production.options.authentication = "access_key"
    monkeypatch.setenv("FLOWENGINE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FLOWENGINE_ENGINE_KEY", "another")
    monkeypatch.setenv("FLOWENGINE_ACCESS_KEY", "key-of-another")
    monkeypatch.setenv("FLOWENGINE_TO_ACCESS_KEY", "key-of-production")
    monkeypatch.setenv("FLOWENGINE_TO_ENGINE_KEY", "prod")

    result = flowengine("promote", "churn", "--from", "flowengine_dev", "--to", production.url)

    assert result.code == 2, result.err
    headers = [call["headers"] for call in flowengine_emulator.calls()]
    assert not any("key-of" in str(header) for header in headers)


@pytest.mark.usefixtures("connections", "existing")
def test_an_engine_is_not_promoted_to_itself(flowengine):
    result = flowengine("promote", "churn", "--from", "flowengine_dev", "--to", "flowengine_dev", "--apply")

    assert result.code == 1
    assert "--from and --to are the same engine" in result.err


@pytest.mark.usefixtures("connections")
def test_a_connection_that_does_not_exist_is_named(flowengine):
    result = flowengine("promote", "churn", "--from", "gone", "--to", "gone")

    assert "Airflow has no connection 'gone'; create it, name another by --from, or give an address" in result.err


def test_the_engine_key_of_a_side_is_asked_for_by_its_own_name(flowengine, flowengine_emulator):
    result = flowengine("promote", "churn", "--from", flowengine_emulator.url, "--to", flowengine_emulator.url)

    assert "give --from-engine-key, or set FLOWENGINE_FROM_ENGINE_KEY" in result.err
