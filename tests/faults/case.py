"""One case of the campaign: what the task is like, what FlowEngine is like, and what breaks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from .airflow import Strike
from .flowengine import BREAKAGES, NOTHING_DONE, Fault, Outage

JobParams = dict[str, dict[str, str]]

PATIENT = {"retries": 8, "retry_delay": 300.0}
"""So many tries, so far apart, that whatever breaks has passed before the last one."""


@dataclass(frozen=True)
class Case:
    """
    One case. The defaults are the plain case: a run of a minute that succeeds, and nothing breaks.

    :param seed: what pauses of no weight are drawn from.
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


# --- drawing one ------------------------------------------------------------------------------------------------------
#
# What is listed first is what a case that fails shrinks to.


def one_in(number: int) -> st.SearchStrategy[bool]:
    """Once in so many cases."""
    return st.sampled_from([False] * (number - 1) + [True])


def seldom(strategy: st.SearchStrategy[Any], number: int) -> st.SearchStrategy[tuple[Any, ...]]:
    """Nothing, or once in so many cases one."""
    return one_in(number).flatmap(lambda hits: st.tuples(strategy) if hits else st.just(()))


def some(strategy: st.SearchStrategy[Any], numbers: list[int]) -> st.SearchStrategy[tuple[Any, ...]]:
    """As many as one of these numbers says."""
    return st.sampled_from(numbers).flatmap(lambda number: st.tuples(*[strategy] * number))


def seconds(longest: float, shortest: float = 0.0) -> st.SearchStrategy[float]:
    """A length of time."""
    return st.integers(0, 1000).map(lambda part: round(shortest + (longest - shortest) * part / 1000, 3))


def length(shortest: float, longest: float) -> st.SearchStrategy[float]:
    """A length of time, the short ones as often as the long ones."""
    return st.integers(0, 1000).map(lambda part: round(shortest * (longest / shortest) ** (part / 1000), 3))


def count(most: int) -> st.SearchStrategy[int]:
    """A number from 1 on, the small ones as often as the great ones."""
    return length(1, most).map(int)


IMPATIENT = st.fixed_dictionaries(
    {"retries": st.sampled_from([0, 1, 2]), "retry_delay": st.sampled_from([300.0, 30.0, 1.0])}
)
PARAMS: st.SearchStrategy[JobParams] = st.sampled_from([{}, {"train": {"x": "7"}}])
OUTCOMES = st.sampled_from(
    [
        *[("succeeded",)] * 6,
        ("failed", "succeeded"),
        ("failed", "failed", "succeeded"),
        ("failed_once",),
        ("failed,failed,succeeded",),
        ("failed",),
    ]
)
CALLS = st.sampled_from(
    [
        *["list runs"] * 5,
        *["start pipeline"] * 8,
        *["stop run"] * 2,
        *["read run"] * 3,
        "resume run",
        "resolve engine",
        "ask engine",
        "read pipeline",
    ]
)
OUTAGES = st.builds(
    lambda begins, lasts, kind: Outage(begins, begins + lasts, kind),
    seconds(300),
    length(5, 1500),
    st.sampled_from(["refused", "503", "502", "hang", "html"]),
)
MOVES = st.builds(lambda moment: ((moment, {"engine_url": "/engine/16/cess-data-3"}),), seconds(300))
UNKNOWN_WORDS = st.builds(
    lambda begins, lasts: ((begins, {"words": {"running": "WARMING_UP"}}), (begins + lasts, {"words": {}})),
    seconds(200),
    length(5, 300),
)
CHANGES = st.builds(
    lambda moves, words: sum((*moves, *words), ()),
    seldom(MOVES, 7),
    seldom(UNKNOWN_WORDS, 10),
)
STRIKES = st.builds(
    lambda kind, moment, delay, wakes: Strike(kind, delay=delay, wakes=wakes - 1, **moment),
    st.sampled_from(
        [
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
        ]
    ),
    st.sampled_from(["nth", "nth", "seconds"]).flatmap(
        lambda how: st.fixed_dictionaries({how: count(60) if how == "nth" else length(0.1, 1500)})
    ),
    st.just(0.0) | seconds(6),
    count(60),
)


def shapes(latest: float) -> st.SearchStrategy[dict[str, Any]]:
    """How FlowEngine is; a run shows in its history by so many seconds at the latest."""
    return st.fixed_dictionaries(
        {
            "history_order": st.sampled_from(["descending", "descending", "ascending", "shuffled"]),
            "history_paging": st.sampled_from(["always", "always", "never"]),
            "history_under": st.sampled_from(["", "list"]),
            "history_delay": st.sampled_from([0.0, 0.0, 0.0, 20.0, min(latest / 2, 110.0)]).flatmap(seconds),
            "start_answer": st.sampled_from(["run", "run_without_id", "empty", "pipeline"]),
            "ids": st.sampled_from(["number", "text"]),
            "times": st.sampled_from(["ms", "text"]),
            "clock_skew": st.sampled_from([0.0, 0.0, 3600.0, -3600.0]),
            "vocabulary": st.sampled_from(["lower", "upper", "success", "chinese"]),
            "handshake": st.sampled_from(["data", "top", "nested"]),
            "envelope_status": st.sampled_from(["number", "text"]),
            "one_run_call": st.sampled_from([True, True, False]),
            "stop_seconds": st.sampled_from([0.5, 0.5, 30.0]),
            "refuse_resume": st.sampled_from(["", "", "", "不能恢复"]),
            "wrong_address": st.sampled_from([404, 502, 503]),
        }
    )


@st.composite
def faults(draw: st.DrawFn, latest: float) -> Fault:
    """What comes instead of an answer; a run shows by so many seconds at the latest."""
    call = draw(CALLS)
    if call == "start pipeline" and draw(one_in(10)):
        return Fault(call, "late", seconds=draw(seconds(latest / 2, 1.0)))
    kind = draw(st.sampled_from(sorted(BREAKAGES)))
    return Fault(
        call,
        kind,
        nth=draw(count(12)) - 1 if call in ("list runs", "read run") else draw(st.sampled_from([0, 0, 0, 1])),
        times=draw(st.sampled_from([1, 1, 1, 2, 6])),
        after=kind not in NOTHING_DONE and draw(st.sampled_from([True, True, False])),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case."""
    patience = PATIENT if draw(st.sampled_from([True, True, False])) else draw(IMPATIENT)
    params = draw(PARAMS)
    strikes = draw(some(STRIKES, [1, 0, 1, 1, 2, 2, 3]))
    # A run must show before the next try looks for it: where that may come at once, by a hasty retry or by a person's
    # clear, within start_confirmation_timeout (30 s).
    is_hasty = patience is not PATIENT or any(strike.kind == "clear" for strike in strikes)
    latest = 25.0 if is_hasty else 250.0
    by_hand: JobParams | None = {"n1": {"x": "8"}} if params else None
    return Case(
        seed=draw(st.integers(0, 2**16)),
        deferrable=draw(st.booleans()),
        retry_mode=draw(st.sampled_from(["restart", "resume"])),
        retry_stopped=draw(st.booleans()),
        cancel_on_kill=not draw(one_in(14)),
        wait_for_completion=not draw(one_in(25)),
        poll_interval=draw(st.sampled_from([30.0, 30.0, 5.0, 120.0])),
        timeout=draw(length(20, 900)) if draw(one_in(8)) else None,
        execution_timeout=draw(length(20, 900)) if draw(one_in(12)) else None,
        unreachable_timeout=draw(st.sampled_from([900.0, 900.0, 900.0, 90.0])),
        job_params=params,
        outcomes=draw(OUTCOMES),
        duration=draw(length(0.5, 400)),
        shape=draw(shapes(latest)),
        older=draw(st.sampled_from([0, 0, 0, 3, 3, 3, 3, 25, 25, 130])),
        faults=draw(some(faults(latest), [0, 0, 1, 1, 1, 2, 3])),
        outages=draw(seldom(OUTAGES, 7)),
        colleagues=draw(some(st.tuples(seconds(60), st.sampled_from([None, by_hand])), [0, 0, 0, 1, 3])),
        changes=draw(CHANGES),
        prunings=draw(seldom(length(5, 900), 20)),
        strikes=strikes,
        **patience,
    )
