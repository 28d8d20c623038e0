"""Plays a campaign: as many cases as are asked for, drawn from a seed on. What fails shrinks to the fewest events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from hypothesis.strategies import SearchStrategy

CASES_AT_ONCE = 1000


def play_campaign(strategy: SearchStrategy[Any], play: Callable[[Any], None], config: pytest.Config) -> None:
    """
    Play as many cases as ``--cases`` says, from the seed ``--campaign-seed`` on.

    :param strategy: draws a case.
    :param play: plays it, and fails if what comes of it may not be.
    :param config: pytest's options.
    """
    cases, first_seed = config.getoption("--cases", 1000), config.getoption("--campaign-seed", 0)
    for number in range(0, cases, CASES_AT_ONCE):
        campaign = settings(
            max_examples=min(CASES_AT_ONCE, cases - number),
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(seed(first_seed + number // CASES_AT_ONCE)(given(strategy)(play)))
        campaign()
