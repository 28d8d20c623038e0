"""docs/emulator.md says what there is: every option, fault and call, and tests that exist."""

import ast
import re
from pathlib import Path

from airflow_provider_flowengine.emulator.api import CALLS
from airflow_provider_flowengine.emulator.faults import Fault
from airflow_provider_flowengine.emulator.options import Options

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "emulator.md").read_text(encoding="utf-8")
TABLES = PAGE.partition("## Fidelity and sources")[2]


def test_every_option_is_documented():
    assert [name for name in Options.model_fields if f"`{name}`" not in PAGE] == []


def test_every_kind_of_fault_is_documented():
    kinds = Fault.model_json_schema()["properties"]["kind"]["enum"]

    assert [kind for kind in kinds if f"| `{kind}` |" not in PAGE] == []


def test_every_call_is_named():
    assert [call.name for call in CALLS if f"`{call.name}`" not in PAGE] == []


def test_each_row_of_the_tables_of_fidelity_has_its_tests_which_exist():
    there = {
        f"{path.name}::{each.name}"
        for path in HERE.glob("test_*.py")
        for each in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef)
    }
    parts = [part for part in TABLES.split("\n### ") if "| behaviour |" in part]

    assert len(parts) > 5
    for part in parts:
        table, _, proof = part.partition(":::{proof}")
        rows = [row for row in table.splitlines() if row.startswith("| ")][1:]
        named = [re.findall(r"`(test_\w+\.py::\w+)`", item) for item in re.split(r"(?m)^\d+\. ", proof)[1:]]
        assert len(rows) == len(named), table
        assert all(named)
        assert {name for names in named for name in names} - there == set()
