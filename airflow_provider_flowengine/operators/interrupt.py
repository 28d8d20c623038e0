"""
When the end of a task may interrupt what it is doing.

Airflow calls ``on_kill`` from a signal handler, interrupting whatever the task is executing. Waiting for FlowEngine may
be interrupted there. A request to Airflow's supervisor must not be: its unread response would be taken for the reply
to the next one. So an interrupt is raised at once only in :meth:`Interrupt.interruptible`, and elsewhere at the next
:meth:`Interrupt.checkpoint`. The names are anyio's.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Interrupted(BaseException):
    """Unwinds what a signal has interrupted, so that what follows doesn't run inside the signal's handler."""


class Interrupt:
    """The interrupt that may come while a task executes."""

    def __init__(self) -> None:
        self._is_requested = False
        self._is_interruptible = False
        self._thread: int | None = None

    @contextmanager
    def armed(self) -> Generator[None]:
        """Mark the thread that executes the task, while it does."""
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def request(self) -> bool:
        """
        Request the task's end.

        :return: whether it cannot be interrupted, since it executes in another thread: then the caller decides about
            the run.
        :raises Interrupted: inside what it interrupts.
        """
        self._is_requested = True
        if self._thread != threading.get_ident():
            return self._thread is not None
        if self._is_interruptible:
            raise Interrupted
        return False

    @contextmanager
    def interruptible(self) -> Generator[None]:
        """
        Let it interrupt at once: nothing in here talks to Airflow's supervisor.

        :raises Interrupted: when it was requested before.
        """
        with self._set(interruptible=True):
            self.checkpoint()
            yield

    @contextmanager
    def shielded(self) -> Generator[None]:
        """
        Hold it off while something does talk to the supervisor, in the midst of what is interruptible.

        :raises Interrupted: after that, when it was requested meanwhile.
        """
        with self._set(interruptible=False):
            yield
        if self._is_interruptible:
            self.checkpoint()

    def checkpoint(self) -> None:
        """
        Give way to an interrupt that was requested while it couldn't be raised.

        :raises Interrupted: when there is one.
        """
        if self._is_requested:
            raise Interrupted

    @contextmanager
    def _set(self, *, interruptible: bool) -> Generator[None]:
        before, self._is_interruptible = self._is_interruptible, interruptible
        try:
            yield
        finally:
            self._is_interruptible = before
