"""Events of runs that end: one each, whoever started the run and whatever happens to the triggerer."""

import asyncio
import contextlib
import json
import time
from datetime import timedelta
from importlib.metadata import version

import pytest

from airflow_provider_flowengine.client import shared_connection, watch
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.flow import Retry
from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunEventTrigger

pytest.importorskip("fastapi")

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])

shares_streams = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow before 3.3 has no shared streams and no store")
watches_assets = pytest.mark.skipif(AIRFLOW < (3, 0), reason="Airflow 2.11 has no event-driven DAGs")


async def until(true, seconds=5):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it didn't come true in time"
        await asyncio.sleep(0.01)


async def stored(database, number):
    """Wait until so many events are stored."""
    await until(lambda: len(database.events) >= number)


def watcher(**arguments):
    return FlowEnginePipelineRunEventTrigger(**{"poll_interval": 0.02, **arguments})


class Database:
    """Airflow's, as far as it concerns watchers: positions, and events that are stored."""

    def __init__(self):
        self.state = {}
        self.events = []
        self.is_down = False

    async def asend(self, message):
        """Answer what a triggerer's process asks its supervisor."""
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time import comms

        if self.is_down:
            return comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR)
        place = (message.name, message.key)
        if isinstance(message, comms.SetAssetStateStoreByName):
            self.state[place] = message.value
            return comms.OKResponse(ok=True)
        if place not in self.state:
            return comms.ErrorResponse(error=ErrorType.ASSET_STORE_NOT_FOUND)
        return comms.AssetStateStoreResult(value=self.state[place])

    def runs(self, asset="asset"):
        """The runs that events were stored for."""
        return [payload["run_id"] for name, payload in self.events if name == asset]


class Triggerer:
    """Runs watchers as Airflow's triggerer does: by its shared streams, and sends their events a moment later."""

    def __init__(self, database):
        from airflow.triggers.shared_stream import SharedStreamManager

        self.database = database
        self.sends = True  # whether it gets to send events on, to be stored
        self.streams = SharedStreamManager()
        self._tasks = []

    def watch(self, trigger, *assets):
        from airflow.sdk import Asset
        from airflow.sdk.execution_time.context import AssetStateStoreAccessors

        assets = assets or ("asset",)
        trigger.asset_state_store = AssetStateStoreAccessors([Asset(name) for name in assets])
        self._tasks.append(asyncio.create_task(self._run(trigger, len(self._tasks), assets)))

    async def _run(self, trigger, number, assets):
        key = trigger.shared_stream_key()
        try:
            stream = self.streams.subscribe(trigger_id=number, trigger=trigger, key=key)
            async for event in trigger.filter_shared_stream(stream):
                if self.sends:
                    payload = event.model_dump()["payload"]
                    self.database.events += [(asset, payload) for asset in assets]
        finally:
            await self.streams.unsubscribe(number, key)

    async def die(self):
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []


@pytest.fixture
def database(monkeypatch):
    database = Database()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", database, raising=False)
    return database


@pytest.fixture
async def triggerer(database):
    triggerer = Triggerer(database)
    yield triggerer
    await triggerer.die()


@pytest.fixture
def start(emulator):
    """Start a run that ends when the test says so."""
    emulator.options.node_seconds = 9999
    return lambda pipeline_id: emulator.engine.start(pipeline_id).id


async def polls(emulator, number):
    """Let so many looks pass: what they are to show has been shown then."""
    goal = emulator.count("history") + number
    await until(lambda: emulator.count("history") >= goal)


# --- what makes an event ----------------------------------------------------------------------------------------------


@shares_streams
async def test_a_run_that_ends_makes_an_event_with_the_run(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    run = start(one)
    triggerer.watch(watcher(pipeline_key="nightly"))
    await polls(emulator, 1)

    emulator.engine.finish(run)
    await until(lambda: database.events)

    [(_, payload)] = database.events
    started, ended = payload.pop("started"), payload.pop("ended")
    assert started < ended
    assert payload == {
        "run_id": run,
        "pipeline_id": one,
        "status": "succeeded",
        "state": "succeeded",
        "trigger": "手动触发",
        "run_url": emulator.run_url(one, run),
    }


@shares_streams
async def test_each_watcher_gets_the_ends_that_it_watches_for(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one), "good")
    triggerer.watch(watcher(pipeline_id=one, outcomes=["failed", "stopped"]), "bad")
    triggerer.watch(watcher(pipeline_id=one, outcomes="all"), "any")
    await polls(emulator, 1)

    for outcome in ("succeeded", "failed", "stopped"):
        emulator.engine.finish(start(one), outcome)
    await until(lambda: len(database.events) == 6)

    assert [database.runs(asset) for asset in ("good", "bad", "any")] == [[1], [2, 3], [1, 2, 3]]


@shares_streams
async def test_watchers_of_one_pipeline_share_a_poll(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    for outcome in ("succeeded", "failed", "stopped"):
        triggerer.watch(watcher(pipeline_id=one, outcomes=outcome, poll_interval=3600), outcome)
    await until(lambda: len(database.state) == 3)

    assert emulator.count("history") == 1


@shares_streams
async def test_runs_that_end_in_another_order_than_they_start_are_all_reported(
    emulator, pipeline, start, database, triggerer
):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    runs = [start(one) for _ in range(3)]
    for run in (runs[1], runs[2], runs[0]):
        await polls(emulator, 2)
        emulator.engine.finish(run)

    await until(lambda: len(database.events) == 3)

    assert database.runs() == [runs[1], runs[2], runs[0]]


# --- where a watcher begins -------------------------------------------------------------------------------------------


@shares_streams
async def test_a_new_watcher_begins_with_what_ends_from_now_on(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    emulator.engine.finish(start(one))
    running = start(one)
    triggerer.watch(watcher(pipeline_id=one))
    await polls(emulator, 2)

    emulator.engine.finish(running)
    await until(lambda: database.events)

    assert database.runs() == [running]


@shares_streams
async def test_a_new_watcher_can_begin_with_the_last_run(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    for outcome in ("succeeded", "succeeded", "failed"):
        emulator.engine.finish(start(one), outcome)

    triggerer.watch(watcher(pipeline_id=one, start_from="last_run"))
    await until(lambda: database.events)
    await polls(emulator, 2)

    assert database.runs() == [2]


# --- triggerers come and go -------------------------------------------------------------------------------------------


@shares_streams
async def test_what_ends_while_no_triggerer_runs_is_reported_later(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.state)
    old = [start(one) for _ in range(3)]
    await polls(emulator, 2)
    told = []

    for run in old:
        await triggerer.die()
        new = [start(one) for _ in range(40)]
        told += [run, *new]
        for ended in (*new, run):
            emulator.engine.finish(ended)
        triggerer.watch(watcher(pipeline_id=one))
        await stored(database, len(told))
        await polls(emulator, 3)

    assert sorted(database.runs()) == sorted(told)


@shares_streams
async def test_an_event_that_airflow_has_not_stored_is_reported_again(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.state)
    triggerer.sends = False
    emulator.engine.finish(start(one))
    await polls(emulator, 3)
    await triggerer.die()

    triggerer.sends = True
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.events)
    await polls(emulator, 3)

    assert database.runs() == [1]


@shares_streams
async def test_a_triggerer_that_wakes_up_beside_the_one_that_took_over_repeats_nothing(
    emulator, pipeline, start, database, triggerer
):
    one = pipeline()
    asleep = Triggerer(database)
    asleep.watch(watcher(pipeline_id=one, poll_interval=0.5))
    await until(lambda: database.state)
    triggerer.watch(watcher(pipeline_id=one))
    emulator.engine.finish(start(one))
    await until(lambda: database.events)

    await polls(emulator, 40)
    await asleep.die()

    assert database.runs() == [1]


@shares_streams
async def test_a_watcher_of_two_assets_has_one_position_for_both(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one), "a", "b")
    await until(lambda: len(database.state) == 2)
    emulator.engine.finish(start(one))
    await until(lambda: len(database.events) == 2)
    await polls(emulator, 2)

    assert (database.runs("a"), database.runs("b")) == ([1], [1])


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_pauses(monkeypatch):
    """Let a look that failed be made again soon."""
    monkeypatch.setattr(watch, "_RETRY", Retry(first_delay=0.02, max_delay=0.02))


@shares_streams
@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("kind", ["status", "html", "broken_json", "envelope"])
async def test_a_fault_ends_no_watch_and_is_logged_once(emulator, pipeline, start, database, triggerer, log, kind):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.state)
    run = start(one)
    emulator.fail("history", kind=kind, times=3)
    emulator.engine.finish(run)

    await until(lambda: database.events)

    assert database.runs() == [run]
    assert log.ours.count("It is repeated.") == 1


@shares_streams
@pytest.mark.usefixtures("short_pauses")
async def test_a_watch_goes_on_when_flowengine_is_back(emulator, pipeline, start, database, triggerer, log):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.state)
    run = start(one)
    emulator.stop()
    await until(lambda: "It is repeated." in log.ours)
    emulator.engine.finish(run)

    emulator.start()
    await until(lambda: database.events)

    assert database.runs() == [run]


@shares_streams
@pytest.mark.usefixtures("short_pauses")
async def test_a_pipeline_that_is_not_there_yet_is_waited_for(emulator, pipeline, start, database, triggerer, log):
    triggerer.watch(watcher(pipeline_key="later", start_from="last_run"))
    await until(lambda: "no pipeline of key 'later'" in log.ours)

    emulator.engine.finish(start(pipeline("later")))
    await until(lambda: database.events)

    assert database.runs() == [1]


@shares_streams
async def test_nothing_is_reported_while_the_position_cannot_be_read(emulator, pipeline, start, database, triggerer):
    one = pipeline()
    triggerer.watch(watcher(pipeline_id=one))
    await until(lambda: database.state)
    database.is_down = True
    emulator.engine.finish(start(one))
    await polls(emulator, 3)
    untold = list(database.events)

    database.is_down = False
    await until(lambda: database.events)

    assert (untold, database.runs()) == ([], [1])


# --- cursors that lead nowhere ----------------------------------------------------------------------------------------


async def replace_cursor(database, triggerer, emulator, pipeline_id, content):
    """Let a watcher's cursor be replaced while no triggerer runs, and a new triggerer go on with it."""
    triggerer.watch(watcher(pipeline_id=pipeline_id))
    await until(lambda: database.state)
    await triggerer.die()
    database.state = dict.fromkeys(database.state, content)
    triggerer.watch(watcher(pipeline_id=pipeline_id))
    await polls(emulator, 3)


@shares_streams
@pytest.mark.parametrize("content", ["garbage", {}, {"latest": "x", "open": []}])
async def test_a_cursor_that_cannot_be_parsed_starts_anew_with_a_warning(
    emulator, pipeline, start, database, triggerer, log, content
):
    one = pipeline()
    emulator.engine.finish(start(one))
    await replace_cursor(database, triggerer, emulator, one, content)
    run = start(one)
    await polls(emulator, 2)
    emulator.engine.finish(run)
    await until(lambda: database.events)

    assert database.runs() == [run]
    assert log.ours.count("can't be parsed, so it starts anew") == 1


@shares_streams
async def test_a_cursor_beyond_every_id_starts_anew_with_a_warning(emulator, pipeline, start, database, triggerer, log):
    one = pipeline()
    emulator.engine.finish(start(one))
    running = start(one)
    beyond = {"latest": 1_000_000, "open": [], "known": [], "ends": []}
    await replace_cursor(database, triggerer, emulator, one, beyond)
    emulator.engine.finish(running)
    await until(lambda: database.events)
    emulator.engine.finish(start(one))
    await until(lambda: len(database.events) == 2)

    assert database.runs() == [2, 3]
    assert log.ours.count("was FlowEngine's database restored?") == 1


@shares_streams
async def test_a_run_that_is_resumed_and_ends_again_between_two_polls_is_reported_again(
    emulator, pipeline, start, database, triggerer
):
    one = pipeline()
    run = start(one)
    triggerer.watch(watcher(pipeline_id=one, outcomes="all", poll_interval=0.3))
    await until(lambda: database.state)
    emulator.engine.finish(run, "failed")
    await until(lambda: database.events)

    emulator.engine.resume(run)
    emulator.engine.finish(run)
    await until(lambda: len(database.events) == 2)

    assert [payload["state"] for _, payload in database.events] == ["failed", "succeeded"]


# --- alone, and as Airflow keeps it -----------------------------------------------------------------------------------


async def test_it_polls_alone_if_airflow_shares_no_streams(emulator, pipeline, start):
    one = pipeline()
    emulator.engine.finish(start(one))
    stream = watcher(pipeline_id=one, start_from="last_run").run()
    first = await anext(stream)
    emulator.engine.finish(start(one))
    second = await anext(stream)
    assert [first.payload["run_id"], second.payload["run_id"]] == [1, 2]

    await stream.aclose()
    assert not shared_connection._connections  # the session is closed at once, not when the garbage is collected


@watches_assets
def test_airflow_knows_a_watcher_by_its_arguments_however_they_are_written():
    from airflow.triggers.base import BaseEventTrigger

    def known_by(**arguments):
        return BaseEventTrigger.hash(*FlowEnginePipelineRunEventTrigger(**arguments).serialize())

    assert known_by(pipeline_id=12) == known_by(
        pipeline_id="12", outcomes=["succeeded"], poll_interval=timedelta(seconds=30)
    )
    assert known_by(pipeline_id=12) != known_by(pipeline_id=13)


@watches_assets
def test_a_watched_asset_is_serialised_with_its_dag_and_comes_back():
    from airflow.providers.common.compat.sdk import DAG, Asset
    from airflow.sdk import AssetWatcher
    from airflow.serialization import serialized_objects

    trigger = watcher(pipeline_key="nightly", outcomes="all")
    asset = Asset("trained", watchers=[AssetWatcher(name="nightly", trigger=trigger)])
    kept = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)
    content = kept.to_dict(DAG("watching", schedule=[asset]))

    classpath, arguments = trigger.serialize()
    assert json.dumps({"classpath": classpath, "kwargs": arguments}) in json.dumps(content)
    assert FlowEnginePipelineRunEventTrigger(**arguments).serialize() == (classpath, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of pipeline_id, pipeline_key, pipeline_name"),
        ({"pipeline_id": 1, "pipeline_key": "a"}, "exactly one of"),
        ({"pipeline_key": ""}, "exactly one of"),
        ({"pipeline_id": 1, "outcomes": "running"}, "outcomes there are: succeeded, failed, stopped, all"),
        ({"pipeline_key": "None"}, "pipeline_key is 'None'; it must not be empty"),
        ({"pipeline_id": 1.5}, "pipeline_id is 1.5; it must be an id"),
        ({"pipeline_id": 1, "flowengine_conn_id": ""}, "flowengine_conn_id is ''; it must not be empty"),
        ({"pipeline_id": 1, "poll_interval": 0}, "poll_interval: 0 must be"),
        ({"pipeline_id": 1, "poll_interval": float("nan")}, "poll_interval: nan must be"),
        ({"pipeline_id": 1, "start_from": "yesterday"}, "start_from: 'yesterday' must be one of now, last_run"),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_when_the_dag_is_parsed(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        FlowEnginePipelineRunEventTrigger(**arguments)
