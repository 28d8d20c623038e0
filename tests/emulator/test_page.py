"""Where the emulator's page is, and what it asks for that FlowEngine has no call for."""

import pytest

from airflow_provider_flowengine.emulator.page import FILES, SHARED_FILES
from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import Caller, node, pipeline


def test_the_page_is_at_the_engines_address_wherever_that_is(emulator, call):
    get = call.session.get
    emulator.options.engine_url = "/engine/9/moved"

    for address in ("/", "/engine/9/moved", "/engine/9/moved/"):
        page = get(emulator.url + address)
        assert page.url == f"{emulator.url}/engine/9/moved/"
        assert '<script type="module" src="/__control__/page/app.js">' in page.text
    assert get(f"{emulator.url}/engine/15/cess-data-3/").status_code == 404


def test_the_page_loads_nothing_from_elsewhere(emulator, call):
    for file in sorted([*FILES.iterdir(), *SHARED_FILES.iterdir()]):
        answer = call.session.get(f"{emulator.url}/__control__/{file.parent.name}/{file.name}")
        assert answer.text == file.read_text(encoding="utf-8")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_no_page_of_the_web_framework_which_would_load_scripts_from_the_network(call, path):
    assert call.control("GET", path).status_code == 404
    assert call("GET", path, gateway=True).status_code == 404


def test_looking_at_the_page_is_no_call_of_flowengine(emulator, call):
    pipeline_id = call.create(node("a"))
    run_id = call.start(pipeline_id)
    emulator.forget_calls()
    emulator.fail(times=10)
    call.session.get(f"{emulator.url}{emulator.options.engine_url}/")
    for path in (
        "/engine",
        f"/latest?pipeline={pipeline_id}",
        f"/runs/{run_id}/definition",
        f"/runs/{run_id}/log?node=a",
    ):
        assert call.control("GET", path).status_code == 200, path

    assert emulator.calls() == []
    assert emulator.faults.pending()[0].times == 10


def test_the_latest_runs_of_many_pipelines_are_given_at_once(emulator, call):
    busy, idle = call.create(node("a")), call.create(node("a"))
    for _ in range(8):
        call.start(busy)
    first, second = call.control("GET", f"/latest?pipeline={busy}&pipeline={idle}").json()

    assert [run["id"] for run in first["runs"]] == [8, 7, 6, 5, 4, 3]
    assert (first["total"], second["total"], second["runs"]) == (8, 0, [])


def test_a_run_tells_the_definition_that_it_was_started_with(emulator, call):
    pipeline_id = call.create(node("before"))
    run_id = call.start(pipeline_id)
    call.data("PUT", "/pipeline/template/6/update", {"id": pipeline_id, **pipeline(node("after"))})

    definition = call.control("GET", f"/runs/{run_id}/definition").json()
    assert [each["nodeId"] for each in definition["data"]["nodes"]] == ["before"]


def test_the_log_of_a_simulated_node_says_what_it_was_meant_to_do(emulator, call):
    emulator.options.timezone = "Asia/Shanghai"
    run_id = call.start(call.create(node("a", day="2020-06-30", duration="5", outcome="failed", message="no data")))
    emulator.clock.advance(5)

    assert call.control("GET", f"/runs/{run_id}/log?node=a").text.splitlines() == [
        "2020-06-30 10:22:09.000+08:00 SHELL node a is simulated: nothing runs.",
        "2020-06-30 10:22:09.000+08:00 day=2020-06-30",
        "2020-06-30 10:22:09.000+08:00 duration=5",
        "2020-06-30 10:22:09.000+08:00 outcome=failed",
        "2020-06-30 10:22:09.000+08:00 message=no data",
        "2020-06-30 10:22:14.000+08:00 failed: no data",
    ]


def test_a_node_that_was_not_reached_has_no_log(emulator, call):
    run_id = call.start(call.create(node("a", duration="forever"), node("b"), edges=["a→b"]))

    assert call.control("GET", f"/runs/{run_id}/log?node=b").text == ""


def test_the_log_of_a_job_that_really_ran_is_what_it_wrote(tmp_path):
    with Emulator(execute=True, work_dir=str(tmp_path)) as emulator:
        call = Caller(emulator)
        run_id = call.start(call.create(node("a", source="echo 模型 is trained")))
        while call.run(run_id)["status"] == "running":
            pass

        log = call.control("GET", f"/runs/{run_id}/log?node=a")
        assert "模型 is trained" in log.text
        assert log.encoding == "utf-8"


@pytest.mark.parametrize(
    "path", ["/latest?pipeline=9", "/runs/9/definition", "/runs/9/log?node=a", "/runs/1/log?node=b"]
)
def test_what_is_not_there_is_not_found(emulator, call, path):
    call.start(call.create(node("a")))

    assert call.control("GET", path).status_code == 404
