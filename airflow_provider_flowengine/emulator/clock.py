"""The emulator's time, which a test can advance without waiting."""

from __future__ import annotations

import time

MAX_TIME = 250_000_000_000.0  # seconds since the epoch, in the year 9892: Python's dates end with 9999


class Clock:
    """
    The machine's clock, or one that stands still until it is moved.

    :param start: where the clock stands (seconds since the epoch); None takes the machine's running clock.
    """

    def __init__(self, start: float | None = None) -> None:
        self.reset(start)

    def reset(self, start: float | None = None) -> None:
        """
        Reset it, as if just made.

        :raises ValueError: for a time that is no date.
        """
        if start is not None and not 0 <= start <= MAX_TIME:
            raise ValueError(f"{start} is no time between the years 1970 and 9892, in seconds since 1970")
        self._frozen_at = start
        self._ahead = 0.0

    def now(self) -> float:
        """Return the emulator's time, in seconds since the epoch."""
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._ahead

    def advance(self, seconds: float) -> None:
        """
        Advance the time at once.

        :param seconds: how many seconds; not negative, since finished runs would run again.
        :raises ValueError: for a negative number, or more than there are dates.
        """
        if not 0 <= seconds <= MAX_TIME - self.now():
            raise ValueError(f"time goes forward only, and not beyond the year 9892; {seconds} s are no such step")
        self._ahead += seconds
