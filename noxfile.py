"""
The tests on every supported Airflow and Python: `make test-matrix`.

One session: `nox -s "tests(airflow='3.1', python='3.13')"`. The pins are those of `requirements/airflow-*.txt`;
environments are kept in `.nox`. The session `table` writes what came out to `docs/versions.md`.
"""

from __future__ import annotations

import datetime
import glob
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import nox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests", "lowest", "table"]
nox.options.error_on_missing_interpreters = False

# Which Pythons each line of Airflow runs on, of those that we support.
PYTHONS = {
    "2.11": ("3.11", "3.12"),
    "3.0": ("3.11", "3.12"),
    "3.1": ("3.11", "3.12", "3.13"),
    "3.2": ("3.11", "3.12", "3.13"),
    "3.3": ("3.11", "3.12", "3.13", "3.14"),
}
MATRIX = [(airflow, python) for airflow, pythons in PYTHONS.items() for python in pythons]
OLDEST, *_, NEWEST = PYTHONS
MAIN_PYTHON = "3.13"  # or a line's newest, where that is older: the one that most tests run on
FAULTS = "--ignore=tests/faults"  # a campaign that takes Airflow's part itself: the same on each
# What reads the sources and the pages, and nothing else: the same on each.
PAGES = [f"test_{of}.py" for of in ("layout", "documentation", "translations", "reference_pages", "reliability_page")]
NO_AIRFLOW = [f"--ignore=tests/{path}" for path in ("protocol", "client", "emulator", "definitions", "typing", *PAGES)]
AT_BOTH_ENDS = [f"--ignore=tests/{folder}" for folder in ("cli", "contract")]  # on the oldest line, and on the newest
QUIETLY = ("-q", "-n", "4", "--dist", "worksteal", "-p", "no:cacheprovider")
RESULTS = Path(".nox/results")
TABLE = Path("docs/versions.md")

# Pythons that pyenv keeps are not on the PATH under their own names.
os.environ["PATH"] = os.pathsep.join(
    [os.environ["PATH"], *glob.glob(f"{os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')}/versions/3.*/bin")]
)


def install(session: nox.Session, pins: str) -> None:
    """Install a set of pins, and the project as it stands."""
    session.install("--requirements", f"requirements/{pins}.txt", silent=True)
    session.install("--no-deps", "--editable", ".", silent=True)


def selection(airflow: str, python: str) -> list[str]:
    """Return which tests are worth their time: all on the newest Airflow, fewer the more is known from elsewhere."""
    if python != min(PYTHONS[airflow][-1], MAIN_PYTHON):
        return ["tests/airflow"]
    if airflow == NEWEST:
        return [FAULTS]
    return [FAULTS, *NO_AIRFLOW, *(() if airflow == OLDEST else AT_BOTH_ENDS)]


def run_tests(session: nox.Session, pins: str, selected: list[str]) -> None:
    """Run tests with a set of pins, and keep what came out for the table."""
    install(session, pins)
    result = RESULTS / f"{pins}_{session.python}.xml"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    arguments = session.posargs or selected
    session.run("pytest", *QUIETLY, f"--junit-xml={result}", *arguments)


@nox.session
@nox.parametrize(("airflow", "python"), MATRIX)
def tests(session: nox.Session, airflow: str) -> None:
    """Test one line of Airflow on one Python."""
    run_tests(session, f"airflow-{airflow}", selection(airflow, str(session.python)))


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Test the lowest versions that pyproject.toml allows."""
    run_tests(session, "lowest", [FAULTS, *(f"--ignore=tests/{path}" for path in ("protocol", "typing", *PAGES))])


@nox.session(name="next", python="3.13")
def next_airflow(session: nox.Session) -> None:
    """Test Airflow's next pre-release, with nothing pinned: told, and allowed to fail."""
    session.install("--pre", "--upgrade", "apache-airflow", "--group", "test", ".[emulator,openlineage]", silent=True)
    session.run("pytest", *QUIETLY, FAULTS, *NO_AIRFLOW)


@nox.session(venv_backend="none")
def table(session: nox.Session) -> None:
    """Write what came out to docs/versions.md."""
    results = {tuple(path.stem.split("_")): Result.read(path) for path in sorted(RESULTS.glob("*.xml"))}
    TABLE.write_text(markdown(results), encoding="utf-8")
    session.log(f"wrote {TABLE}")


@nox.session(python="3.12")
def bench(session: nox.Session) -> None:
    """Measure beside other providers."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass
class Result:
    """What came out of one session."""

    passed: int
    failed: int
    skipped: Counter[str]  # how many tests, by why

    @classmethod
    def read(cls, path: Path) -> Result:
        """Read pytest's JUnit file."""
        cases = ElementTree.parse(path).getroot().findall(".//testcase")
        reasons = Counter(skip.get("message", "") for case in cases if (skip := case.find("skipped")) is not None)
        failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
        return cls(len(cases) - failed - reasons.total(), failed, reasons)

    def __str__(self) -> str:
        return f"{self.passed} / {self.skipped.total()}" + (f", **{self.failed} failed**" if self.failed else "")


def pinned(pins: str, package: str) -> str:
    """Return which version of a package is pinned."""
    lines = Path(f"requirements/{pins}.txt").read_text().splitlines()
    return next(
        line.split(";")[0].strip().removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}==")
    )


def row(*cells: object) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def table_of(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table."""
    return [row(*head), "|---" * len(head) + "|", *(row(*cells) for cells in rows), ""]


def reason(why: str) -> str:
    """Return why tests were skipped, as a reader would say it."""
    return re.sub(r"could not import '(\w+).*", r"needs `\1`, which only developers install", why)


def skipped(results: dict[tuple[str, ...], Result]) -> Iterator[tuple[object, ...]]:
    """Yield the reasons for which tests were skipped, and how many on each line of Airflow."""
    numbers: dict[str, Counter[str]] = {}
    for (name, _), result in results.items():
        for why, number in result.skipped.items():
            lines = numbers.setdefault(reason(why), Counter())
            lines[name] = max(lines[name], number)
    for why, lines in sorted(numbers.items(), key=lambda item: -item[1].total()):
        if any(f"airflow-{airflow}" in lines for airflow in PYTHONS):
            yield why, *(lines[f"airflow-{airflow}"] or "" for airflow in PYTHONS)


def markdown(results: dict[tuple[str, ...], Result]) -> str:
    """Return the page of supported versions: no figure stands in a sentence, which would have to be translated anew."""
    pythons = sorted({python for _, python in MATRIX})
    cells = [
        (
            pinned(f"airflow-{airflow}", "apache-airflow"),
            *(results.get((f"airflow-{airflow}", each), "not run") if each in supported else "–" for each in pythons),
        )
        for airflow, supported in PYTHONS.items()
    ]
    if lowest_result := results.get(("lowest", "3.11")):
        cells.append(("lowest versions", lowest_result, *("" for _ in pythons[1:])))
    direct = ["apache-airflow", "apache-airflow-providers-common-compat", "requests", "aiohttp", "pendulum"]
    return "\n".join(
        [
            "# Supported versions",
            "",
            "`make test-matrix` runs the tests on each supported version of Airflow, with each Python that it",
            "supports. A cell shows how many tests passed, and how many were skipped: *passed / skipped*.",
            "",
            *table_of(("Airflow", *(f"Python {python}" for python in pythons)), cells),
            "Last run",
            f": {datetime.date.today():%Y-%m-%d}",
            "",
            "– : this Airflow doesn't support that Python.",
            "",
            "## Which tests run where",
            "",
            f"- Airflow {NEWEST} with Python {MAIN_PYTHON}: all tests, except those that need real processes or a",
            "  browser, and the campaigns of random faults.",
            f"- The other versions of Airflow, with Python {MAIN_PYTHON} or the newest that they support: the same,",
            "  without the tests that know nothing of Airflow (protocol, clients, emulator, definitions, pages). The",
            f"  tests of the command line and of FlowEngine's generations run on {OLDEST} only.",
            "- Each other Python: `tests/airflow`. Among other things, these tests store and run every example DAG.",
            "- *Lowest versions*: the lowest that the package allows, without the tests of the protocol and of pages:",
            "",
            *table_of(("package", "lowest version"), [(f"`{each}`", pinned("lowest", each)) for each in direct]),
            "## What is skipped, and why",
            "",
            "The number of tests that were skipped on each version of Airflow:",
            "",
            *table_of(("why", *PYTHONS), skipped(results)),
        ]
    )
