"""What others on the machine, and other pages in the browser, can't do with it and can't read of it."""

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

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


def test_what_cuts_a_body_into_no_json_keeps_its_secrets_too(emulator, call):
    url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/pipeline/6/1/start?engineKey=demo"
    param = {"id": "p", "value": "s3cret-late", "type": "TEXT", "key": "db_password"}
    bodies = [
        "username=admin&password=s3cret-form",
        json.dumps({"nodes": [{"params": {"values": [param]}}]}),
        json.dumps({"tokens": ["s3cret-list"], "password": {"old": "s3cret-object"}}),
        '{"password": "s3cret-no-json", "a": nonsense}',
        r'\"\"{"password": "s3cret-after-quotes"',
    ]
    for text in bodies:
        call.session.post(url, data=text)
    log = json.dumps(emulator.calls())

    assert "s3cret" not in log
    assert emulator.count("start") == len(bodies)


def test_a_browser_that_tells_no_origin_makes_no_call_from_elsewhere(emulator, call):
    account = json.dumps({"username": "admin", "password": "admin"})
    sign_in = f"{emulator.url}/keystone/v1/sessions"
    del call.session.headers["X-FlowEngine-UserId"]
    as_form = [
        call.session.post(sign_in, data=account, headers={"Content-Type": kind}).status_code
        for kind in ("text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded")
    ]
    from_elsewhere = [
        call.session.post(sign_in, data=account, headers={"Content-Type": "application/json", "Sec-Fetch-Site": site})
        for site in ("cross-site", "same-site")
    ]

    assert as_form == [403] * 3
    assert [answer.status_code for answer in from_elsewhere] == [403] * 2
    assert not call.session.cookies
    assert call.session.post(sign_in, json=json.loads(account)).status_code == 200


def test_a_link_on_another_page_leads_to_the_emulators_page(emulator, call):
    headers = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}

    assert call.session.get(emulator.url, headers=headers).status_code == 200


def test_what_an_earlier_version_left_open_to_others_is_closed(tmp_path):
    database, folder = tmp_path / "state.db", tmp_path / "state.db.files"
    Emulator(db=str(database)).close()
    with closing(sqlite3.connect(database)) as killed:  # what a killed emulator leaves
        killed.execute("CREATE TABLE more (x)")
        for end in ("-wal", "-shm"):
            shutil.copy(f"{database}{end}", tmp_path / f"left{end}")
    for end in ("-wal", "-shm"):
        (tmp_path / f"left{end}").replace(f"{database}{end}")
        Path(f"{database}{end}").chmod(0o644)
    (folder / "solution_template").mkdir(parents=True, mode=0o755)
    with Emulator(db=str(database)) as emulator:
        url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
        Caller(emulator).session.post(url, files={"file": ("a.csv", b"1")})

        assert {rights(path) for path in tmp_path.glob("state.db?*") if path.is_file()} == {0o600}
        assert rights(folder / "solution_template") == 0o700


@pytest.mark.parametrize("mask", [0o000, 0o277], ids=oct)
def test_its_files_are_its_users_alone_whatever_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        with Emulator(db=str(tmp_path / "state.db"), execute=True) as emulator:
            call = Caller(emulator)
            run = call.start(call.create(node("a", source="echo secret")))
            url = f"{emulator.url}{emulator.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
            call.session.post(url, files={"file": ("a.csv", b"1")})
            while call.run(run)["status"] == "running":
                pass
            made = {path: rights(path) for path in tmp_path.rglob("*")}
    finally:
        os.umask(before)

    assert call.run
    assert {mode for path, mode in made.items() if path.suffix != ".lock"} <= {0o600, 0o700}
    assert any(path.name == "log.txt" for path in made)
