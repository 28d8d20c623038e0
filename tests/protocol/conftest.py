"""Drives flows without sockets and without sleeps: a server made of rows, and a clock that only sleeps move."""

import json
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import HealthCheck, settings

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.envelope import transport_error
from airflow_provider_flowengine.protocol.flow import Finished, Sleep, advance
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.settings import Settings

settings.register_profile("quick", max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")

SAMPLES = Path(__file__).parent.parent / "samples"
NOW = 1_700_000_000.0
MAX_STEPS = 10_000  # more than any flow takes that ends
KINDS = {  # the end of a path -> the call
    "/k8s/info/": "resolve",
    "/getParam": "engine id",
    "/getParamWithoutTemplate": "engine id",
    "/create": "create",
    "/update": "update",
    "/list": "pipelines",
    "/start": "start",
    "/stop": "schedule off",
    "/historyList": "history",
    "/stopHistory": "stop",
    "/resumeHistory": "resume",
}


def sample(name):
    return Response(200, (SAMPLES / f"{name}.json").read_bytes())


def ok(data=None, **more):
    return answer(200, {"status": 0, "msg": "后台处理正常", "data": data, **more})


def refused(msg, status=1):
    return answer(200, {"status": status, "msg": msg, "data": None})


def answer(status, content, **headers):
    body = content.encode() if isinstance(content, str) else json.dumps(content, ensure_ascii=False).encode()
    return Response(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def not_connected(request):
    """The connection is refused: the call was surely not taken."""
    return transport_error(request, "connection refused", may_have_been_processed=False)


def no_reply(request):
    """The connection breaks, or nothing comes in time: nobody knows whether the call was taken."""
    return transport_error(request, "connection reset", may_have_been_processed=True)


class FakeServer:
    """A FlowEngine with one pipeline, number 19. What it doesn't do by itself is scripted with :meth:`on`."""

    def __init__(self):
        self.now = NOW
        self.requests = []
        self.pauses = []
        self.runs = []  # rows, oldest first
        self.appears = {}  # run id -> when the history shows it, for those that it doesn't show at once
        self.engine_url = "/engine/15/cess-data-3"
        self.order = "descending"
        self.paged = True
        self.counts = False  # whether it tells how many runs there are
        self.most = 1000  # the longest page it gives
        self.beyond_the_end = "empty"  # or "last page", "refusal"
        self.one_run_call = False
        self.clock_skew = 0.0  # what its Date header is ahead
        self.sends_date = True
        self.lag = 0.0  # seconds before a new run appears in the history
        self.start_answer = {}
        self._script = {}

    # --- what tests say -------------------------------------------------------------------------------------------

    def api(self, *, retry=None, **connection):
        settings = Settings.build(**{"fl_url": "http://gw:31101", "engine_key": "demo", **connection})
        api = Api(settings, now=lambda: self.now)
        if retry:
            api.retry = retry
        return api

    def history(self, **connection):
        return History(self.api(**connection), 19)

    def drive(self, flow):
        """Drive a flow to its end; time passes through its sleeps alone."""
        response = None
        for _ in range(MAX_STEPS):
            step = advance(flow, response)
            if isinstance(step, Finished):
                return step.value
            if isinstance(step, Sleep):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                response = None
            else:
                self.requests.append(step)
                response = self(step)
        raise AssertionError(f"The flow has not ended after {MAX_STEPS} steps.")

    def on(self, call, *outcomes):
        """Say what comes of the next calls of a kind: an answer, or a function of the request."""
        self._script.setdefault(call, []).extend(outcomes)

    def always(self, call, outcome):
        """Say what comes of all further calls of a kind."""
        self._script[call] = _Endless(outcome)

    def taken(self, outcome):
        """Do the work, then answer something else."""

        def take(request):
            self._work(request)
            return outcome(request) if callable(outcome) else outcome

        return take

    def add_run(self, run_id=None, *, status="running", started=None, appears=None, **row):
        run_id = run_id if run_id is not None else self.runs[-1]["id"] + 1 if self.runs else 1
        started = self.now + self.clock_skew if started is None else started
        self.runs.append({"id": run_id, "status": status, "startTime": int(started * 1000) if started else None, **row})
        if appears is not None and appears > self.now:
            self.appears[run_id] = appears
        return run_id

    def fill(self, count, **row):
        """Give the pipeline a past: so many runs, one a minute."""
        for place in range(count):
            self.add_run(started=self.now + self.clock_skew - 60 * (count - place), status="succeeded", **row)

    def set(self, run_id, **changes):
        next(run for run in self.runs if run["id"] == run_id).update(changes)

    # --- what tests ask -------------------------------------------------------------------------------------------

    @property
    def calls(self):
        return [kind(request) for request in self.requests]

    def count(self, call):
        return self.calls.count(call)

    def forget(self):
        self.requests.clear()
        self.pauses.clear()

    # --- answering ------------------------------------------------------------------------------------------------

    def __call__(self, request):
        script = self._script.get(kind(request))
        if script:
            outcome = script.pop(0)
            return outcome(request) if callable(outcome) else outcome
        return self._work(request)

    def _work(self, request):
        parts = urlsplit(request.url)
        query = dict(parse_qsl(parts.query))
        call = kind(request)
        if call == "resolve":
            return ok({"url": self.engine_url})
        if not parts.path.startswith(self.engine_url + "/"):
            return answer(404, "404 page not found")
        if call == "engine id":
            return ok({"engineId": 6})
        if call in ("start", "history") and "/19/" not in parts.path:
            return refused("no such pipeline")
        if call == "start":
            run_id = self.add_run(appears=self.now + self.lag)
            content = self.start_answer(run_id) if callable(self.start_answer) else self.start_answer
            return self._dated(ok(content))
        if call == "history":
            shown = self._page(int(query["page"]), int(query["size"]))
            return self._dated(refused("page out of range") if shown is None else ok(shown))
        if call == "one run":
            run_id = parts.path.split("/")[-2]
            row = next((run for run in self.runs if str(run["id"]) == run_id), None)
            return ok({**row, "pipelineId": 19}) if self.one_run_call and row else answer(404, "no such call")
        return ok([] if call == "pipelines" else {})

    def _page(self, page, size):
        rows = self.runs
        if self.appears:
            rows = [run for run in rows if self.appears.get(run["id"], 0) <= self.now]
        if callable(self.order):
            rows = sorted(rows, key=self.order)
        count = len(rows)
        begin, end = 0, count
        if self.paged:
            size = min(size, self.most)
            last = max(1, -(-count // size))
            if page > last and self.beyond_the_end == "refusal":
                return None
            if page > last and self.beyond_the_end == "last page":
                page = last
            begin, end = min((page - 1) * size, count), min(page * size, count)
        shown = rows[count - end : count - begin][::-1] if self.order == "descending" else rows[begin:end]
        return {"total": count, "list": shown} if self.counts else shown

    def _dated(self, answer):
        if not self.sends_date:
            return answer
        date = formatdate(self.now + self.clock_skew, usegmt=True)
        return Response(answer.status, answer.body, {**answer.headers, "date": date})


class _Endless(list):
    def __init__(self, outcome):
        super().__init__([outcome])

    def pop(self, index):
        return self[index]


def kind(request):
    path = request.path
    found = next((call for end, call in KINDS.items() if path.endswith(end)), None)
    if found == "start" and request.query.get("once") == "false":
        return "schedule on"
    if "/uploadJobFileParam/" in path:
        return "upload"
    return found or ("pipeline" if "/template/" in path else "one run")


@pytest.fixture
def server():
    return FakeServer()


@pytest.fixture
def call():
    return Request(name="read pipeline 19", method="GET", path="/engine/15/x/kernel/v1/pipeline/19", idempotent=True)
