"""
One HTTP session and one copy of the settings for all who use a connection in an event loop.

In a triggerer, hundreds of triggers may use few connections. A connection's settings are read again once a minute, so
that an edited connection is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.client.aio import AsyncClient
from airflow_provider_flowengine.client.node_details import DEFAULT_BUDGET, NodeBudget, NodeDetails
from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

SETTINGS_TTL = 60.0
"""Seconds after which a connection's settings are read again."""


@dataclass
class SharedConnection:
    """
    What all users of one connection share.

    :param load: reads the connection's settings.
    :param connect: makes the client that goes with them.
    :param node_details: requests the nodes of runs whose history rows hold none.
    :param users: how many use it now; the last one closes it.
    """

    load: Callable[[], Awaitable[Settings]]
    connect: Callable[[Settings], AsyncClient] = AsyncClient
    node_details: NodeDetails = field(default_factory=NodeDetails)
    users: int = 0
    _current: tuple[Settings, AsyncClient] | None = None
    _retired: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _loaded_at: float = 0.0
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def acquire(self) -> tuple[Settings, AsyncClient]:
        """
        Return the connection's settings, no older than a minute, and the client that goes with them.

        :raises ServiceUnavailableError: when the settings cannot be read and there are no earlier ones.
        """
        async with self._loading:
            if self._current is None or time.monotonic() - self._loaded_at > SETTINGS_TTL:
                self._current = await self._renewed()
            return self._current

    async def _renewed(self) -> tuple[Settings, AsyncClient]:
        settings = await self._load()
        self._loaded_at = time.monotonic()
        await self._retired.aclose()  # their last requests have had a minute to finish
        if self._current:
            if settings == self._current[0]:
                return self._current
            log.info("The connection has changed; using its new settings.")
            self._retired.push_async_callback(self._current[1].close)
        return settings, self.connect(settings)

    async def _load(self) -> Settings:
        """Read the settings; while they can't be read, keep the earlier ones, or report a failed poll."""
        try:
            return await self.load()
        except Exception as error:
            log.warning("The connection can't be read: %s: %s", type(error).__name__, error)
            if self._current:
                return self._current[0]
            raise ServiceUnavailableError(
                f"The connection can't be read: {error}", may_have_been_processed=False
            ) from error

    async def close(self) -> None:
        """Close the sessions."""
        await self.node_details.stop()
        if self._current:
            self._retired.push_async_callback(self._current[1].close)
            self._current = None
        await self._retired.aclose()


_connections: dict[tuple[asyncio.AbstractEventLoop, str], SharedConnection] = {}


@contextlib.asynccontextmanager
async def shared_connection(
    conn_id: str,
    load: Callable[[], Awaitable[Settings]],
    connect: Callable[[Settings], AsyncClient] = AsyncClient,
    node_budget: NodeBudget = DEFAULT_BUDGET,
) -> AsyncGenerator[SharedConnection]:
    """
    Use the connection that this event loop shares, or open it; the last user closes it.

    :param conn_id: the connection's id.
    :param load: reads its settings.
    :param connect: makes the client of a new one.
    :param node_budget: how often a new one requests nodes that the history doesn't hold.
    """
    key = (asyncio.get_running_loop(), conn_id)
    shared = _connections.setdefault(key, SharedConnection(load, connect, NodeDetails(node_budget)))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            _connections.pop(key, None)
            await shared.close()
