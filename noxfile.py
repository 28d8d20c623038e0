"""The tests on every supported Airflow and Python: `make test-matrix`.

One session: `nox -s "tests(airflow='3.1', python='3.13')"`. The pins are those of `requirements/airflow-*.txt`;
environments are kept in `.nox`. The session `table` writes what came out to `docs/versions.md`.
"""

from __future__ import annotations

import datetime
import glob
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import nox

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
        text = f"{self.passed} passed"
        if self.failed:
            text += f", **{self.failed} failed**"
        return text + (f", {self.skipped.total()} skipped" if self.skipped else "")


def pinned(pins: str, package: str) -> str:
    """Return which version of a package is pinned."""
    lines = Path(f"requirements/{pins}.txt").read_text().splitlines()
    return next(
        line.split(";")[0].strip().removeprefix(f"{package}==") for line in lines if line.startswith(f"{package}==")
    )


def markdown(results: dict[tuple[str, ...], Result]) -> str:
    """Return the page of supported versions."""
    pythons = sorted({python for _, python in MATRIX})
    lines = [
        "# Supported versions",
        "",
        f"Made by `make test-matrix` on {datetime.date.today():%d %B %Y}, which runs the tests on each supported line",
        "of Airflow and each Python of 3.11 to 3.14 that it runs on:",
        "",
        f"- on {NEWEST} and Python {MAIN_PYTHON}, all but those that need real processes or a browser, and the",
        "  campaigns of random faults;",
        "- on that Python, or the newest before it, of each other line, the same without the tests of the protocol,",
        "  the clients, the emulator, definitions and pages, which know nothing of Airflow; those of the command",
        f"  and of FlowEngine's generations on {OLDEST} alone of these;",
        "- on a line's other Pythons, those of `tests/airflow`, among which every example DAG is serialised as",
        "  Airflow's database keeps it, and run.",
        "",
        f"| Airflow | {' | '.join(f'Python {python}' for python in pythons)} |",
        "|---" * (len(pythons) + 1) + "|",
    ]
    for airflow, supported in PYTHONS.items():
        pins = f"airflow-{airflow}"
        cells = [str(results.get((pins, python), "not run")) if python in supported else "–" for python in pythons]
        lines.append(f"| {pinned(pins, 'apache-airflow')} | {' | '.join(cells)} |")
    lines += ["", "– : this Airflow doesn't support that Python.", ""]
    if lowest_result := results.get(("lowest", "3.11")):
        direct = ["apache-airflow", "apache-airflow-providers-common-compat", "requests", "aiohttp", "pendulum"]
        named = ", ".join(f"{package} {pinned('lowest', package)}" for package in direct)
        lines += [f"With the lowest versions that the package allows ({named}),"]
        lines += [f"all but the tests of the protocol and the pages, on Python 3.11: {lowest_result}.", ""]
    lines += ["## What is skipped where, and why", "", "| Airflow | tests | why |", "|---|---|---|"]
    for airflow in PYTHONS:
        pins = f"airflow-{airflow}"
        reasons = Counter[str]()
        for (name, _), result in results.items():
            if name == pins:
                reasons |= result.skipped
        lines += [f"| {airflow} | {number} | {why} |" for why, number in reasons.most_common()]
    return "\n".join(lines) + "\n"
