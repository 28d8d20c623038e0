"""The same commands as ``airflow flowengine …``."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.cli.commands import COMMANDS
from airflow_provider_flowengine.get_provider_info import get_provider_info

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 2), reason="commands of providers came with Airflow 3.2")


@pytest.fixture
def airflow(emulator, airflow_db):
    """Run Airflow's own command line in a process of its own."""

    def airflow(*arguments):
        command = [sys.executable, "-m", "airflow", "flowengine", *arguments]
        return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)

    return airflow


def test_airflow_has_the_group_with_every_command(airflow):
    run = airflow("--help")

    assert run.returncode == 0, run.stderr
    for command in COMMANDS:
        assert command.help.split(";")[0][:30] in " ".join(run.stdout.split())


def test_a_command_works_and_hands_its_exit_code_on(airflow, existing, file, churn):
    listed = airflow("pipelines", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    assert json.loads(listed.stdout[listed.stdout.index("[") :])[0]["pipeline_key"] == "churn"

    churn["data"]["describe"] = "other"
    file.write_text(json.dumps(churn))
    planned = airflow("plan", str(file))
    assert planned.returncode == 2, planned.stderr
    assert '+ describe: "other"' in planned.stdout


def test_both_command_lines_are_made_from_one_table():
    from airflow_provider_flowengine.cli.airflow import get_commands

    assert get_provider_info()["cli"] == ["airflow_provider_flowengine.cli.airflow.get_commands"]
    (group,) = get_commands()
    for action, command in zip(group.subcommands, COMMANDS, strict=True):
        assert (action.name, action.help) == (command.name, command.help)
        assert [arg.flags for arg in action.args] == [argument.flags for argument in command.arguments]
