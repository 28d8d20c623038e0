"""Events for event-driven DAGs: a pipeline's run has ended in FlowEngine, whoever started it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import BaseModel, Field, model_serializer

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.protocol.arguments import Seconds, check_choice, parse_id, parse_text, seconds
from airflow_provider_flowengine.protocol.cursor import (
    Cursor,
    RestartDetector,
    completed_since,
    initial_cursor,
    outcomes_of,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # TODO: remove when dropping 2.11, which has no event-driven DAGs
    BaseEventTrigger = BaseTrigger  # type: ignore[misc,assignment]  # the class there is

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Hashable

    from airflow_provider_flowengine.client.watch import Observation
    from airflow_provider_flowengine.compat import AssetStateStore
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

StartFrom = Literal["now", "last_run"]

_MAX_KEY_LENGTH = 512
"""Characters that a key of Airflow's asset state store may have."""


class FlowEnginePipelineRunEventTrigger(BaseEventTrigger):
    """
    Fires an event for every run of a pipeline that ends, whoever started it. For an ``AssetWatcher`` (Airflow 3.0+).

    The event's payload is the run: ``{"run_id", "pipeline_id", "status", "state", "started", "ended", "trigger",
    "run_url"}``. A run that is resumed and ends again is reported again.

    With Airflow 3.3 and later the cursor is kept in the asset's state store, and advances as Airflow takes an event:
    no event is lost, and none comes twice, through restarts of the triggerer and moves to another one. Before, the
    trigger starts anew with each start of the triggerer. With Airflow 3.3 and later, too, all triggers that watch one
    pipeline with the same ``poll_interval`` share one poll.

    :param pipeline_id: the pipeline, by its id; or by one of the next two. Nothing here is templated.
    :param pipeline_key: by its ``pipelineKey``.
    :param pipeline_name: by its name.
    :param outcomes: the outcomes that fire an event: ``succeeded`` (default), ``failed``, ``stopped``, a list of these,
        or ``all``.
    :param poll_interval: seconds (or a timedelta) between two polls, default 30.
    :param start_from: what a new trigger reports first: runs that end from ``"now"`` on (default), or the
        ``"last_run"`` with such an outcome too.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :raises ConfigurationError: at parse time, when an argument can't be right.
    """

    # The public path: Airflow keeps it in its database.
    __module__ = "airflow_provider_flowengine.triggers.flowengine"

    def __init__(
        self,
        *,
        pipeline_id: int | str | None = None,
        pipeline_key: str | None = None,
        pipeline_name: str | None = None,
        outcomes: str | Iterable[str] = "succeeded",
        poll_interval: Seconds = 30.0,
        start_from: StartFrom = "now",
        flowengine_conn_id: str = DEFAULT_CONN_ID,
        engine_key: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no hints
        names = {"id": pipeline_id, "key": pipeline_key, "name": pipeline_name}
        given = [(name, value) for name, value in names.items() if value not in (None, "")]
        if len(given) != 1:
            raise ConfigurationError("Give exactly one of pipeline_id, pipeline_key, pipeline_name")
        field, value = given[0]
        parse_text("flowengine_conn_id", flowengine_conn_id)
        check_choice("start_from", start_from, get_args(StartFrom))
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key
        self.pipeline_field = field
        self.pipeline_value = (parse_id if field == "id" else parse_text)(f"pipeline_{field}", value)
        self.outcomes = outcomes_of(outcomes)
        self.poll_interval = seconds("poll_interval", poll_interval)
        self.start_from = start_from
        self._cursor: Cursor | None = None
        self._store: _CursorStore | None = None
        self._restarts = RestartDetector()
        self._unsent: set[int | str] = set()
        self._saving: asyncio.Task[None] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, the same for equal triggers: Airflow recognizes a trigger by them."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "flowengine_conn_id": self.flowengine_conn_id,
                "engine_key": self.engine_key,
                f"pipeline_{self.pipeline_field}": self.pipeline_value,
                "outcomes": sorted(outcome.value for outcome in self.outcomes),
                "poll_interval": self.poll_interval,
                "start_from": self.start_from,
            },
        )

    # --- the stream -----------------------------------------------------------------------------------------------

    def shared_stream_key(self) -> Hashable:
        """Return the key that triggers sharing a poll have in common."""
        return ("flowengine", *self._pipeline, self.poll_interval)

    @property
    def _pipeline(self) -> tuple[str, ...]:
        return (self.flowengine_conn_id, self.engine_key or "", self.pipeline_field, str(self.pipeline_value))

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[Observation]:
        """Poll for all triggers that watch the pipeline."""
        return cls(**kwargs).observations()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Observation]) -> AsyncGenerator[TriggerEvent]:
        """Fire this trigger's events for what the shared poll shows."""
        async for observation in shared_stream:
            for event in await self._events(observation):
                yield event

    async def run(self) -> AsyncGenerator[TriggerEvent]:
        """Poll alone, if Airflow shares no streams (before 3.3)."""
        async with aclosing(self.observations()) as observations:
            async for event in self.filter_shared_stream(observations):
                yield event

    async def observations(self) -> AsyncGenerator[Observation]:
        """Poll the pipeline's history without end."""
        from airflow_provider_flowengine.client.shared_connection import shared_connection
        from airflow_provider_flowengine.client.watch import PipelineRef, PipelineWatcher
        from airflow_provider_flowengine.hooks.connection import async_settings

        pipeline = PipelineRef(self.pipeline_field, self.pipeline_value)
        load = partial(async_settings, self.flowengine_conn_id)
        async with shared_connection(self.flowengine_conn_id, load) as connection:
            watcher = PipelineWatcher(connection, self.engine_key or "", pipeline, self.poll_interval)
            async with aclosing(watcher.observations()) as observations:
                async for observation in observations:
                    yield observation

    # --- events ---------------------------------------------------------------------------------------------------

    async def _events(self, observation: Observation) -> list[TriggerEvent]:
        """Return the events that an observation makes; the cursor is saved once Airflow has taken them."""
        store = self._store = self._store or _CursorStore(compat.asset_state_stores(self), self._state_key())
        try:
            runs = await self._completed_runs(observation, store)
        except Exception:
            self.log.warning("The asset's state store can't be read; trying again.", exc_info=True)
            runs = []
        if self._cursor is not None:
            observation.require(self._cursor)
        payloads = {run.id: {**run.as_dict(), "run_url": observation.url_of(run)} for run in runs}
        if not store.stores:
            return [TriggerEvent(payload) for payload in payloads.values()]
        self._unsent |= payloads.keys()
        if not self._unsent:
            await self._save(check=True)
        return [
            TriggerEvent(_Payload(run=payload, on_sent=partial(self._sent, run_id)))
            for run_id, payload in payloads.items()
        ]

    def _sent(self, run_id: int | str) -> None:
        self._unsent.discard(run_id)
        if not self._unsent:  # the store was checked when the event was made, so no time is lost now
            self._saving = asyncio.get_running_loop().create_task(self._save(check=False))

    async def _save(self, *, check: bool) -> None:
        """Save the cursor if it has advanced; what can't be saved now is saved after the next poll."""
        if self._store and self._cursor and self._cursor != self._store.saved:
            try:
                await self._store.save(self._cursor, check=check)
            except Exception:
                self.log.warning("The asset's state store can't be written; trying again.", exc_info=True)

    async def _completed_runs(self, observation: Observation, store: _CursorStore) -> list[PipelineRun]:
        if self._cursor is None or store.is_stale:
            self._cursor = await store.read()
        moved, runs = self._advance(self._cursor, observation)
        if runs and await store.changed_elsewhere():
            self._cursor = await store.read()
            moved, runs = self._advance(self._cursor, observation)
        self._cursor = moved
        return runs

    def _advance(self, cursor: Cursor | None, observation: Observation) -> tuple[Cursor, list[PipelineRun]]:
        snapshot, with_last = observation.snapshot, self.start_from == "last_run"
        if cursor is None:
            return initial_cursor(snapshot, self.outcomes, with_last=with_last)
        if not snapshot.covers(cursor):
            observation.require(cursor, immediate=True)
            return cursor, []
        if cursor.is_beyond(snapshot):
            return self._restarts.check(cursor, snapshot, self.outcomes, with_last=with_last)
        self._restarts.reset()
        return completed_since(cursor, snapshot, self.outcomes)

    def _state_key(self) -> str:
        """Return the cursor's key in the asset's state store: triggers for other outcomes have their own."""
        key = "/".join(("flowengine", *self._pipeline, "+".join(sorted(self.outcomes))))
        return key if len(key) <= _MAX_KEY_LENGTH else f"flowengine/{hashlib.sha256(key.encode()).hexdigest()}"


class _Payload(BaseModel):
    """
    An event's payload, which calls back when Airflow serializes it, to send it to the process that stores events.

    Airflow has no callback for that moment. At the yield, up to a second before, it would be too early to save the
    cursor: a triggerer that dies in between loses the event. When Airflow acknowledges an event, up to a second later,
    it is late: each restart of a triggerer in between would start the event's DAGs a second time.
    """

    run: dict[str, Any]
    on_sent: Callable[[], None] = Field(repr=False)

    @model_serializer
    def _send(self) -> dict[str, Any]:
        self.on_sent()
        return self.run


@dataclass
class _CursorStore:
    """
    The cursor as the asset's state store holds it.

    A trigger that was thought dead may wake up beside the one that took over. So the store is read before runs are
    reported, and what another trigger has saved is not overwritten.

    :param stores: the stores of the trigger's assets; none before Airflow 3.3.
    :param key: the cursor's key in them.
    :param saved: what was read or written last.
    :param is_stale: whether it is to be read again.
    """

    stores: list[AssetStateStore]
    key: str
    saved: Cursor | None = None
    is_stale: bool = True

    async def read(self) -> Cursor | None:
        """Return the cursor; None if there is none yet, or if it can't be parsed."""
        content = await self._content()
        self.saved, self.is_stale = Cursor.from_dict(content), False
        if content is not None and self.saved is None:
            log.warning("The cursor in the asset's state store can't be parsed, so it starts anew: %.200r", content)
        return self.saved

    async def changed_elsewhere(self) -> bool:
        """Whether another trigger has saved another cursor."""
        return bool(self.stores) and Cursor.from_dict(await self._content()) != self.saved

    async def save(self, cursor: Cursor, *, check: bool) -> None:
        """Save the cursor; if it is checked, not over what another trigger has saved."""
        if check and await self.changed_elsewhere():
            self.is_stale = True
            return
        for store in self.stores:
            await store.aset(self.key, cursor.as_dict())
        self.saved = cursor

    async def _content(self) -> Json:
        """Return what the first store that has it holds under the key."""
        for store in self.stores:
            content = await store.aget(self.key)
            if content is not None:
                return content
        return None
