"""
The campaign: a thousand random cases, and whatever breaks in them, one run for each that is wanted.

A case that fails shrinks to the fewest events, and is told line by line. ``--cases=N`` plays so many,
``--campaign-seed=N`` others.
"""

import logging
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest

from .campaign import play_campaign
from .case import cases
from .play import play

WORST = ("duplicate", "loss", "wrong stop")


@dataclass
class Figures:
    """What a campaign has come to."""

    cases: int = 0
    runs: int = 0
    tries: int = 0
    requests: int = 0
    faults: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    excuses: Counter[str] = field(default_factory=Counter)

    def add(self, airflow):
        """Count one case."""
        self.cases += 1
        self.runs += len(airflow.flowengine.ours)
        self.tries += airflow.task.try_number
        self.requests += sum(airflow.flowengine.counts.values())
        self.faults += airflow.flowengine.troubles + airflow.strikes.struck
        self.violations.update(kind for kind, _ in airflow.judge.violations)
        self.excuses.update(airflow.judge.excuses)

    def __str__(self):
        excused = "".join(f"\n    {number:5d}  {excuse}" for excuse, number in self.excuses.most_common())
        others = sum(self.violations.values()) - sum(self.violations[kind] for kind in WORST)
        return (
            f"\nFault campaign: {self.cases} cases, {self.faults} faults in {self.tries} tries; {self.runs} runs, "
            f"{self.requests} requests.\n"
            f"  duplicates {self.violations['duplicate']}, losses {self.violations['loss']}, "
            f"wrong stops {self.violations['wrong stop']}, other faults {others}\n  excused:{excused}\n"
        )


@pytest.mark.timeout(3600)  # as many cases as are asked for; a thousand take less than a minute
def test_whatever_breaks_each_run_is_started_once_watched_to_its_end_and_stopped_by_right(pytestconfig, capfd):
    figures = Figures()

    def play_case(case):
        airflow = play(case)
        figures.add(airflow)
        if airflow.judge.violations:
            pytest.fail("\n".join(play(case, logging.INFO).story), pytrace=False)

    try:
        play_campaign(cases(), play_case, pytestconfig)
    finally:
        with capfd.disabled():  # under xdist, only what goes straight to the terminal gets there
            print(figures, file=sys.stderr)
