"""One case of the campaign: what the task is like, what FlowEngine is like, and what breaks; drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from .airflow import Strike
from .flowengine import BREAKAGES, NOTHING_DONE, Fault, Outage

JobParams = dict[str, dict[str, str]]

PATIENT = {"retries": 8, "retry_delay": 300.0}
"""So many tries, so far apart, that whatever breaks has passed before the last one."""


@dataclass(frozen=True)
class Case:
    """
    One case. The defaults are the plain case: a run of a minute that succeeds, and nothing breaks.

    :param seed: what it was drawn from.
    :param retries: how often Airflow tries the task again.
    :param retry_delay: after how many seconds.
    :param outcomes: how the task's first run ends, its second one, ...; the last holds for all further ones.
    :param duration: how long a run takes, in seconds.
    :param shape: the emulator's options.
    :param older: how many runs the history holds before.
    :param faults: what comes instead of single answers.
    :param outages: times in which nothing works.
    :param colleagues: when somebody else starts a run: with these params by hand, or without by the schedule.
    :param changes: when which options of the emulator change.
    :param prunings: when the task's newest run is deleted from the history.
    :param strikes: what strikes the task, one after the other.

    The others are the operator's arguments.
    """

    seed: int = 0
    deferrable: bool = False
    retry_mode: Any = "restart"
    retry_stopped: bool = False
    cancel_on_kill: bool = True
    durable: bool = True
    wait_for_completion: bool = True
    poll_interval: float = 30.0
    timeout: float | None = None
    execution_timeout: float | None = None
    unreachable_timeout: float = 900.0
    job_params: JobParams = field(default_factory=dict)
    retries: int = 8
    retry_delay: float = 300.0
    outcomes: tuple[str, ...] = ("succeeded",)
    duration: float = 60.0
    shape: dict[str, Any] = field(default_factory=dict)
    older: int = 3
    faults: tuple[Fault, ...] = ()
    outages: tuple[Outage, ...] = ()
    colleagues: tuple[tuple[float, JobParams | None], ...] = ()
    changes: tuple[tuple[float, dict[str, Any]], ...] = ()
    prunings: tuple[float, ...] = ()
    strikes: tuple[Strike, ...] = ()

    @property
    def is_patient(self) -> bool:
        """Whether there are tries enough that nothing that passes can make the task fail."""
        return self.retries >= PATIENT["retries"]

    @property
    def time_limit(self) -> float | None:
        """Seconds after which the operator gives up, from the try's start."""
        return min((limit for limit in (self.timeout, self.execution_timeout) if limit), default=None)


def draw(seed: int) -> Case:
    """Draw a case from its seed."""
    chance = _Chance(seed)
    patience: dict[str, Any] = (
        PATIENT
        if chance.hits(0.7)
        else {"retries": chance.choice((0, 1, 2)), "retry_delay": chance.choice((1.0, 30.0, 300.0))}
    )
    params: JobParams = chance.choice(({}, {"train": {"x": "7"}}))
    strikes = tuple(_strike(chance) for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3))))
    # A run must show before the next try looks for it: where that may come at once, by a hasty retry or by a person's
    # clear, within start_confirmation_timeout (30 s).
    is_hasty = patience is not PATIENT or any(strike.kind == "clear" for strike in strikes)
    latest = 25.0 if is_hasty else 250.0
    return Case(
        seed=seed,
        deferrable=chance.hits(0.5),
        retry_mode=chance.choice(("restart", "resume")),
        retry_stopped=chance.choice((False, True)),
        cancel_on_kill=chance.hits(0.93),
        wait_for_completion=chance.hits(0.96),
        poll_interval=chance.choice((5.0, 30.0, 30.0, 120.0)),
        timeout=chance.length(20, 900) if chance.hits(0.12) else None,
        execution_timeout=chance.length(20, 900) if chance.hits(0.08) else None,
        unreachable_timeout=chance.choice((900.0, 900.0, 900.0, 90.0)),
        job_params=params,
        outcomes=chance.choice(_OUTCOMES),
        duration=round(chance.length(0.5, 400), 1),
        shape=_shape(chance, latest),
        older=chance.choice((0, 0, 0, 3, 3, 3, 3, 25, 25, 130)),
        faults=tuple(_fault(chance, latest) for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3)))),
        outages=tuple(_outage(chance) for _ in range(chance.hits(0.15))),
        colleagues=tuple(_colleague(chance, params) for _ in range(chance.choice((0, 0, 0, 1, 3)))),
        changes=_changes(chance),
        prunings=tuple(chance.length(5, 900) for _ in range(chance.hits(0.05))),
        strikes=strikes,
        **patience,
    )


_OUTCOMES = (
    *[("succeeded",)] * 6,
    ("failed", "succeeded"),
    ("failed", "failed", "succeeded"),
    ("failed_once",),
    ("failed,failed,succeeded",),
    ("failed",),
)


class _Chance(random.Random):
    def hits(self, probability: float) -> bool:
        return self.random() < probability

    def length(self, shortest: float, longest: float) -> float:
        """A length of time, the short ones as often as the long ones."""
        return float(shortest * (longest / shortest) ** self.random())


def _shape(chance: _Chance, latest: float) -> dict[str, Any]:
    return {
        "history_order": chance.choice(("descending", "descending", "ascending", "shuffled")),
        "history_paging": chance.choice(("always", "always", "never")),
        "history_under": chance.choice(("", "list")),
        "history_delay": chance.choice((0.0, 0.0, 0.0, chance.uniform(0, 20), chance.uniform(0, min(latest / 2, 110)))),
        "start_answer": chance.choice(("run", "run_without_id", "empty", "pipeline")),
        "ids": chance.choice(("number", "text")),
        "times": chance.choice(("ms", "text")),
        "clock_skew": chance.choice((0.0, 0.0, 3600.0, -3600.0)),
        "vocabulary": chance.choice(("lower", "upper", "success", "chinese")),
        "handshake": chance.choice(("data", "top", "nested")),
        "envelope_status": chance.choice(("number", "text")),
        "one_run_call": chance.hits(0.7),
        "stop_seconds": chance.choice((0.5, 0.5, 30.0)),
        "refuse_resume": chance.choice(("", "", "", "不能恢复")),
        "wrong_address": chance.choice((404, 502, 503)),
    }


_CALLS = (
    *["start pipeline"] * 8,
    *["list runs"] * 5,
    *["stop run"] * 2,
    *["read run"] * 3,
    "resume run",
    "resolve engine",
    "ask engine",
    "read pipeline",
)


def _fault(chance: _Chance, latest: float) -> Fault:
    call = chance.choice(_CALLS)
    if call == "start pipeline" and chance.hits(0.1):
        return Fault(call, "late", seconds=chance.uniform(1, latest / 2))
    kind = chance.choice(sorted(BREAKAGES))
    return Fault(
        call,
        kind,
        nth=int(chance.length(1, 12)) - 1 if call in ("list runs", "read run") else chance.choice((0, 0, 0, 1)),
        times=chance.choice((1, 1, 1, 2, 6)),
        after=kind not in NOTHING_DONE and chance.hits(0.6),
    )


def _outage(chance: _Chance) -> Outage:
    begins = chance.uniform(0, 300)
    return Outage(begins, begins + chance.length(5, 1500), chance.choice(("refused", "503", "502", "hang", "html")))


def _colleague(chance: _Chance, params: JobParams) -> tuple[float, JobParams | None]:
    by_hand: JobParams | None = {"n1": {"x": "8"}} if params else None
    return chance.uniform(0, 60), chance.choice((None, by_hand))


def _changes(chance: _Chance) -> tuple[tuple[float, dict[str, Any]], ...]:
    changes: list[tuple[float, dict[str, Any]]] = []
    if chance.hits(0.15):
        changes.append((chance.uniform(0, 300), {"engine_url": "/engine/16/cess-data-3"}))
    if chance.hits(0.1):
        begins = chance.uniform(0, 200)
        changes.append((begins, {"words": {"running": "WARMING_UP"}}))
        changes.append((begins + chance.length(5, 300), {"words": {}}))
    return tuple(changes)


_STRIKES = (
    *["crash"] * 8,
    *["evict"] * 4,
    *["freeze"] * 4,
    *["clear"] * 4,
    *["deaf"] * 2,
    *["fail"] * 3,
    "succeed",
    "end run",
    "break",
    "no triggerer",
)


def _strike(chance: _Chance) -> Strike:
    moment: dict[str, Any] = (
        {"nth": int(chance.length(1, 60))} if chance.hits(0.65) else {"seconds": chance.length(0.1, 1500)}
    )
    return Strike(
        chance.choice(_STRIKES),
        delay=chance.choice((0.0, chance.uniform(0, 6))),
        wakes=int(chance.length(1, 60)) - 1,
        **moment,
    )
