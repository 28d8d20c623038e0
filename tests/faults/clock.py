"""Time that passes only when somebody lets it pass: the machine's clock, and an event loop that lives by it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Any
from unittest import mock

import time_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

START = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TICK = 1 / 512  # exact in seconds as a float and in nanoseconds: whoever computes with such times is never off


class Clock:
    """The machine's clock, standing still, and what is to happen when."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self.now = START.timestamp()

    def at(self, moment: float, what: Callable[[], object]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self._due, (moment, next(self._order), what))

    def advance(self, seconds: float) -> None:
        """Let time pass, and happen what is due meanwhile."""
        until = _tick(self.now + seconds) if seconds > TICK else self.now + (TICK if seconds > 0 else 0.0)
        while self._due and self._due[0][0] <= until:
            moment, _, what = heapq.heappop(self._due)
            self._go_to(moment)
            what()
        self._go_to(until)

    def _go_to(self, moment: float) -> None:
        step = max(_tick(moment) - self.now, 0.0)
        self.now += step
        self._traveller.shift(step)


def _tick(moment: float) -> float:
    return ceil(moment / TICK) * TICK


@contextmanager
def standing_clock() -> Iterator[Clock]:
    """Make the machine's clock stand still."""
    with time_machine.travel(START, tick=False) as traveller:
        clock = Clock(traveller)

        def monotonic() -> float:
            return clock.now - START.timestamp()

        with mock.patch("time.monotonic", monotonic):
            yield clock


class Loop(asyncio.SelectorEventLoop):
    """An event loop that waits for nothing: where it would, the clock is put forward."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Selector(clock))
        self._clock = clock

    def time(self) -> float:
        return self._clock.now - START.timestamp()  # small, as asyncio's own: it adds a nanosecond to it

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Run it at once: a thread would bring the machine's own time in."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class _Selector(selectors.SelectSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("The event loop waits for something that will never happen")
        self._clock.advance(timeout)
        return super().select(0)
