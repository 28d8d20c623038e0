"""Every call, in each generation: method, path, query and body, as the sources have them."""

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.versions import AUTOML, COMMERCIAL, KERNEL

from .conftest import SAMPLES

GATEWAY = "http://gw:31101"
PIPELINE = {"id": 19, "pipelineKey": "test1"}
PARAMS = {"train": {"rounds": "3"}}
ENGINES = {
    "kernel": Engine("demo", "/engine/15/cess-data-3", 6, KERNEL),
    "automl": Engine("demo", "/automl-engine/2", 6, AUTOML),
    "commercial": Engine("demo", "/automl-engine/2", 6, COMMERCIAL),
}

CALLS = {
    "resolve": lambda e: endpoints.engine_info(e.key),
    "engine id": lambda e: endpoints.engine_param(e.key, e.url, e.version),
    "create": lambda e: endpoints.create_pipeline(e, PIPELINE),
    "upload": lambda e: endpoints.upload_file(e, Path("/data/train.csv")),
    "list": endpoints.list_pipelines,
    "list a page": lambda e: endpoints.list_pipelines(e, 2, 50),
    "get": lambda e: endpoints.get_pipeline(e, 19),
    "update": lambda e: endpoints.update_pipeline(e, PIPELINE),
    "schedule on": lambda e: endpoints.set_schedule(e, 19, True),
    "schedule off": lambda e: endpoints.set_schedule(e, 19, False),
    "start": lambda e: endpoints.start_pipeline(e, 19, PARAMS),
    "start without params": lambda e: endpoints.start_pipeline(e, 19, {}),
    "history": lambda e: endpoints.list_runs(e, 19, 2, 50),
    "stop": lambda e: endpoints.stop_run(e, 43),
    "resume": lambda e: endpoints.resume_run(e, 43),
    "run": lambda e: endpoints.get_run(e, 43),
}


def golden(generation):
    return {row["call"]: row for row in json.loads((SAMPLES / f"requests.{generation}.json").read_text())}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("generation", ENGINES)
def test_a_call_is_sent_as_the_sources_say(generation, call):
    request = Api(Settings.build(fl_url=GATEWAY, engine_key="demo")).settings.prepare(CALLS[call](ENGINES[generation]))
    address, expected = urlsplit(request.url), golden(generation)[call]

    assert {
        "method": request.method,
        "path": address.path,
        "query": dict(parse_qsl(address.query)),
        "body": request.body,
    } == {name: expected[name] for name in ("method", "path", "query", "body")}


@pytest.mark.parametrize("generation", ENGINES)
def test_each_golden_request_has_a_source_and_a_call(generation):
    assert golden(generation).keys() == CALLS.keys()
    assert all(row["source"] for row in golden(generation).values())


def test_only_the_upload_sends_a_file():
    files = {name: build(ENGINES["kernel"]).file for name, build in CALLS.items()}

    assert files.pop("upload") == Path("/data/train.csv")
    assert set(files.values()) == {None}


def test_what_makes_a_difference_twice_is_never_repeated():
    once = {name for name, build in CALLS.items() if not build(ENGINES["kernel"]).idempotent}

    assert once == {"create", "upload", "start", "start without params", "stop", "resume"}


def test_a_path_of_the_gateway_is_kept_and_its_slash_is_not_doubled():
    api = Api(Settings.build(fl_url="https://gw.example.com/fl/", engine_key="demo"))

    assert api.settings.prepare(endpoints.engine_info("demo")).url == (
        "https://gw.example.com/fl/engine-manager/v1/k8s/info/?engineKey=demo"
    )


def test_a_path_that_no_address_may_hold_is_escaped_once():
    api = Api(Settings.build(fl_url="https://gw/流|/%E6%B5%81", engine_key="demo"))

    assert api.settings.prepare(endpoints.engine_info("demo")).url.startswith(
        "https://gw/%E6%B5%81%7C/%E6%B5%81/engine-manager"
    )


def test_an_odd_key_and_an_odd_id_are_escaped():
    engine = Engine("a b&c=中", "/engine/1/x", "6/7")
    api = Api(Settings.build(fl_url=GATEWAY, engine_key="demo"))

    url = api.settings.prepare(endpoints.get_pipeline(engine, "../19?x#y")).url

    assert url == (
        f"{GATEWAY}/engine/1/x/kernel/v1/pipeline/template/6%2F7/..%2F19%3Fx%23y/get?engineKey=a+b%26c%3D%E4%B8%AD"
    )
