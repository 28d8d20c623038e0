"""What a user at a terminal, a pipe or a script meets: prompts, encodings, streams that are closed, Ctrl-C."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import yaml

COMMAND = [sys.executable, "-m", "airflow_provider_flowengine.cli"]


@pytest.fixture
def environment(flowengine_emulator):
    """The environment of a command in a process of its own."""
    engine = {"FLOWENGINE_URL": flowengine_emulator.url, "FLOWENGINE_ENGINE_KEY": flowengine_emulator.engine_key}
    return {**os.environ, **engine, "TERM": "xterm", "COLUMNS": "100"}


class Terminal:
    """A command on a terminal of its own, which it may ask for secrets."""

    def __init__(self, arguments, environment):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background ignores it
            os.execve(sys.executable, [*COMMAND, *map(str, arguments)], environment)
        self.shown = ""

    def wait_for(self, text, seconds=60):
        """Read what the command shows until a text comes."""
        end = time.monotonic() + seconds
        while text not in self.shown:
            assert select.select([self.terminal], [], [], max(0.0, end - time.monotonic()))[0], self.shown
            self.shown += os.read(self.terminal, 10_000).decode(errors="replace")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def end(self):
        """Read to the end, and return the exit code."""
        try:
            while data := os.read(self.terminal, 10_000):
                self.shown += data.decode(errors="replace")
        except OSError:  # Linux says so where the other end is closed
            pass
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def at_terminal(environment):
    return lambda *arguments, **more: Terminal(arguments, {**environment, **more})


@pytest.fixture
def piped(environment):
    """Run a command whose output goes to a program, as bytes."""

    def piped(*arguments, **more):
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            command, env={**environment, **more}, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )

    return piped


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_a_password_is_asked_for_and_not_shown(at_terminal, flowengine_emulator):
    flowengine_emulator.reset(authentication="session", username="ann", password="pass-word")
    command = at_terminal("pipelines", "--login", "ann", "-o", "plain")

    command.wait_for("Password of ann: ")
    command.type("pass-word\n")

    assert command.end() == 0, command.shown
    assert "pass-word" not in command.shown


def test_ctrl_c_at_the_password_ends_the_command(at_terminal):
    command = at_terminal("pipelines", "--login", "ann")

    command.wait_for("Password of ann: ")
    time.sleep(0.5)  # as anybody would: a signal between Python's last look and its read waits for the next key
    command.type("\x03")

    assert command.end() == 130
    assert "Traceback" not in command.shown


@pytest.mark.parametrize(
    ("answers", "code", "states"),
    [
        ("s\n", 130, {"stopping", "stopped"}),
        ("l\n", 130, {"running"}),
        ("what?\n", 130, {"running"}),
        ("\x04", 130, {"running"}),  # Ctrl-D
        ("\x03", 130, {"running"}),  # Ctrl-C again
    ],
)
def test_ctrl_c_asks_what_to_do_with_the_run(at_terminal, flowengine_emulator, existing, answers, code, states):
    command = at_terminal("run", "churn", "--param", "train.duration=1000", "--wait", "-o", "json")
    command.wait_for("train")

    command.type("\x03")
    command.wait_for("eave it running?")
    command.type(answers)

    assert command.end() == code
    assert flowengine_emulator.engine.run(1).state(flowengine_emulator.clock.now()) in states


def test_ctrl_c_may_go_on_waiting(at_terminal, flowengine_emulator, existing):
    command = at_terminal("run", "churn", "--param", "train.duration=1000", "--wait", "--poll-interval", "0.2")
    command.wait_for("train")

    command.type("\x03")
    command.wait_for("eave it running?")
    command.type("c\n")
    flowengine_emulator.engine.finish(1)

    assert command.end() == 0, command.shown


def test_promote_asks_for_a_file_that_the_target_lacks(at_terminal, flowengine_emulator, churn, tmp_path):
    from airflow_provider_flowengine.emulator.server import Emulator

    churn["data"]["nodes"][1]["params"]["values"].append({"key": "table", "type": "FILE", "value": "/opt/a.csv"})
    flowengine_emulator.engine.create_pipeline(churn)
    table = tmp_path / "table.csv"
    table.write_text("a\n")
    with Emulator(port=0, engine_key="prod") as production:
        sides = ("--from", flowengine_emulator.url, "--to", production.url, "--to-engine-key", "prod")
        command = at_terminal("promote", "churn", *sides, "--apply", FLOWENGINE_FROM_ENGINE_KEY="demo")
        command.wait_for("File to upload for FILE param train.table: ")
        command.type(f"{table}\n")

        assert command.end() == 0, command.shown
        (made,) = production.engine.pipelines()
        assert made.body["data"]["nodes"][1]["params"]["values"][2]["value"].endswith("/table.csv")


# --- colours and encodings --------------------------------------------------------------------------------------------


def test_colours_are_for_terminals_only(at_terminal, piped, existing, file, churn):
    churn["data"]["describe"] = "other"
    file.write_text(json.dumps(churn))

    shown = at_terminal("plan", file)
    assert shown.end() == 2
    assert "\x1b[32m" in shown.shown
    assert b"\x1b" not in piped("plan", file).stdout

    without = at_terminal("plan", file, NO_COLOR="1")
    without.end()
    assert "\x1b[32m" not in without.shown


def test_a_narrow_table_wraps_times_and_keys_and_cuts_none(at_terminal, flowengine_emulator, churn):
    churn["pipelineKey"] = "churn_model_of_the_northern_region_trained_each_night_for_all_customers"
    pipeline = flowengine_emulator.engine.create_pipeline(churn)
    started = datetime.fromtimestamp(flowengine_emulator.engine.start(pipeline.id).started, UTC)

    runs, pipelines = (at_terminal(*each, COLUMNS="80") for each in (("runs", pipeline.id), ("pipelines",)))

    assert (runs.end(), pipelines.end()) == (0, 0)
    assert f"{started:%Y-%m-%d}" in runs.shown
    assert f"{started:%H:%M:%S}Z" in runs.shown
    assert "…" not in runs.shown + pipelines.shown


def test_wide_letters_are_aligned(piped, flowengine_emulator, churn):
    churn["data"]["name"] = "客户流失预测"
    flowengine_emulator.engine.create_pipeline(churn)
    flowengine_emulator.engine.create_pipeline({**churn, "pipelineKey": "b", "data": {**churn["data"], "name": "x"}})

    first, second = piped("pipelines").stdout.decode().splitlines()[2:]

    wide = len("客户流失预测")  # each of them is as wide as two letters
    assert first.index("CRONTAB") + wide == second.index("CRONTAB")


@pytest.mark.parametrize("form", ["table", "json", "yaml", "plain"])
@pytest.mark.parametrize("encoding", ["ascii", "gbk", "utf-8"])
def test_letters_that_an_encoding_lacks_are_written_as_escapes(piped, flowengine_emulator, churn, form, encoding):
    churn["data"]["name"] = "客户é🙂"
    flowengine_emulator.engine.create_pipeline(churn)

    result = piped("pipelines", "-o", form, PYTHONIOENCODING=encoding, PYTHONUTF8="0")

    assert result.returncode == 0, result.stderr
    out = result.stdout.decode(encoding)
    parse = {"json": json.loads, "yaml": yaml.safe_load}.get(form)
    assert parse is None or parse(out)[0]["name"] == "客户é🙂"


@pytest.mark.parametrize("command", ["cli run", "emulator"])
def test_a_terminal_that_lacks_letters_of_the_help_shows_it(environment, command):
    shown = subprocess.run(
        [sys.executable, "-m", *f"airflow_provider_flowengine.{command} --help".split()],
        env={**environment, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\\u" in shown.stdout


def test_a_terminal_of_the_c_locale_shows_an_error_too(piped, flowengine_emulator, churn):
    churn["pipelineKey"] = "流失"
    flowengine_emulator.engine.create_pipeline(churn)

    result = piped("runs", "gone", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")

    assert result.returncode == 1
    assert b"has no pipeline of key, id or name 'gone'" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_key_with_a_line_end_is_no_second_line(piped, flowengine_emulator, tmp_path, churn):
    churn["pipelineKey"] = "a\n+ pipeline b: will be created"
    (tmp_path / "a.json").write_text(json.dumps(churn))

    lines = piped("plan", tmp_path / "a.json").stdout.decode().splitlines()

    assert lines[0] == "+ pipeline a + pipeline b: will be created: will be created"


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 1), (">&- 2>&-", 0)])
def test_a_stream_that_is_closed_or_full_is_no_crash(environment, existing, redirection, code):
    command = f"{' '.join(COMMAND)} pipelines {redirection}"

    result = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)

    assert result.returncode == code
    assert "Traceback" not in result.stderr


# --- Ctrl-C amid applies ----------------------------------------------------------------------------------------------


def test_ctrl_c_amid_applies_says_what_was_done_and_what_not(
    at_terminal, flowengine_emulator, churn, tmp_path, monkeypatch
):
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(json.dumps({**churn, "pipelineKey": f"churn-{number}"}))
    create = flowengine_emulator.engine.create_pipeline

    def then_hang(body):
        flowengine_emulator.fail("create", kind="hang", seconds=20)
        return create(body)

    monkeypatch.setattr(flowengine_emulator.engine, "create_pipeline", then_hang)
    command = at_terminal("apply", tmp_path, "-o", "plain")
    deadline = time.monotonic() + 60
    while flowengine_emulator.count("create") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)

    command.type("\x03")

    assert command.end() == 130, command.shown
    states = dict(re.findall(r"(churn-\d)\t(.*?)\t", command.shown))
    assert states == {"churn-0": "created", "churn-1": "interrupted", "churn-2": "not done"}
    assert "plan says whether 'churn-1' was written" in command.shown
