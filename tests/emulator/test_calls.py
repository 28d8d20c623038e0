"""What the emulator checks, and what a gateway, a web framework or FlowEngine itself would answer."""

import pytest

from .conftest import Caller, node, pipeline, sample

ENGINE_CALLS = [
    ("GET", "/system/getParam"),
    ("POST", "/pipeline/template/6/create"),
    ("GET", "/pipeline/6/list"),
    ("GET", "/pipeline/template/6/1/get"),
    ("PUT", "/pipeline/template/6/update"),
    ("POST", "/pipeline/6/1/start?once=false"),
    ("POST", "/pipeline/6/1/stop"),
    ("POST", "/pipeline/6/1/start"),
    ("GET", "/pipeline/1/historyList"),
    ("DELETE", "/pipeline/1/stopHistory"),
    ("POST", "/pipeline/1/resumeHistory"),
    ("GET", "/pipeline/1/get"),
]


@pytest.mark.parametrize(("method", "path"), ENGINE_CALLS)
def test_every_call_needs_the_engine_key_but_in_the_commercial_generation(call, method, path):
    answer = call(method, path, {}, engineKey=None)

    assert (answer.status_code, answer.json()["error"]) == (400, "Bad Request")


@pytest.mark.parametrize(("method", "path"), ENGINE_CALLS)
def test_every_call_needs_to_know_who_calls(call, method, path):
    del call.session.headers["X-FlowEngine-UserId"]

    assert call(method, path, {}).status_code == 401


@pytest.mark.parametrize(("method", "path"), ENGINE_CALLS)
def test_an_unknown_engine_key_is_refused(call, method, path):
    assert call.refusal(method, path, {}, engineKey="other") == "engine with engineKey other does not exist"


@pytest.mark.parametrize("root", ["kernel/v1", "automl/v1"])
@pytest.mark.parametrize(("method", "path"), [each for each in ENGINE_CALLS if each[1] != "/pipeline/6/1/stop"])
def test_a_wrong_method_is_not_allowed(emulator, root, method, path):
    if root == "automl/v1":
        path = path.replace("/getParam", "/getParamWithoutTemplate")
    answer = Caller(emulator, root)("PATCH", path, {})

    assert (answer.status_code, answer.json()["error"]) == (405, "Method Not Allowed")


def test_the_schedule_is_turned_off_by_post_or_in_the_older_generation_by_delete(emulator, call):
    pipeline_id = call.create(node("a"))
    older = Caller(emulator, "automl/v1")

    assert call("POST", f"/pipeline/6/{pipeline_id}/stop", {"data": " "}).json()["status"] == 0
    assert older("DELETE", f"/pipeline/6/{pipeline_id}/stop", {}).json()["status"] == 0
    assert call("DELETE", f"/pipeline/6/{pipeline_id}/stop", {}).status_code == 405
    assert older("POST", f"/pipeline/6/{pipeline_id}/stop", {"data": " "}).status_code == 405


@pytest.mark.parametrize("body", [{"data": " "}, {}, None], ids=str)
def test_schedule_stop_and_resume_need_no_body_and_take_any(call, body):
    run = call.start(pipeline_id := call.create(node("a")))

    call.data("POST", f"/pipeline/6/{pipeline_id}/start", body, once="false")
    call.data("POST", f"/pipeline/6/{pipeline_id}/stop", body)
    assert call.data("DELETE", f"/pipeline/{run}/stopHistory", body, engineId=6)["status"] == "stopping"
    call.emulator.clock.advance(1)
    assert call.data("POST", f"/pipeline/{run}/resumeHistory", body, engineId=6)["status"] == "running"


@pytest.mark.parametrize("status", [201, 202])
def test_a_success_may_be_told_by_another_status_and_a_refusal_isnt(emulator, call, status):
    emulator.options.success_status = status

    assert call("GET", "/pipeline/6/list").status_code == status
    assert call("GET", "/engine-manager/v1/k8s/info/", gateway=True).status_code == status
    assert call("GET", "/pipeline/template/6/99/get").status_code == 200


def test_once_false_turns_the_schedule_on_and_anything_else_starts_a_run(call):
    pipeline_id = call.create(node("a"))

    call.data("POST", f"/pipeline/6/{pipeline_id}/start", {"data": " "}, once="false")
    assert call.history(pipeline_id) == []
    call.data("POST", f"/pipeline/6/{pipeline_id}/start", {}, once="true")
    call.data("POST", f"/pipeline/6/{pipeline_id}/start", {})
    assert len(call.history(pipeline_id)) == 2


@pytest.mark.parametrize("path", ["/kernel/v1/nothing", "/system/getParam", "/kernel/v2/system/getParam"])
def test_an_unknown_path_of_the_engine_is_the_frameworks_404(emulator, call, path):
    answer = call("GET", f"{emulator.options.engine_url}{path}", gateway=True)

    assert (answer.status_code, answer.json()["error"]) == (404, "Not Found")


@pytest.mark.parametrize(
    "path", ["/nothing", "/engine-manager/v1/k8s/info", "/engine/3/other/kernel/v1/pipeline/6/list"]
)
def test_an_unknown_path_of_the_gateway_is_its_404(call, path):
    answer = call("GET", path, gateway=True)

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_a_wrong_engine_id_is_refused_where_it_stands_in_the_path(call):
    pipeline_id = call.create(node("a"))

    assert call.refusal("POST", f"/pipeline/7/{pipeline_id}/start", {}) == "engine 7 does not exist"


def test_clients_get_away_with_a_wrong_engine_id_in_the_query(emulator, call):
    run = call.start(call.create(node("a")))

    assert call.data("DELETE", f"/pipeline/{run}/stopHistory", engineId=run)["status"] == "stopping"
    emulator.options.strict_engine_id = True
    assert call.refusal("POST", f"/pipeline/{run}/resumeHistory", engineId=99) == "engine 99 does not exist"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/pipeline/template/6/99/get"),
        ("POST", "/pipeline/6/99/start"),
        ("GET", "/pipeline/99/historyList"),
        ("POST", "/pipeline/6/99/stop"),
        ("GET", "/pipeline/template/6/x/get"),
        ("GET", "/pipeline/template/6/٣/get"),
        ("GET", "/pipeline/template/6/99999999999999999999999/get"),
    ],
)
def test_an_unknown_pipeline_is_refused(call, method, path):
    assert "does not exist" in call.refusal(method, path, {})


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/pipeline/99/stopHistory"), ("POST", "/pipeline/99/resumeHistory"), ("GET", "/pipeline/99/get")],
)
def test_an_unknown_run_is_refused(call, method, path):
    assert call.refusal(method, path) == "pipeline run 99 does not exist"


def test_an_update_of_an_unknown_pipeline_creates_none(call):
    assert "does not exist" in call.refusal("PUT", "/pipeline/template/6/update", {**pipeline(), "id": 99})
    assert call.data("GET", "/pipeline/6/list") == []


def test_update_keeps_fields_it_doesnt_know(call):
    pipeline_id = call.create(node("a"))
    read = call.data("GET", f"/pipeline/template/6/{pipeline_id}/get")
    read["data"]["layout"] = "{x: 1}"
    read["data"]["ours"] = {"kept": True}
    call.data("PUT", "/pipeline/template/6/update", read)

    assert call.data("GET", f"/pipeline/template/6/{pipeline_id}/get") == read


def test_an_access_key_is_required_where_one_is_set(emulator, call):
    emulator.options.access_key = "s3cret"
    assert call("GET", "/pipeline/6/list").status_code == 401

    call.session.headers["Access-Key"] = "wrong"
    assert call("GET", "/pipeline/6/list").status_code == 401
    call.session.headers["Access-Key"] = "s3cret"
    assert call("GET", "/pipeline/6/list").status_code == 200


def test_a_workspace_is_taken_with_the_access_key_and_changes_nothing(emulator, call):
    emulator.options.authentication = "access_key"
    call.session.headers.update({"Access-Key": "k", "X-Prophet-Workspace-Id": "1"})
    pipeline_id = call.create(node("a"))

    call.session.headers["X-Prophet-Workspace-Id"] = "2"
    assert [each["id"] for each in call.data("GET", "/pipeline/6/list")] == [pipeline_id]


def test_an_upload_may_name_any_job_template(emulator, call):
    base = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam"
    paths = [
        call.session.post(f"{base}/{number}", files={"file": ("a.csv", b"")}).json()["data"]["path"]
        for number in (1, 23)
    ]

    assert ["/job_template_1/" in paths[0], "/job_template_23/" in paths[1]] == [True, True]


def test_a_login_wall_answers_everything_with_html_and_status_200(emulator, call):
    emulator.options.login_wall = True
    answer = call("POST", "/pipeline/template/6/create", pipeline())

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    emulator.options.login_wall = False
    assert call.data("GET", "/pipeline/6/list") == []


def test_an_engine_that_moved_answers_at_its_new_url_only(emulator, call):
    old = f"{emulator.options.engine_url}/kernel/v1/pipeline/6/list"
    emulator.options.engine_url = "/engine/16/cess-data-4"
    emulator.options.wrong_address = 502

    info = call("GET", "/engine-manager/v1/k8s/info/", gateway=True).json()
    assert info["data"]["url"] == "/engine/16/cess-data-4"
    assert call("GET", old, gateway=True).status_code == 502
    assert call.data("GET", "/pipeline/6/list") == []


@pytest.mark.parametrize(("generation", "other"), [("kernel", "automl/v1"), ("automl", "kernel/v1")])
def test_an_engine_of_one_generation_doesnt_know_the_others_calls(emulator, generation, other):
    emulator.options.generation = generation

    assert Caller(emulator, f"{generation}/v1")("GET", "/pipeline/6/list").status_code == 200
    assert Caller(emulator, other)("GET", "/pipeline/6/list").status_code == 404


def test_the_one_run_call_may_be_missing(emulator, call):
    run = call.start(call.create(node("a")))
    emulator.options.one_run_call = False

    assert call("GET", f"/pipeline/{run}/get").status_code == 404


def test_keys_may_be_taken_twice_unless_told_otherwise(emulator, call):
    request = sample("create.request")
    first, second = (call.data("POST", "/pipeline/template/6/create", request) for _ in range(2))
    assert first["pipelineKey"] == second["pipelineKey"]

    emulator.options.duplicate_keys = "refuse"
    assert call.refusal("POST", "/pipeline/template/6/create", request) == "pipelineKey test1 exists already"
    assert call.refusal("PUT", "/pipeline/template/6/update", first) == "pipelineKey test1 exists already"


@pytest.mark.parametrize(
    "body", ["{", "not json", "[" * 100_000, '{"x": NaN}', '{"x": -Infinity}', '{"x": 1e999}', "9" * 5000]
)
def test_a_body_that_is_no_json_is_refused(emulator, call, body):
    path = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/pipeline/template/6/create"
    answer = call.session.post(path, params={"engineKey": "demo"}, data=body)

    assert (answer.status_code, answer.json()["status"]) == (200, 1)
    assert answer.json()["msg"].startswith("the body is not JSON: ")


def test_text_that_utf_8_has_no_place_for_harms_nothing(call):
    created = call.data("POST", "/pipeline/template/6/create", pipeline(node("a"), key="half a pair: \ud800"))

    assert created["pipelineKey"] == "half a pair: ?"
    assert call.start(created["id"]) == 1


def test_a_page_that_is_no_number_is_a_bad_request(call):
    assert call("GET", f"/pipeline/{call.create()}/historyList", page="x").status_code == 400


def test_start_stop_and_resume_can_be_refused_by_option(emulator, call):
    run = call.start(call.create(node("a")))
    for name, path, method in [
        ("refuse_start", "/pipeline/6/1/start", "POST"),
        ("refuse_stop", f"/pipeline/{run}/stopHistory", "DELETE"),
        ("refuse_resume", f"/pipeline/{run}/resumeHistory", "POST"),
    ]:
        setattr(emulator.options, name, "资源不足")
        assert call.refusal(method, path) == "资源不足"
    assert len(call.history(1)) == 1
