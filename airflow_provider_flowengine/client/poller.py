"""
One poll for all waiters of a pipeline: what waiting costs depends on how many pipelines there are, not how many runs.

In a triggerer, hundreds of deferred tasks may wait for runs of few pipelines. All waiters of one pipeline share one
:class:`Poll` of its run history, which begins with the first and ends with the last, and looks again when the first of
them is due. All polls of one connection share one :class:`Line`: one HTTP session, and the connection's settings, read
again once a minute, so an edited connection is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_flowengine.client.aio import AsyncClient
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import FlowEngineError, ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.history import MIN_PAGE_SIZE, History

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.settings import Settings
    from airflow_provider_flowengine.protocol.waiting import RunMonitor

log = logging.getLogger(__name__)

SETTINGS_TTL = 60.0
"""Seconds after which a connection's settings are read again."""

TICK = 0.05
"""Seconds between the moments at which polls go out: few at a time wake the event loop less often than one by one."""


class EngineRef(NamedTuple):
    """An engine as a task has resolved it, so that the handshake isn't repeated: its key, its url and its id."""

    key: str
    url: str
    id: Identifier


@dataclass
class SharedConnection:
    """
    What all waiters of one connection share.

    :param load: reads the connection's settings.
    :param connect: makes the client that goes with them.
    """

    load: Callable[[], Awaitable[Settings]]
    connect: Callable[[Settings], AsyncClient] = AsyncClient
    polls: dict[tuple[str, Identifier], PipelinePoller] = field(default_factory=dict)
    users: int = 0
    _settings: Settings | None = None
    _client: AsyncClient | None = None
    _retired: list[AsyncClient] = field(default_factory=list)
    _loaded: float = 0.0
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def current(self) -> tuple[Settings, AsyncClient]:
        """Return the connection's settings, no older than a minute, and the client that goes with them."""
        async with self._loading:
            if self._settings is None or self._client is None or time.monotonic() - self._loaded > SETTINGS_TTL:
                settings = await self._load()
                self._loaded = time.monotonic()
                await self._close_retired()  # whose last requests have had a minute
                if settings != self._settings or self._client is None:
                    if self._client:
                        log.info("The connection has changed; going on with what it says now.")
                        self._retired.append(self._client)
                    self._settings, self._client = settings, self.connect(settings)
            return self._settings, self._client

    async def _load(self) -> Settings:
        """Read the settings; while they can't be read, go on with what there is, or let the waiters be patient."""
        try:
            return await self.load()
        except Exception as error:
            log.warning("The connection can't be read: %s: %s", type(error).__name__, error)
            if self._settings:
                return self._settings
            raise ServiceUnavailableError(f"The connection can't be read: {error}", taken=False) from error

    async def close(self) -> None:
        """Close the sessions."""
        if self._client:
            self._retired.append(self._client)
            self._client = None
        await self._close_retired()

    async def _close_retired(self) -> None:
        while self._retired:
            await self._retired.pop().close()


@dataclass
class _Subscriber:
    """One waiter's place in a poll, and the context by which Airflow knows whose log a line belongs to."""

    waiter: RunMonitor
    result: asyncio.Future[PipelineRun]
    due: float
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass
class PipelinePoller:
    """
    The one poll of a pipeline's history.

    :param line: the connection.
    :param engine: the engine.
    :param pipeline_id: the pipeline.
    """

    line: SharedConnection
    engine: EngineRef
    pipeline_id: Identifier
    _places: dict[int, _Subscriber] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None
    _sleep: asyncio.Future[None] | None = None
    _api: Api | None = None
    _history: History | None = None

    async def wait(self, waiter: RunMonitor) -> PipelineRun:
        """
        Wait until a run has ended, however it ended.

        :raises RunError: when it can't be waited for any longer.
        """
        now = time.time()
        # The first look is spread over the delay, so that a thousand pipelines aren't asked in the same instant.
        place = _Subscriber(
            waiter, asyncio.get_running_loop().create_future(), now + random.random() * waiter.delay(now)
        )
        self._places[id(place)] = place
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"FlowEngine poll of pipeline {self.pipeline_id}")
        self._wake()
        try:
            return await place.result
        finally:
            del self._places[id(place)]
            self._wake()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits."""
        return not self._places

    async def stop(self) -> None:
        """End the loop."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                await self._look()
        except Exception as error:
            # A fault of our own must reach the waiters: a poll that ends silently would leave them waiting for ever.
            for place in self._waiting():
                place.result.set_exception(error)
            self._task = None

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = min((place.due for place in self._waiting()), default=None)
            now = time.time()
            if due is not None and due <= now:
                return
            # Not asyncio.wait_for, which loses a cancellation in Python 3.11 when news come at the same time.
            self._sleep = loop.create_future()
            alarm = loop.call_later(math.ceil(due / TICK) * TICK - now, self._wake) if due is not None else None
            try:
                await self._sleep
            finally:
                if alarm:
                    alarm.cancel()

    def _wake(self) -> None:
        """Let the loop look anew at who is due: somebody has come or gone, or it is time."""
        if self._sleep and not self._sleep.done():
            self._sleep.set_result(None)

    async def _look(self) -> None:
        """Look at the history once, and tell every waiter what it shows of its run."""
        places = self._waiting()
        try:
            found, recent = await self._find(places)
        except FlowEngineError as failure:
            error = failure
            self._tell(places, lambda waiter, now: waiter.failed(error, now))
        else:
            self._tell(
                places,
                lambda waiter, now: (
                    waiter.observe_any(recent, now)
                    if waiter.run_id is None
                    else waiter.observe(found.get(waiter.run_id), now)
                ),
            )

    async def _find(self, places: list[_Subscriber]) -> tuple[dict[Identifier, PipelineRun], list[PipelineRun]]:
        """Return the runs that are waited for, and the recent ones where somebody waits for a run to come."""
        settings, client = await self.line.current()
        if self._api is None or self._history is None:
            address = (self.engine.url, self.engine.id)
            self._api = Api(settings, self.engine.key, address=address, retry=NO_RETRY)
            self._history = History(self._api, self.pipeline_id, MIN_PAGE_SIZE)
        self._api.settings = settings
        wanted = {place.waiter.run_id for place in places if place.waiter.run_id is not None}
        moments = [place.waiter.started_after for place in places if place.waiter.run_id is None]
        found = await client.run(self._history.find_all(wanted)) if wanted else {}
        recent: list[PipelineRun] = []
        if moments:
            earliest = min((moment for moment in moments if moment), default=None)
            recent = await client.run(self._history.since(earliest))
        return found, recent

    def _tell(self, places: list[_Subscriber], take: Callable[[RunMonitor, float], PipelineRun | None]) -> None:
        now = time.time()
        for place in places:
            if place.result.done():
                continue
            try:
                run = place.context.run(take, place.waiter, now)
            except FlowEngineError as error:
                place.result.set_exception(error)
            else:
                if run:
                    place.result.set_result(run)
                else:
                    place.due = now + place.waiter.delay(now)

    def _waiting(self) -> list[_Subscriber]:
        return [place for place in self._places.values() if not place.result.done()]


_lines: dict[tuple[asyncio.AbstractEventLoop, str], SharedConnection] = {}


@contextlib.asynccontextmanager
async def line(
    conn_id: str,
    load: Callable[[], Awaitable[Settings]],
    connect: Callable[[Settings], AsyncClient] = AsyncClient,
) -> AsyncGenerator[SharedConnection]:
    """
    Use a connection's line: the one there is in this event loop, or a new one; the last user closes it.

    :param conn_id: the connection's id.
    :param load: reads its settings.
    :param connect: makes the client of a new one.
    """
    key = (asyncio.get_running_loop(), conn_id)
    shared = _lines.setdefault(key, SharedConnection(load, connect))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            _lines.pop(key, None)
            await shared.close()


async def wait(
    conn_id: str,
    load: Callable[[], Awaitable[Settings]],
    engine: EngineRef,
    waiter: RunMonitor,
    connect: Callable[[Settings], AsyncClient] = AsyncClient,
) -> PipelineRun:
    """
    Wait until a run has ended, sharing the poll of its pipeline with everybody who waits in this event loop.

    :param conn_id: the connection's id.
    :param load: reads its settings.
    :param engine: the engine.
    :param waiter: what decides.
    :param connect: makes the client, where nobody has one yet.
    :return: the run as it ended.
    :raises RunError: when it can't be waited for any longer.
    """
    async with line(conn_id, load, connect) as shared:
        key = (engine.key, waiter.pipeline_id)
        poll = shared.polls.setdefault(key, PipelinePoller(shared, engine, waiter.pipeline_id))
        try:
            return await poll.wait(waiter)
        finally:
            if poll.is_idle and shared.polls.get(key) is poll:
                del shared.polls[key]
                await poll.stop()
