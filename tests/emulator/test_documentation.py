"""docs/emulator.md says what there is: every option, fault and call, and tests that exist."""

import ast
import re
from pathlib import Path

from airflow_provider_flowengine.emulator.api import CALLS
from airflow_provider_flowengine.emulator.faults import Fault
from airflow_provider_flowengine.emulator.options import Options

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "emulator.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## Fidelity and sources")[2]


def test_every_option_is_documented():
    assert [name for name in Options.model_fields if f"`{name}`" not in PAGE] == []


def test_every_kind_of_fault_is_documented():
    kinds = Fault.model_json_schema()["properties"]["kind"]["enum"]

    assert [kind for kind in kinds if f"| `{kind}` |" not in PAGE] == []


def test_every_call_is_named():
    assert [call.name for call in CALLS if f"`{call.name}`" not in PAGE] == []


def test_the_tests_that_the_faithfulness_table_names_exist():
    there = {
        f"{path.name}::{each.name}"
        for path in HERE.glob("test_*.py")
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+\.py::\w+)`", TABLE))

    assert len(named) > 50
    assert named - there == set()
    rows = [row for row in TABLE.splitlines() if row.startswith("| ") and not row.startswith(("| **", "| behaviour"))]
    assert [row for row in rows if "::" not in row] == []
