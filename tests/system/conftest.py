"""Starts the stacks once, for all test processes, and tells at the end what became of every run."""

import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import results
from .emulator import FlowEngine
from .processes import end_all, is_gone
from .scenario import Scenario
from .stack import BIN, KINDS, Stack

FOLDER = "FLOWENGINE_SYSTEM_FOLDER"
"""Tells the test processes where the stacks are."""

PREFIX = "flowengine-system-"
"""Begins the name of that folder; the id of the process that has made it follows."""


def pytest_addoption(parser):
    parser.addoption("--stacks", default=",".join(KINDS), help="which Airflows to start: local, celery (default both)")


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: strikes what other tests of the same stack need")


def _is_test_process(config) -> bool:
    return hasattr(config, "workerinput")


def _stacks(config) -> list[str]:
    return config.getoption("--stacks").split(",")


def _environment(folder: Path) -> dict[str, str]:
    """What every process of the suite gets: nothing of the machine's own Airflow, no proxy for this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    path = os.pathsep.join((str(BIN), kept.get("PATH", "")))
    return {**kept, "PATH": path, "HOME": str(folder), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}


def _end_leftovers() -> None:
    """End what an earlier run of the suite has left, where that was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if is_gone(int(folder.name.removeprefix(PREFIX).split("-")[0])):
            end_all(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Start the stacks, before the test processes begin."""
    if _is_test_process(session.config) or session.config.option.collectonly:
        return
    _end_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    folder.chmod(0o755)  # PostgreSQL, which runs under an account of its own, must get through
    os.environ[FOLDER] = str(folder)
    # Ended from outside, the suite still ends what it began.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", 1))
    stacks = [Stack(kind, folder / kind, _environment(folder)) for kind in _stacks(session.config)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Stack.start, stacks))
            list(pool.map(Stack.until_ready, stacks))
    except BaseException:
        end_all(folder)
        raise


def pytest_sessionfinish(session, exitstatus):
    if _is_test_process(session.config) or FOLDER not in os.environ:
        return
    end_all(Path(os.environ[FOLDER]))
    if exitstatus == 0:
        shutil.rmtree(os.environ[FOLDER])


def pytest_collection_modifyitems(items):
    """Tests that need a stack for themselves come last, so that the others run side by side; the longest at the end."""

    def place(item) -> int:
        return (item.get_closest_marker("alone") is not None) + (item.path.name == "test_load.py")

    items.sort(key=place)
    for item in items:
        if place(item):
            item.add_marker(pytest.mark.timeout(1200))  # each waits for its turn, behind all the others


def pytest_terminal_summary(terminalreporter, config):
    rows = [row for report in terminalreporter.getreports("passed") for row in results.of(report)]
    rows += [row for report in terminalreporter.getreports("failed") for row in results.of(report)]
    if rows:
        terminalreporter.section("What became of every run")
        terminalreporter.write_line(results.table(rows))
        results.write(rows, config.rootpath / "build" / "system-results.md")
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        terminalreporter.write_line(f"The logs of Airflow are in {os.environ.get(FOLDER)}")


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def folder() -> Path:
    return Path(os.environ[FOLDER])


@pytest.fixture(scope="session")
def flowengine(folder):
    """A FlowEngine for the tests of this process."""
    emulator = FlowEngine(folder, _environment(folder))
    emulator.start()
    yield emulator
    emulator.kill(signal.SIGKILL)


@pytest.fixture(scope="session")
def _stack(folder, flowengine):
    """Each stack, with a connection to this process's FlowEngine."""
    known = {}

    def get(kind: str) -> Stack:
        if kind not in known:
            stack = Stack(kind, folder / kind, _environment(folder))
            stack.api.log_in()
            stack.api.call("POST", "/connections", json=flowengine.connection())
            known[kind] = stack
        return known[kind]

    return get


@pytest.fixture
def stack(request, pytestconfig, _stack):
    """
    The Airflow that the test is about: LocalExecutor's, where the test doesn't ask for ``celery`` or both.

    It is shared with other tests; one that is marked ``alone`` has it for itself.
    """
    kind = getattr(request, "param", "local")
    if kind not in _stacks(pytestconfig):
        pytest.skip(f"the stack {kind} was not asked for")
    with _stack(kind).used(alone=request.node.get_closest_marker("alone") is not None) as stack:
        yield stack


@pytest.fixture(params=["sync", "deferrable"])
def mode(request) -> str:
    """Where the task waits for the run: in a worker, or in the triggerer."""
    return request.param


@pytest.fixture
def begin(stack, flowengine, record_property):
    """Begin a scenario: a pipeline of its own, and a DAG run of a variant and mode that starts it."""
    begun = []

    def begin(mode: str, variant: str = "start") -> Scenario:
        scenario = Scenario(stack, flowengine, mode, variant, record_property)
        begun.append(scenario)
        return scenario

    yield begin
    if flowengine.process.is_alive():
        flowengine.clear_faults()
    for scenario in begun:
        scenario.clean_up()
