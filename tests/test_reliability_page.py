"""The reliability page names the test that shows each row; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=["::".join(each) for each in NAMED])
def test_a_test_that_the_page_names_is_there(file, test):
    files = [path for path in ROOT.glob("tests/**/*.py") if str(path).endswith(f"/{file}")]

    assert files
    assert not test or any(f"def {test}(" in path.read_text(encoding="utf-8") for path in files)


def test_each_row_of_what_fails_names_a_test():
    failures = PAGE.split("## Failures and their effects")[1].split("### System test results")[0]
    tables = re.findall(r":::\{list-table\}(.*?)\n:::\n\n:::\{proof\}(.*?)\n:::", failures, re.S)

    assert len(tables) == failures.count("{list-table}") >= 7
    for rows, proofs in tables:
        named = re.split(r"^- ", proofs, flags=re.M)[1:]
        assert len(named) == len(re.findall(r"^\* - ", rows, re.M)) - 1
        assert not [proof for proof in named if "test_" not in proof and "the same test" not in proof]
