"""Sessions of the session call: each has a token, and ends as the options say."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clock import Clock
    from .options import Options


_MAX_SESSIONS = 10_000  # sessions at once; one more ends the oldest


@dataclass
class _Session:
    """
    One session.

    :param begun: when it was signed in.
    :param calls: how many calls it has been used for.
    """

    begun: float
    calls: int = 0


class Sessions:
    """
    The sessions. May be used from any thread.

    :param options: how long a session lasts.
    :param clock: the time.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}

    def begin(self) -> str:
        """Sign in, and return the new session's token."""
        token = secrets.token_urlsafe()
        with self._lock:
            self._sessions[token] = _Session(self._clock.now())
            if len(self._sessions) > _MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return token

    def use(self, token: str) -> bool:
        """
        Count a call for a session, and return whether it still lasts.

        :param token: the cookie ``User-Token``.
        """
        with self._lock:
            session = self._sessions.get(token)
            if session is None:
                return False
            session.calls += 1
            calls, seconds = self._options.session_calls, self._options.session_seconds
            if (calls and session.calls > calls) or (seconds and self._clock.now() >= session.begun + seconds):
                del self._sessions[token]
                return False
            return True

    def end_all(self) -> None:
        """End all sessions, as a restart of the gateway does."""
        with self._lock:
            self._sessions.clear()
