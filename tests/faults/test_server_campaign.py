"""
The campaign over server behaviours: whatever FlowEngine does, a task starts, stops and trusts no run but its own.

A case that fails shrinks to the fewest events. ``--cases=N`` plays so many, ``--campaign-seed=N`` others.
"""

import logging
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import strategies as st

from .campaign import play_campaign
from .server_task import Task
from .server_world import ERRORS, LOST, NAMES_ANOTHER, NAMES_NONE, NAMES_RUN, REFUSED, REJECTED, Other, Start, World


def seconds(longest):
    """Some lengths of time, the short and the round ones among them."""
    return st.sampled_from([0.0, 0.6, 3.0, 7.0]) | st.integers(0, longest).map(float)


def starts():
    """What becomes of a start: what is rejected or refused is never processed, what is accepted always is."""
    shows = st.just(0.0) | seconds(40)
    accepted = st.builds(
        Start, st.sampled_from([NAMES_RUN, NAMES_NONE, NAMES_ANOTHER]), st.just(True), st.just(0.0), shows
    )
    unknown = st.builds(Start, st.sampled_from([LOST, *ERRORS]), st.booleans(), st.just(0.0) | seconds(90), shows)
    unprocessed = st.builds(Start, st.sampled_from([REFUSED, REJECTED]), st.just(False))
    return accepted | unknown | unprocessed


OTHERS = st.builds(
    Other,
    at=st.integers(-1500, 120).map(float) | st.sampled_from([0.2, -0.5, -10.0, -20.0, -60.0, -900.0]),
    shows_after=seconds(60) | st.integers(600, 1700).map(float),
    is_scheduled=st.booleans(),
    x=st.sampled_from([None, 7, 8]),
    duration=st.sampled_from([300.0, 20.0, 5.0]),
)
WORLDS = st.builds(
    World,
    starts=st.lists(starts(), min_size=1, max_size=3).map(tuple),
    others=st.lists(OTHERS, max_size=3).map(tuple),
    older=st.sampled_from([6, 0, 1, 19, 6, 20, 21, 6, 45, 150]),
    replicas=st.lists(seconds(20), min_size=1, max_size=3).map(tuple),
    ids=st.sampled_from(["grow", "grow", "random", "text"]),
    order=st.sampled_from(["newest", "newest", "oldest", "any"]),
    paging=st.sampled_from(["pages", "pages", "pages", "whole", "whole", "wraps", "wraps", "repeats", "endless"]),
    page_size=st.sampled_from([1000, 20, 50]) | st.integers(1, 12),
    total=st.sampled_from(["none", "right", "wrong"]),
    times=st.sampled_from(["ms", "text", "none"]),
    zone=st.sampled_from([0.0, 0.0, 8.0, -5.5]),
    skew=st.sampled_from([0.0, 0.0, 3600.0, -3600.0, 20.0]),
    has_date=st.sampled_from([True, True, True, False]),
    outages=st.lists(st.tuples(seconds(200), seconds(400)), max_size=1).map(
        lambda drawn: tuple((begin, begin + length) for begin, length in drawn)
    ),
    outcomes=st.sampled_from([("succeeded",), ("failed", "succeeded"), ("failed",)]),
    duration=st.sampled_from([60.0, 5.0, 400.0]),
    retries=st.integers(0, 2),
    retry_delay=st.sampled_from([60.0, 1.0, 300.0]),
    confirmation_timeout=st.sampled_from([30.0, 4.0]),
    timeout=st.sampled_from([None, None, 40.0, 200.0]),
    unreachable_timeout=st.sampled_from([300.0, 60.0]),
    poll_interval=st.sampled_from([30.0, 5.0]),
    dies_after_start=st.booleans(),
)


@dataclass
class Figures:
    """What a campaign has come to."""

    cases: int = 0
    runs: int = 0
    requests: int = 0
    succeeded: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)

    def add(self, task):
        """Count one case."""
        self.cases += 1
        self.runs += len(task.server.runs)
        self.requests += task.server.requests
        self.succeeded += task.succeeded
        self.errors[type(task.error).__name__] += not task.succeeded
        self.excuses.update(task.excuses)

    def __str__(self):
        failed = "".join(f"\n    {number:6d}  {error}" for error, number in self.errors.most_common() if number)
        excused = "".join(f"\n    {number:6d}  {excuse}" for excuse, number in self.excuses.most_common())
        return (
            f"\nServer campaign: {self.cases} cases, {self.runs} runs, {self.requests} requests; "
            f"{self.succeeded} tasks succeeded.\n  failed by:{failed}\n  told apart by no client:{excused}\n"
        )


@pytest.mark.parametrize(
    ("outage", "duration"), [((159.0, 450.0), 400.0), ((12.0, 172.0), 60.0)], ids=["goes on", "has ended"]
)
def test_a_run_that_the_end_of_a_try_did_not_stop_is_reconnected_to(outage, duration):
    task = Task(World(outages=(outage,), duration=duration, retries=1, timeout=200.0)).play()

    assert not task.violations
    assert task.succeeded
    assert len(task.server.ours) == 1


@pytest.mark.timeout(0)
def test_whatever_the_server_does_a_task_starts_stops_and_trusts_its_own_run_alone(pytestconfig, capfd):
    figures = Figures()

    def play(world):
        task = Task(world).play()
        figures.add(task)
        assert not task.violations, "\n".join(task.violations)

    logging.disable(logging.ERROR)
    try:
        play_campaign(WORLDS, play, pytestconfig)
    finally:
        logging.disable(logging.NOTSET)
        with capfd.disabled():  # under xdist, only what goes straight to the terminal gets there
            print(figures, file=sys.stderr)
