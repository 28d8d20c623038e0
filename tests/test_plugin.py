"""The tab in Airflow's page: how Airflow finds it, what it costs other processes, and what is served."""

import posixpath
import re
import subprocess
import sys
from importlib import reload
from importlib.metadata import entry_points

import pytest
from airflow import plugins_manager
from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.plugins import flowengine

needs_tabs = pytest.mark.skipif(not compat.has_tabs(), reason="Airflow before 3.1 has no tabs of plugins")
SERVED = sorted((path, file) for path, folder in flowengine.FOLDERS.items() for file in folder.iterdir())


def registered():
    """What Airflow itself has loaded of the plugin, by its own account."""
    plugins_manager.ensure_plugins_loaded()
    infos = plugins_manager.get_plugin_info(["react_apps", "source"] if compat.has_tabs() else ["source"])
    return [info for info in infos if info["name"] == "flowengine"]


@needs_tabs
def test_airflow_finds_the_tab_for_tasks_and_for_dag_runs():
    (info,) = registered()

    tabs = {tab["destination"]: tab for tab in info["react_apps"]}
    assert set(tabs) == {"task_instance", "dag_run"}
    assert {tab["name"] for tab in tabs.values()} == {"FlowEngine"}
    assert len({tab["url_route"] for tab in tabs.values()}) == 2


@needs_tabs
def test_airflow_takes_the_tabs_as_they_are():
    from airflow.api_fastapi.core_api.datamodels.plugins import ReactAppResponse

    assert [ReactAppResponse(**tab).bundle_url for tab in flowengine.FlowEnginePlugin.react_apps] == [
        "/flowengine/tab/index.js"
    ] * 2


@pytest.mark.skipif(compat.has_tabs(), reason="Airflow 3.1 and later have tabs of plugins")
def test_before_airflow_3_1_nothing_is_registered():
    (entry_point,) = entry_points(group="airflow.plugins", name="flowengine")

    assert entry_point.load() is None
    assert registered() == []


def test_without_tabs_in_airflow_there_is_no_plugin(monkeypatch):
    monkeypatch.delattr(AirflowPlugin, "react_apps", raising=False)
    try:
        assert reload(flowengine).plugin is None
    finally:
        monkeypatch.undo()
        reload(flowengine)


def test_loading_the_plugin_loads_no_web_framework_and_no_client():
    code = """
import sys
from airflow.providers.common.compat.sdk import AirflowException, AirflowPlugin, conf
before = set(sys.modules)
import airflow_provider_flowengine.plugins.flowengine
print(*set(sys.modules) - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())

    assert "airflow_provider_flowengine.plugins.flowengine" in loaded
    assert not {module.partition(".")[0] for module in loaded} & {"fastapi", "starlette", "requests", "aiohttp"}


def test_the_tabs_address_begins_with_the_path_that_airflow_is_at(monkeypatch):
    for base_url, prefix in {
        "https://example.com/team/airflow/": "/team/airflow",
        "https://example.com/airflow": "/airflow",
        "http://localhost:8080": "",
    }.items():
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
        assert flowengine.url_of("tab/index.js") == f"{prefix}/flowengine/tab/index.js"


# --- what is served -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["", "/airflow"], ids=["at the root", "below a path"])
def get(request):
    """Ask an API server that has mounted the plugin as Airflow does, at the root or behind a proxy's path."""
    fastapi = pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    app = fastapi.FastAPI(root_path=request.param)
    for mounted in flowengine.FlowEnginePlugin.fastapi_apps:
        app.mount(mounted["url_prefix"], mounted["app"])
    client = TestClient(app, raise_server_exceptions=False)
    return lambda path, method="GET": client.request(method, f"{request.param}/flowengine{path}")


@needs_tabs
@pytest.mark.parametrize(("path", "file"), SERVED, ids=[f"{path}/{file.name}" for path, file in SERVED])
def test_each_file_is_served_with_a_content_security_policy(get, path, file):
    answer = get(f"{path}/{file.name}")

    assert answer.text == file.read_text(encoding="utf-8")
    kinds = {".js": "javascript", ".css": "css", ".svg": "svg"}
    assert kinds[file.suffix] in answer.headers["Content-Type"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-cache"


@needs_tabs
@pytest.mark.parametrize(
    "path",
    ["/", "/tab", "/tab/", "/flowengine.py", "/tab/../flowengine.py", "/tab/%2e%2e/flowengine.py", "/openapi.json"],
)
def test_nothing_else_is_served(get, path):
    assert get(path).status_code == 404


@needs_tabs
def test_nothing_can_be_sent_there(get):
    assert get("/tab/index.js", "POST").status_code == 405


@pytest.mark.parametrize(("path", "file"), SERVED, ids=[f"{path}/{file.name}" for path, file in SERVED])
def test_a_file_loads_nothing_but_files_that_are_served(path, file):
    text = file.read_text(encoding="utf-8")
    imported = {posixpath.normpath(f"{path}/{name}") for name in re.findall(r'^import .*"(.+)";$', text, re.M)}

    assert imported <= {f"{folder}/{each.name}" for folder, each in SERVED}
    assert "https://" not in text
    assert not re.search(r"http://(?!www\.w3\.org/2000/svg)\w", text)
