"""
Conversations with FlowEngine, as generators that yield requests and sleeps and are sent responses.

A flow is driven by :mod:`airflow_provider_flowengine.client` over requests or aiohttp, or in a test by a list of
responses and a fake clock; so it is written once, and sync and async never differ.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from airflow_provider_flowengine.protocol.http import Request, Response

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sleep:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class SignIn:
    """
    Sign in first, one request of a client at a time: only :mod:`.session` asks for it.

    :param flow: signs in.
    """

    flow: Flow[None]


Step = Request | Sleep | SignIn
Flow = Generator[Step, Response | None, T]


class Client(Protocol):
    """Drives flows: the hook's type hint, without the HTTP library that :class:`.client.sync.Client` loads."""

    def run(self, flow: Flow[T]) -> T:
        """
        Drive a flow to its end.

        :param flow: the flow.
        :return: what the flow returns.
        """

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class Finished(Generic[T]):
    """A flow's end, with what it returned."""

    value: T


def advance(flow: Flow[T], outcome: Response | FlowEngineError | None) -> Step | Finished[T]:
    """
    Take a flow one step further: all that a transport needs to know of flows.

    :param flow: the flow.
    :param outcome: what came of its last step: the response to a request, the error instead of one, None for a sleep
        and for the very first step.
    :return: what to do next, or the flow's end.
    """
    try:
        return flow.throw(outcome) if isinstance(outcome, FlowEngineError) else flow.send(outcome)
    except StopIteration as end:
        return Finished(end.value)


def unless_refused(page: Flow[T]) -> Flow[T | None]:
    """
    Return a further page of a list; None if the server refuses it, as one beyond the end.

    :param page: requests it.
    """
    try:
        return (yield from page)
    except AccessDeniedError:
        raise
    except RequestRejectedError as error:
        log.debug("This page is taken for one beyond the end: %s", error)
        return None


def supervise(
    flow: Flow[T],
    check: Callable[[Step], Step] = lambda step: step,
    send: Callable[[Request], Flow[Response]] | None = None,
) -> Flow[T]:
    """
    Return a flow with a say in each of its steps.

    :param flow: the flow.
    :param check: is given each step before it is taken, and returns the one to take; what it raises ends the flow.
    :param send: sends a request, by several steps if need be; default as it is.
    """
    outcome: Response | FlowEngineError | None = None
    while True:
        step = advance(flow, outcome)
        if isinstance(step, Finished):
            return step.value
        step = check(step)
        try:
            outcome = (yield from send(step)) if send and isinstance(step, Request) else (yield step)
        except FlowEngineError as error:
            outcome = error


MIN_REQUEST_TIMEOUT = 1.0
"""Seconds that a request may take at least, however little is left until a deadline."""


def with_deadline(flow: Flow[T], deadline: float, now: Callable[[], float]) -> Flow[T]:
    """
    Return a flow that takes no longer than until a deadline, however many requests it sends.

    :param flow: the flow.
    :param deadline: the deadline, in seconds since the epoch.
    :param now: tells the time, in seconds since the epoch.
    :raises ServiceUnavailableError: if it was not over by then.
    """

    def check(step: Step) -> Step:
        left = deadline - now()
        if left <= 0:
            raise ServiceUnavailableError("FlowEngine did not answer in time.")
        if isinstance(step, Request):
            return replace(step, timeout=min(step.timeout, max(left, MIN_REQUEST_TIMEOUT)))
        return step

    return supervise(flow, check)


MAX_RETRY_AFTER = 300.0
"""Seconds that a server may ask to wait: what it asks beyond them is too long for a task that waits."""


@dataclass(frozen=True)
class Retry:
    """
    How often, and after which pauses, a request is sent again.

    :param attempts: how often it is sent at most, default 5.
    :param first_delay: seconds before the second time, doubled for each further one, default 0.5.
    :param max_delay: no pause of our own is longer, in seconds, default 30; what a server asks for by
        ``Retry-After`` is obeyed up to :data:`MAX_RETRY_AFTER`.
    :param jitter: by which part a pause may be longer, so that many clients don't come back at once, default 0.25.
    """

    attempts: int = 5
    first_delay: float = 0.5
    max_delay: float = 30.0
    jitter: float = 0.25

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to pause after so many attempts, at least what the server asked for."""
        doubled = min(self.first_delay * 2.0 ** min(attempt - 1, 32), self.max_delay)
        return max(doubled, min(retry_after or 0.0, MAX_RETRY_AFTER)) * (1 + random.uniform(0, self.jitter))


NO_RETRY = Retry(attempts=1)
"""Send a request once and let the caller decide: while waiting, the next poll is the retry."""
