"""
The nodes of runs whose history rows tell none, asked for one by one within a budget.

Waiting itself costs one request a pipeline and poll. Nodes only decorate a run, so asking for them must never be felt
by FlowEngine: all deferred runs of a connection take turns, a few runs' nodes are fresh at once and a thousand's every
few minutes. Only the vendor's older client has the one-run call that tells nodes, so a server need not: one that tells
none is asked once a pipeline.
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
    How often nodes are asked for.

    :param requests_per_second: calls a second for each connection and triggerer, default 2; 0 asks for no nodes.
    :param interval: seconds between two calls for the same run at least, default 15.
    """

    requests_per_second: float = 2.0
    interval: float = 15.0


DEFAULT_BUDGET = NodeBudget()


@dataclass
class NodeDetails:
    """
    The turns of one connection's runs.

    :param budget: how often they come.
    """

    budget: NodeBudget = DEFAULT_BUDGET
    _pending: dict[Hashable, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    _asked_at: dict[Hashable, float] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def request(self, run: Hashable, fetch: Callable[[], Awaitable[None]]) -> None:
        """
        Let a run wait for its turn, unless it waits already or has just had one.

        :param run: names the run.
        :param fetch: asks for its nodes when its turn comes.
        """
        now = asyncio.get_running_loop().time()
        rate, interval = self.budget
        if rate <= 0 or (run in self._asked_at and now - self._asked_at[run] < interval):
            return
        self._pending.setdefault(run, fetch)
        if self._task is None:
            self._task = asyncio.create_task(self._take_turns(), name="FlowEngine node details")

    def forget(self, run: Hashable) -> None:
        """Remove a run that no task waits for any more."""
        self._pending.pop(run, None)
        self._asked_at.pop(run, None)

    async def stop(self) -> None:
        """End the turns."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _take_turns(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pending:
            run, fetch = next(iter(self._pending.items()))
            del self._pending[run]
            began = self._asked_at[run] = loop.time()
            try:
                await fetch()
            except Exception:
                log.debug("The nodes of a run can't be read", exc_info=True)
            # Also after the last one: a run that is requested right now begins a new round.
            await asyncio.sleep(max(0.0, began + 1 / self.budget.requests_per_second - loop.time()))
        self._task = None
