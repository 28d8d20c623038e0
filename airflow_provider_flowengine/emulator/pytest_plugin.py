"""
Fixtures for users' own tests of their DAGs: an emulator of FlowEngine, and the Airflow connection to it.

pytest loads this in every run where the package is installed, so it imports nothing heavy before a fixture is used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import Emulator


# Arguments for the whole session; all others are options, which are reset for each test.
_MADE_ONCE = ("db", "host", "port", "clock", "execute", "work_dir")


@pytest.fixture(scope="session")
def flowengine_emulator_arguments() -> dict[str, Any]:
    """Return the arguments of :class:`.server.Emulator`; override it as you like."""
    return {}


@pytest.fixture(scope="session")
def _flowengine_server(flowengine_emulator_arguments: dict[str, Any]) -> Iterator[Emulator]:
    try:
        from .server import Emulator
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"The FlowEngine emulator needs {error.name}: install airflow-provider-flowengine[emulator]"
        ) from error
    with Emulator(**flowengine_emulator_arguments) as emulator:
        yield emulator


@pytest.fixture
def flowengine_emulator(_flowengine_server: Emulator, flowengine_emulator_arguments: dict[str, Any]) -> Emulator:
    """
    Return an emulator on a free port of 127.0.0.1; it is empty at the start of each test.

    Runs end at once if their nodes have no param ``duration``. The object scripts outcomes and faults, and returns the
    requests: see :class:`.server.Emulator`.
    """
    options = {name: value for name, value in flowengine_emulator_arguments.items() if name not in _MADE_ONCE}
    _flowengine_server.reset(**{"node_seconds": 0, "stop_seconds": 0, **options})
    _flowengine_server.start()  # if a test stopped it
    return _flowengine_server


@pytest.fixture
def flowengine_connection(flowengine_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """
    Point the Airflow connection ``flowengine_default`` at the emulator.

    :return: the connection's id.
    """
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", flowengine_emulator.connection())
    # A proxy of the environment would get the requests to this machine too.
    for name in ("no_proxy", "NO_PROXY"):
        hosts = [host for host in (os.environ.get(name), flowengine_emulator.host) if host]
        monkeypatch.setenv(name, ",".join(hosts))
    return "flowengine_default"
