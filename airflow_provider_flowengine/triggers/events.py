"""Events for event-driven DAGs: a pipeline's run has ended in FlowEngine, whoever started it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable  # noqa: TC003 - pydantic reads it
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.triggers.base import BaseTrigger, TriggerEvent
from pydantic import BaseModel, Field, model_serializer

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.protocol.arguments import parse_id, parse_text, seconds
from airflow_provider_flowengine.protocol.cursor import Cursor, begin, news, outcomes_of
from airflow_provider_flowengine.protocol.errors import ConfigurationError

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2.11 has no event-driven DAGs
    BaseEventTrigger = BaseTrigger  # type: ignore[misc,assignment]  # the class there is

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable

    from airflow_provider_flowengine.client.watch import Observation, PipelineRef
    from airflow_provider_flowengine.compat import AssetStateStore
    from airflow_provider_flowengine.protocol.arguments import Seconds
    from airflow_provider_flowengine.protocol.models import PipelineRun

StartFrom = Literal["now", "last run"]

_LONGEST_KEY = 512
"""Characters that a key of Airflow's asset state store may have."""


class FlowEnginePipelineRunEventTrigger(BaseEventTrigger):
    """
    Fires an event for every run of a pipeline that ends, whoever started it. For an ``AssetWatcher`` (Airflow 3.0+).

    The event's payload is the run: ``{"run_id", "pipeline_id", "status", "state", "started", "ended", "trigger",
    "run_url"}``. A run that is resumed and ends again is told again.

    With Airflow 3.3 and later the position is kept in the asset's state store, and moves on as Airflow takes an event:
    none is lost, and none comes twice, through restarts of the triggerer and moves to another one. Before, it begins
    anew with each start of the triggerer. With Airflow 3.3 and later, too, all watchers of one pipeline with the same
    ``poll_interval`` share one poll.

    :param pipeline_id: the pipeline, by its id; or by one of the next two. Nothing here is templated.
    :param pipeline_key: by its ``pipelineKey``.
    :param pipeline_name: by its name.
    :param outcomes: the ends that make an event: ``succeeded`` (default), ``failed``, ``stopped``, a list of these, or
        ``all``.
    :param poll_interval: seconds (or a timedelta) between two looks, default 30.
    :param start_from: where a new watcher begins: with the runs that end from ``"now"`` on (default), or with the
        ``"last run"`` that came to such an end.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :raises ConfigurationError: at parse time, when an argument can't be right.
    """

    def __init__(
        self,
        *,
        pipeline_id: int | str | None = None,
        pipeline_key: str | None = None,
        pipeline_name: str | None = None,
        outcomes: str | Iterable[str] = "succeeded",
        poll_interval: Seconds = 30.0,
        start_from: StartFrom = "now",
        flowengine_conn_id: str = "flowengine_default",
        engine_key: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no hints
        names = {"id": pipeline_id, "key": pipeline_key, "name": pipeline_name}
        given = [(name, value) for name, value in names.items() if value not in (None, "")]
        if len(given) != 1:
            raise ConfigurationError("Give exactly one of pipeline_id, pipeline_key, pipeline_name")
        field, value = given[0]
        parse_text("flowengine_conn_id", flowengine_conn_id)
        if start_from not in get_args(StartFrom):
            raise ConfigurationError(f"start_from: {start_from!r} must be one of {', '.join(get_args(StartFrom))}")
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key
        self.pipeline_field = field
        self.pipeline_value = (parse_id if field == "id" else parse_text)(f"pipeline_{field}", value)
        self.outcomes = outcomes_of(outcomes)
        self.poll_interval = seconds("poll_interval", poll_interval) or 30.0
        self.start_from = start_from
        self._cursor: Cursor | None = None
        self._position: _Position | None = None
        self._unsent: set[int | str] = set()
        self._noting: asyncio.Task[None] | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, always the same for the same watcher: Airflow knows it by them."""
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
        """Return what those who share a poll have in common."""
        return (
            "flowengine",
            self.flowengine_conn_id,
            self.engine_key,
            self.pipeline_field,
            self.pipeline_value,
            self.poll_interval,
        )

    @classmethod
    def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncGenerator[Observation]:
        """Poll for all watchers of the pipeline."""
        return cls(**kwargs).observations()

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Observation]) -> AsyncGenerator[TriggerEvent]:
        """Fire this watcher's events out of what the shared poll shows."""
        async for sighting in shared_stream:
            for event in await self._events(sighting):
                yield event

    async def run(self) -> AsyncGenerator[TriggerEvent]:
        """Poll alone, where Airflow shares no streams (before 3.3)."""
        async with aclosing(self.observations()) as observations:
            async for event in self.filter_shared_stream(observations):
                yield event

    async def observations(self) -> AsyncGenerator[Observation]:
        """Look at the pipeline's history, again and again."""
        from airflow_provider_flowengine.client import poller
        from airflow_provider_flowengine.client.watch import PipelineRef, PipelineWatcher
        from airflow_provider_flowengine.hooks.flowengine import async_settings

        pipeline: PipelineRef = PipelineRef(self.pipeline_field, self.pipeline_value)
        async with poller.line(self.flowengine_conn_id, partial(async_settings, self.flowengine_conn_id)) as line:
            watch = PipelineWatcher(line, self.engine_key or "", pipeline, self.poll_interval)
            async with aclosing(watch.observations()) as observations:
                async for sighting in observations:
                    yield sighting

    # --- events ---------------------------------------------------------------------------------------------------

    async def _events(self, sighting: Observation) -> list[TriggerEvent]:
        """Return the events that a look makes, and note the position once Airflow has taken them."""
        position = self._position = self._position or _Position(compat.asset_state_stores(self), self._state_key())
        try:
            runs = await self._news(sighting, position)
        except Exception:
            self.log.warning("The asset's state store can't be read; trying again.", exc_info=True)
            runs = []
        if self._cursor is not None:
            sighting.ask(self._cursor)
        payloads = {run.id: {**run.as_dict(), "run_url": sighting.url_of(run)} for run in runs}
        if not position.stores:
            return [TriggerEvent(payload) for payload in payloads.values()]
        self._unsent |= payloads.keys()
        if not self._unsent:
            await self._note(check=True)
        return [
            TriggerEvent(_Payload(run=payload, on_sent=partial(self._sent, run_id)))
            for run_id, payload in payloads.items()
        ]

    def _sent(self, run_id: int | str) -> None:
        self._unsent.discard(run_id)
        if not self._unsent:  # whose position it is was looked at when the event was made, so no time is lost now
            self._noting = asyncio.get_running_loop().create_task(self._note(check=False))

    async def _note(self, *, check: bool) -> None:
        """Note the position, where it has moved; what can't be noted now is noted after the next look."""
        if self._position and self._cursor and self._cursor != self._position.noted:
            try:
                await self._position.note(self._cursor, check=check)
            except Exception:
                self.log.warning("The asset's state store can't be written; trying again.", exc_info=True)

    async def _news(self, sighting: Observation, position: _Position) -> list[PipelineRun]:
        if self._cursor is None or position.is_doubtful:
            self._cursor = await position.read()
        moved, runs = self._look_from(self._cursor, sighting)
        if runs and await position.has_moved():
            self._cursor = await position.read()
            moved, runs = self._look_from(self._cursor, sighting)
        self._cursor = moved
        return runs

    def _look_from(self, cursor: Cursor | None, sighting: Observation) -> tuple[Cursor, list[PipelineRun]]:
        if cursor is None:
            return begin(sighting.look, self.outcomes, with_last=self.start_from == "last run")
        if not sighting.look.satisfies(cursor):
            sighting.ask(cursor, at_once=True)
            return cursor, []
        return news(cursor, sighting.look, self.outcomes)

    def _state_key(self) -> str:
        """Return where the position stands in the asset's state store: watchers for other ends have their own."""
        parts = (self.flowengine_conn_id, self.engine_key or "", self.pipeline_field, str(self.pipeline_value))
        key = "/".join(("flowengine", *parts, "+".join(sorted(self.outcomes))))
        return key if len(key) <= _LONGEST_KEY else f"flowengine/{hashlib.sha256(key.encode()).hexdigest()}"


class _Payload(BaseModel):
    """
    An event's payload, which tells when Airflow sends it from the trigger's process to the one that stores it at once.

    Airflow has no word for that moment. At the yield, up to a second before, it would be too early to note that the run
    was told: a triggerer that dies in between loses the event. And when Airflow says that an event is stored, up to a
    second later, it is late: a triggerer that is stopped in between tells the run again.
    """

    run: dict[str, Any]
    on_sent: Callable[[], None] = Field(repr=False)

    @model_serializer
    def _send(self) -> dict[str, Any]:
        self.on_sent()
        return self.run


@dataclass
class _Position:
    """
    How far a watcher has come, as the asset's state store holds it.

    A trigger that was thought dead may wake up beside the one that took over. So it is looked at before news is told,
    and not written over what somebody else has noted.

    :param stores: the stores of the trigger's assets; none before Airflow 3.3.
    :param key: where it stands in them.
    :param noted: what was read or written last.
    :param is_doubtful: whether it is to be read again.
    """

    stores: list[AssetStateStore]
    key: str
    noted: Cursor | None = field(default=None)
    is_doubtful: bool = True

    async def read(self) -> Cursor | None:
        """Return the position, or None where there is none yet."""
        self.noted, self.is_doubtful = await self._stored(), False
        return self.noted

    async def has_moved(self) -> bool:
        """Whether somebody else has noted another one."""
        return await self._stored() != self.noted

    async def note(self, cursor: Cursor, *, check: bool) -> None:
        """Write the position down; where it is checked, not over what somebody else has noted."""
        if check and await self.has_moved():
            self.is_doubtful = True
            return
        for store in self.stores:
            await store.aset(self.key, cursor.as_dict())
        self.noted = cursor

    async def _stored(self) -> Cursor | None:
        for store in self.stores:
            content = await store.aget(self.key)
            if isinstance(content, dict):
                return Cursor.from_dict(content)
        return None if self.stores else self.noted
