"""The fixtures for people's own tests: what they give, and that they cost nothing where they aren't used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SECTION = (
    (Path(__file__).parents[2] / "docs" / "emulator.md")
    .read_text(encoding="utf-8")
    .partition("## Test your own DAGs")[2]
    .partition("\n## ")[0]
)

PIPELINE = """
PIPELINE = {
    "data": {
        "name": "nightly",
        "nodes": [{"nodeId": "train", "type": "TASK", "indexType": "PYTHON3"}],
    },
    "pipelineKey": "nightly",
}
"""


def test_each_test_begins_with_an_empty_emulator_on_the_same_port(pytester):
    pytester.makepyfile(
        PIPELINE
        + """
import pytest

@pytest.fixture(scope="session")
def ports():
    return set()

@pytest.mark.parametrize("turn", range(3))
def test_it(flowengine_emulator, ports, turn):
    ports.add(flowengine_emulator.port)
    assert len(ports) == 1
    pipeline = flowengine_emulator.engine.create_pipeline(PIPELINE)
    run = flowengine_emulator.engine.start(pipeline.id)
    assert (pipeline.id, run.id) == (1, 1)
    assert run.state(flowengine_emulator.clock.now()) == "succeeded"
    flowengine_emulator.fail(status=500, times=100)
"""
    )
    pytester.runpytest("-p", "no:asyncio").assert_outcomes(passed=3)


def test_a_stopped_emulator_is_up_again_for_the_next_test(pytester):
    pytester.makepyfile(
        """
import socket
import pytest

@pytest.mark.parametrize("turn", range(2))
def test_it(flowengine_emulator, turn):
    socket.create_connection((flowengine_emulator.host, flowengine_emulator.port)).close()
    flowengine_emulator.stop()
"""
    )
    pytester.runpytest("-p", "no:asyncio").assert_outcomes(passed=2)


def test_the_connection_is_set_for_the_test_and_no_longer(pytester):
    pytester.makepyfile(
        """
import json, os

def test_with(flowengine_connection, flowengine_emulator):
    assert flowengine_connection == "flowengine_default"
    connection = json.loads(os.environ["AIRFLOW_CONN_FLOWENGINE_DEFAULT"])
    assert connection["port"] == flowengine_emulator.port
    assert flowengine_emulator.host in os.environ["NO_PROXY"].split(",")

def test_without():
    assert "AIRFLOW_CONN_FLOWENGINE_DEFAULT" not in os.environ
"""
    )
    pytester.runpytest("-p", "no:asyncio").assert_outcomes(passed=2)


DAG = """
from datetime import datetime

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

with DAG("nightly", start_date=datetime(2020, 1, 1), schedule=None) as dag:
    FlowEngineStartPipelineOperator(task_id="run", pipeline_key="nightly")
"""


def test_the_documented_test_of_a_dag_passes_in_a_new_project_after_the_documented_commands(tmp_path):
    example = re.search(r"```python\n# test_nightly\.py\n(.*?)```", SECTION, re.DOTALL)[1]
    commands = re.findall(r"^\$ (.*)", SECTION, re.MULTILINE)
    (tmp_path / "test_nightly.py").write_text(example)
    (tmp_path / "my_dags").mkdir()
    (tmp_path / "my_dags" / "nightly.py").write_text(PIPELINE + DAG)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    ran = subprocess.run(
        ["sh", "-ec", "\n".join(commands)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_what_the_emulator_is_made_with_can_be_overridden(pytester):
    override = SECTION.rpartition("```python\n")[2].partition("```")[0]
    pytester.makeconftest(f"import pytest\n\n{override}")
    pytester.makepyfile(
        """
import time

def test_a_job_really_runs(flowengine_emulator):
    node = {"nodeId": "a", "type": "TASK", "indexType": "SHELL", "indexSource": "echo 7 > ${outputFile}"}
    world, clock = flowengine_emulator.engine, flowengine_emulator.clock
    run = world.start(world.create_pipeline({"data": {"nodes": [node]}}).id)
    while not world.run(run.id).has_ended(clock.now()):
        time.sleep(0.01)
    assert world.run(run.id).nodes[0].output.strip() == "7"
"""
    )
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=1)


def test_each_test_begins_with_the_options_that_were_overridden(pytester):
    pytester.makeconftest(
        """
import pytest

@pytest.fixture(scope="session")
def flowengine_emulator_arguments():
    return {"like": "2020", "vocabulary": "chinese", "node_seconds": 5, "host": "127.0.0.1"}
"""
    )
    pytester.makepyfile(
        """
import pytest

@pytest.mark.parametrize("time", ["first", "second"])
def test_options(flowengine_emulator, time):
    options = flowengine_emulator.options
    shown = (options.generation, options.vocabulary, options.node_seconds, options.stop_seconds)
    assert shown == ("automl", "chinese", 5, 0)
    options.vocabulary = "upper"
"""
    )
    pytester.runpytest_subprocess("-p", "no:asyncio").assert_outcomes(passed=2)


def test_the_plugin_loads_nothing_heavy_before_a_fixture_is_used():
    code = """
import sys
import pytest
before = set(sys.modules)
import airflow_provider_flowengine.emulator.pytest_plugin
print(*{name.partition(".")[0] for name in set(sys.modules) - before})
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == ["airflow_provider_flowengine"]


def test_a_run_of_pytest_pays_nothing_for_the_plugin_until_its_fixture_is_used(pytester, monkeypatch):
    pytester.makepyfile(
        """
import sys

HEAVY = {"airflow", "fastapi", "pydantic", "requests", "sqlite3", "starlette", "uvicorn"}

def test_before():
    assert HEAVY & set(sys.modules) == set()
    ours = {name for name in sys.modules if name.startswith("airflow_provider_flowengine")}
    package = "airflow_provider_flowengine"
    assert ours == {package, f"{package}.emulator", f"{package}.emulator.pytest_plugin"}

def test_then(flowengine_emulator):
    assert {"fastapi", "uvicorn"} <= set(sys.modules)
"""
    )
    # Only this plugin, as in a project that has no other: some load Airflow or pydantic themselves.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugin = "airflow_provider_flowengine.emulator.pytest_plugin"
    pytester.runpytest_subprocess("-p", plugin).assert_outcomes(passed=2)


def test_without_the_extra_it_says_what_to_install(pytester):
    pytester.makeconftest("import sys\nsys.modules['fastapi'] = None\n")
    pytester.makepyfile("def test_it(flowengine_emulator): pass")

    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*install airflow-provider-flowengine[[]emulator[]]*"])


@pytest.mark.parametrize("fixture", ["flowengine_emulator", "flowengine_connection"])
def test_the_fixtures_are_found_through_the_entry_point(request, fixture):
    assert request.getfixturevalue(fixture)
