"""The reliability page names the test that shows each row; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids="::".join)
def test_a_test_that_the_page_names_is_there(file, test):
    files = [path for path in ROOT.glob("tests/**/*.py") if str(path).endswith(f"/{file}")]

    assert files
    assert not test or any(f"def {test}(" in path.read_text(encoding="utf-8") for path in files)


def test_each_row_of_what_breaks_names_a_test():
    tables = PAGE.split("## What breaks")[1].split("### What the tests have seen")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ") and not line.startswith("| what ")]
    rows = [row for row in rows if "| shown by |" not in row]

    assert rows
    assert not [row for row in rows if "test_" not in row and not row.endswith("| the same |")]
