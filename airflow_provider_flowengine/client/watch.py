"""
Observe a pipeline's history again and again, for all triggers that watch it.

A waiter (:mod:`.poller`) waits for one run and is done. A watcher reports whatever ends next and is never done: no
error ends it, and all triggers that watch a pipeline share its observations.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.cursor import Cursor, Snapshot, take_snapshot
from airflow_provider_flowengine.protocol.flow import NO_RETRY, Retry
from airflow_provider_flowengine.protocol.history import History

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from airflow_provider_flowengine.client.shared_connection import SharedConnection
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

_RETRY = Retry(first_delay=2.0, max_delay=60.0, jitter=0.0)
"""The pauses while FlowEngine gives no usable answer, unless the interval is longer."""


class PipelineRef(NamedTuple):
    """What a pipeline is identified by: the field (``id``, ``key`` or ``name``) and its value."""

    field: str
    value: Identifier


@dataclass
class Observation:
    """
    One poll's result, as every trigger receives it.

    :param snapshot: the runs that it has shown.
    :param url_of: returns the address of a run's page.
    """

    snapshot: Snapshot
    url_of: Callable[[PipelineRun], str]
    _watcher: PipelineWatcher

    def require(self, cursor: Cursor, *, immediate: bool = False) -> None:
        """
        Let the next snapshot reach back to a cursor.

        :param cursor: how far a trigger has come.
        :param immediate: whether to take it at once, since this one doesn't reach back far enough.
        """
        self._watcher.pending_cursors.add(cursor)
        if immediate:
            self._watcher.poll_now.set()


@dataclass
class PipelineWatcher:
    """
    The one watcher of a pipeline.

    :param connection: the connection.
    :param engine_key: the engine; empty for the connection's.
    :param pipeline: the pipeline.
    :param interval: seconds between two polls.
    """

    connection: SharedConnection
    engine_key: str
    pipeline: PipelineRef
    interval: float
    pending_cursors: set[Cursor] = field(default_factory=set)
    poll_now: asyncio.Event = field(default_factory=asyncio.Event)
    _api: Api | None = None
    _history: History | None = None

    async def observations(self) -> AsyncGenerator[Observation]:
        """Poll without end. A failed poll is logged, once for many of its kind, and repeated later."""
        failures = 0
        reported: type[Exception] | None = None
        # Jitter the second poll to prevent a thundering herd.
        pause = self.interval * random.uniform(0.5, 1.0)
        while True:
            self.poll_now.clear()
            try:
                observation = await self._poll()
            except Exception as error:
                failures += 1
                level = logging.DEBUG if type(error) is reported else logging.WARNING
                reason = str(error).rstrip(".")
                log.log(level, "Polling pipeline %s failed: %s. It is repeated.", self.pipeline.value, reason)
                reported = type(error)
                delay = _RETRY.delay(failures, getattr(error, "retry_after", None))
                await asyncio.sleep(max(self.interval, delay))
                continue
            if failures:
                log.info("Polling pipeline %s works again after %d failures.", self.pipeline.value, failures)
                failures, reported = 0, None
            yield observation
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.poll_now.wait()
            pause = self.interval

    async def _poll(self) -> Observation:
        settings, client = await self.connection.acquire()
        if self._api is None or self._api.settings != settings:
            self._api, self._history = Api(settings, self.engine_key, retry=NO_RETRY), None
        api, (name, value) = self._api, self.pipeline
        try:
            if self._history is None:
                found = value if name == "id" else (await client.run(api.find_pipeline(**{name: str(value)}))).id
                self._history = History(api, found)
            history = self._history
            engine = await client.run(api.resolve())
            snapshot = await client.run(take_snapshot(history, frozenset(self.pending_cursors)))
        except Exception:
            self._history = None  # a pipeline that was created anew has the same key or name, and another id
            raise
        self.pending_cursors -= snapshot.requested
        return Observation(snapshot, lambda run: settings.run_url(engine, history.pipeline_id, run.id), self)
