"""Type checkers see a wrong argument of an operator, and none where there is none."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PLANTED = Path(__file__).parent / "planted.py"


def run_module(*arguments):
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(*paths):
    """The lines at which mypy finds fault, by file name and number."""
    pytest.importorskip("mypy")
    found = run_module("mypy", "--no-error-summary", *paths)
    return {(Path(path).name, int(line)) for path, line in re.findall(r"^(\S+?):(\d+): error:", found, re.M)}


def pyright(*paths):
    """The lines at which pyright finds fault, by file name and number; it counts from 0."""
    pytest.importorskip("basedpyright")
    found = json.loads(
        run_module("basedpyright", "--level", "error", "--outputjson", "--pythonpath", sys.executable, *paths)
    )
    assert found["summary"]["filesAnalyzed"] == len(paths)
    return {(Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in found["generalDiagnostics"]}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_each_planted_mistake_is_seen_and_nothing_else(checker):
    lines = PLANTED.read_text(encoding="utf-8").splitlines()

    assert checker(PLANTED) == {
        ("planted.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_the_example_dags_have_none(checker):
    assert checker(*sorted((ROOT / "example_dags").glob("*.py"))) == set()
