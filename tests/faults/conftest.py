"""Which cases the campaign plays; known when tests/faults is named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the campaign's options."""
    parser.addoption("--seed", type=int, help="play the one case of the fault campaign that has this seed, and tell it")
    parser.addoption(
        "--campaign-seed", type=int, default=0, help="from which seed on the server campaign draws its cases"
    )
    parser.addoption("--cases", type=int, default=1000, help="how many cases the fault campaign plays, default 1000")
