"""The text of a DAG file: whatever a pipeline's names hold, it is the same program with other texts in it."""

import ast
import subprocess
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_flowengine.definitions.dag_file import DagFile
from airflow_provider_flowengine.definitions.job_params import JobParam
from airflow_provider_flowengine.definitions.schedule import Schedule, cron_schedule, parse_schedule
from airflow_provider_flowengine.protocol.errors import ConfigurationError

ZONE = "Asia/Shanghai"
SCHEDULES = {
    "by hand": Schedule(),
    "cron": cron_schedule("0 2 * * *", ZONE, "0 0 2 * * ? (Asia/Shanghai)"),
    "period": parse_schedule({"runMode": "PERIODICAL", "interval": 90}, ZONE),
    "message": parse_schedule({"runMode": "MESSAGE", "trigger": "T"}, ZONE),
}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
EVIL = [
    "'''",
    '"""',
    "\\",
    "\n",
    "\r",
    "{",
    "}}",
    "{{ x }}",
    "{%",
    "#}",
    "'",
    '"',
    "é",
    "流失",
    "🙂",
    "\ud800",
    "\u2028",
    "\0",
]
text = st.text(max_size=20) | st.lists(st.sampled_from(EVIL), max_size=4).map("".join)


def dag_file(schedule=SCHEDULES["cron"], *, key="churn", param=("train", "trees"), value="100", conn_id="fe"):
    node, name = param
    return DagFile(
        key=key,
        pipeline_id=19,
        schedule=schedule,
        zone=ZONE,
        written=datetime(2026, 11, 1, 12, tzinfo=ZoneInfo(ZONE)),
        params=[JobParam(node, f"Node {node}", name, value, f"about {name}")],
        conn_id=conn_id,
    )


def shape(source):
    """A program without its texts."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def texts(source):
    return {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}


@each_schedule
@given(key=text.filter(bool), node=text, name=text, value=text, connection=text)
@example(key='"""\nimport os\n', node="{{ 1 }}", name="'\"", value="\\", connection="'")
def test_names_become_texts_and_nothing_else(schedule, key, node, name, value, connection):
    source = dag_file(schedule, key=key, param=(node, name), value=value, conn_id=connection).text()

    assert source.encode(), "it can be written to a file"
    assert shape(source) == shape(dag_file(schedule).text())
    assert {key, connection} <= texts(source)
    assert schedule.topics or {value, name, f"{node}.{name}"} <= texts(source)


@given(node=text, name=text, value=text)
def test_a_params_template_renders_to_what_was_given_in_the_form(node, name, value):
    param = JobParam(node, node, name, "")

    rendered = jinja2.Environment(keep_trailing_newline=True).from_string(param.template)

    assert rendered.render(params={param.name: value}) == value


@given(st.sets(text.filter(bool), min_size=2, max_size=2))
def test_two_keys_make_two_dags(keys):
    assert len({dag_file(key=key).dag_id for key in keys}) == 2


@given(text)
def test_airflow_takes_the_dags_id(key):
    dag_id = dag_file(key=key).dag_id

    assert all(letter.isalnum() or letter in "_.-" for letter in dag_id)
    assert len(dag_id) <= 250


@each_schedule
@pytest.mark.parametrize("key", ["churn", "流失模型"])
def test_linters_and_formatters_have_nothing_to_say(schedule, key):
    pytest.importorskip("ruff")
    source = dag_file(schedule, key=key, value="a long value " * 5).text()

    for command in (["check", "--select", "E,F,I,B,UP,SIM,RUF100"], ["format", "--check", "--diff"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--line-length", "120", "-"],
            input=source,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_a_schedule_by_messages_that_names_no_topic_is_refused():
    with pytest.raises(ConfigurationError, match="names no topic"):
        parse_schedule({"runMode": "MESSAGE", "triggerList": []}, ZONE)
