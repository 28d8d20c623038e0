"""
When a kill may strike a task that waits.

Airflow tells a task of its end in a signal's handler, on top of whatever the task is doing. A wait for FlowEngine may
be broken off there. A talk with Airflow may not: its answer would be left in the channel, for the next question. So a
kill strikes at once only where it is let to, and elsewhere when the task asks for it.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Interrupted(BaseException):
    """Unwinds a wait that a signal has struck, so that what follows doesn't run inside the signal's handler."""


class Interrupt:
    """The kill that may come while a task works."""

    def __init__(self) -> None:
        self._is_asked = False
        self._strikes = False
        self._thread: int | None = None

    @contextmanager
    def expected(self) -> Generator[None]:
        """Mark the thread that the task works in, and that it works."""
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def ask(self) -> bool:
        """
        Ask for the task's end.

        :return: whether it can't be struck, since it works in another thread: then the caller is to see to the rest.
        :raises Interrupted: inside the wait that it strikes.
        """
        self._is_asked = True
        if self._thread != threading.get_ident():
            return self._thread is not None
        if self._strikes:
            raise Interrupted
        return False

    @contextmanager
    def strikes(self) -> Generator[None]:
        """Let it strike at once: nothing here talks to Airflow."""
        self._strikes = True
        try:
            self.strike_if_asked()
            yield
        finally:
            self._strikes = False

    @contextmanager
    def waits(self) -> Generator[None]:
        """Keep it off where something does talk to Airflow, inside of where it strikes; it strikes after it."""
        self._strikes = False
        yield
        self._strikes = True
        self.strike_if_asked()

    def strike_if_asked(self) -> None:
        """
        Let a kill strike that came while it couldn't.

        :raises Interrupted: when one has come.
        """
        if self._is_asked:
            raise Interrupted
