"""Definitions through the commands: export, plan, apply."""

import json
import re
import subprocess
import sys

import pytest

from .conftest import SCRIPT


def change(path, edit):
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content["data"])
    path.write_text(json.dumps(content), encoding="utf-8")


def set_trees(value):
    return lambda data: data["nodes"][1]["params"]["values"][0].update(value=value)


# --- export -----------------------------------------------------------------------------------------------------------


def test_export_writes_a_file_a_pipeline_with_its_scripts_beside_it(flowengine, existing, tmp_path):
    result = flowengine("export", "churn", "--dir", tmp_path, "-o", "json")

    assert result.code == 0
    assert result.json == [{"pipeline": "churn", "file": str(tmp_path / "churn.json"), "state": "written"}]
    assert (tmp_path / "churn" / "train.py").read_text() == SCRIPT
    kept = json.loads((tmp_path / "churn.json").read_text(encoding="utf-8"))
    assert kept["data"]["nodes"][1]["sensorJobConfig"] == {"sensor_type": "PULL", "check_inteval": 5}
    assert not {"id", "createTime"} & kept.keys()


def test_export_inline_writes_one_file(flowengine, existing, tmp_path):
    flowengine("export", existing, "--dir", tmp_path, "--inline")

    assert [path.name for path in tmp_path.iterdir()] == ["churn.json"]
    assert SCRIPT in json.loads((tmp_path / "churn.json").read_text())["data"]["nodes"][1]["indexSource"]


def test_what_is_exported_makes_the_same_pipeline(
    flowengine, flowengine_emulator, existing, churn, on_engine, tmp_path
):
    flowengine("export", "--all", "--dir", tmp_path)
    flowengine_emulator.reset()

    assert flowengine("apply", tmp_path).code == 0
    assert {name: on_engine()[name] for name in churn} == churn


def test_a_file_whose_pipeline_has_not_changed_stays_as_it_is(flowengine, existing, file):
    before = file.read_text()

    result = flowengine("export", "churn", "--dir", file.parent, "-o", "json")

    assert result.json[0]["state"] == "unchanged"
    assert file.read_text() == before


def test_a_pipeline_that_doesnt_exist_is_answered_by_keys(flowengine, existing):
    result = flowengine("export", "chrun")

    assert result.code == 1
    assert "churn (id 1)" in result.err


def test_pipelines_keep_their_files_however_they_are_exported(
    flowengine, flowengine_emulator, existing, churn, tmp_path
):
    flowengine_emulator.engine.create_pipeline({**churn, "pipelineKey": "Churn"})
    (tmp_path / "mine.json").write_text(json.dumps(churn))

    both = flowengine("export", "--all", "--dir", tmp_path, "-o", "json").json
    again = flowengine("export", "Churn", "--dir", tmp_path, "-o", "json").json

    assert [(row["file"], row["state"]) for row in both] == [
        (str(tmp_path / "mine.json"), "unchanged"),
        (str(tmp_path / "Churn.json"), "written"),
    ]
    assert again == [{**both[1], "state": "unchanged"}]
    assert flowengine("plan", tmp_path).code == 0


def test_a_file_of_another_pipeline_is_never_overwritten(flowengine, existing, tmp_path):
    (tmp_path / "CHURN.json").write_text('{"pipelineKey": "other", "data": {"nodes": []}}')

    (row,) = flowengine("export", "churn", "--dir", tmp_path, "-o", "json").json

    assert re.fullmatch(r"churn-[0-9a-f]{8}\.json", row["file"].rpartition("/")[2])
    assert "other" in (tmp_path / "CHURN.json").read_text()


def test_export_says_what_it_overwrites_and_does_not_follow_links_out_of_the_folder(flowengine, existing, tmp_path):
    repo, secret = tmp_path / "repo", tmp_path / "profile"
    secret.write_text("keep me")
    (repo / "churn").mkdir(parents=True)
    (repo / "churn.json").write_text('{"pipelineKey": "churn", "data": {"nodes": []}}')
    (repo / "churn" / "train.py").symlink_to(secret)

    refused = flowengine("export", "churn", "--dir", repo, "-o", "json")
    assert (refused.code, refused.json[0]["state"]) == (1, "failed")
    assert "is a link that leads out of" in refused.err
    assert secret.read_text() == "keep me"

    (repo / "churn" / "train.py").unlink()
    assert flowengine("export", "churn", "--dir", repo, "-o", "json").json[0]["state"] == "overwritten"


def test_a_pipeline_that_files_cant_hold_keeps_no_other_from_its_file(flowengine, flowengine_emulator, churn, tmp_path):
    flowengine_emulator.engine.create_pipeline(
        {**churn, "pipelineKey": "odd", "data": {**churn["data"], "x": {"$file": 1}}}
    )
    flowengine_emulator.engine.create_pipeline(churn)

    result = flowengine("export", "--all", "--dir", tmp_path, "-o", "json")

    assert result.code == 1
    assert [row["state"] for row in result.json] == ["failed", "written"]
    assert "odd: A field of the pipeline is called '$file'" in result.err


# --- plan -------------------------------------------------------------------------------------------------------------


def test_plan_says_that_nothing_differs(flowengine, existing, file):
    result = flowengine("plan", file)

    assert result.code == 0
    assert "= pipeline churn (id 1): nothing differs" in result.out


def test_plan_says_what_differs_and_writes_nothing(flowengine, flowengine_emulator, existing, file):
    change(file, set_trees("200"))
    change(file, lambda data: data["nodes"][1].update(indexSource=SCRIPT.replace("training", "more")))

    result = flowengine("plan", file)

    assert result.code == 2
    assert result.out.splitlines() == [
        "~ pipeline churn (id 1): will be changed",
        "    ~ node train, indexSource:",
        "        @@ -1,2 +1,2 @@",
        "         import sys",
        "        -print('training')",
        "        +print('more')",
        '    ~ node train, param trees: "100" → "200"',
        "0 to create, 1 to change, 0 without a difference",
    ]
    assert {call["method"] for call in flowengine_emulator.calls()} == {"GET"}


def test_plan_says_what_would_be_created(flowengine, file):
    result = flowengine("plan", file)

    assert result.code == 2
    assert result.out.startswith("+ pipeline churn: will be created\n")
    assert "    + node train\n" in result.out


def test_plan_for_programs(flowengine, existing, file):
    change(file, set_trees("200"))

    (step,) = flowengine("plan", file, "-o", "json").json

    assert (step["action"], step["pipeline"], step["pipeline_id"]) == ("change", "churn", 1)
    assert step["changes"] == [
        {
            "path": ["data", "nodes", "train", "params", "values", "trees", "value"],
            "kind": "change",
            "before": "100",
            "after": "200",
        }
    ]


def test_a_plan_shows_no_secret_in_any_form(flowengine, file):
    change(file, lambda data: data["nodes"][1]["params"]["values"].append({"key": "db_password", "value": "s3cret"}))

    for form in ("table", "plain", "json", "yaml"):
        planned = flowengine("plan", file, "-o", form, "--plan-file", file.parent / "plan.out")
        assert planned.code == 2
        assert "s3cret" not in planned.out + (file.parent / "plan.out").read_text()


def test_a_plans_file_holds_no_script(flowengine, file):
    change(file, lambda data: data.update(describe="export TOKEN=abc"))
    plan_file = file.parent / "plan.out"

    assert "export TOKEN=abc" in flowengine("plan", file, "-o", "json", "--plan-file", plan_file).out
    assert "export TOKEN=abc" not in plan_file.read_text()


def test_a_key_of_the_overlay_that_no_pipeline_has_is_said(flowengine, existing, file):
    overlay = file.parent / "overlay.json"
    overlay.write_text('{"chrun": {"data": {"describe": "misspelt"}}}')

    assert "The overlay's chrun: no pipeline here has this key." in flowengine("plan", file, "--overlay", overlay).err


def test_an_overlay_says_what_differs_in_an_environment(flowengine, existing, file):
    overlay = file.parent / "overlay.json"
    overlay.write_text('{"churn": {"data": {"nodes": {"train": {"params": {"trees": "500"}}}}}}')

    result = flowengine("plan", file.parent, "--overlay", overlay)

    assert '    ~ node train, param trees: "100" → "500"' in result.out


# --- apply ------------------------------------------------------------------------------------------------------------


def test_apply_creates_and_then_has_nothing_to_do(flowengine, flowengine_emulator, file):
    assert flowengine("apply", file, "-o", "json").json[0]["state"] == "created"

    assert flowengine("apply", file, "-o", "json").json[0]["state"] == "unchanged"
    assert flowengine_emulator.count("create") == 1
    assert flowengine_emulator.count("update") == 0
    assert flowengine("plan", file).code == 0


def test_apply_changes_what_differs_and_keeps_the_rest(flowengine, existing, file, on_engine):
    change(file, set_trees("200"))

    result = flowengine("apply", file)

    assert result.code == 0
    assert "has no version" in result.err
    node = on_engine()["data"]["nodes"][1]
    assert node["params"]["values"][0]["value"] == "200"
    assert node["sensorJobConfig"] == {"sensor_type": "PULL", "check_inteval": 5}
    assert flowengine("plan", file).code == 0


def test_apply_refuses_while_a_run_is_going_on(flowengine, flowengine_emulator, existing, file, on_engine):
    change(file, set_trees("200"))
    flowengine_emulator.engine.start(existing, {"train": {"duration": "1000"}})

    result = flowengine("apply", file)

    assert result.code == 1
    assert "has an active run (1), and is not written; wait, or give --force" in result.err
    assert on_engine()["data"]["nodes"][1]["params"]["values"][0]["value"] == "100"
    assert flowengine("apply", file, "--force").code == 0
    assert on_engine()["data"]["nodes"][1]["params"]["values"][0]["value"] == "200"


@pytest.fixture
def planned(flowengine, existing, file):
    """A plan in a file, of one change."""
    change(file, set_trees("200"))
    plan = file.parent / "plan.out"
    assert flowengine("plan", file, "--plan-file", plan).code == 2
    return plan


def test_apply_does_what_was_planned(flowengine, file, planned):
    assert flowengine("apply", file, "--plan-file", planned).code == 0
    assert flowengine("plan", file).code == 0


def test_a_plan_may_stand_among_the_definitions(flowengine, file):
    plan_file = file.parent / "plan.json"
    arguments = (file.parent, "--plan-file", plan_file)

    assert [flowengine("plan", *arguments).code for _ in range(2)] == [2, 2]
    assert flowengine("apply", *arguments).code == 0


def test_a_plan_is_written_over_no_file_that_is_none(flowengine, file):
    before = file.read_text()

    result = flowengine("plan", file, "--plan-file", file)

    assert (result.code, file.read_text()) == (1, before)
    assert f"--plan-file {file}: this file is no plan, and is not overwritten" in result.err


def test_a_file_that_is_named_is_a_definition_whatever_else_it_is(flowengine, file):
    result = flowengine("plan", file, "--overlay", file)

    assert result.code == 2
    assert "1 to create" in result.out


def test_a_folder_of_an_overlay_alone_has_no_definition(flowengine, tmp_path):
    overlay = tmp_path / "prod.json"
    overlay.write_text("{}")

    assert "no .json file of a pipeline" in flowengine("plan", tmp_path, "--overlay", overlay).err


def test_apply_refuses_what_somebody_changed_since_the_plan(flowengine, flowengine_emulator, file, planned, on_engine):
    body = json.loads(json.dumps(on_engine()))
    body["data"]["describe"] = "by hand"
    flowengine_emulator.engine.update_pipeline({**body, "id": 1})

    result = flowengine("apply", file, "--plan-file", planned)

    assert result.code == 1
    assert "was changed on the engine since the plan" in result.err
    assert flowengine_emulator.count("update") == 0


def test_apply_refuses_a_file_that_has_changed_since_the_plan(flowengine, flowengine_emulator, file, planned):
    change(file, set_trees("300"))

    result = flowengine("apply", file, "--plan-file", planned)

    assert result.code == 1
    assert f"{file} has changed since the plan" in result.err
    assert flowengine_emulator.count("update") == 0


def test_a_plan_for_another_engine_is_refused(flowengine, flowengine_emulator, file, planned):
    plan = json.loads(planned.read_text())
    planned.write_text(json.dumps({**plan, "engine": "demo at http://other"}))

    result = flowengine("apply", file, "--plan-file", planned)

    assert result.code == 1
    assert f"is a plan for demo at http://other, not for demo at {flowengine_emulator.url}" in result.err


def test_apply_refuses_what_somebody_changes_between_its_own_plan_and_its_write(
    flowengine, flowengine_emulator, existing, file, on_engine, monkeypatch
):
    from airflow_provider_flowengine.cli import applying

    change(file, set_trees("200"))
    look_for_runs = applying.active_runs

    def meanwhile(api, pipeline_id):
        body = json.loads(json.dumps(on_engine()))
        body["data"]["describe"] = "by hand"
        flowengine_emulator.engine.update_pipeline({**body, "id": pipeline_id})
        return look_for_runs(api, pipeline_id)

    monkeypatch.setattr(applying, "active_runs", meanwhile)

    result = flowengine("apply", file)

    assert result.code == 1
    assert "was changed on the engine meanwhile" in result.err
    assert on_engine()["data"]["describe"] == "by hand"


def test_a_create_whose_answer_is_lost_is_searched_for(flowengine, flowengine_emulator, file, on_engine):
    flowengine_emulator.fail("create", kind="reset", where="after")

    result = flowengine("apply", file, "-o", "json")

    assert result.json[0]["state"] == "created"
    assert on_engine()
    assert flowengine_emulator.count("create") == 1


@pytest.fixture
def somebody_else(flowengine_emulator, churn, monkeypatch):
    """Let somebody else create the pipeline at the moment in which the command sends it."""
    create = flowengine_emulator.engine.create_pipeline
    theirs = {**churn, "data": {**churn["data"], "describe": "theirs"}}

    def somebody_else(*, ours_arrives):
        def both(body):
            pipeline = create(theirs)
            return create(body) if ours_arrives else pipeline

        monkeypatch.setattr(flowengine_emulator.engine, "create_pipeline", both)

    return somebody_else


def test_somebody_elses_pipeline_is_not_taken_for_one_whose_answer_was_lost(
    flowengine, flowengine_emulator, file, somebody_else
):
    somebody_else(ours_arrives=False)
    flowengine_emulator.fail("create", kind="reset", where="after")

    result = flowengine("apply", file)

    assert result.code == 1
    assert "somebody else may have created it" in result.err
    assert flowengine_emulator.count("create") == 1


def test_two_applies_that_create_at_once_learn_of_the_second_pipeline(flowengine, file, somebody_else):
    somebody_else(ours_arrives=True)

    assert "2 pipelines of engine 'demo' have the key 'churn' already: 1, 2" in flowengine("apply", file).err
    assert flowengine("plan", file).code == 1


def test_a_list_that_lacks_some_pipelines_creates_none(flowengine, flowengine_emulator, file, existing, churn):
    for number in range(9):
        flowengine_emulator.engine.create_pipeline({**churn, "pipelineKey": f"other-{number}"})
    flowengine_emulator.options.pipelines_paging = "always"
    flowengine_emulator.options.pipelines_page_size = 3
    flowengine_emulator.options.totals = "huge"
    file.write_text(json.dumps({**churn, "pipelineKey": "new"}))

    result = flowengine("apply", file)

    assert result.code == 1
    assert "a list with an end" in result.err
    assert flowengine_emulator.count("create") == 0


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1, column 2: not JSON"),
        ('{"data": {"nodes": [{"nodeId": "a", "type": "JOB"}]}, "pipelineKey": "k"}', "type 'JOB' isn't known"),
        ('{"data": {"name": "n", "nodes": [], "edges": [{"srcNodeId": "x"}]}}', "edge number 1 names the node 'x'"),
        ('{"pipelineKey": 5, "data": {"name": "n", "nodes": []}}', "pipelineKey must be text"),
        ('{"data": {"nodes": []}}', "neither a pipelineKey nor a name"),
        ('{"pipelineKey": "k", "data": {"x": {"$file": "gone.py"}}}', "'gone.py': cannot be read: No such file"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_bad_file_is_named_and_nothing_is_sent(flowengine, flowengine_emulator, tmp_path, command, text, said):
    path = tmp_path / "bad.json"
    path.write_text(text)

    result = flowengine(command, path)

    assert result.code == 1
    assert f"{path}: " in result.err
    assert said in result.err
    assert flowengine_emulator.calls() == []


def test_two_files_of_one_key_are_both_named(flowengine, flowengine_emulator, file):
    other = file.parent / "other.json"
    other.write_text(file.read_text())

    result = flowengine("apply", file.parent)

    assert result.code == 1
    assert f"{other}: {file} has the key 'churn' too" in result.err
    assert flowengine_emulator.calls() == []


def test_a_link_that_leads_out_of_the_folder_is_not_read(flowengine, tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "script.sh").symlink_to(tmp_path / "secret")
    (folder / "a.json").write_text('{"pipelineKey": "a", "data": {"x": {"$file": "script.sh"}}}')

    result = flowengine("plan", folder / "a.json")

    assert result.code == 1
    assert "must be the path of a file below" in result.err
    assert "s3cret" not in result.out + result.err


def test_a_file_param_needs_its_file_and_takes_the_path_of_its_upload(flowengine, flowengine_emulator, file, on_engine):
    def add(data):
        data["nodes"][1]["params"]["values"].append({"key": "table", "type": "FILE", "value": ""})

    change(file, add)
    table = file.parent / "table.csv"

    refused = flowengine("apply", file)
    assert refused.code == 1
    assert "FILE param train.table has no file; give --file train.table=PATH" in refused.err
    assert f"there is no file '{table}'" in flowengine("apply", file, "--file", f"train.table={table}").err
    assert flowengine_emulator.count("create") == 0

    table.write_text("a,b\n")
    assert flowengine("apply", file, "--file", f"train.table={table}").code == 0
    value = on_engine()["data"]["nodes"][1]["params"]["values"][2]["value"]
    assert re.fullmatch(r"/.*/table\.csv", value)


def test_no_rights(flowengine, flowengine_emulator, file, monkeypatch):
    flowengine_emulator.reset(authentication="access_key", access_key="right-key")
    monkeypatch.setenv("FLOWENGINE_ACCESS_KEY", "wrong-key")

    result = flowengine("apply", file)

    assert result.code == 1
    assert "401" in result.err
    assert "wrong-key" not in result.out + result.err


def test_an_engine_that_goes_away_amid_ten_applies(flowengine, flowengine_emulator, file, churn, monkeypatch):
    from airflow_provider_flowengine.protocol import flow

    monkeypatch.setattr(flow.Retry, "delay", lambda self, attempt, retry_after=None: 0.0)
    for number in range(10):
        content = {**churn, "pipelineKey": f"churn-{number}"}
        (file.parent / f"churn-{number}.json").write_text(json.dumps(content))
    file.unlink()
    folder = file.parent
    create = flowengine_emulator.engine.create_pipeline

    def fourth_time_unavailable(body):
        pipeline = create(body)
        if len(flowengine_emulator.engine.pipelines()) == 4:
            flowengine_emulator.fail("get", "list", "create", "engine_url", status=503, times=100)
        return pipeline

    monkeypatch.setattr(flowengine_emulator.engine, "create_pipeline", fourth_time_unavailable)

    result = flowengine("apply", folder, "-o", "json")

    assert result.code == 1
    states = [step["state"] for step in result.json]
    assert states == ["created"] * 3 + ["failed"] + ["not done"] * 6
    assert "Not applied: churn-3, churn-4, churn-5, churn-6, churn-7, churn-8, churn-9. Run apply again" in result.err

    flowengine_emulator.faults.clear()
    again = flowengine("apply", folder, "-o", "json")
    assert again.code == 0
    assert [step["state"] for step in again.json] == ["unchanged"] * 4 + ["created"] * 6
    assert len(flowengine_emulator.engine.pipelines()) == 10


def test_wrong_arguments_exit_with_1_since_2_says_that_something_differs():
    command = [sys.executable, "-m", "airflow_provider_flowengine.cli", "plan"]

    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert "required: FILE" in result.stderr
