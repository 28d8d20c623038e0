"""The emulator's answers are the golden ones, to the letter."""

import re

import pytest

from .conftest import SAMPLES, START, Caller, node, pipeline, sample

AUTOML = {"envelope_status": "text", "ids": "text"}
CREATED = 1681468370.0
FIRST = 1592478811.0  # 2020-06-18 19:13:31 +08:00


@pytest.fixture
def created(emulator, call):
    """Pipeline 19 of the vendor's page."""
    emulator.clock.reset(CREATED)
    for _ in range(18):
        call.create()
    call("POST", "/pipeline/template/6/create", sample("create.request"))
    return emulator


@pytest.fixture
def history(emulator, call):
    """Runs 3 and 6 of the vendor's screenshot, of a pipeline 19."""
    emulator.clock.reset(FIRST)
    for _ in range(18):
        call.create()
    call.create(node("train", duration="239"))
    for pipeline_id in (1, 1, 19):
        call.start(pipeline_id)
    emulator.clock.advance(START - FIRST)
    for pipeline_id in (1, 1, 19):
        call.start(pipeline_id)
    return emulator


SHAPES = {
    "engine_url": {},
    "engine_url.top": {"handshake": "top"},
    "engine_url.nested": {"handshake": "nested"},
    "engine_url.automl": {**AUTOML, "engine_url": "/automl-engine/2"},
    "engine_id": {},
    "engine_id.top": {"handshake": "top"},
    "engine_id.nested": {"handshake": "nested"},
    "engine_id.automl": AUTOML,
}


def shape(emulator, **options):
    for name, value in options.items():
        setattr(emulator.options, name, value)


@pytest.mark.parametrize("name", SHAPES)
def test_handshake(emulator, call, name):
    shape(emulator, **SHAPES[name])
    call.root = "automl/v1" if "automl" in name else "kernel/v1"
    path = "/system/getParamWithoutTemplate" if "automl" in name else "/system/getParam"
    if name.startswith("engine_url"):
        answer = call("GET", "/engine-manager/v1/k8s/info/", gateway=True)
    else:
        answer = call("GET", path)

    assert answer.json() == sample(name)


def test_create(emulator, call):
    emulator.clock.reset(CREATED)
    for _ in range(18):
        call.create()

    assert call("POST", "/pipeline/template/6/create", sample("create.request")).json() == sample("create")


def test_get(created, call):
    assert call("GET", "/pipeline/template/6/19/get").json() == sample("get")


def test_update(created, call):
    assert call("PUT", "/pipeline/template/6/update", sample("create.request")).json() == sample("update")


@pytest.mark.parametrize(("name", "under"), [("list", ""), ("list.named", "engineJobPipelineTemplateList")])
def test_list(emulator, call, name, under):
    emulator.options.pipelines_under = under
    emulator.clock.reset(CREATED)
    call("POST", "/pipeline/template/6/create", sample("create.request"))
    expected = sample(name)
    (only,) = expected["data"][under] if under else expected["data"]
    only["id"] = 1

    assert call("GET", "/pipeline/6/list").json() == expected


@pytest.mark.parametrize("name", ["schedule_on", "schedule_off"])
def test_schedule(created, call, name):
    once = {"once": "false"} if name == "schedule_on" else {}
    path = f"/pipeline/6/19/{'start' if name == 'schedule_on' else 'stop'}"

    assert call("POST", path, {"data": " "}, **once).json() == sample(name)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("start", "run"),
        ("start.without_id", "run_without_id"),
        ("start.empty", "empty"),
        ("start.pipeline", "pipeline"),
    ],
)
def test_start(emulator, call, name, answer):
    emulator.options.start_answer = answer
    emulator.clock.reset(CREATED)
    for _ in range(18):
        call.create()
    call("POST", "/pipeline/template/6/create", sample("create.request"))
    emulator.options.node_seconds = 9
    for _ in range(5):
        call("POST", "/pipeline/6/1/start", {})
    expected = sample(name)
    if "startTime" in expected["data"]:
        expected["data"]["startTime"] = int(CREATED * 1000)
        call("PUT", "/pipeline/template/6/update", {**pipeline(node("train")), "id": 19})

    assert call("POST", "/pipeline/6/19/start", {}).json() == expected


HISTORIES = {
    "history.paged": {},
    "history.plain": {"envelope_status": "text"},
    "history.ascending": {"history_order": "ascending"},
    "history.text_times": {"ids": "text", "times": "text", "timezone": "Asia/Shanghai", "vocabulary": "chinese"},
    "history.upper": {"vocabulary": "success"},
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history(history, call, name):
    shape(history, **HISTORIES[name])
    call.root = "automl/v1" if name == "history.plain" else "kernel/v1"

    assert call("GET", "/pipeline/19/historyList", page=1, size=20, engineId=6).json() == sample(name)


def test_history_of_a_pipeline_that_never_ran(history, call):
    answer = call("GET", "/pipeline/2/historyList", page=1, size=20, engineId=6)

    assert answer.json() == sample("history.empty")


def test_stop(history, call):
    assert call("DELETE", "/pipeline/6/stopHistory", engineId=6).json() == sample("stop")
    assert call("DELETE", "/pipeline/3/stopHistory", engineId=6).json() == sample("stop.refused")


def test_resume(history, call):
    assert call("POST", "/pipeline/3/resumeHistory", engineId=6).json() == sample("resume.refused")

    call.stop(6)
    history.clock.advance(1)

    assert call("POST", "/pipeline/6/resumeHistory", engineId=6).json() == sample("resume")


def test_run(emulator, call):
    titles = {"start_node": "开始", "train": "训练模型", "deploy": "部署模型"}
    nodes = [
        node("start_node", type="START", job="DAG"),
        node("train", job="PYTHON3", duration="3", outcome="succeeded", message="AUC 0.61 is below 0.7"),
        node("deploy"),
    ]
    for each in nodes:
        each["title"] = titles[each["nodeId"]]
    nodes[0]["name"] = "start"
    for _ in range(18):
        call.create()
    call.create(*nodes, edges=["start_node→train", "train→deploy"])
    for _ in range(5):
        call.start(1)
    call.start(19, {"train": {"outcome": "failed"}})
    emulator.clock.advance(3)

    assert call("GET", "/pipeline/6/get").json() == sample("run")


@pytest.mark.parametrize(("name", "status"), [("refused", "number"), ("refused.text", "text")])
def test_refusal(emulator, call, name, status):
    emulator.options.envelope_status = status

    assert call("GET", "/pipeline/template/6/99/get").json() == sample(name)


def test_unauthorized(emulator, call):
    del call.session.headers["X-FlowEngine-UserId"]
    answer = call("GET", "/pipeline/6/list")

    assert (answer.status_code, answer.json()) == (401, sample("unauthorized"))


def test_upload(emulator):
    call = Caller(emulator)
    url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
    answer = call.session.post(url, files={"file": ("nbsdk4fl-0.0.3.tar.gz", b"hello world")}).json()
    expected = sample("upload")
    folder = answer["data"].pop("path").partition("/solution_template/")[2]

    assert (
        re.sub("[0-9a-f]{8}/", "4e3443e5/", folder) == expected["data"].pop("path").partition("/solution_template/")[2]
    )
    assert answer == expected


def test_every_sample_has_its_source_in_the_readme():
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in SAMPLES.glob("*.json") if f"`{path.name}`" not in readme] == []
