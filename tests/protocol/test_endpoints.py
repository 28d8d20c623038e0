"""Every call, in both generations: method, path, query and body, as the sources have them."""

from pathlib import Path

import pytest

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.versions import AUTOML, KERNEL

NEW = Engine("demo", "/engine/15/cess-data-3", 6, KERNEL)
OLD = Engine("demo", "/automl-engine/2", 6, AUTOML)
GATEWAY = "http://gw:31101"
N = f"{GATEWAY}/engine/15/cess-data-3/kernel/v1"
A = f"{GATEWAY}/automl-engine/2/automl/v1"
PIPELINE = {"id": 19, "pipelineKey": "test1"}
PARAMS = {"train": {"rounds": "3"}}

CALLS = [
    # the call, how it is made, then for each generation: method, address, body
    (
        "01 resolve",
        lambda e: endpoints.engine_info(e.key),
        ("GET", f"{GATEWAY}/engine-manager/v1/k8s/info/?engineKey=demo", None),
        ("GET", f"{GATEWAY}/engine-manager/v1/k8s/info/?engineKey=demo", None),
    ),
    (
        "02 engine id",
        lambda e: endpoints.engine_param(e.key, e.url, e.generation),
        ("GET", f"{N}/system/getParam?engineKey=demo", None),
        ("GET", f"{A}/system/getParamWithoutTemplate?engineKey=demo", None),
    ),
    (
        "03 create",
        lambda e: endpoints.create_pipeline(e, PIPELINE),
        ("POST", f"{N}/pipeline/template/6/create?engineKey=demo", PIPELINE),
        ("POST", f"{A}/pipeline/template/6/create?engineKey=demo", PIPELINE),
    ),
    (
        "04 upload",
        lambda e: endpoints.upload_file(e, Path("/data/train.csv")),
        ("POST", f"{N}/template/uploadJobFileParam/1", None),
        ("POST", f"{A}/template/uploadJobFileParam/1", None),
    ),
    (
        "05 list",
        endpoints.list_pipelines,
        ("GET", f"{N}/pipeline/6/list?engineKey=demo", None),
        ("GET", f"{A}/pipeline/6/list?engineKey=demo", None),
    ),
    (
        "06 read",
        lambda e: endpoints.get_pipeline(e, 19),
        ("GET", f"{N}/pipeline/template/6/19/get?engineKey=demo", None),
        ("GET", f"{A}/pipeline/template/6/19/get?engineKey=demo", None),
    ),
    (
        "07 update",
        lambda e: endpoints.update_pipeline(e, PIPELINE),
        ("PUT", f"{N}/pipeline/template/6/update?engineKey=demo", PIPELINE),
        ("PUT", f"{A}/pipeline/template/6/update?engineKey=demo", PIPELINE),
    ),
    (
        "08 schedule on",
        lambda e: endpoints.set_schedule(e, 19, True),
        ("POST", f"{N}/pipeline/6/19/start?once=false&engineKey=demo", {"data": " "}),
        ("POST", f"{A}/pipeline/6/19/start?once=false&engineKey=demo", {"data": " "}),
    ),
    (
        "08 schedule off",
        lambda e: endpoints.set_schedule(e, 19, False),
        ("POST", f"{N}/pipeline/6/19/stop?engineKey=demo", {"data": " "}),
        ("DELETE", f"{A}/pipeline/6/19/stop?engineKey=demo", {}),
    ),
    (
        "09 start",
        lambda e: endpoints.start_pipeline(e, 19, PARAMS),
        ("POST", f"{N}/pipeline/6/19/start?engineKey=demo", PARAMS),
        ("POST", f"{A}/pipeline/6/19/start?once=true&engineKey=demo", PARAMS),
    ),
    (
        "09 start without params",
        lambda e: endpoints.start_pipeline(e, 19, {}),
        ("POST", f"{N}/pipeline/6/19/start?engineKey=demo", {}),
        ("POST", f"{A}/pipeline/6/19/start?once=true&engineKey=demo", {}),
    ),
    (
        "10 history",
        lambda e: endpoints.list_runs(e, 19, 2, 50),
        ("GET", f"{N}/pipeline/19/historyList?page=2&size=50&engineId=6&engineKey=demo", None),
        ("GET", f"{A}/pipeline/19/historyList?page=2&size=50&engineId=6&engineKey=demo", None),
    ),
    (
        "11 stop",
        lambda e: endpoints.stop_run(e, 43),
        ("DELETE", f"{N}/pipeline/43/stopHistory?engineId=6&engineKey=demo", None),
        ("DELETE", f"{A}/pipeline/43/stopHistory?engineId=6&engineKey=demo", {}),
    ),
    (
        "12 resume",
        lambda e: endpoints.resume_run(e, 43),
        ("POST", f"{N}/pipeline/43/resumeHistory?engineId=6&engineKey=demo", None),
        ("POST", f"{A}/pipeline/43/resumeHistory?engineId=6&engineKey=demo", {}),
    ),
    (
        "one run",
        lambda e: endpoints.get_run(e, 43),
        ("GET", f"{N}/pipeline/43/get?engineKey=demo", None),
        ("GET", f"{A}/pipeline/43/get?engineKey=demo", None),
    ),
]


@pytest.mark.parametrize("generation", ["kernel/v1", "automl/v1"])
@pytest.mark.parametrize(("build", "new", "old"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_call_is_sent_as_the_sources_say(build, new, old, generation):
    engine, expected = (NEW, new) if generation == "kernel/v1" else (OLD, old)
    call = build(engine)
    request = Api(Settings.build(fl_url=GATEWAY, engine_key="demo")).prepare(call)

    assert (call.method, request.url, call.body) == expected


def test_only_the_upload_sends_a_file():
    files = {name: build(NEW).file for name, build, *_ in CALLS}

    assert files.pop("04 upload") == Path("/data/train.csv")
    assert set(files.values()) == {None}


def test_what_makes_a_difference_twice_is_never_repeated():
    once = {name for name, build, *_ in CALLS if not build(NEW).idempotent}

    assert once == {
        "03 create", "04 upload", "09 start", "09 start without params", "11 stop", "12 resume",
    }  # fmt: skip


def test_a_path_of_the_gateway_is_kept_and_its_slash_is_not_doubled():
    api = Api(Settings.build(fl_url="https://gw.example.com/fl/", engine_key="demo"))

    assert api.prepare(endpoints.engine_info("demo")).url == (
        "https://gw.example.com/fl/engine-manager/v1/k8s/info/?engineKey=demo"
    )


def test_a_path_that_no_address_may_hold_is_escaped_once():
    api = Api(Settings.build(fl_url="https://gw/流|/%E6%B5%81", engine_key="demo"))

    assert api.prepare(endpoints.engine_info("demo")).url.startswith("https://gw/%E6%B5%81%7C/%E6%B5%81/engine-manager")


def test_an_odd_key_and_an_odd_id_are_escaped():
    engine = Engine("a b&c=中", "/engine/1/x", "6/7")
    api = Api(Settings.build(fl_url=GATEWAY, engine_key="demo"))

    url = api.prepare(endpoints.get_pipeline(engine, "../19?x#y")).url

    assert url == (
        f"{GATEWAY}/engine/1/x/kernel/v1/pipeline/template/6%2F7/..%2F19%3Fx%23y/get?engineKey=a+b%26c%3D%E4%B8%AD"
    )
