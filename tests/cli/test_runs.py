"""Runs through the commands: check, pipelines, runs, show, run, stop, resume."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import yaml

from airflow_provider_flowengine.cli import runs as runs_module

COMMAND = [sys.executable, "-m", "airflow_provider_flowengine.cli"]


@pytest.fixture
def environment(flowengine_emulator):
    """The environment of a command in a process of its own."""
    engine = {"FLOWENGINE_URL": flowengine_emulator.url, "FLOWENGINE_ENGINE_KEY": flowengine_emulator.engine_key}
    return {**os.environ, **engine}


# --- connection -------------------------------------------------------------------------------------------------------


def test_check_goes_step_by_step(flowengine, flowengine_emulator, existing):
    result = flowengine("check", "-o", "json")

    assert result.code == 0
    assert [(step["step"], step["result"]) for step in result.json] == [
        ("engine", "ok"),
        ("pipelines", "ok"),
        ("time zone", "ok"),
    ]
    assert "speaks kernel/v1" in result.json[0]["detail"]


def test_check_stops_at_what_fails_and_says_what_to_do(flowengine):
    result = flowengine("check", "--engine-key", "gone", "-o", "json")

    assert result.code == 1
    (step,) = result.json
    assert (step["step"], step["result"]) == ("engine", "failed")
    assert "'gone'" in step["detail"]
    assert "does it have this engine?" in step["detail"]


def test_an_account_signs_in_with_a_password_from_the_environment(flowengine, flowengine_emulator, monkeypatch):
    flowengine_emulator.reset(authentication="session", username="ann", password="pass-word")
    monkeypatch.setenv("FLOWENGINE_PASSWORD", "pass-word")

    result = flowengine("check", "--login", "ann", "-o", "json")

    assert result.code == 0, result.out
    assert "signed in by session" in result.json[0]["detail"]


def test_without_a_terminal_a_missing_password_is_said(flowengine):
    result = flowengine("pipelines", "--login", "ann")

    assert result.code == 1
    assert "set FLOWENGINE_PASSWORD" in result.err


def test_an_engine_key_is_needed(flowengine, monkeypatch):
    monkeypatch.delenv("FLOWENGINE_ENGINE_KEY")

    assert "give --engine-key, or set FLOWENGINE_ENGINE_KEY" in flowengine("pipelines").err


def test_an_address_without_a_scheme_is_one_of_http(flowengine, flowengine_emulator):
    address = flowengine_emulator.url.removeprefix("http://")

    assert flowengine("pipelines", "--url", address).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs", ""),
        ("plan", ""),
        ("apply", ".", "--overlay", ""),
        ("export", "x", "--dir", " "),
        ("check", "--url", ""),
    ],
)
def test_an_empty_argument_never_means_the_default(flowengine, flowengine_emulator, arguments):
    result = flowengine(*arguments)

    assert result.code == 1
    assert "must not be empty" in result.err
    assert flowengine_emulator.calls() == []


def test_a_connection_and_an_address_are_one_too_many(flowengine):
    assert flowengine("pipelines", "--conn-id", "a", "--url", "http://b").code == 1


@pytest.mark.usefixtures("airflow_db", "emulator", "existing")
@pytest.mark.parametrize("arguments", [(), ("--conn-id", "flowengine_default")])
def test_an_airflow_connection_leads_to_the_engine(arguments):
    command = [*COMMAND, "pipelines", *arguments, "-o", "json"]

    run = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(run.stdout)[0]["pipeline_key"] == "churn"


@pytest.mark.parametrize("option", ["--user-id", "--login", "--api-root", "--timezone", "--verify"])
def test_what_a_connection_says_itself_is_refused_beside_it(flowengine, option):
    result = flowengine("pipelines", "--conn-id", "prod", option, "x")

    assert result.code == 1
    assert f"{option} goes with --url; a connection says this itself" in result.err


@pytest.mark.parametrize(
    "arguments",
    [("run", "churn"), ("resume", "1"), ("show", "1")],
    ids=["run", "resume", "show"],
)
def test_a_timeout_of_no_wait_is_refused_before_anything_is_sent(flowengine, flowengine_emulator, arguments):
    result = flowengine(*arguments, "--timeout", "60")

    assert result.code == 1
    assert "--timeout goes with --wait or --watch" in result.err
    assert flowengine_emulator.calls() == []


@pytest.mark.usefixtures("airflow_db")
def test_a_connection_that_does_not_exist_is_named(flowengine):
    result = flowengine("pipelines", "--conn-id", "gone")

    assert result.code == 1
    assert "Airflow has no connection 'gone'" in result.err


@pytest.mark.parametrize(
    "setting",
    [
        {"AIRFLOW__SECRETS__BACKEND": "gone.Backend"},
        {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "gone://host/airflow"},
    ],
    ids=["secrets backend", "database"],
)
def test_an_airflow_that_cannot_be_loaded_is_said_in_a_line(tmp_path, setting):
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), **setting}

    run = subprocess.run([*COMMAND, "pipelines"], env=environment, capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "Error: Airflow cannot be loaded; name another, or give the gateway's address: " in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        (["pipelines"], {"airflow", "aiohttp", "sqlalchemy", "pendulum"}),
        (["pipelines", "-o", "json"], {"airflow", "aiohttp", "sqlalchemy", "pendulum", "rich", "yaml"}),
        (["--help"], {"airflow", "aiohttp", "sqlalchemy", "pendulum", "rich", "yaml", "requests", "argcomplete"}),
    ],
)
def test_without_airflow_it_loads_only_what_it_needs(environment, existing, arguments, needless):
    code = f"""
import sys
from airflow_provider_flowengine.cli.__main__ import main
try:
    main({arguments!r})
finally:
    print()
    print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert not needless & set(run.stdout.splitlines()[-1].split())


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_pipelines_are_listed_with_their_schedules(flowengine, existing):
    assert flowengine("pipelines", "-o", "json").json == [
        {"id": 1, "pipeline_key": "churn", "name": "Churn model", "nodes": 2, "schedule": "CRONTAB 0 0 2 * * ?"}
    ]


@pytest.mark.parametrize("form", ["table", "json", "yaml", "plain"])
def test_each_form_shows_the_same(flowengine, existing, form):
    out = flowengine("pipelines", "-o", form).out

    assert "churn" in out
    assert "\x1b" not in out
    if form == "yaml":
        assert yaml.safe_load(out) == flowengine("pipelines", "-o", "json").json


def test_a_name_that_would_control_the_terminal_is_shown_harmless(flowengine, flowengine_emulator, churn):
    churn["data"]["name"] = "a\x1b]0;owned\x07[bold]b"
    flowengine_emulator.engine.create_pipeline(churn)

    for form in ("table", "plain"):
        out = flowengine("pipelines", "-o", form).out
        assert "\x1b" not in out
        assert "[bold]b" in out


def test_runs_are_listed_newest_first(flowengine, flowengine_emulator, existing):
    for _ in range(3):
        flowengine_emulator.engine.start(existing)

    assert [run["run_id"] for run in flowengine("runs", "churn", "--limit", "2", "-o", "json").json] == [3, 2]


def test_show_tells_a_run_and_its_nodes(flowengine, flowengine_emulator, existing):
    flowengine_emulator.engine.start(existing)

    shown = flowengine("show", "1", "-o", "json").json

    assert (shown["run_id"], shown["pipeline_key"]) == (1, "churn")
    assert [node["id"] for node in shown["nodes"]] == ["start_node", "train"]


def test_show_needs_the_pipeline_if_no_run_is_found_by_its_id_alone(flowengine, flowengine_emulator, existing):
    flowengine_emulator.options.one_run_call = False
    flowengine_emulator.engine.start(existing)

    assert "name its --pipeline" in flowengine("show", "1").err
    assert flowengine("show", "1", "--pipeline", "churn", "-o", "json").json["run_id"] == 1


def test_show_watch_notes_each_change_until_the_run_ends(flowengine, flowengine_emulator, existing):
    flowengine_emulator.engine.start(existing)

    result = flowengine("show", "1", "--watch", "--poll-interval", "0.1", "-o", "json")

    assert result.code == 0
    assert result.json["state"] == "succeeded"
    assert "node train: succeeded" in result.err


# --- run, stop, resume ------------------------------------------------------------------------------------------------


def test_run_starts_a_pipeline_once_with_params(flowengine, flowengine_emulator, existing):
    result = flowengine("run", "churn", "--param", "train.trees=7", "-o", "json")

    assert result.code == 0
    assert result.json["run_id"] == 1
    assert flowengine_emulator.engine.run(1).params == {"train": {"trees": "7"}}
    assert flowengine_emulator.count("start") == 1


def test_run_whose_answer_is_lost_starts_no_second_one(flowengine, flowengine_emulator, existing, monkeypatch):
    monkeypatch.setattr(runs_module, "start_once", partial(runs_module.start_once, confirmation_timeout=1))
    flowengine_emulator.fail("start", kind="reset", where="after")

    result = flowengine("run", "churn", "-o", "json")

    assert result.json["run_id"] == 1
    assert flowengine_emulator.count("start") == 1


@pytest.mark.parametrize(
    ("param", "said"),
    [
        (
            "train.tree=7",
            "has no parameter 'tree'; did you mean 'trees'? parameters there are: trees, duration",
        ),
        ("trees=7", "must be NODE.KEY=VALUE"),
    ],
)
def test_a_param_that_does_not_exist_starts_nothing(flowengine, flowengine_emulator, existing, param, said):
    result = flowengine("run", "churn", "--param", param)

    assert result.code == 1
    assert said in result.err
    assert flowengine_emulator.count("start") == 0


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("train.trees=2", "--param: 'train.trees' is given twice"),
        ("trainer.v1.trees=2", "given twice, by its node's id and by its name"),
    ],
)
def test_a_param_that_is_given_twice_starts_nothing(flowengine, flowengine_emulator, churn, second, said):
    churn["data"]["nodes"][1]["name"] = "trainer.v1"
    flowengine_emulator.engine.create_pipeline(churn)

    result = flowengine("run", "churn", "--param", "train.trees=1", "--param", second)

    assert result.code == 1
    assert said in result.err
    assert flowengine_emulator.count("start") == 0


@pytest.fixture
def dotted(flowengine_emulator):
    """A pipeline of a node ``a`` and a node ``a.b``, whose params hold dots too."""

    def node(name, *keys):
        values = [{"key": key, "value": "", "type": "TEXT"} for key in keys]
        return {"nodeId": name, "name": name, "type": "TASK", "indexType": "SHELL", "params": {"values": values}}

    nodes = [node("a", "b.c", "b.only"), node("a.b", "c", "own")]
    data = {"name": "dotted", "nodes": nodes, "edges": []}
    flowengine_emulator.engine.create_pipeline({"pipelineKey": "dotted", "data": data})


@pytest.mark.parametrize(
    ("param", "sent"), [("a.b.only=1", {"a": {"b.only": "1"}}), ("a.b.own=1", {"a.b": {"own": "1"}})]
)
def test_a_param_is_of_the_node_that_has_it(flowengine, flowengine_emulator, dotted, param, sent):
    assert flowengine("run", "dotted", "--param", param).code == 0
    assert json.loads(flowengine_emulator.calls("start")[-1]["body"]) == sent


def test_a_param_that_fits_two_nodes_starts_nothing(flowengine, flowengine_emulator, dotted):
    result = flowengine("run", "dotted", "--param", "a.b.c=1")

    assert result.code == 1
    assert "--param: 'a.b.c' fits the nodes a and a.b" in result.err
    assert flowengine_emulator.count("start") == 0


@pytest.mark.parametrize("option", ["--timeout", "--poll-interval"])
@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "soon"])
def test_a_time_that_is_none_starts_nothing(flowengine, flowengine_emulator, existing, option, value):
    result = flowengine("run", "churn", "--wait", f"{option}={value}")

    assert result.code == 1
    assert f"argument {option}: " in result.err
    assert flowengine_emulator.count("start") == 0


@pytest.mark.parametrize(("outcome", "code"), [("succeeded", 0), ("failed", 3)])
def test_run_wait_exits_by_how_the_run_ended(flowengine, flowengine_emulator, churn, outcome, code):
    churn["data"]["nodes"][1]["params"]["values"].append({"key": "outcome", "value": outcome, "type": "TEXT"})
    flowengine_emulator.engine.create_pipeline(churn)

    result = flowengine("run", "churn", "--wait", "--poll-interval", "0.1", "-o", "json")

    assert result.code == code
    assert result.json["state"] == outcome
    assert ("Node " in result.err) == (code == 3)


def test_run_wait_gives_up_after_its_timeout_and_leaves_the_run(flowengine, flowengine_emulator, existing):
    result = flowengine("run", "churn", "--param", "train.duration=1000", "--wait", "--timeout", "0.5")

    assert result.code == 3
    assert flowengine_emulator.engine.run(1).state(flowengine_emulator.clock.now()) == "running"


def heed_ctrl_c():
    """Let a child heed Ctrl-C: who runs in the background, as a CI's shell may, has its children ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_with_nobody_to_ask_leaves_the_run(flowengine_emulator, existing, environment):
    command = [*COMMAND, "run", "churn", "--param", "train.duration=1000", "--wait"]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    )
    for line in process.stderr:
        if "run 1: running" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Leaving run 1 running." in err
    assert flowengine_emulator.engine.run(1).state(flowengine_emulator.clock.now()) == "running"


def test_stop_stops_a_run(flowengine, flowengine_emulator, existing):
    flowengine_emulator.engine.start(existing, {"train": {"duration": "1000"}})

    result = flowengine("stop", "1", "-o", "json")

    assert result.code == 0
    assert "Requested cancellation of run 1." in result.err
    assert flowengine_emulator.count("stop") == 1


def test_stop_of_a_run_that_has_ended_says_so(flowengine, flowengine_emulator, existing):
    flowengine_emulator.engine.start(existing)
    flowengine_emulator.engine.finish(1)

    result = flowengine("stop", "1")

    assert "had already finished" in result.err
    assert flowengine_emulator.count("stop") == 0


def test_resume_continues_a_failed_run_under_its_id(flowengine, flowengine_emulator, existing):
    flowengine_emulator.engine.start(existing)
    flowengine_emulator.engine.finish(1, "failed")

    result = flowengine("resume", "1", "--wait", "--poll-interval", "0.1", "-o", "json")

    assert result.code == 0
    assert (result.json["run_id"], result.json["state"]) == (1, "succeeded")
    assert flowengine_emulator.count("resume") == 1


def test_a_run_that_does_not_exist(flowengine, existing):
    for command in ("show", "stop", "resume"):
        result = flowengine(command, "99", "--pipeline", "churn")
        assert (result.code, "no run 99" in result.err) == (1, True)


def test_a_reader_that_goes_away_is_no_error(environment, flowengine_emulator, existing):
    flowengine_emulator.engine.add_history(existing, range(200))
    command = " ".join([*COMMAND, "runs", "churn", "--limit", "200", "-o", "plain"])

    run = subprocess.run(
        f"{command} | head -1", shell=True, env=environment, capture_output=True, text=True, check=True
    )

    assert run.stdout.count("\n") == 1
    assert run.stderr == ""
