"""A type checker sees a wrong argument of an operator, and none where there is none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")
ROOT = Path(__file__).parent.parent.parent
PLANTED = Path(__file__).parent / "planted.py"


def wrong_lines(*paths):
    """The lines at which mypy finds fault, by file name and number."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", *map(str, paths)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {(Path(path).name, int(line)) for path, line in re.findall(r"^(\S+?):(\d+): error:", done.stdout, re.M)}


@pytest.mark.timeout(600)
def test_each_planted_mistake_is_seen_and_nothing_else():
    lines = PLANTED.read_text(encoding="utf-8").splitlines()

    assert wrong_lines(PLANTED) == {
        ("planted.py", number) for number, line in enumerate(lines, 1) if line.endswith("# wrong")
    }


@pytest.mark.timeout(600)
def test_the_example_dags_have_none():
    assert wrong_lines(*sorted((ROOT / "example_dags").glob("*.py"))) == set()
