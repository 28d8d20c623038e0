"""
A FlowEngine that behaves as oddly as it is drawn to, and the people who use it too: a world on a clock of its own.

Everything that can differ stands in :class:`World`, which hypothesis draws and shrinks. The defaults are the plain
world: a start is processed and its answer names the run, which shows at once in a history of one page.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_flowengine.protocol.envelope import transport_error
from airflow_provider_flowengine.protocol.flow import Finished, Flow, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE = 19
BEGIN = 1_700_000_000.0
REQUEST_SECONDS = 0.1

NAMES_RUN, NAMES_NONE, NAMES_ANOTHER = "names its run", "names no run", "names an id that is no run's"
LOST, REJECTED, REFUSED = "lost", "rejected", "connection refused"
ERRORS: dict[str, Response] = {
    "403": Response(403, b"<html><title>Blocked by the firewall</title></html>"),
    "429": Response(429, b"Too Many Requests"),
    "500": Response(500, b"oops"),
    "502": Response(502, b"<html>Bad Gateway</html>"),
    "503": Response(503, b"upstream connect error or disconnect/reset before headers"),
    "504": Response(504, b""),
    "html": Response(200, b"<html>login</html>"),
    "half": Response(200, b'{"status": 0, "da'),
}
SUCCESSES = (NAMES_RUN, NAMES_NONE, NAMES_ANOTHER)
UNKNOWN = (LOST, *ERRORS)


@dataclass(frozen=True)
class Start:
    """
    What becomes of a start that is sent.

    :param answer: what comes back.
    :param is_processed: whether it makes a run.
    :param takes: seconds until the run is there.
    :param shows_after: seconds until the history shows it.
    """

    answer: str = NAMES_RUN
    is_processed: bool = True
    takes: float = 0.0
    shows_after: float = 0.0


@dataclass(frozen=True)
class Other:
    """
    A run that somebody else starts.

    :param at: when, in seconds from the task's beginning; before it, less than 0.
    :param shows_after: seconds until the history shows it.
    :param is_scheduled: whether it says that a schedule triggered it.
    :param x: the parameter that it was given, or None if it tells none; the task's is 7.
    :param duration: how long it takes, in seconds.
    """

    at: float
    shows_after: float = 0.0
    is_scheduled: bool = False
    x: int | None = None
    duration: float = 300.0


@dataclass(frozen=True)
class World:
    """
    One case.

    :param starts: what becomes of the task's starts; the last holds for all further ones.
    :param others: what others start.
    :param older: how many runs the history holds before, an hour old at least.
    :param replicas: how many seconds each of the replicas lags that answer reads in turn.
    :param ids: ``grow``, ``random`` or ``text``.
    :param order: the history's: ``newest``, ``oldest``, or ``any``: another one each time.
    :param paging: ``pages``, ``whole``, ``wraps`` (begins anew), ``repeats`` (its last page), or ``endless``.
    :param page_size: how many runs a page holds at most.
    :param total: what it says that it holds in all: ``none``, ``right`` or ``wrong``.
    :param times: ``ms``, ``text``, or ``none``.
    :param zone: the hours that text times are ahead of what the connection says.
    :param skew: the seconds that the server's clock is ahead of the task's.
    :param has_date: whether its answers tell its time.
    :param outages: when it answers nothing, from and to, in seconds from the task's beginning.
    :param outcomes: how the task's runs end, one after the other.
    :param duration: how long they take.

    The others are the task's.
    """

    starts: tuple[Start, ...] = (Start(),)
    others: tuple[Other, ...] = ()
    older: int = 6
    replicas: tuple[float, ...] = (0.0,)
    ids: str = "grow"
    order: str = "newest"
    paging: str = "pages"
    page_size: int = 1000
    total: str = "none"
    times: str = "ms"
    zone: float = 0.0
    skew: float = 0.0
    has_date: bool = True
    outages: tuple[tuple[float, float], ...] = ()
    outcomes: tuple[str, ...] = ("succeeded",)
    duration: float = 60.0
    retries: int = 2
    retry_delay: float = 60.0
    confirmation_timeout: float = 30.0
    timeout: float | None = None
    unreachable_timeout: float = 300.0
    poll_interval: float = 30.0
    dies_after_start: bool = False


@dataclass
class Run:
    """One run of the world's."""

    id: int | str
    created: float
    shows_after: float
    duration: float
    outcome: str
    owner: str = "other"
    trigger: str = ""
    x: int | None = None
    stopped_at: float | None = None
    posted: float = 0.0

    def state(self, now: float) -> str:
        """How it is doing."""
        ends = self.created + self.duration
        if self.stopped_at is not None and self.stopped_at < ends:
            return "stopped" if now >= self.stopped_at else "running"
        return self.outcome if now >= ends else "running"


@dataclass
class Server:
    """Answers a task's requests as its world says, and remembers what really happened."""

    world: World
    now: float = BEGIN
    runs: list[Run] = field(default_factory=list)
    ours: list[Run] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    requests: int = 0
    requests_in_a_row: int = 0
    most_in_a_row: int = 0
    on_start: Callable[[Run], None] = lambda run: None
    on_stop: Callable[[str], None] = lambda run_id: None
    _due: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    _reads: int = 0

    def __post_init__(self) -> None:
        world = self.world
        for number in range(world.older):
            self._add(Run("", self.now - 3600 - 60 * (world.older - number), 0.0, 30.0, "succeeded"))
        for other in sorted(world.others, key=lambda other: other.at):
            at = self.now + other.at
            self._at(at, lambda other=other, at=at: self._start_other(other, at))
        self._pass(0.0)

    # --- time -----------------------------------------------------------------------------------------------------

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        self._due.append((moment, act))
        self._due.sort(key=lambda pair: pair[0])

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            moment, act = self._due.pop(0)
            self.now = max(self.now, moment)
            act()
        self.now = until

    def drive(self, flow: Flow[T]) -> T:
        """Drive a flow to its end."""
        step = advance(flow, None)
        while not isinstance(step, Finished):
            if isinstance(step, Sleep):
                self.requests_in_a_row = 0
                self._pass(step.seconds)
                step = advance(flow, None)
            else:
                self.requests += 1
                self.requests_in_a_row += 1
                self.most_in_a_row = max(self.most_in_a_row, self.requests_in_a_row)
                step = advance(flow, self._answer(step))
        return step.value

    def sleep(self, seconds: float) -> None:
        """Let time pass between two tries."""
        self.requests_in_a_row = 0
        self._pass(seconds)

    # --- what happens ---------------------------------------------------------------------------------------------

    def _add(self, run: Run) -> Run:
        number = len(self.runs) + 1
        scrambled = 1 + zlib.crc32(f"run {number}".encode())
        run.id = {"grow": number, "random": scrambled, "text": f"run-{scrambled:x}"}[self.world.ids]
        self.runs.append(run)
        return run

    def _start_other(self, other: Other, at: float) -> None:
        trigger = "CRONTAB" if other.is_scheduled else ""
        self._add(Run("", at, other.shows_after, other.duration, "succeeded", trigger=trigger, x=other.x))

    def _start_own(self, start: Start, posted: float) -> Run:
        world = self.world
        outcome = world.outcomes[min(len(self.ours), len(world.outcomes) - 1)]
        run = self._add(Run("", self.now, start.shows_after, world.duration, outcome, owner="task", x=7, posted=posted))
        self.ours.append(run)
        self.on_start(run)
        return run

    def find(self, run_id: object) -> Run | None:
        """The run of an id, whoever started it."""
        return next((run for run in self.runs if str(run.id) == str(run_id)), None)

    def shows_since(self, run: Run) -> float:
        """From when on every read shows a run."""
        return run.created + run.shows_after + max(self.world.replicas)

    # --- answers --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response | Any:
        elapsed = self.now - BEGIN
        if any(begin <= elapsed < end for begin, end in self.world.outages):
            if request.path.endswith("/start"):
                self.sent.append(self.now)  # never processed, which nobody can know
            self._pass(min(request.timeout, 30.0))
            return transport_error(request, "no answer in time", **_UNKNOWN)
        self._pass(REQUEST_SECONDS)
        url = urlsplit(request.url)
        path = url.path
        if "/k8s/info" in path:
            return self._ok({"url": "/engine/15/demo"})
        if "getParam" in path:
            return self._ok({"engineId": 6})
        if path.endswith("/historyList"):
            query = dict(part.split("=") for part in url.query.split("&"))
            return self._ok(self._page(int(query["page"]), int(query["size"])))
        if path.endswith("/stopHistory"):
            return self._stop(path.split("/")[-2])
        if path.endswith("/start"):
            return self._start(request)
        return Response(404, b"no such call")

    def _start(self, request: Request) -> Response | Any:
        start = self.world.starts[min(len(self.sent), len(self.world.starts) - 1)]
        if start.answer == REFUSED:
            self.sent.append(self.now)
            return transport_error(request, "connection refused", **_UNPROCESSED)
        self.sent.append(self.now)
        run: Run | None = None
        if start.is_processed and start.takes:
            self._at(self.now + start.takes, lambda posted=self.now: self._start_own(start, posted))
        elif start.is_processed:
            run = self._start_own(start, self.now)
        if start.answer == LOST:
            self._pass(request.timeout)
            return transport_error(request, "no answer in time", **_UNKNOWN)
        if start.answer == REJECTED:
            return Response(200, b'{"status": 1, "msg": "busy", "data": null}')
        if start.answer in ERRORS:
            return ERRORS[start.answer]
        if start.answer == NAMES_ANOTHER:
            return self._ok({"id": 900_001, "status": "running"})
        return self._ok(self._row(run) if run and start.answer == NAMES_RUN else {})

    def _stop(self, run_id: str) -> Response:
        self.on_stop(run_id)
        run = self.find(run_id)
        if run:
            run.stopped_at = self.now
        return self._ok({})

    def _ok(self, data: object) -> Response:
        date = {"date": formatdate(self.now + self.world.skew, usegmt=True)} if self.world.has_date else {}
        return Response(200, json.dumps({"status": 0, "msg": "", "data": data}).encode(), date)

    def _row(self, run: Run) -> dict[str, object]:
        row: dict[str, object] = {"id": run.id, "status": run.state(self.now)}
        if self.world.times != "none":
            row["startTime"] = self._time(run.created)
        if run.trigger:
            row["triggerType"] = run.trigger
        if run.x is not None:
            row["params"] = {"train": {"x": str(run.x)}}
        return row

    def _time(self, moment: float) -> object:
        told = moment + self.world.skew
        if self.world.times == "ms":
            return int(told * 1000)
        return (datetime.fromtimestamp(told, UTC) + timedelta(hours=self.world.zone)).strftime("%Y-%m-%d %H:%M:%S")

    def _page(self, page: int, size: int) -> object:
        world = self.world
        lag = world.replicas[self._reads % len(world.replicas)]
        self._reads += 1
        shown = [run for run in self.runs if run.created + run.shows_after + lag <= self.now]
        total = len(shown) if world.total == "right" else 10**12
        if world.order == "newest":
            shown.reverse()
        if world.order == "any":
            shown.sort(key=lambda run: zlib.crc32(f"{run.id} {self._reads}".encode()))
        if world.paging == "whole":
            rows = [self._row(run) for run in shown]
        else:
            rows = self._rows(shown, page, min(size, world.page_size))
        return rows if world.total == "none" else {"list": rows, "total": total}

    def _rows(self, shown: list[Run], page: int, size: int) -> list[dict[str, object]]:
        last = max(1, -(-len(shown) // size))
        if page > last and self.world.paging == "wraps":
            page = 1 + (page - 1) % last
        if page > last and self.world.paging == "repeats":
            page = last
        if page > last and self.world.paging == "endless":
            return [{"id": f"odd-{page}-{place}", "status": "succeeded"} for place in range(size)]
        return [self._row(run) for run in shown[(page - 1) * size : page * size]]


_UNPROCESSED: dict[str, Any] = {"may_have_been_processed": False}
_UNKNOWN: dict[str, Any] = {"may_have_been_processed": True}
