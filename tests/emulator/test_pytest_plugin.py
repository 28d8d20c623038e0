"""The fixtures for people's own tests: what they give, and that they cost nothing where they aren't used."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

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
    pipeline = flowengine_emulator.world.create_pipeline(PIPELINE)
    run = flowengine_emulator.world.start(pipeline.id)
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


def test_without_the_extra_it_says_what_to_install(pytester):
    pytester.makeconftest("import sys\nsys.modules['fastapi'] = None\n")
    pytester.makepyfile("def test_it(flowengine_emulator): pass")

    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*install airflow-provider-flowengine[[]emulator[]]*"])


@pytest.mark.parametrize("fixture", ["flowengine_emulator", "flowengine_connection"])
def test_the_fixtures_are_found_through_the_entry_point(request, fixture):
    assert request.getfixturevalue(fixture)
