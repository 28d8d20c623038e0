"""
One look after the other at a pipeline's history, for all who watch it.

A waiter (:mod:`.poller`) waits for a run that it knows, and is done. A watcher waits for whatever ends next, and never
is: so no fault ends a watch, and all watchers of a pipeline are shown the same looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.cursor import Cursor, Look, look
from airflow_provider_flowengine.protocol.flow import MAX_RETRY_AFTER, NO_RETRY
from airflow_provider_flowengine.protocol.history import History

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from airflow_provider_flowengine.client.poller import SharedConnection
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two looks at most while FlowEngine gives no usable answer, unless the interval is longer, or it asks
to wait longer."""


class PipelineRef(NamedTuple):
    """What a pipeline is named by, ``id``, ``key`` or ``name``, and what that is."""

    field: str
    value: Identifier


@dataclass
class Observation:
    """
    One look, as it is shown to every watcher.

    :param look: what it has shown.
    :param url_of: tells the address of a run's page.
    """

    look: Look
    url_of: Callable[[PipelineRun], str]
    _watch: PipelineWatcher

    def ask(self, cursor: Cursor, *, at_once: bool = False) -> None:
        """
        Say how far a watcher has come, so that the next look reaches back to it.

        :param cursor: its cursor.
        :param at_once: whether it is to come at once, since this one didn't.
        """
        self._watch.needs.add(cursor)
        if at_once:
            self._watch.hurry.set()


@dataclass
class PipelineWatcher:
    """
    The one watch of a pipeline.

    :param line: the connection.
    :param engine_key: the engine; empty for the connection's.
    :param pipeline: the pipeline.
    :param interval: seconds between two looks.
    """

    line: SharedConnection
    engine_key: str
    pipeline: PipelineRef
    interval: float
    needs: set[Cursor] = field(default_factory=set)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _api: Api | None = None
    _history: History | None = None
    _trouble: type[Exception] | None = None

    async def observations(self) -> AsyncGenerator[Observation]:
        """Look, and look again, without end. A look that fails is logged, once for many, and made again later."""
        turn = failures = 0
        # The second look comes at a random moment, so that a thousand watches don't look in the same instant for ever.
        pause = self.interval * random.uniform(0.5, 1.0)
        while True:
            self.hurry.clear()
            try:
                sighting = await self._look(turn)
            except Exception as error:
                failures += 1
                self._tell(error)
                backoff = min(2.0 ** min(failures, 10), LONGEST_PAUSE)
                asked = min(getattr(error, "retry_after", None) or 0.0, MAX_RETRY_AFTER)
                await asyncio.sleep(max(self.interval, backoff, asked))
                continue
            if failures:
                log.info("Watching pipeline %s goes on, after %d looks that failed.", self.pipeline.value, failures)
                failures, self._trouble = 0, None
            yield sighting
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.hurry.wait()
            turn, pause = turn + 1, self.interval

    async def _look(self, turn: int) -> Observation:
        settings, client = await self.line.current()
        if self._api is None or self._api.settings != settings:
            self._api, self._history = Api(settings, self.engine_key, retry=NO_RETRY), None
        api, (name, value) = self._api, self.pipeline
        try:
            if self._history is None:
                found = value if name == "id" else (await client.run(api.find_pipeline(**{name: str(value)}))).id
                self._history = History(api, found)
            history = self._history
            engine = await client.run(api.resolve())
            shown = await client.run(look(history, frozenset(self.needs), turn))
        except Exception:
            self._history = None  # a pipeline that is made anew has the same key or name, and another id
            raise
        self.needs -= shown.asked
        return Observation(
            shown,
            lambda run: settings.run_url(
                engine_url=engine.url, engine_key=engine.key, pipeline_id=history.pipeline_id, run_id=run.id
            ),
            self,
        )

    def _tell(self, error: Exception) -> None:
        """Log what kind of trouble there is once, not at every look."""
        level = logging.DEBUG if isinstance(error, self._trouble or ()) else logging.WARNING
        self._trouble = type(error)
        log.log(level, "Watching pipeline %s: %s. It goes on.", self.pipeline.value, str(error).rstrip("."))
