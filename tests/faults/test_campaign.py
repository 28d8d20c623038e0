"""
The campaign: a thousand random cases, and whatever breaks in them, one run for each that is wanted.

``pytest tests/faults --seed=N`` plays the one case of that seed and tells it line by line; ``--cases=N`` plays so many.
"""

import logging
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest

from .case import draw
from .play import play

WORST = ("duplicate", "loss", "wrong stop")
MOST_FAILURES = 20  # cases told of; a campaign that goes wrong at all is told enough by these


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
    seed, cases = pytestconfig.getoption("--seed", None), pytestconfig.getoption("--cases", 1000)
    figures, failures, story = Figures(), [], []
    for number in range(cases) if seed is None else [seed]:
        airflow = play(draw(number), logging.ERROR if seed is None else logging.INFO)
        figures.add(airflow)
        if airflow.judge.violations:
            failures.append(f"pytest tests/faults --seed={number}: {airflow.judge.violations[0]}")
        if number == seed:
            story = ["", airflow.case, *airflow.story]

    with capfd.disabled():  # under xdist, only what goes straight to the terminal gets there
        print(*story, figures, sep="\n", file=sys.stderr)
    assert not failures, "\n".join(failures[:MOST_FAILURES])
