"""Each code block of the guides does what the page says: Python is run, commands are parsed as they would be."""

import ast
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from airflow_provider_flowengine.cli.__main__ import build_parser
from airflow_provider_flowengine.connection_form import EXTRA_FIELDS
from airflow_provider_flowengine.definitions import check, overlay
from airflow_provider_flowengine.emulator.command_line import read_arguments
from airflow_provider_flowengine.protocol.models import run_from_dict

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "example_dags" / "churn_model.json"
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {*ROOT.glob("docs/_build/**/*.md")})


class Block(NamedTuple):
    """A code block: the page, where it begins, its language (none if it isn't named), and its code."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def blocks_of(page):
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"(?ms)^( *)```(.*?)\n(.*?)^\1```$", text):
        line, language = text.count("\n", 0, found.start()) + 1, found[2]
        if not language.startswith("{"):  # that is a directive
            yield Block(str(page.relative_to(ROOT)), line, language, textwrap.dedent(found[3]))


BLOCKS = [block for page in PAGES for block in blocks_of(page)]

NOT_RUN = {
    "from my_dags.nightly import": "a project of the reader's own: tests/emulator/test_pytest_plugin.py makes one",
    "HttpOperator(": "another provider's operators, from before",
    "run_pipeline(": "a call of the vendor's client, from before",
    "Started run 17 of pipeline": "a log: its lines are looked up in the code below",
    "Measured on": "written by `make bench`",
}
"""Blocks that can't be run here, by what they hold, and why."""

SINCE = {"from airflow.sdk import": (3, 0), "AssetWatcher": (3, 0), "retry_policy=": (3, 3)}
"""Which Airflow a block needs, by what it holds."""


def written_in(*languages, run=True):
    """Return the blocks in some languages: all of them, or those that can be run."""
    chosen = [block for block in BLOCKS if block.language in languages]
    return [block for block in chosen if not run or not any(part in block.code for part in NOT_RUN)]


def test_each_block_has_a_language_that_is_checked_here():
    assert {block.language for block in BLOCKS} == {"python", "console", "sh", "json", "yaml", "text"}


def test_each_reason_not_to_run_a_block_is_about_one():
    assert [part for part in (*NOT_RUN, *SINCE) if not any(part in block.code for block in BLOCKS)] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.page.startswith("docs/")], ids=str)
def test_a_block_fits_the_sites_column(block):
    if block.language != "text":  # whose lines wrap
        assert [line for line in block.code.splitlines() if len(line) > 92] == []


# --- Python -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", written_in("python", run=False), ids=str)
def test_a_python_block_compiles_and_imports_what_this_package_has(block):
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_flowengine"):
            module = importlib.import_module(node.module)
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@pytest.fixture
def dag_file(tmp_path, monkeypatch):
    """Return a function that runs code as a DAG file beside the sample's definition, and returns the DAGs in it."""
    from airflow.providers.common.compat.sdk import DAG

    def run(code):
        entered, enter = [], DAG.__enter__  # most give their DAG no name
        monkeypatch.setattr(DAG, "__enter__", lambda dag: entered.append(dag) or enter(dag))
        shutil.copy(SAMPLE, tmp_path)
        file = tmp_path / "dag_file.py"
        with DAG("page", schedule=None):  # for operators that stand alone
            exec(compile(code, file, "exec"), {"__file__": str(file), "__name__": "dag_file"})
        return entered

    return run


@pytest.mark.parametrize("block", written_in("python"), ids=str)
def test_a_python_block_runs_as_a_dag_file_and_its_start_params_are_the_samples(block, dag_file, serialized):
    for part, since in SINCE.items():
        if part in block.code and since > AIRFLOW:
            pytest.skip(f"needs Airflow {since[0]}.{since[1]}")

    for dag in dag_file(block.code):
        assert set(serialized(dag).task_ids) == set(dag.task_ids)
        for task in dag.tasks:
            check_start_params(task)


def check_start_params(task):
    """Check that what a start sets is there to be set: the pipeline of most pages is the sample."""
    nodes = {node["name"]: node for node in json.loads(SAMPLE.read_text(encoding="utf-8"))["nodes"]}
    single = [getattr(task, "job_params", None)]
    mapped = getattr(getattr(task, "expand_input", None), "value", {}).get("job_params", [])
    for job_params in [*single, *mapped]:
        if isinstance(job_params, dict) and getattr(task, "pipeline_key", "churn_model") == "churn_model":
            for node, params in job_params.items():
                assert set(params) <= {param["key"] for param in nodes[node]["params"]["values"]}, node


# --- commands ---------------------------------------------------------------------------------------------------------

RECORD = """
record() { local IFS=$'\\x1f'; printf '%s\\x1e' "$*" >&3; }
command_not_found_handle() { record "$@"; }
export() { record export "$@"; builtin export "$@"; }
PATH=/nowhere EDITOR=editor
"""
"""What makes bash record each command instead of running it: there is none on its path."""


def typed(console):
    """Return what the user types: the lines after a prompt, each with those that its quotes go on to."""
    lines = iter(console.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line.removeprefix("$ ")
            while not closed(command):
                command += f"\n{next(lines)}"
            yield command


def closed(command):
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def commands(script):
    """Return the commands that bash runs for a script, each as the list of its words."""
    read, write = os.pipe()
    with os.fdopen(read) as said:
        ran = subprocess.run(
            ["bash", "-c", f"exec 3>&{write}\n{RECORD}\n{script}"],
            pass_fds=[write],
            capture_output=True,
            text=True,
            check=False,
            env={},
        )
        os.close(write)
        found = [command.split("\x1f") for command in said.read().split("\x1e")[:-1]]
    assert not ran.stderr, ran.stderr
    return found


def workflow_scripts(value, name=""):
    """Yield the scripts of a workflow for GitHub or GitLab."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from workflow_scripts(each, key)
    elif name in ("run", "script", "before_script"):
        yield "\n".join(value) if isinstance(value, list) else value
    elif isinstance(value, list):
        for each in value:
            yield from workflow_scripts(each)


def scripts(block):
    """Return the scripts in a block."""
    if block.language == "yaml":
        return [*workflow_scripts(yaml.safe_load(block.code))]
    return ["\n".join(typed(block.code))] if block.language == "console" else [block.code]


def check_flowengine(words):
    build_parser().parse_args(words)


def check_emulator(words):
    read_arguments(words)


def check_airflow(words):
    from airflow.cli.cli_parser import get_parser

    get_parser().parse_args(words)


def check_make(words):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets, variables = re.findall(r"(?m)^([a-z-]+|\.venv/\.ready):", makefile), re.findall(r"\b[A-Z]+\b", makefile)
    assert [word for word in words if word.partition("=")[0] not in {*targets, *variables, ".venv/.ready"}] == []


def check_pip(words):
    extras = {extra for word in words for extra in re.findall(r"\[(.*)\]", word)}
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    known = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert words[0] == "install"
    assert {word.partition("[")[0] for word in words[1:]} <= {".", "airflow-provider-flowengine"}
    assert [extra for extra in extras if not re.search(rf"(?m)^{extra} = ", known)] == []


def check_python(words):
    assert words[0] == "-m"
    assert importlib.util.find_spec(words[1])


def check_curl(words):
    if AIRFLOW < (3, 0):
        return
    import airflow

    schema = next(Path(airflow.__file__).parent.rglob("core_api/openapi/v2-rest-api-generated.yaml"))
    path = next(word for word in words if word.startswith("/api/"))
    assert f"\n  {path}:\n" in schema.read_text(encoding="utf-8")
    assert json.loads(words[words.index("-d") + 1])


def check_export(words):
    """Check that a connection can be read, and has only fields that there are."""
    from airflow.models.connection import Connection

    for name, _, value in (word.partition("=") for word in words):
        if name.startswith("AIRFLOW_CONN_"):
            text = re.sub(r"<[^<>]*>", "secret", value)
            connection = Connection.from_json(text) if text.startswith("{") else Connection(uri=text)
            assert connection.conn_type == "flowengine"
            assert set(connection.extra_dejson) <= {field.name for field in EXTRA_FIELDS}
        elif name.startswith("AIRFLOW__") and value.startswith("{"):
            assert json.loads(value)


OTHERS = {"git", "cd", "editor", "tee"}
"""Programs that everybody has."""

CHECKS = {
    "flowengine": check_flowengine,
    "flowengine-emulator": check_emulator,
    "airflow": check_airflow,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "curl": check_curl,
    "export": check_export,
}


@pytest.mark.parametrize("block", written_in("console", "sh", "yaml"), ids=str)
def test_a_shell_block_holds_commands_that_there_are(block, capsys):
    for script in scripts(block):
        found = commands(script)

        assert found
        for name, *words in found:
            assert name in {*CHECKS, *OTHERS}
            if name in CHECKS:
                try:
                    CHECKS[name](words)
                except SystemExit:
                    pytest.fail(f"{name} {shlex.join(words)}: {capsys.readouterr().err}")


def test_both_ways_to_write_a_connection_mean_the_same():
    from airflow.models.connection import Connection

    (block,) = (block for block in written_in("sh") if block.page == "docs/connection.md")
    values = [word.partition("=")[2].replace("<access key>", "secret") for _, word in commands(block.code)]
    as_json, as_uri = Connection.from_json(values[0]), Connection(uri=values[1])

    for field in ("conn_type", "schema", "host", "port", "login", "password", "extra_dejson"):
        assert getattr(as_json, field) == getattr(as_uri, field), field


INLINE = [
    pytest.param(command, id=f"{page.relative_to(ROOT)}: {command}")
    for page in PAGES
    for command in dict.fromkeys(
        " ".join(code.split())
        for code in re.findall(
            r"(?s)(?<!`)`((?:flowengine|flowengine-emulator|make|airflow)\s[^`]+)`(?!`)",
            re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text(encoding="utf-8")),
        )
    )
    if not re.search(r"…|COMMAND|<|^airflow flowengine$", command)
]


@pytest.mark.parametrize("command", INLINE)
def test_a_command_in_a_sentence_is_one_that_there_is(command, capsys):
    name, *words = shlex.split(command)
    if name == "airflow" and "flowengine" in words[0:1] and AIRFLOW < (3, 2):
        pytest.skip("commands of providers came with Airflow 3.2")
    try:
        CHECKS[name](words)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


# --- data -------------------------------------------------------------------------------------------------------------


def check_node(node):
    """Check a node of a pipeline."""
    assert check.problems({"data": {"nodes": [node]}}) == []


def check_overlay(changes):
    """Check what differs in an environment, for the sample."""
    sample = {"pipelineKey": "churn_model", "data": json.loads(SAMPLE.read_text(encoding="utf-8"))}
    assert set(changes) == {overlay.FOR_ALL, "churn_model"}
    assert overlay.overlaid(sample, changes) != sample


def check_event(payload):
    """Check the run that an event carries."""
    assert payload == {**run_from_dict(payload).as_dict(), "run_url": payload["run_url"]}


JSON = {"nodeId": check_node, "*": check_overlay, "run_id": check_event}
"""What a block of JSON is, by its first key."""


@pytest.mark.parametrize("block", written_in("json"), ids=str)
def test_a_json_block_is_what_the_page_says(block):
    value = json.loads(block.code)

    JSON[next(iter(value))](value)


# --- logs -------------------------------------------------------------------------------------------------------------


@cache
def logged():
    """Return patterns of all that the package logs."""
    sys.path.insert(0, str(ROOT / "docs/_ext"))
    try:
        from log_lines import log_lines
    finally:
        sys.path.pop(0)
    lines = [
        line
        for module in (ROOT / "airflow_provider_flowengine").rglob("*.py")
        for _, line in log_lines(ast.parse(module.read_text(encoding="utf-8")))
    ]
    patterns = [
        re.sub(r"\\\{[^}]*\}", ".+", re.escape(line).replace(re.escape("{run}"), "[Rr]un .+")) for line in lines
    ]
    return [pattern for pattern in patterns if re.search("[a-z]{2}", pattern)]


@pytest.mark.parametrize("block", [block for block in BLOCKS if "Started run 17" in block.code], ids=str)
def test_a_line_of_a_log_is_one_that_the_package_logs(block):
    for line in block.code.splitlines():
        assert [pattern for pattern in logged() if re.fullmatch(pattern, line.strip())], line
