"""
The nodes of runs whose history rows hold none, requested one run at a time within a budget.

Waiting itself costs one request a pipeline and poll. Nodes are only shown, so requests for them must be no load for
FlowEngine: all deferred runs of a connection take turns. The nodes of a few runs are always fresh, those of a thousand
every few minutes. Only the vendor's older client knows the one-run call that returns nodes, so a server may not have
it: if it returns none, it is requested once while runs of a pipeline are waited for.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

log = logging.getLogger(__name__)


class NodeBudget(NamedTuple):
    """
    How often nodes are requested.

    :param requests_per_second: calls a second for each connection and triggerer, default 2; 0 requests no nodes.
    :param interval: seconds between two calls for the same run at least, default 15.
    """

    requests_per_second: float = 2.0
    interval: float = 15.0


DEFAULT_BUDGET = NodeBudget()


@dataclass
class NodeDetails:
    """
    The queue of one connection's runs.

    :param budget: how often nodes are requested.
    """

    budget: NodeBudget = DEFAULT_BUDGET
    _pending: dict[Hashable, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _requested_at: dict[Hashable, float] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def request(self, run: Hashable, fetch: Callable[[], Awaitable[None]]) -> None:
        """
        Queue a request for a run's nodes, unless it is queued already or was sent within the interval.

        :param run: the run's key.
        :param fetch: sends the request when its turn comes.
        """
        now = asyncio.get_running_loop().time()
        rate, interval = self.budget
        if rate <= 0 or (run in self._requested_at and now - self._requested_at[run] < interval):
            return
        self._pending.setdefault(run, fetch)
        if self._task is None:
            self._task = asyncio.create_task(self._take_turns(), name="FlowEngine node details")

    def forget(self, run: Hashable) -> None:
        """Remove a run that no task waits for any more."""
        self._pending.pop(run, None)
        self._requested_at.pop(run, None)

    async def stop(self) -> None:
        """End the requests."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            run, fetch = next(iter(self._pending.items()))
            del self._pending[run]
            requested_at = self._requested_at[run] = loop.time()
            try:
                await fetch()
            except Exception:
                log.debug("The nodes of a run can't be read", exc_info=True)
            # Also after the last one: the next request may come right now.
            await asyncio.sleep(max(0.0, requested_at + 1 / self.budget.requests_per_second - loop.time()))
        self._task = None
