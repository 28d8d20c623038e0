"""The emulator as a program: what it prints, that it goes on after a restart, and what it turns down."""

import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest
import requests

from airflow_provider_flowengine.emulator.__main__ import main
from airflow_provider_flowengine.emulator.command_line import read_arguments
from airflow_provider_flowengine.emulator.server import Emulator

MODULE = "airflow_provider_flowengine.emulator"


@contextmanager
def running(*arguments):
    command = [sys.executable, "-m", MODULE, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def get(url, path):
    session = requests.Session()
    session.trust_env = False
    return session.get(url + path, headers={"X-FlowEngine-UserId": "1"}, timeout=5)


def exported(line):
    """The connection in what a shell is told to export, read as a shell reads it."""
    command, assignment = shlex.split(line)
    name, _, value = assignment.partition("=")
    assert (command, name) == ("export", "AIRFLOW_CONN_FLOWENGINE_DEFAULT")
    return json.loads(value)


def test_it_prints_its_address_first_and_then_how_airflow_finds_it():
    with running("--engine-key", "cess", "--engine-id", "9", "--ids", "text", "--words", '{"failed": "KO"}') as (
        process,
        url,
    ):
        process.stdout.readline()
        export = process.stdout.readline()
        answer = get(url, "/engine/15/cess-data-3/kernel/v1/system/getParam?engineKey=cess")
        options = get(url, "/__control__/options").json()
        process.send_signal(signal.SIGTERM)

        assert answer.json()["data"] == {"engineId": "9"}
        assert options["words"] == {"failed": "KO"}
        assert url.endswith(f":{exported(export)['port']}")
        assert process.wait(5) in (0, -signal.SIGTERM)


def test_a_shell_can_read_the_connection_whatever_is_in_it():
    with running("--engine-key", "bob's $HOME") as (process, _):
        process.stdout.readline()

        assert exported(process.stdout.readline())["extra"]["engine_key"] == "bob's $HOME"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--execute", "--sample"], "SHELL and PYTHON3 jobs really run"), (["--like", "2020"], "jobs are simulated")],
)
def test_it_says_whether_jobs_run_and_how_to_get_a_pipeline(arguments, said):
    with running(*arguments) as (process, url):
        assert said in process.stdout.readline()
        process.stdout.readline()
        if "--sample" in arguments:
            (pipeline,) = get(url, "/engine/15/cess-data-3/kernel/v1/pipeline/6/list?engineKey=demo").json()["data"]
            assert pipeline["pipelineKey"] == "churn_model"
        else:
            assert "--sample" in process.stdout.readline()
            assert get(url, "/__control__/options").json()["engine_url"] == "/automl-engine/2"


def test_by_itself_it_listens_on_flowengines_port_of_this_machine_only():
    arguments = read_arguments([])

    assert (arguments["host"], arguments["port"]) == ("127.0.0.1", 31101)


def test_after_a_kill_it_goes_on_where_it_was(tmp_path):
    db = str(tmp_path / "state.db")
    prefix = "/engine/15/cess-data-3/kernel/v1"
    body = {
        "data": {
            "nodes": [
                {
                    "nodeId": "a",
                    "type": "TASK",
                    "indexType": "SHELL",
                    "params": {"values": [{"key": "duration", "value": "60"}]},
                }
            ]
        }
    }
    headers = {"X-FlowEngine-UserId": "1"}
    with running("--db", db) as (process, url):
        requests.post(f"{url}{prefix}/pipeline/template/6/create?engineKey=demo", json=body, headers=headers, timeout=5)
        requests.post(f"{url}{prefix}/pipeline/6/1/start?engineKey=demo", json={}, headers=headers, timeout=5)
        process.kill()
        process.wait()

    with running("--db", db) as (_, url):
        (run,) = get(url, f"{prefix}/pipeline/1/historyList?page=1&size=5&engineId=6&engineKey=demo").json()["data"][
            "list"
        ]
        counts = get(url, "/__control__/calls/counts").json()

        assert (run["id"], run["status"]) == (1, "running")
        assert counts["start"] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--ids", "roman"],
        ["--timezone", "Mars/Olympus"],
        ["--words", "nonsense"],
        ["--words", "3"],
        ["--history-delay", "-1"],
        ["--host", "0.0.0.0", "--execute"],
        ["--port", "1", "--host", "192.0.2.1"],
        ["--port", "99999"],
        ["--port", "0", "--db", "/nonexistent/x.db"],
        ["--engine-url", "foo"],
        ["--nonsense"],
    ],
)
def test_an_option_that_makes_no_sense_ends_it_with_code_2_and_a_line_that_says_why(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))

    assert ended.value.code == 2
    *usage, line = capsys.readouterr().err.splitlines()
    assert line.startswith("flowengine-emulator: ")
    assert [each.partition(" ")[0] for each in usage] in ([], ["usage:"])  # one line, though there are fifty options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--words", "nonsense"], "error: argument --words: must be a JSON object, such as "),
        (["--words", '["DONE"]'], "error: argument --words: must be a JSON object, such as "),
        (["--words", '{"asleep": "ZZZ"}'], "--words: no state is called asleep; states: "),
        (["--timezone", "Mars/Olympus"], "--timezone: unknown time zone 'Mars/Olympus'; give an IANA name"),
    ],
)
def test_what_it_says_is_about_the_option(capsys, arguments, said):
    with pytest.raises(SystemExit):
        sys.exit(main(arguments))

    assert capsys.readouterr().err.splitlines()[-1].startswith(f"flowengine-emulator: {said}")


def test_a_port_that_is_taken_is_named_with_what_to_do(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert main(["--port", str(port)]) == 2
        assert capsys.readouterr().err == (
            f"flowengine-emulator: can't listen on 127.0.0.1:{port}: Address already in use; "
            "give another --port (0 takes a free one)\n"
        )


def test_an_address_of_another_machine_is_named_with_what_to_do(capsys):
    assert main(["--host", "192.0.2.1"]) == 2
    assert capsys.readouterr().err.endswith("; give a --host of this machine\n")


@pytest.mark.parametrize("library", ["pydantic", "fastapi", "uvicorn"])
def test_a_library_that_is_missing_is_named_with_how_to_install_it(library):
    program = f"import sys; sys.modules[{library!r}] = None; from {MODULE}.__main__ import main; sys.exit(main([]))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert ended.returncode == 2
    assert ended.stderr == (
        f"flowengine-emulator needs {library}: pip install 'airflow-provider-flowengine[emulator]'\n"
    )


def test_a_file_that_holds_no_state_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("not a database at all")

    assert main(["--port", "0", "--db", str(tmp_path / "notes.txt")]) == 2
    assert "file is not a database" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "not a database at all"


def test_a_state_that_is_in_use_isnt_shared(tmp_path, capsys):
    db = str(tmp_path / "state.db")
    with running("--db", db) as (process, _):
        assert main(["--port", "0", "--db", db]) == 2
        assert capsys.readouterr().err.startswith(f"flowengine-emulator: {db} is in use by another emulator")
        process.kill()
        process.wait()

    with running("--db", db) as (process, url):
        assert get(url, "/__control__/clock").status_code == 200


def test_a_state_of_another_version_is_named_as_such(tmp_path, capsys):
    db = tmp_path / "state.db"
    with closing(sqlite3.connect(db)) as other:
        other.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, settles REAL)")

    assert main(["--port", "0", "--db", str(db)]) == 2
    assert "was written by another version of the emulator" in capsys.readouterr().err


DAMAGE = {
    "text that is no JSON": "UPDATE versions SET body = '{'",
    "no pipeline": "UPDATE versions SET body = '[]'",
    "letters of no encoding": "UPDATE versions SET body = CAST(x'7bff7d' AS TEXT)",
    "a run without its fields": (
        "INSERT INTO runs (pipeline, sequence, version, trigger, params, started, visible_at, outcome, nodes)"
        " VALUES (1, 1, 1, 'manual', '{}', 1, 1, '', '[{}]')"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_state_is_refused_at_once(tmp_path, capsys, damage):
    db = str(tmp_path / "state.db")
    with closing(Emulator(db=db)) as emulator:
        emulator.add_sample()
    with closing(sqlite3.connect(db)) as other:
        other.execute(damage)
        other.commit()

    assert main(["--port", "0", "--db", db]) == 2
    assert f"the state in {db} is damaged" in capsys.readouterr().err


def test_a_state_of_which_half_is_lost_is_refused_at_once(tmp_path, capsys):
    db = tmp_path / "state.db"
    with closing(Emulator(db=str(db))) as emulator:
        emulator.add_sample()
    db.write_bytes(db.read_bytes()[: db.stat().st_size // 2])

    assert main(["--port", "0", "--db", str(db)]) == 2
    assert "malformed" in capsys.readouterr().err


def test_a_device_is_no_place_for_a_state_and_stays_as_it_is(capsys):
    before = os.stat(os.devnull).st_mode

    assert main(["--port", "0", "--db", os.devnull]) == 2
    assert "it is no file" in capsys.readouterr().err
    assert os.stat(os.devnull).st_mode == before


def test_a_work_folder_that_is_a_file_is_named(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()

    assert main(["--port", "0", "--work-dir", str(tmp_path / "notes.txt")]) == 2
    assert "notes.txt: it is no folder" in capsys.readouterr().err


def test_an_address_of_no_letters_is_named(capsys):
    assert main(["--port", "0", "--host", "\udcff"]) == 2
    assert "is no address to listen on" in capsys.readouterr().err


def test_a_terminal_that_lacks_the_letters_of_a_key_is_no_reason_to_end():
    command = [sys.executable, "-m", MODULE, "--port", "0", "--engine-key", "五"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        lines = [process.stdout.readline() for _ in range(3)]
        process.kill()

    assert "engine key \\u4e94" in lines[1]
