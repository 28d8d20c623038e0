"""What others on the machine, and other pages in the browser, can't do with it and can't read of it."""

import json
import stat

import pytest

from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import Caller, node, pipeline

FOREIGN = ["http://example.com", "http://127.0.0.1:1", "null"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_web_page_from_elsewhere_makes_no_call_of_flowengine(emulator, call, origin):
    pipeline_id = call.create(node("a"))
    call.session.headers["Origin"] = origin
    answers = [
        call("POST", "/keystone/v1/sessions", {"username": "admin", "password": "admin"}, gateway=True),
        call("POST", "/pipeline/template/6/create", pipeline(node("b"))),
        call("POST", f"/pipeline/6/{pipeline_id}/start", {}),
        call("GET", "/pipeline/6/list"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 4
    assert not call.session.cookies
    assert (len(emulator.engine.pipelines()), emulator.engine.runs(pipeline_id)[1]) == (1, 0)


def test_the_emulators_own_page_and_what_is_no_page_make_any(emulator, call):
    assert call("GET", "/pipeline/6/list").status_code == 200
    call.session.headers["Origin"] = emulator.url
    assert call("GET", "/pipeline/6/list").status_code == 200


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_its_files_are_its_users_alone(tmp_path):
    database = tmp_path / "state.db"
    with Emulator(db=str(database), execute=True) as emulator:
        call = Caller(emulator)
        run = call.start(call.create(node("a", source="echo secret")))
        url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
        uploaded = call.session.post(url, files={"file": ("a.csv", b"1")}).json()["data"]["path"]
        while call.run(run)["status"] == "running":
            pass
        found = {path.name: rights(path) for path in tmp_path.iterdir()}
        folder = tmp_path / "state.db.files"

        assert found.pop(folder.name) == 0o700
        assert set(found) >= {"state.db", "state.db-wal", "state.db.lock"}
        assert set(found.values()) == {0o600}
        assert {rights(path) for path in folder.iterdir()} == {0o700}
        assert uploaded.startswith(str(folder))
        assert rights(next(folder.rglob("a.csv"))) == 0o600


def test_a_database_that_others_could_read_is_closed_to_them(tmp_path):
    database = tmp_path / "state.db"
    database.touch(mode=0o644)
    Emulator(db=str(database)).close()

    assert rights(database) == 0o600


def test_the_log_of_calls_keeps_no_secrets(emulator, call):
    emulator.options.access_key = "s3cret-key"
    call.session.headers.update(
        {
            "Access-Key": "s3cret-key",
            "Authorization": "Bearer s3cret-bearer",
            "Cookie": "a=s3cret-c",
        }
    )
    values = [{"id": "p", "key": "db_password", "value": "s3cret-param", "type": "TEXT"}]
    body = pipeline({**node("a"), "params": {"values": values}})
    call("POST", "/keystone/v1/sessions", {"username": "admin", "password": 's3cret\\"-pass'}, gateway=True)
    call("POST", "/pipeline/template/6/create", body, token="s3cret-token")
    call("POST", "/pipeline/6/1/start", {"a": {"apiKey": "s3cret-start", "day": "2026-01-01"}})
    log = json.dumps(emulator.calls())

    assert "s3cret" not in log
    assert emulator.calls("session")[0]["body"] == '{"username": "admin", "password": "***"}'
    assert json.loads(emulator.calls("start")[0]["body"]) == {"a": {"apiKey": "***", "day": "2026-01-01"}}
    assert emulator.calls("create")[0]["query"] == "engineKey=demo&token=***"


def test_a_secret_that_the_end_of_the_log_cuts_in_two_is_masked(emulator, call):
    call("POST", "/pipeline/template/6/create", {"filler": "x" * 65_500, "password": "s3cret" * 10})

    assert "s3cret" not in emulator.calls("create")[0]["body"]


def test_a_connection_shows_no_password_that_airflow_would_not_mask(emulator):
    emulator.reset(authentication="access_key")

    assert len(json.loads(emulator.connection())["password"]) >= 5
