"""The tests on every supported Airflow and Python: `make test-matrix`.

One session: `nox -s "tests(airflow='3.1', python='3.13')"`. The pins are those of `requirements/airflow-*.txt`;
environments are kept in `.nox`. The last session writes what came out to `docs/versions.md`.
"""

from __future__ import annotations

import datetime
import glob
import os
import subprocess
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import nox

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = False

# Which Pythons each line of Airflow runs on, of those that we support.
PYTHONS = {
    "2.11": ("3.11", "3.12"),
    "3.0": ("3.11", "3.12"),
    "3.1": ("3.11", "3.12", "3.13"),
    "3.2": ("3.11", "3.12", "3.13"),
    "3.3": ("3.11", "3.12", "3.13"),
}
MATRIX = [(airflow, python) for airflow, pythons in PYTHONS.items() for python in pythons]
RESULTS = Path(".nox/results")
TABLE = Path("docs/versions.md")

# Pythons that pyenv keeps are not on the PATH under their own names.
os.environ["PATH"] = os.pathsep.join(
    [os.environ["PATH"], *glob.glob(f"{os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')}/versions/3.*/bin")]
)


def run_tests(session: nox.Session, pins: str, name: str) -> None:
    """Install the pins and the project, run the tests, and keep what came out."""
    session.install("--requirements", f"requirements/{pins}.txt", silent=True)
    session.install("--no-deps", "--editable", ".", silent=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = RESULTS / f"{name}.xml"
    result.unlink(missing_ok=True)
    session.run("pytest", "-q", "-n", "2", "-p", "no:cacheprovider", f"--junit-xml={result}", *session.posargs)


@nox.session
@nox.parametrize(("airflow", "python"), MATRIX)
def tests(session: nox.Session, airflow: str) -> None:
    """Test one line of Airflow on one Python."""
    run_tests(session, f"airflow-{airflow}", f"{airflow}-{session.python}")


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Test the lowest versions that pyproject.toml allows."""
    run_tests(session, "lowest", "lowest-3.11")
