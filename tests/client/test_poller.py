"""All waiters of a pipeline share one poll, whatever happens to it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_flowengine.client import aio, poller, shared_connection
from airflow_provider_flowengine.client.node_details import DEFAULT_BUDGET, NodeBudget
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    ConfigurationError,
    RunTimeoutError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    from airflow_provider_flowengine.emulator.server import Emulator

pytest.importorskip("fastapi")

SHORT = PollOptions(poll_interval=0.05)


def pipeline(emulator: Emulator, key: str = "p") -> int:
    nodes = [{"nodeId": "train", "type": "TASK", "indexType": "PYTHON3"}]
    return emulator.engine.create_pipeline({"pipelineKey": key, "data": {"name": key, "nodes": nodes, "edges": []}}).id


def start(emulator: Emulator, pipeline_id: int, number: int = 1) -> list[int]:
    """Start runs that end when the test says so."""
    emulator.options.node_seconds = 9999
    return [emulator.engine.start(pipeline_id).id for _ in range(number)]


class Waiting:
    """Waits for runs as a triggerer's triggers do, against an emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.engine = poller.EngineRef(emulator.engine_key, emulator.options.engine_url, emulator.options.engine_id)
        self.settings = Settings.build(fl_url=emulator.url)
        self.loads = 0

    async def load(self) -> Settings:
        self.loads += 1
        return self.settings

    def task(
        self,
        pipeline_id: int,
        run_id: int | None,
        limits: PollOptions = SHORT,
        node_budget: NodeBudget = DEFAULT_BUDGET,
        **more: Any,
    ) -> asyncio.Task[Any]:
        monitor = RunMonitor(run_id, pipeline_id, limits, started_at=time.time(), **more)
        wait = poller.wait("flowengine_default", self.load, self.engine, monitor, node_budget=node_budget)
        return asyncio.create_task(wait)


@pytest.fixture
def waiting(flowengine_emulator: Emulator) -> Waiting:
    return Waiting(flowengine_emulator)


@pytest.fixture
def emulator(waiting: Waiting) -> Emulator:
    return waiting.emulator


@pytest.fixture
def one(emulator: Emulator) -> int:
    """A pipeline."""
    return pipeline(emulator)


@pytest.fixture
def run(emulator: Emulator, one: int) -> int:
    """A run of it that ends when the test says so."""
    return start(emulator, one)[0]


async def until(true: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it didn't come true in time"
        await asyncio.sleep(0.01)


async def polls(emulator: Emulator, number: int) -> None:
    """Let so many polls pass."""
    goal = emulator.count("history") + number
    await until(lambda: emulator.count("history") >= goal)


@pytest.fixture(autouse=True)
def nothing_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin with nothing shared: what the event loop of another test has left is none of this one's."""
    monkeypatch.setattr(shared_connection, "_connections", {})
    monkeypatch.setattr(poller, "_pollers", {})


async def test_a_hundred_waiters_of_one_pipeline_cost_one_request_a_poll(waiting, emulator, one):
    runs = start(emulator, one, 100)
    tasks = [waiting.task(one, run, PollOptions(poll_interval=0.5)) for run in runs]
    await polls(emulator, 3)
    emulator.forget_calls()
    await asyncio.sleep(2)
    assert emulator.count("history") <= 5
    for run in runs:
        emulator.engine.finish(run)
    assert {run.id for run in await asyncio.gather(*tasks)} == set(runs)


async def test_no_handshake_is_repeated_in_the_triggerer(waiting, emulator, one, run):
    task = waiting.task(one, run)
    await polls(emulator, 2)
    emulator.engine.finish(run)
    await task
    assert {call["name"] for call in emulator.calls()} <= {"history", "run"}


async def test_what_a_waiter_logs_is_known_to_be_its_own(waiting, emulator, one, caplog):
    owner: contextvars.ContextVar[str] = contextvars.ContextVar("owner")
    logged: set[tuple[str, int]] = set()

    class Owners(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.update((owner.get(), run) for run in runs if f"Run {run} of" in record.getMessage())

    async def wait(run: int) -> None:
        owner.set(f"waiter of {run}")
        await waiting.task(one, run)

    runs = start(emulator, one, 2)
    logger, handler = logging.getLogger("airflow_provider_flowengine.protocol.monitor"), Owners()
    logger.addHandler(handler)
    caplog.set_level(logging.INFO)
    tasks = [asyncio.create_task(wait(run)) for run in runs]
    await polls(emulator, 2)
    emulator.options.stop_seconds = 1  # so that a poll sees that a run is stopping
    for run in runs:
        emulator.engine.stop(run)
    await asyncio.gather(*tasks)
    logger.removeHandler(handler)
    assert logged == {(f"waiter of {run}", run) for run in runs}


async def test_each_waiter_returns_as_soon_as_its_own_run_ends(waiting, emulator, one):
    first, second = start(emulator, one, 2)
    tasks = [waiting.task(one, first), waiting.task(one, second)]
    await polls(emulator, 1)
    emulator.engine.finish(second, "failed")
    assert (await tasks[1]).state == "failed"
    assert not tasks[0].done()
    emulator.engine.finish(first)
    assert (await tasks[0]).state == "succeeded"


async def test_the_poll_ends_with_its_last_waiter(waiting, emulator, one, run):
    task = waiting.task(one, run)
    await polls(emulator, 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    emulator.forget_calls()
    await asyncio.sleep(0.3)
    assert emulator.count("history") == 0


async def test_a_waiter_cancelled_during_a_poll_leaves_the_others_waiting(waiting, emulator, one):
    first, second = start(emulator, one, 2)
    emulator.fail("history", kind="slow", seconds=0.5)
    going, staying = waiting.task(one, first), waiting.task(one, second)
    await until(lambda: emulator.count("history") == 1)
    going.cancel()
    emulator.engine.finish(second)
    assert (await staying).state == "succeeded"
    assert going.cancelled()


async def test_a_slow_server_never_has_two_polls_of_one_pipeline_in_flight(waiting, emulator, one):
    runs = start(emulator, one, 3)
    emulator.fail("history", kind="slow", seconds=0.4, times=3)
    tasks = [waiting.task(one, run) for run in runs]
    await asyncio.sleep(0.7)
    assert emulator.count("history") <= 2
    for run in runs:
        emulator.engine.finish(run)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("kind", ["status", "html", "reset", "broken_json", "envelope"])
async def test_a_poll_that_fails_says_nothing_about_the_runs(waiting, emulator, one, run, kind):
    emulator.fail("history", kind=kind)
    task = waiting.task(one, run)
    await polls(emulator, 2)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_a_server_that_stays_silent_ends_the_patience_of_each_waiter_by_itself(waiting, emulator, one):
    first, second = start(emulator, one, 2)
    emulator.stop()
    short = waiting.task(one, first, PollOptions(poll_interval=0.05, unreachable_timeout=0.5))
    patient = waiting.task(one, second, PollOptions(poll_interval=0.05, unreachable_timeout=60))
    with pytest.raises(StatusUnavailableError, match="unreachable_timeout"):
        await short
    assert not patient.done()
    emulator.start()
    emulator.engine.finish(second)
    assert (await patient).state == "succeeded"


async def test_a_deadline_ends_only_its_own_wait(waiting, emulator, one):
    first, second = start(emulator, one, 2)
    late = waiting.task(one, first, PollOptions(poll_interval=0.05, deadline=time.time() + 0.3))
    other = waiting.task(one, second)
    with pytest.raises(RunTimeoutError, match="was still running"):
        await late
    emulator.engine.finish(second)
    assert (await other).state == "succeeded"


async def test_an_edited_connection_is_picked_up(waiting, monkeypatch):
    monkeypatch.setattr(shared_connection, "SETTINGS_TTL", 0.1)
    emulator = waiting.emulator
    one = pipeline(emulator)
    [run] = start(emulator, one)
    waiting.settings = Settings.build(fl_url="http://127.0.0.1:9")  # where nobody answers
    task = waiting.task(one, run)
    await until(lambda: waiting.loads >= 2)
    waiting.settings = Settings.build(fl_url=emulator.url)
    await polls(emulator, 1)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_what_is_under_way_when_the_connection_is_edited_comes_to_its_end(waiting, monkeypatch, caplog):
    monkeypatch.setattr(shared_connection, "SETTINGS_TTL", 0.3)
    caplog.set_level(logging.INFO, "airflow_provider_flowengine.client.shared_connection")
    emulator = waiting.emulator
    emulator.fail("history", kind="slow", seconds=0.5)
    slow, quick = pipeline(emulator, "slow"), pipeline(emulator, "quick")
    [first], [second] = start(emulator, slow), start(emulator, quick)
    tasks = [waiting.task(slow, first)]
    await polls(emulator, 1)
    waiting.settings = Settings.build(fl_url=emulator.url, timeout=9)
    tasks.append(waiting.task(quick, second))
    await until(lambda: "The connection has changed" in caplog.text)
    for run in (first, second):
        emulator.engine.finish(run)
    assert [run.id for run in await asyncio.gather(*tasks)] == [first, second]
    assert "Status poll failed" not in caplog.text


@pytest.mark.parametrize("why", [OSError("Airflow's API server is down"), ConfigurationError("no such connection")])
async def test_a_connection_that_cannot_be_read_for_a_while_is_no_reason_to_fail(waiting, emulator, one, run, why):
    attempts = 0

    async def load() -> Settings:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise why
        return waiting.settings

    waiter = RunMonitor(run, one, SHORT, started_at=time.time())
    task = asyncio.create_task(poller.wait("flowengine_default", load, waiting.engine, waiter))
    await polls(emulator, 1)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_an_engine_that_moves_is_found_again(waiting, emulator, one, run):
    task = waiting.task(one, run)
    await polls(emulator, 1)
    emulator.options.engine_url = "/engine/16/elsewhere"
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_pipelines_have_polls_of_their_own(waiting, emulator):
    one, two = pipeline(emulator, "one"), pipeline(emulator, "two")
    [first], [second] = start(emulator, one), start(emulator, two)
    tasks = [waiting.task(one, first), waiting.task(two, second)]
    await polls(emulator, 4)
    assert {call["path"].split("/")[-2] for call in emulator.calls("history")} == {str(one), str(two)}
    emulator.engine.finish(first)
    emulator.engine.finish(second)
    await asyncio.gather(*tasks)


async def test_a_run_that_is_yet_to_start_is_waited_for_in_the_same_poll(waiting, emulator, one, run):
    moment = emulator.engine.run(run).started
    known = waiting.task(one, run)
    coming = waiting.task(one, None, started_after=datetime.fromtimestamp(moment + 0.001, UTC))
    await polls(emulator, 2)
    assert not coming.done()
    await asyncio.sleep(0.01)
    [later] = start(emulator, one)
    emulator.engine.finish(later)
    assert (await coming).id == later
    emulator.engine.finish(run)
    assert (await known).id == run


async def test_nothing_is_kept_when_nobody_waits_any_more(waiting, emulator, one):
    first, second = start(emulator, one, 2)
    tasks = [waiting.task(one, first), waiting.task(one, second)]
    await polls(emulator, 1)
    [shared] = shared_connection._connections.values()
    [shared_poller] = poller._pollers.values()
    emulator.engine.finish(first)
    await tasks[0]
    assert (shared.users, len(shared_poller._subscribers), len(poller._pollers)) == (1, 1, 1)

    emulator.engine.finish(second)
    await tasks[1]
    assert (shared.users, len(shared_poller._subscribers), len(poller._pollers)) == (0, 0, 0)
    assert not shared_connection._connections


# --- clocks, and faults of one waiter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
async def test_a_clock_that_is_set_by_an_hour_stops_no_polling(waiting, emulator, one, run, monkeypatch, hours):
    limits = PollOptions(poll_interval=0.05, deadline=time.time() + 60)
    task = waiting.task(one, run, limits)
    await polls(emulator, 1)
    shifted = SimpleNamespace(time=lambda: time.time() + hours * 3600, monotonic=time.monotonic)
    monkeypatch.setattr(poller, "time", shifted)
    await polls(emulator, 2)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_a_moment_without_a_zone_ends_its_own_wait_alone(waiting, emulator, one, run):
    known, coming = waiting.task(one, run), waiting.task(one, None, started_after=datetime(2999, 1, 1, tzinfo=UTC))
    await polls(emulator, 1)
    with pytest.raises(ValueError, match="must have a time zone"):
        await waiting.task(one, None, started_after=datetime(2026, 1, 1))
    emulator.engine.finish(run)
    assert (await known).state == "succeeded"
    assert not coming.done()
    coming.cancel()


async def test_a_moment_with_too_many_runs_since_ends_its_own_wait_alone(waiting, emulator, one):
    emulator.engine.add_history(one, [emulator.clock.now() - 3600 - second for second in range(5200, 0, -1)])
    [run] = start(emulator, one)
    recent = datetime.fromtimestamp(emulator.engine.run(run).started - 1, UTC)
    too_old = waiting.task(one, None, started_after=datetime(2000, 1, 1, tzinfo=UTC))
    coming, known = waiting.task(one, None, started_after=recent), waiting.task(one, run)
    with pytest.raises(AmbiguousRunError, match="Give a later started_after"):
        await too_old
    emulator.engine.finish(run)
    assert [(await task).id for task in (coming, known)] == [run, run]


async def test_a_bug_in_one_waiter_ends_its_own_wait_alone(waiting, emulator, one, run):
    broken = waiting.task(one, run, PollOptions(poll_interval=0.05, deadline="tomorrow"))  # type: ignore[arg-type]
    other = waiting.task(one, run)
    with pytest.raises(TypeError):
        await broken
    emulator.engine.finish(run)
    assert (await other).state == "succeeded"


async def test_a_bug_in_a_poll_is_a_failed_poll(waiting, emulator, one, run, monkeypatch):
    task = waiting.task(one, run)
    await polls(emulator, 1)
    with monkeypatch.context() as patch:
        patch.setattr(poller.History, "find_all", lambda *_: 1 / 0)
        await asyncio.sleep(0.3)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


# --- nodes, within a budget -------------------------------------------------------------------------------------------


async def test_nodes_that_the_history_does_not_tell_are_logged(waiting, caplog):
    caplog.set_level(logging.INFO)
    emulator = waiting.emulator
    short = {"values": [{"key": "duration", "value": "0.1", "type": "TEXT"}]}
    nodes = [{"nodeId": "load", "type": "TASK", "indexType": "SHELL", "params": short}]
    nodes += [{"nodeId": "train", "type": "TASK", "indexType": "SHELL"}]
    one = emulator.engine.create_pipeline({"data": {"name": "two nodes", "nodes": nodes, "edges": []}}).id
    [run] = start(emulator, one)
    task = waiting.task(one, run)
    await until(lambda: "node load: succeeded" in caplog.text, 20)
    emulator.engine.finish(run)
    await task


async def test_a_runs_nodes_are_asked_for_once_in_the_budgets_interval(waiting, emulator, one, run):
    task = waiting.task(one, run, node_budget=NodeBudget(100, 1.0))
    await until(lambda: emulator.count("run") == 1)
    began = time.monotonic()
    await polls(emulator, 5)
    assert emulator.count("run") == 1 or time.monotonic() - began > 0.9
    await until(lambda: emulator.count("run") == 2)
    assert time.monotonic() - began > 0.9
    task.cancel()


async def test_all_runs_of_a_connection_take_turns_in_its_budget(waiting, emulator):
    pipelines = [pipeline(emulator, key) for key in ("one", "two")]
    runs = [(each, run) for each in pipelines for run in start(emulator, each, 5)]

    def asked():
        return Counter(call["path"].split("/")[-2] for call in emulator.calls("run"))

    began = time.monotonic()
    tasks = [waiting.task(each, run, node_budget=NodeBudget(20, 0.0)) for each, run in runs]
    await until(lambda: emulator.count("run") >= 20)
    assert emulator.count("run") <= (time.monotonic() - began) * 20 + 1
    await until(lambda: set(asked()) == {str(run) for _, run in runs})
    before = asked()
    await until(lambda: (asked() - before).total() >= 20)
    turns = [(asked() - before)[str(run)] for _, run in runs]
    assert max(turns) - min(turns) <= 2, turns
    for task in tasks:
        task.cancel()


async def test_a_server_that_tells_no_nodes_is_asked_once_while_a_pipelines_runs_are_waited_for(waiting, emulator):
    emulator.options.one_run_call = False
    one = pipeline(emulator)
    tasks = [waiting.task(one, run, node_budget=NodeBudget(100, 0.0)) for run in start(emulator, one, 2)]
    await polls(emulator, 4)
    for task in tasks:
        task.cancel()
    asked = [call["path"] for call in emulator.calls() if call["name"] != "history"]
    assert [path.rpartition("/pipeline/")[2] for path in asked] in (["1/get"], ["2/get"])


async def test_a_budget_of_nothing_asks_for_no_nodes(waiting, emulator, one, run):
    task = waiting.task(one, run, node_budget=NodeBudget(0, 15))
    await polls(emulator, 3)
    emulator.engine.finish(run)
    await task
    assert emulator.count("run") == 0


async def test_a_one_run_call_that_fails_harms_no_wait(waiting, emulator, one, run):
    emulator.fail("run", kind="reset", times=100)
    task = waiting.task(one, run, PollOptions(0.05, unreachable_timeout=0.2), node_budget=NodeBudget(100, 0.0))
    await until(lambda: emulator.count("run") > 3)
    emulator.engine.finish(run)
    assert (await task).state == "succeeded"


async def test_a_run_that_nobody_waits_for_any_more_takes_no_turn(waiting, emulator, one):
    runs = start(emulator, one, 3)
    tasks = [waiting.task(one, run, node_budget=NodeBudget(1, 0.0)) for run in runs]
    await until(lambda: emulator.count("run") == 1)
    [shared] = shared_connection._connections.values()
    for run in runs[:2]:
        emulator.engine.finish(run)
    await asyncio.gather(*tasks[:2])
    assert {key[-1] for key in shared.node_details._pending} <= {runs[2]}
    tasks[2].cancel()


async def test_waiting_for_a_turn_is_no_part_of_a_requests_own_time(flowengine_emulator: Emulator) -> None:
    emulator = flowengine_emulator
    settings = Settings.build(fl_url=emulator.url, engine_key=emulator.engine_key, timeout=1)
    number = 3 * aio.MAX_REQUESTS
    emulator.fail("engine_url", kind="slow", seconds=0.6, times=number)
    async with aio.AsyncClient(settings) as client:
        engines = await asyncio.gather(*(client.run(Api(settings, retry=NO_RETRY).resolve()) for _ in range(number)))
    assert len(engines) == number
