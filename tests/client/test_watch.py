"""A watcher observes a pipeline without end: in time, as far back as its triggers need, and whatever fails."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_flowengine.client import shared_connection, watch
from airflow_provider_flowengine.protocol.cursor import OUTCOMES, Cursor, completed_since
from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import MAX_RETRY_AFTER, Retry
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from airflow_provider_flowengine.emulator.server import Emulator

pytest.importorskip("fastapi")


def create_pipeline(emulator: Emulator, key: str = "p") -> int:
    nodes = [{"nodeId": "train", "type": "TASK", "indexType": "PYTHON3"}]
    return emulator.engine.create_pipeline({"pipelineKey": key, "data": {"name": key, "nodes": nodes, "edges": []}}).id


@pytest.fixture
async def watcher(flowengine_emulator: Emulator) -> AsyncIterator[Callable[..., watch.PipelineWatcher]]:
    """Build a watcher of a pipeline on the emulator."""
    emulator = flowengine_emulator
    emulator.options.node_seconds = 9999

    async def load() -> Settings:
        return Settings.build(fl_url=emulator.url, engine_key=emulator.engine_key)

    shared = shared_connection.SharedConnection(load)

    def watcher(field: str, value: int | str, interval: float = 0.02) -> watch.PipelineWatcher:
        return watch.PipelineWatcher(shared, "", watch.PipelineRef(field, value), interval)

    yield watcher
    await shared.close()


async def test_a_snapshot_that_is_wanted_at_once_is_taken_once(
    flowengine_emulator: Emulator, watcher: Callable[..., watch.PipelineWatcher]
) -> None:
    emulator = flowengine_emulator
    one = watcher("id", create_pipeline(emulator), interval=3600)
    seen = 0

    async def observe() -> None:
        nonlocal seen
        async for observation in one.observations():
            seen += 1
            if seen == 1:
                observation.require(Cursor(), immediate=True)

    observing = asyncio.create_task(observe())
    async with asyncio.timeout(30):
        while seen < 2:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)  # a third would come at once too
    observing.cancel()
    assert (seen, emulator.count("history")) == (2, 2)


async def test_a_pipeline_that_is_created_anew_under_its_key_is_watched_under_its_new_id(
    flowengine_emulator: Emulator, watcher: Callable[..., watch.PipelineWatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_RETRY", Retry(first_delay=0.02, max_delay=0.02))
    emulator = flowengine_emulator
    old = create_pipeline(emulator, "nightly")
    async with aclosing(watcher("key", "nightly").observations()) as observations:
        await anext(observations)
        emulator.engine.update_pipeline({**emulator.engine.pipeline(old).body, "id": old, "pipelineKey": "gone"})
        new = create_pipeline(emulator, "nightly")
        emulator.fail("history", kind="envelope")
        run = emulator.engine.start(new).id
        end = time.monotonic() + 30
        async for observation in observations:
            assert time.monotonic() < end, "the new pipeline was not found in time"
            if [each.id for each in observation.snapshot.runs] == [run]:
                break
    assert new != old


async def test_each_of_many_older_runs_is_polled_in_turn(
    flowengine_emulator: Emulator, watcher: Callable[..., watch.PipelineWatcher]
) -> None:
    emulator = flowengine_emulator
    one = create_pipeline(emulator)
    older = [emulator.engine.start(one).id for _ in range(8)]
    for _ in range(150):
        emulator.engine.finish(emulator.engine.start(one).id)
    cursor, reported = Cursor(latest=158, open=frozenset(older)), set()
    for run in older:
        emulator.engine.finish(run)
    async with aclosing(watcher("id", one).observations()) as observations:
        for _ in range(8):
            observation = await anext(observations)
            observation.require(cursor)
            cursor, runs = completed_since(cursor, observation.snapshot, OUTCOMES)
            reported |= {run.id for run in runs}
    assert reported == set(older)


async def test_a_watcher_pauses_for_minutes_at_most_however_often_it_has_failed(
    watcher: Callable[..., watch.PipelineWatcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def poll(self: watch.PipelineWatcher) -> watch.Observation:
        retry_after = 86_400 if len(pauses) == 2000 else None
        raise ServiceUnavailableError("down", may_have_been_processed=False, retry_after=retry_after)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 2000:
            raise asyncio.CancelledError

    monkeypatch.setattr(watch.PipelineWatcher, "_poll", poll)
    monkeypatch.setattr(watch, "asyncio", SimpleNamespace(Event=asyncio.Event, sleep=sleep, timeout=asyncio.timeout))
    with pytest.raises(asyncio.CancelledError):
        await anext(watcher("id", 1, interval=1.0).observations())
    assert (pauses[0], max(pauses[:-1]), pauses[-1]) == (2.0, 60.0, MAX_RETRY_AFTER)
