"""
A FlowEngine without sockets: the emulator's engine behind its gateway, and a network on which anything may break.

Requests and answers are the bytes that would go over the wire. Two lines lead there, one for a worker's process and one
for a triggerer; both drive flows as the clients over requests and aiohttp do.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request as WireRequest

from airflow_provider_flowengine.emulator.app import Gateway
from airflow_provider_flowengine.emulator.clock import Clock as MachineClock
from airflow_provider_flowengine.emulator.definition import RequestRejected
from airflow_provider_flowengine.emulator.engine import Engine
from airflow_provider_flowengine.emulator.faults import Faults
from airflow_provider_flowengine.emulator.files import Files
from airflow_provider_flowengine.emulator.options import Options
from airflow_provider_flowengine.emulator.store import Store
from airflow_provider_flowengine.protocol.envelope import transport_error
from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import Finished, Flow, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from airflow_provider_flowengine.emulator.models import Run
    from airflow_provider_flowengine.protocol.http import Request

    from .airflow import Process, Triggerer
    from .case import Case
    from .clock import Clock

Outcome = Response | ServiceUnavailableError

CONNECTION = {
    "conn_type": "flowengine",
    "host": "flowengine.test",
    "login": "1",
    "extra": {"engine_key": "demo"},
}

# --- what breaks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """
    Something that comes instead of an answer.

    :param call: which call it strikes: the first two words of what the call does, e.g. ``start pipeline``.
    :param kind: what comes, a key of :data:`BREAKAGES`, or ``late``: no answer, and the work is done later.
    :param nth: how many such calls pass first.
    :param times: how many it strikes.
    :param after: whether the work is done all the same.
    :param seconds: how much later, for ``late``.
    """

    call: str
    kind: str
    nth: int = 0
    times: int = 1
    after: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Outage:
    """A time in which every call ends in the same way, with nothing done; seconds from the case's beginning."""

    begins: float
    ends: float
    kind: str


def _page(status: int, text: str, **headers: str) -> Callable[[Request, Response], Outcome]:
    page = f"<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>".encode()
    return lambda call, right: Response(
        status, page, {name.replace("_", "-"): value for name, value in headers.items()}
    )


def _silence(reason: str, may_have_been_processed: bool) -> Callable[[Request, Response], Outcome]:
    return lambda call, right: transport_error(call, reason, may_have_been_processed=may_have_been_processed)


BREAKAGES: dict[str, Callable[[Request, Response], Outcome]] = {
    "500": _page(500, "Internal Server Error"),
    "502": _page(502, "Bad Gateway"),
    "503": _page(503, "Service Unavailable"),
    "504": _page(504, "Gateway Timeout"),
    "429": _page(429, "Too Many Requests", retry_after="7"),
    "refused": _silence("connection refused", False),
    "reset": _silence("connection reset by peer", True),
    "hang": _silence("no answer in time", True),
    "html": _page(200, "登录"),
    "broken JSON": lambda call, right: Response(200, right.body[: len(right.body) // 2]),
    "refusal": lambda call, right: Response(200, '{"status": 1, "msg": "系统异常", "data": null}'.encode()),
}

NOTHING_DONE = frozenset({"429", "503", "refused", "refusal"})
"""
What says that nothing was done: it strikes before the work only.

A server that starts a run and then says that it didn't can't be helped: whoever believes it starts another one.
"""


# --- the server -------------------------------------------------------------------------------------------------------


def call_name(request: Request) -> str:
    """The first two words of what a call does."""
    return " ".join(request.name.split()[:2])


@dataclass
class FlowEngine:
    """
    The engine, its one pipeline, and who has started which run.

    :param clock: the clock.
    :param case: how it is, and what breaks.
    """

    clock: Clock
    case: Case
    ours: list[int] = field(default_factory=list)
    gone: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stops: list[int] = field(default_factory=list)
    troubles: int = 0
    last_look: float = 0.0
    on_start: Callable[[int], None] = lambda run_id: None
    on_stop: Callable[[int], None] = lambda run_id: None

    def __post_init__(self) -> None:
        case, now = self.case, self.clock.now
        self.options = Options(node_seconds=0, **case.shape)
        self.engine = Engine(Store(), MachineClock(), self.options)
        self.pipeline_id = self.engine.create_pipeline(self._pipeline(0)).id
        self.engine.add_history(self.pipeline_id, [now - 86400 + number for number in range(case.older)])
        self._gateway = Gateway(self.engine, Faults(), Files(None))
        self._passed = [0] * len(case.faults)
        self._random = random.Random(case.seed)
        self._newest = case.older
        self._began = now
        for seconds, params in case.colleagues:
            self.clock.at(now + seconds, lambda params=params: self._colleague(params))
        for seconds, options in case.changes:
            self.clock.at(now + seconds, lambda options=options: self._change(options))
        for seconds in case.prunings:
            self.clock.at(now + seconds, self.prune)

    def _pipeline(self, number: int) -> dict[str, Any]:
        """The pipeline as it is for its nth start by the task."""
        outcomes = self.case.outcomes
        values = {"duration": str(self.case.duration), "outcome": outcomes[min(number, len(outcomes) - 1)], "x": "0"}
        node = {
            "nodeId": "n1",
            "name": "train",
            "type": "TASK",
            "indexType": "SHELL",
            "params": {"values": [{"key": key, "value": value, "type": "TEXT"} for key, value in values.items()]},
        }
        return {"id": 1, "pipelineKey": "nightly", "data": {"name": "nightly", "nodes": [node], "edges": []}}

    # What others do

    def _colleague(self, params: dict[str, dict[str, str]] | None) -> None:
        """Somebody else starts a run: by the pipeline's schedule, or by hand with params of their own."""
        self.engine.start(self.pipeline_id, params, "manual" if params else "cron")

    def _change(self, options: dict[str, Any]) -> None:
        for name, value in options.items():
            setattr(self.options, name, value)

    def prune(self) -> None:
        """Somebody deletes the task's newest run from the history."""
        if self.ours:
            for run_id in self.ours:
                self.gone.setdefault(run_id, self.state(run_id))
            self.engine.prune(self.pipeline_id, self.ours[-1])

    def end(self, outcome: str = "stopped") -> None:
        """Somebody ends the task's newest run on FlowEngine's own page."""
        if self.ours and self.is_alive(self.ours[-1]):
            self.engine.finish(self.ours[-1], outcome)

    # What there is

    def run(self, run_id: int) -> Run | None:
        """A run; None once it is pruned."""
        try:
            return self.engine.run(run_id)
        except RequestRejected:
            return None

    def state(self, run_id: int) -> str:
        """A run's state; of a pruned one as it was then."""
        run = self.run(run_id)
        return run.state(self.clock.now) if run else self.gone.get(run_id, "gone")

    def is_alive(self, run_id: int) -> bool:
        """Whether a run goes on and nobody has told it to stop."""
        run = self.run(run_id)
        return run is not None and run.state(self.clock.now) == "running"

    # What comes of a request

    def answer(self, request: Request) -> tuple[Outcome, float]:
        """Do what a request asks for, and return what comes back, after how many seconds."""
        name = call_name(request)
        self.counts[name] = self.counts.get(name, 0) + 1
        if name == "stop run":
            self.stops.append(int(request.path.split("/")[-2]))
            self.on_stop(self.stops[-1])
        fault = self._fault(name)
        seconds = self._random.uniform(0.01, 0.5)
        if fault is None:
            if name == "list runs":
                self.last_look = self.clock.now
            return self._work(request, name), seconds
        self.troubles += 1
        if fault.kind == "late":
            self.clock.at(self.clock.now + fault.seconds, lambda: self._work(request, name))
            return BREAKAGES["hang"](request, Response(200)), request.timeout
        right = self._work(request, name) if fault.after else Response(200, b'{"status": 0, "data": {}}')
        return BREAKAGES[fault.kind](request, right), request.timeout if fault.kind == "hang" else seconds

    def _fault(self, name: str) -> Fault | None:
        elapsed = self.clock.now - self._began
        for outage in self.case.outages:
            if outage.begins <= elapsed < outage.ends:
                return Fault(name, outage.kind)
        for number, fault in enumerate(self.case.faults):
            if fault.call == name:
                self._passed[number] += 1
                if fault.nth < self._passed[number] <= fault.nth + fault.times:
                    return fault
        return None

    def _work(self, request: Request, name: str) -> Response:
        if name != "start pipeline":
            return self._through_gateway(request)
        self.engine.update_pipeline(self._pipeline(len(self.ours)))
        self._new_runs()
        answer = self._through_gateway(request)
        for run_id in self._new_runs():
            self.ours.append(run_id)
            self.on_start(run_id)
        return answer

    def _new_runs(self) -> list[int]:
        before = self._newest
        while self.run(self._newest + 1):
            self._newest += 1
        return list(range(before + 1, self._newest + 1))

    def _through_gateway(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        body = b"" if request.body is None else json.dumps(request.body).encode()
        scope = {
            "type": "http",
            "method": request.method,
            "path": parts.path,
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        response = _finish(self._gateway(WireRequest(scope, receive)))
        headers = {"content-type": "application/json", "date": formatdate(self._told_time(), usegmt=True)}
        return Response(response.status_code, bytes(response.body), headers)

    def _told_time(self) -> float:
        return self.clock.now + self.options.clock_skew


def _finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("The gateway waits")


# --- the lines to it --------------------------------------------------------------------------------------------------


class WorkerLine:
    """Drives flows in a worker's process, as :class:`airflow_provider_flowengine.client.sync.Client` does."""

    def __init__(self, flowengine: FlowEngine, process: Process) -> None:
        self._flowengine = flowengine
        self._process = process

    def run(self, flow: Flow[T]) -> T:
        step = advance(flow, None)
        while not isinstance(step, Finished):
            step = advance(flow, self._take(step))
        return step.value

    def _take(self, step: Request | Sleep) -> Outcome | None:
        if isinstance(step, Sleep):
            self._process.sleep(step.seconds)
            return None
        self._process.boundary(f"send {call_name(step)}")
        outcome, seconds = self._flowengine.answer(step)
        self._process.boundary(f"sent {call_name(step)}")
        self._process.sleep(seconds)
        self._process.boundary(f"done {call_name(step)}")
        return outcome


class TriggererLine:
    """Drives flows in a triggerer, as :class:`airflow_provider_flowengine.client.aio.AsyncClient` does."""

    def __init__(self, flowengine: FlowEngine, triggerer: Triggerer) -> None:
        self._flowengine = flowengine
        self._triggerer = triggerer

    async def run(self, flow: Flow[T]) -> T:
        step = advance(flow, None)
        while not isinstance(step, Finished):
            step = advance(flow, await self._take(step))
        return step.value

    async def _take(self, step: Request | Sleep) -> Outcome | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        await self._triggerer.boundary(f"send {call_name(step)}")
        outcome, seconds = self._flowengine.answer(step)
        await self._triggerer.boundary(f"sent {call_name(step)}")
        await asyncio.sleep(seconds)
        return outcome

    async def close(self) -> None:
        pass

    async def __aenter__(self) -> TriggererLine:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass
