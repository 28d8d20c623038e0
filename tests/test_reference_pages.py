"""The tables of the reference that are written by hand hold what the code has; the others are made from it."""

import inspect
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_provider_flowengine import connection_form
from airflow_provider_flowengine.operators import flowengine as operators
from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.models import NodeRun, PipelineRun
from airflow_provider_flowengine.protocol.progress import describe_progress
from airflow_provider_flowengine.protocol.status import RunState

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def first_column(page, header):
    """Return the code in the first column of the table that begins with a header's cell."""
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text.split(f"\n| {header} |", 1)[1].split("\n\n")[0]
    cells = [re.split(r" \| ", row, maxsplit=1)[0] for row in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_the_xcom_of_a_run_has_the_fields_that_the_reference_lists():
    node = NodeRun(id="a1", name="fetch", status="running", state=RunState.RUNNING, started=NOON)
    run = PipelineRun(17, 12, status="running", state=RunState.RUNNING, started=NOON, nodes=(node,))

    progress = describe_progress(run)

    assert first_column("reference/xcoms.md", "field") == list(progress)
    assert first_column("reference/xcoms.md", "field of a node") == list(progress["nodes"][0])


def test_the_reference_says_what_each_operator_returns():
    listed = set(first_column("reference/xcoms.md", "operator"))

    assert listed == {*operators.__all__, "FlowEnginePipelineRunSensor"}


def test_the_connections_page_has_each_field_of_the_form():
    listed = set(first_column("connection.md", "field"))

    assert listed == {field.name for field in connection_form.EXTRA_FIELDS}


CALLS = [
    function
    for _, function in inspect.getmembers(endpoints, inspect.isfunction)
    if inspect.signature(function).return_annotation == "Request" and not function.__name__.startswith("_")
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_says_what_its_answer_holds_and_which_source_tells_of_it(call):
    assert re.search(r"\n:answer: \S.*\.\n:source: \S.*\.$", inspect.getdoc(call))


PAGES = [page for page in DOCS.rglob("*.md") if not {"_build", "performance", "reliability"} & set(page.parts)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_has_one_title_which_is_its_first_line(page):
    text = page.read_text(encoding="utf-8")
    if text.startswith("```{include} ../../"):
        text = (page.parent / text.split()[1]).read_text(encoding="utf-8")
    prose = re.sub(r"(?ms)^ *```.*?^ *```$", "", text)

    assert text.startswith("# ")
    assert len(re.findall(r"(?m)^# ", prose)) == 1
