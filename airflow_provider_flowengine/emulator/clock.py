"""The emulator's time, so that a test need not wait for it."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock, or one that stands still until it is told to go on.

    :param start: where the clock stands (seconds since the epoch); None takes the machine's running clock.
    """

    def __init__(self, start: float | None = None) -> None:
        self.reset(start)

    def reset(self, start: float | None = None) -> None:
        """Begin anew, as if just made."""
        self._frozen_at = start
        self._ahead = 0.0

    def now(self) -> float:
        """The emulator's time, in seconds since the epoch."""
        return (time.time() if self._frozen_at is None else self._frozen_at) + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass at once.

        :param seconds: how many seconds; not negative, since finished runs would go on again.
        :raises ValueError: for a negative number.
        """
        if seconds < 0:
            raise ValueError(f"Time goes forward only, not by {seconds} s")
        self._ahead += seconds
