"""Which cases the campaigns play; known when tests/faults is named on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the campaigns' options."""
    parser.addoption("--campaign-seed", type=int, default=0, help="from which seed on the campaigns draw their cases")
    parser.addoption("--cases", type=int, default=1000, help="how many cases a campaign plays, default 1000")
