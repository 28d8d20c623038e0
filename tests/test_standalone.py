"""`make standalone`: what it says while Airflow starts, when it doesn't, and when another one runs."""

import importlib.util
import os
import socket
import subprocess
import sys
from itertools import chain, repeat
from pathlib import Path

import pytest

from airflow_provider_flowengine.emulator.server import Emulator

FILE = Path(__file__).parent.parent / "scripts" / "standalone.py"


@pytest.fixture(scope="module")
def standalone():
    spec = importlib.util.spec_from_file_location("standalone", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "airflow.log"
    path.write_text("\n".join(f"line {number}" for number in range(100)) + "\nModuleNotFoundError: no such thing\n")
    return path


def process(code):
    return subprocess.Popen([sys.executable, "-c", code])


def test_it_says_which_part_of_airflow_is_ready(standalone, log, capsys):
    told = [{}, {"metadatabase": True, "scheduler": False}, {"metadatabase": True, "scheduler": True}]
    with process("import time; time.sleep(30)") as airflow:
        answers = chain(told, repeat(told[-1]))
        standalone.wait_until_ready(airflow, log, lambda: next(answers))
        airflow.kill()

    lines = [line.split("s  ", 1)[1] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["its metadatabase is ready", "its scheduler is ready"]


def test_a_crash_shows_the_end_of_the_log(standalone, log):
    with process("raise SystemExit(3)") as airflow:
        airflow.wait()
        with pytest.raises(RuntimeError, match=r"ended with code 3 [\s\S]*ModuleNotFoundError: no such thing") as crash:
            standalone.wait_until_ready(airflow, log, dict)

    assert "line 10\n" not in str(crash.value)


def test_one_that_takes_too_long_is_given_up(standalone, log):
    with process("import time; time.sleep(30)") as airflow:
        with pytest.raises(RuntimeError, match=r"wasn't ready after 0 s"):
            standalone.wait_until_ready(airflow, log, dict, timeout=0.1)
        airflow.kill()


def test_a_second_one_says_where_the_first_is(standalone, tmp_path):
    with standalone.only_one(tmp_path / "lock") as lock:
        lock.write("Airflow at http://127.0.0.1:8080")
        lock.flush()
        second = standalone.only_one(tmp_path / "lock")
        with pytest.raises(RuntimeError, match=r"running already: Airflow at http://127\.0\.0\.1:8080"):
            second.__enter__()

    with standalone.only_one(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == ""


def test_a_port_that_is_taken_is_replaced_by_a_free_one(standalone):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        assert standalone.free_port(port) != port


def test_the_samples_next_run_has_an_id_of_its_own(standalone, tmp_path):
    for _ in range(2):  # started again, it adds nothing
        with Emulator(db=str(tmp_path / "flowengine.sqlite")) as emulator:
            standalone.add_sample(emulator)
            (sample,) = emulator.engine.pipelines()
            runs, _ = emulator.engine.runs(sample.id)

            assert len(runs) == 14
            assert runs[0].started == pytest.approx(emulator.clock.now() - 86_400, abs=600)

    with Emulator(db=str(tmp_path / "flowengine.sqlite")) as emulator:
        assert emulator.engine.start(sample.id, {}).id not in [pipeline.id for pipeline in emulator.engine.pipelines()]


@pytest.mark.parametrize(("part", "flag"), [("scheduler", True), ("triggerer", True), ("api-server", False)])
def test_no_part_of_airflow_serves_its_logs_to_the_network(standalone, tmp_path, monkeypatch, part, flag):
    echo = tmp_path / "venv" / "airflow"
    echo.parent.mkdir()
    echo.write_text('#!/bin/sh\necho "$@"\n')
    echo.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(echo.parent / "python"))
    standalone.write_wrapper(tmp_path / "bin")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    said = subprocess.run(["airflow", part], env={"PATH": path}, capture_output=True, text=True, check=True).stdout
    assert said == (f"{part} --skip-serve-logs\n" if flag else f"{part}\n")
