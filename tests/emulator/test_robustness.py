"""Nothing that it is given makes the emulator spin, answer 500, or stay when it is told to end."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_flowengine.emulator import engine, sessions
from airflow_provider_flowengine.emulator.clock import MAX_TIME, Clock
from airflow_provider_flowengine.emulator.faults import Fault
from airflow_provider_flowengine.emulator.options import Options
from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import START, Caller, node, pipeline

HALF = "\ud800"  # of a surrogate pair: JSON may hold it, UTF-8 may not
HUGE = 10**400
numbers = st.one_of(st.integers(), st.floats(), st.sampled_from([0, -1, 1e-9, 1e308, HUGE, -HUGE]))
texts = st.one_of(
    st.text(alphabet=st.characters(codec=None), max_size=8),
    st.sampled_from(
        ["", HALF, "forever", "nan", "1e999", "failed", "0 0 0 29 2 ? 2099", "0/1 * * ? * *", "\0", "${x}"]
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def fields(**known):
    """An object with some of these fields, each with a value of its kind or with any other."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(kind, values) for name, kind in known.items()})


units = st.sampled_from(["SECOND", "MINUTE", "HOUR", "DAY"])
executions = fields(
    runMode=st.sampled_from(["SINGLE", "PERIODICAL", "CRONTAB", "MESSAGE"]),
    interval=numbers,
    intervalUnit=units,
    cronExpression=texts,
    trigger=texts,
    triggerList=st.lists(texts, max_size=2),
    retryCount=numbers,
    retryGapTime=numbers,
    retryGapTimeUnit=units,
    timeOut=numbers,
    timeOutUnit=units,
)
params = fields(id=texts, key=st.sampled_from(["duration", "outcome", "message"]), value=values, type=texts)
nodes = st.builds(
    lambda number, more: {"nodeId": f"n{number}", "type": "TASK", "indexType": "SHELL", **more},
    st.integers(0, 2),
    fields(
        nodeId=texts,
        name=texts,
        title=texts,
        indexSource=texts,
        params=st.fixed_dictionaries({"values": st.lists(params, max_size=3)}),
        executionConfig=executions,
        onError=texts,
    ),
)
edges = st.fixed_dictionaries({"srcNodeId": st.just("n0"), "destNodeId": st.sampled_from(["n1", "n2"])})
definitions = st.one_of(
    values,
    st.fixed_dictionaries(
        {
            "data": fields(
                name=texts,
                nodes=st.lists(nodes, max_size=3),
                edges=st.lists(edges, max_size=2),
                executionConfig=executions,
            )
        },
        optional={"pipelineKey": values, "id": values},
    ),
)


@pytest.fixture(scope="module")
def hardened():
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def few_fires(monkeypatch):
    """Let schedules catch up with fewer runs, so that an example takes milliseconds."""
    monkeypatch.setattr(engine, "MAX_FIRED", 3)


class Prober:
    """Asks for everything, and bears no answer of 500 or more but those that a fault has asked for."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.call = Caller(emulator)

    def ask(self, method, path, body=None, **query):
        # allow_nan: what Python's json writes may be no JSON, as what others send may be none.
        url = f"{self.emulator.url}{path}"
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        answer = self.call.session.request(method, url, params=query, data=data, headers=headers, timeout=10)
        assert answer.status_code < 500, (method, path, answer.status_code, answer.text[:300])
        return answer

    def engine(self, method, path, body=None, **query):
        path = f"{self.emulator.options.engine_url}/kernel/v1{path}"
        return self.ask(method, path, body, engineKey=self.emulator.engine_key, **query)

    def everything(self, pipeline_id=1, run_id=1):
        self.engine("GET", "/pipeline/6/list", page=1, size=2)
        self.engine("GET", f"/pipeline/template/6/{pipeline_id}/get")
        self.engine("GET", f"/pipeline/{pipeline_id}/historyList", page=2, size=2)
        self.engine("GET", f"/pipeline/{run_id}/get")
        for path in ("/engine", f"/latest?pipeline={pipeline_id}", "/calls", "/options", "/faults", "/clock"):
            self.ask("GET", f"/__control__{path}")
        for path in ("", "/definition", "/log?node=n0"):
            self.ask("GET", f"/__control__/runs/{run_id}{path}")


def fresh(emulator, **options):
    emulator.reset(**options)
    emulator.clock.reset(START)
    return Prober(emulator)


def raw_answer(emulator, request):
    """The answer to the bytes of a request that no client would send."""
    with socket.create_connection((emulator.host, emulator.port), timeout=30) as client:
        client.sendall(request)
        return client.makefile("rb").readline()


bounded = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@bounded
@given(definition=definitions, start=values, seconds=st.floats(0, 1e12))
@example({"data": {"nodes": [], "executionConfig": {"runMode": "PERIODICAL", "interval": 1e-9}}}, {}, 1e6)
@example({"data": {"nodes": [{**node("n0"), "executionConfig": {"timeOut": HUGE}}]}}, {}, 60)
@example(
    {"data": {"nodes": [{**node("n0", duration=HALF), "title": HALF}]}, "pipelineKey": HALF}, {"n0": {HALF: HALF}}, 60
)
@example({"data": {"nodes": [node("n0", duration="1e308"), node("n1", duration="1e308")]}}, {}, 1e12)
def test_no_definition(hardened, few_fires, definition, start, seconds):
    prober = fresh(hardened)
    prober.engine("POST", "/pipeline/template/6/create", definition)
    prober.engine("POST", "/pipeline/6/1/start", {"data": " "}, once="false")
    prober.engine("POST", "/pipeline/6/1/start", start)
    prober.everything()
    prober.ask("POST", "/__control__/clock/advance", {"seconds": seconds})
    prober.everything()
    prober.engine("DELETE", "/pipeline/1/stopHistory")
    prober.engine("POST", "/pipeline/1/resumeHistory")
    prober.everything()


OPTIONS = {name: Options.model_fields[name] for name in Options.model_fields if name != "answer_delay"}


@bounded
@given(changes=st.dictionaries(st.sampled_from([*OPTIONS, "nonsense", HALF]), values, max_size=3), seconds=numbers)
@example({"refuse_start": HALF}, 1)
@example({HALF: HALF}, 1)
@example({"clock_skew": 1e300, "times": "text"}, 1e300)
@example({"words": {"failed": HALF}}, 1)
@example({"node_seconds": 1e308, "history_delay": 1e308}, 1)
def test_no_option_and_no_clock(hardened, changes, seconds):
    prober = fresh(hardened)
    prober.engine("POST", "/pipeline/template/6/create", pipeline(node("n0"), node("n1")))
    prober.ask("PATCH", "/__control__/options", changes)
    prober.engine("POST", "/pipeline/6/1/start", {})
    prober.ask("POST", "/__control__/clock/advance", {"seconds": seconds})
    prober.everything()


@bounded
@given(
    fault=fields(
        kind=st.sampled_from([*Fault.model_json_schema()["properties"]["kind"]["enum"]]),
        status=st.integers(300, 499),
        retry_after=texts,
        location=texts,
        seconds=st.sampled_from([0, -1, HUGE]),
        msg=texts,
        times=numbers,
        skip=numbers,
        calls=st.lists(texts, max_size=2),
    )
)
def test_no_fault(hardened, fault):
    prober = fresh(hardened)
    prober.ask("POST", "/__control__/faults", {"kind": "status", "status": 400, **fault})
    prober.ask("GET", "/__control__/faults")
    if fault.get("kind") == "redirect":  # wherever to: the client here would go there
        head = f"GET /nowhere HTTP/1.1\r\nHost: {hardened.host}\r\n\r\n"
        assert int(raw_answer(hardened, head.encode()).split()[1]) < 500
    elif fault.get("kind") not in ("reset", "hang", "truncated"):
        prober.engine("GET", "/pipeline/6/list")


@pytest.mark.parametrize("depth", [101, 500, 900, 5_000, 200_000])
def test_no_depth(hardened, depth):
    prober = fresh(hardened)
    for opening, end in (("[", "]"), ('{"data":', "}")):
        text = opening * depth + "0" + end * depth
        url = f"{hardened.url}{hardened.options.engine_url}/kernel/v1/pipeline/template/6/create?engineKey=demo"
        answer = prober.call.session.post(url, data=text, timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (200, 1)
        control = prober.call.session.patch(f"{hardened.url}/__control__/options", data=text, timeout=10)
        assert control.status_code in (400, 422)


def test_a_big_pipeline_that_fires_each_second_for_a_year_is_caught_up_with_in_time(hardened):
    prober = fresh(hardened)
    many = [node(f"n{number}", note="x" * 100) for number in range(1_500)]
    body = pipeline(*many, execution={"runMode": "PERIODICAL", "interval": 1, "intervalUnit": "SECOND"})
    prober.engine("POST", "/pipeline/template/6/create", body)
    prober.engine("POST", "/pipeline/6/1/start", {}, once="false")
    begun = time.monotonic()

    prober.ask("POST", "/__control__/clock/advance", {"seconds": 365 * 86400})
    assert prober.engine("GET", "/pipeline/1/historyList", page=1, size=1).json()["data"]["total"] > 0
    assert time.monotonic() - begun < 10


BODIES = {
    "a call": ("/engine/15/demo/kernel/v1/pipeline/6/1/start", "application/json"),
    "an upload": ("/engine/15/demo/kernel/v1/template/uploadJobFileParam/1", "multipart/form-data; boundary=x"),
    "a control endpoint": ("/__control__/faults", "application/json"),
}


@pytest.mark.parametrize(("path", "kind"), BODIES.values(), ids=BODIES)
def test_a_client_that_hangs_up_in_the_middle_of_its_body_is_no_error(emulator, caplog, path, kind):
    head = f"POST {path} HTTP/1.1\r\nHost: {emulator.host}\r\nX-FlowEngine-UserId: 1\r\nContent-Type: {kind}\r\n"
    with socket.create_connection((emulator.host, emulator.port)) as client:
        client.sendall(f"{head}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 100")  # now the body is waited for
        client.sendall(b"{")
    emulator.stop()

    assert not caplog.text


@pytest.mark.parametrize("moment", [-1, MAX_TIME + 1, float("nan"), float("inf"), HUGE])
def test_a_clock_stands_at_a_date(moment):
    with pytest.raises(ValueError, match="no time between"):
        Clock(moment)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_it_ends_when_it_is_told_to(busy, tmp_path):
    program = "import sys; from airflow_provider_flowengine.emulator import server, engine, command_line\n"
    if busy:  # a catch-up that never ends, as one would be that computes with a wrong number
        program += (
            "server._MAX_SHUTDOWN = 0.5\n"
            "announce = command_line._announce\n"
            "def announce_then_spin(*given):\n"
            "    announce(*given)\n"
            "    engine.Engine._fire_due = lambda *_: [None for _ in iter(int, 1)]\n"
            "command_line._announce = announce_then_spin\n"
        )
    program += "sys.exit(command_line.main(['--port', '0']))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        if busy:
            ask = f"import urllib.request; urllib.request.urlopen('{url}/__control__/latest?pipeline=1')"
            asking = subprocess.Popen([sys.executable, "-c", ask], stderr=subprocess.DEVNULL)
            time.sleep(1)
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) is not None
        if busy:
            asking.wait()


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://[::1", "[", "\xe9://"])
def test_no_origin(hardened, origin):
    fresh(hardened)
    head = f"GET / HTTP/1.1\r\nHost: {hardened.host}\r\nOrigin: {origin}\r\n\r\n"

    assert b" 403 " in raw_answer(hardened, head.encode("latin-1"))


def test_headers_without_end_are_refused(hardened):
    fresh(hardened)
    head = f"GET / HTTP/1.1\r\nHost: {hardened.host}\r\n" + "X-Filler: 0123456789\r\n" * 10_000

    assert b" 400 " in raw_answer(hardened, head.encode())


@pytest.mark.parametrize("slot", ["1" * 300, "%E4%BA%94" * 100, "..", "%00", "1%2F2"])
def test_no_job_template_that_a_file_is_uploaded_for(hardened, slot):
    prober = fresh(hardened)
    url = f"{hardened.url}{hardened.options.engine_url}/kernel/v1/template/uploadJobFileParam/{slot}"

    assert prober.call.session.post(url, files={"file": ("a.csv", b"1")}, timeout=10).status_code in (200, 404)


@pytest.mark.parametrize("option", ["access_key", "username", "password"])
def test_no_half_of_a_surrogate_pair_in_what_a_client_is_known_by(hardened, option):
    prober = fresh(hardened)
    prober.ask("PATCH", "/__control__/options", {option: HALF})
    prober.call.session.headers["Access-Key"] = "another"
    prober.everything()
    prober.ask("POST", "/keystone/v1/sessions", {"username": "admin", "password": "admin"})


def cron(expression):
    return {"data": {"nodes": [], "executionConfig": {"runMode": "CRONTAB", "cronExpression": expression}}}


TOO_MUCH = {
    "a cron expression": (cron("*," * 1_000_000 + "* * * * * ?"), "too long"),
    "params": (pipeline({**node("n0"), "params": {"values": [{}] * 20_001}}), "20001 params"),
    "edges": (
        pipeline(node("n0"), node("n1"), edges=["n0→n1"] * 20_001),
        "20001 edges",
    ),
}


@pytest.mark.parametrize(("definition", "reason"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_would_take_long_at_each_start_is_refused_at_once(hardened, definition, reason):
    refused = fresh(hardened).engine("POST", "/pipeline/template/6/create", definition).json()

    assert refused["status"] == 1
    assert reason in refused["msg"]


def test_no_body_takes_the_log_of_calls_long(hardened):
    prober = fresh(hardened)
    begun = time.monotonic()
    for text in (r"\"" * 32_000, r"{\"" * 20_000, '{"a' * 20_000, '{"a"' + " " * 60_000, '{"key":"' * 8_000):
        url = f"{hardened.url}{hardened.options.engine_url}/kernel/v1/pipeline/template/6/create?engineKey=demo"
        assert prober.call.session.post(url, data=text, timeout=60).status_code == 200

    assert time.monotonic() - begun < 30


def test_a_history_too_large_is_refused_and_others_are_served_while_one_is_made(hardened):
    prober = fresh(hardened)
    big = pipeline(*[node(f"n{number}") for number in range(2_000)])
    prober.engine("POST", "/pipeline/template/6/create", big)
    prober.engine("POST", "/pipeline/template/6/create", pipeline(node("n0")))

    refused = prober.ask("POST", "/__control__/pipelines/1/history", {"runs": 1_000_000})
    assert refused.status_code == 422
    assert "at most" in refused.json()["detail"]
    assert prober.ask("POST", "/__control__/pipelines/2/history", {"runs": 5_000}).status_code == 204
    assert hardened.engine.runs(2)[1] == 5_000
    times = [run.started for run in hardened.engine.runs(2)[0]]
    assert times == sorted(times, reverse=True)


def test_a_control_call_takes_no_more_than_a_call_does(hardened):
    prober = fresh(hardened, max_json_bytes=1000)
    answer = prober.ask("POST", "/__control__/faults", {"kind": "envelope", "msg": "x" * 5_000_000})

    assert answer.status_code == 413
    assert "at most 1000 bytes" in answer.json()["detail"]


def test_an_upload_beyond_the_limit_is_kept_nowhere(hardened, monkeypatch):
    prober = fresh(hardened, max_upload_bytes=1000)
    written = []
    rollover = tempfile.SpooledTemporaryFile.write
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "write", lambda self, data: (written.append(len(data)), rollover(self, data))[1]
    )
    url = f"{hardened.url}{hardened.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
    answer = prober.call.session.post(url, files={"file": ("a", b"x" * 20_000_000)}, timeout=30)

    assert answer.json()["msg"] == "the upload is too large; a file of at most 1000 bytes is taken"
    assert sum(written) < 1_000_000


def test_sessions_are_bounded(emulator, call, monkeypatch):
    monkeypatch.setattr(sessions, "_MAX_SESSIONS", 2)
    account = {"username": "admin", "password": "admin"}
    tokens = [call("POST", "/keystone/v1/sessions", account, gateway=True).cookies["User-Token"] for _ in range(3)]
    emulator.options.authentication = "session"
    call.session.cookies.clear()

    def status(token):
        return call.session.get(
            f"{emulator.url}/engine-manager/v1/k8s/info/?engineKey=demo", cookies={"User-Token": token}
        ).status_code

    assert [status(token) for token in tokens] == [401, 200, 200]


@pytest.mark.parametrize("execute", [False, True])
def test_a_work_folder_that_cannot_be_made_is_said(tmp_path, execute):
    (tmp_path / "file").touch()
    with Emulator(work_dir=str(tmp_path / "file" / "folder"), execute=execute) as emulator:
        call = Caller(emulator)
        url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
        assert call.session.post(url, files={"file": ("a.csv", b"1")}).json()["msg"].startswith("a.csv can't be kept")
        if execute:
            run = call.start(call.create(node("a", source="true")))
            while (state := call.run(run))["status"] == "running":
                time.sleep(0.05)
            assert state["nodes"][0]["message"].startswith("the script can't be started")


CONNECTIONS = {
    "headers that don't end": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ",
    "a body that doesn't": (
        b"POST /engine/15/cess-data-3/kernel/v1/pipeline/6/1/start HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"X-FlowEngine-UserId: 1\r\nContent-Length: 100\r\n\r\n{"
    ),
    "an upload that doesn't": (
        b"POST /engine/15/cess-data-3/kernel/v1/template/uploadJobFileParam/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"X-FlowEngine-UserId: 1\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000000000\r\n"
        b"\r\n--x\r\n"
    ),
    "a late answer": b"GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}


def test_it_ends_when_it_is_told_to_whatever_is_open():
    program = [sys.executable, "-m", "airflow_provider_flowengine.emulator", "--port", "0", "--answer-delay", "3600"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process, contextlib.ExitStack() as open_ones:
        port = int(process.stdout.readline().strip().rpartition(":")[2])
        for request in CONNECTIONS.values():
            client = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(request)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) is not None
