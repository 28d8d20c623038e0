"""What an Airflow connection says, and what the form's button “Test” answers."""

import json
import re
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from airflow.providers.common.compat.sdk import Connection

from airflow_provider_flowengine.connection_form import EXTRA_FIELDS
from airflow_provider_flowengine.hooks.connection import async_settings, settings_of
from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.retry import should_retry

VARIABLE = "AIRFLOW_CONN_FLOWENGINE_DEFAULT"


def connection(**fields):
    extra = fields.pop("extra", {"engine_key": "demo"})
    return Connection(
        conn_id="flowengine_default",
        conn_type="flowengine",
        extra=extra if isinstance(extra, str) else json.dumps(extra),
        **{"host": "gw.example.com", **fields},
    )


# --- reading it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "gateway"),
    [
        ({"host": "gw.example.com"}, "http://gw.example.com"),
        ({"host": "gw.example.com", "schema": "https"}, "https://gw.example.com"),
        ({"host": "gw.example.com", "port": 31101}, "http://gw.example.com:31101"),
        ({"host": "https://gw.example.com/fl/"}, "https://gw.example.com/fl"),
        ({"host": "https://gw.example.com/fl", "port": 8443}, "https://gw.example.com:8443/fl"),
        ({"host": "gw.example.com/fl", "schema": "https", "port": 8443}, "https://gw.example.com:8443/fl"),
        ({"host": "[::1]", "port": 31101}, "http://[::1]:31101"),
        ({"host": "::1", "port": 31101}, "http://[::1]:31101"),
        ({"host": "fe80::1/fl"}, "http://[fe80::1]/fl"),
        ({"host": "gw.example.com:", "port": 31101}, "http://gw.example.com:31101"),
        ({"host": "gw.example.com:8443", "port": 31101}, "http://gw.example.com:8443"),
        ({"host": "https://gw.example.com", "schema": "http"}, "https://gw.example.com"),
    ],
)
def test_the_gateways_address_is_read_as_people_write_it(fields, gateway):
    assert settings_of(connection(**fields)).fl_url == gateway


def test_an_ipv6_address_may_stand_in_a_connections_uri(monkeypatch):
    monkeypatch.setenv(VARIABLE, "flowengine://1:a-secret-key@[::1]:31101/?engine_key=demo")

    assert FlowEngineHook().settings.fl_url == "http://[::1]:31101"


def test_who_asks_goes_into_the_headers():
    settings = settings_of(
        connection(
            login="7",
            password="access-key-1",
            extra={"engine_key": "demo", "workspace_id": 3, "headers": {"X-Tenant": "risk"}},
        )
    )

    assert settings.headers == {
        "X-FlowEngine-UserId": "7",
        "Access-Key": "access-key-1",
        "X-Prophet-Workspace-Id": "3",
        "X-Tenant": "risk",
    }


def test_what_a_form_leaves_empty_gets_its_default():
    names = [field.name for field in EXTRA_FIELDS]
    empty = settings_of(connection(extra=dict.fromkeys(names, "")))
    nothing = settings_of(connection(extra=dict.fromkeys(names)))

    assert empty == nothing == settings_of(connection(extra={}))


def test_what_a_form_stores_as_text_means_the_same():
    as_text = {
        "verify": "false",
        "timeout": "5",
        "headers": '{"X-Tenant": "risk"}',
        "status_words": '{"success": ["ok"]}',
    }
    as_values = {"verify": False, "timeout": 5, "headers": {"X-Tenant": "risk"}, "status_words": {"success": ["ok"]}}
    from_text, from_values = settings_of(connection(extra=as_text)), settings_of(connection(extra=as_values))

    assert from_text.vocabulary.state_of("OK") == from_values.vocabulary.state_of("OK") == "succeeded"
    assert [getattr(from_text, name) for name in ("verify", "timeout", "headers")] == [
        getattr(from_values, name) for name in ("verify", "timeout", "headers")
    ]


EXTRA = {
    "engine_key": "cess-data-3",
    "api_root": "automl/v1",
    "verify": False,
    "timeout": 12,
    "headers": {"X-Tenant": "risk/1"},
    "timezone": "Asia/Shanghai",
    "ui_url": "{fl_url}/#/{run_id}",
}
FIELDS = {"host": "gw.example.com/fl", "schema": "https", "port": 8443, "login": "7", "password": "p@ss/w:rd"}


def as_json():
    return json.dumps({"conn_type": "flowengine", **FIELDS, "extra": EXTRA})


def as_uri():
    who = f"{quote(FIELDS['login'], safe='')}:{quote(FIELDS['password'], safe='')}"
    where = f"{quote(FIELDS['host'], safe='')}:{FIELDS['port']}/{FIELDS['schema']}"
    return f"flowengine://{who}@{where}?{urlencode({'__extra__': json.dumps(EXTRA)})}"


@pytest.mark.parametrize("write", [as_json, as_uri])
def test_a_connection_is_the_same_as_json_and_as_uri(write, monkeypatch):
    monkeypatch.setenv(VARIABLE, write())
    settings = FlowEngineHook().settings

    assert settings.fl_url == "https://gw.example.com:8443/fl"
    assert settings.headers == {"X-FlowEngine-UserId": "7", "Access-Key": "p@ss/w:rd", "X-Tenant": "risk/1"}
    assert (settings.engine_key, settings.versions[0].root, settings.verify) == ("cess-data-3", "automl/v1", False)
    assert (settings.timeout, settings.timezone, settings.ui_url) == (12, "Asia/Shanghai", "{fl_url}/#/{run_id}")


@pytest.mark.parametrize("page", ["connection.md"])
def test_the_documentations_two_ways_to_write_a_connection_mean_the_same(page, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
    text = re.sub("<.+?>", "access-key", text).replace("'\\\n'", "")  # the shell joins what a line's end parts
    written = re.findall(rf"(?s)export {VARIABLE}='(.*?)'", text)
    read = []
    for one in written:
        monkeypatch.setenv(VARIABLE, one)
        read.append(FlowEngineHook().settings)

    assert len(read) == 2
    assert read[0] == read[1]


@pytest.mark.parametrize("form", ["as_json", "get_uri"])
def test_a_connection_survives_being_written_and_read_by_airflow(form, monkeypatch):
    first = connection(**FIELDS, extra=EXTRA)
    if not hasattr(first, form):
        pytest.skip("Airflow 3.0 doesn't write a connection as JSON")
    monkeypatch.setenv(VARIABLE, getattr(first, form)())

    assert FlowEngineHook().settings.headers == settings_of(first).headers
    assert FlowEngineHook().settings.fl_url == settings_of(first).fl_url


# --- what can't be right ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"host": None}, "host is empty"),
        ({"host": "http://"}, "host is empty"),
        ({"host": "https://", "port": 443}, "host is empty"),
        ({"host": "gw example.com"}, "host: .* is no gateway address"),
        ({"host": "gw\0.example.com"}, "host: .* is no gateway address"),
        ({"host": "http://http://gw.example.com"}, "host: .* is no gateway address"),
        ({"host": "http://[", "port": 80}, "host: .* is no gateway address"),
        ({"host": "]", "port": 80}, "host: .* is no gateway address"),
        ({"host": "http://[1.2.3.4]", "port": 80}, "host: .* is no gateway address"),
        ({"host": "\u2102\u2100.example.com", "port": 80}, "host: .* is no gateway address"),
        ({"host": "gw.example.com", "port": 70_000}, "host: .* is no gateway address"),
        ({"host": "http://gw.example.com", "schema": "https"}, "host begins with http://, but schema is https"),
        ({"host": "ftp://gw.example.com"}, "host: .* is no gateway address"),
        (
            {"host": "http://gw.example.com/?key=S3cr3t"},
            r"host: 'http://gw.example.com/\?\*\*\*' is no gateway address",
        ),
        ({"host": "gw.example.com", "schema": "ftp"}, "schema: 'ftp' must be http or https"),
        (
            {"host": "https://gw.example.com", "schema": "fl"},
            "schema: 'fl' must be http or https; a path of the gateway belongs into host",
        ),
        ({"extra": "engine_key=demo"}, "extra is not JSON"),
        ({"extra": "[1, 2]"}, "extra must be a JSON object"),
        ({"extra": {"timeout": "soon"}}, "timeout: 'soon' must be a number of seconds, more than 0"),
        ({"extra": {"timeout": -5}}, "timeout: -5 must be a number of seconds, more than 0"),
        ({"extra": {"api_root": "v3"}}, "api_root: 'v3' isn't known; roots there are: kernel/v1, automl/v1"),
        ({"extra": {"timezone": "Mars/Base"}}, "timezone: 'Mars/Base' isn't known"),
        ({"extra": {"headers": "X-Tenant: risk"}}, "headers is not JSON"),
        ({"extra": {"headers": ["X-Tenant"]}}, "headers must be a JSON object"),
        ({"extra": {"headers": []}}, "headers must be a JSON object"),
        ({"extra": {"status_words": False}}, "status_words must be a JSON object"),
        ({"extra": {"status_words": {"great": ["ok"]}}}, "status_words has the key 'great'"),
        ({"extra": {"ui_url": "{host}/run"}}, "ui_url: {host} isn't known"),
        ({"extra": {"verify": "0"}}, "verify: '0' must be true, false, or the path of a CA bundle"),
        ({"extra": {"verify": "ca\0.pem"}}, "verify: .* must be true, false, or the path of a CA bundle"),
        ({"extra": {"headers": {"X": None}}}, "headers: the value of 'X' must be text, not NoneType"),
        ({"extra": {"authentication": "session"}}, "authentication: session needs the account's name in login"),
        ({"extra": {"engine_key": ["demo"]}}, "engine_key: .* must be text"),
    ],
)
def test_a_field_that_cannot_be_right_is_named_with_its_connection(fields, why):
    with pytest.raises(ConfigurationError, match=f"Connection flowengine_default: {why}"):
        settings_of(connection(**fields))


@pytest.mark.parametrize("blank", ["", " ", "\t\n", None])
def test_a_blank_verify_does_not_turn_verification_off(blank):
    assert settings_of(connection(extra={"engine_key": "demo", "verify": blank})).verify is True


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "x" * 100_000},
        {"schema": "x" * 100_000},
        {"extra": {"timezone": "x" * 100_000}},
        {"extra": {"headers": {"Authorization": ["Bearer a-secret-key"]}}},
        {"extra": {"timeout": "a-secret-key"}},
    ],
)
def test_an_error_about_a_connection_is_short_and_shows_no_secret(fields):
    with pytest.raises(ConfigurationError) as raised:
        settings_of(connection(**{"host": "gw.example.com", "password": "a-secret-key", **fields}))

    assert len(str(raised.value)) < 1_200
    assert "a-secret-key" not in str(raised.value)


def test_an_unknown_key_in_extra_is_warned_of_and_not_refused(caplog):
    settings_of(connection(extra={"engine_key": "demo", "enginekey": "demo"}))

    assert "Connection flowengine_default: extra has the unknown key enginekey; did you mean" in caplog.text
    assert "'engine_key'? known are api_root, " in caplog.text


def test_a_connection_of_another_type_is_named_with_its_type():
    http = Connection(conn_id="http_default", conn_type="http", host="")
    with pytest.raises(ConfigurationError, match=r"Connection http_default \(type http\): host is empty"):
        settings_of(http)


def test_a_missing_engine_key_is_named_with_the_connection_and_its_unknown_keys(monkeypatch):
    value = {"conn_type": "http", "host": "gw.example.com", "extra": {"engineKey": "demo"}}
    monkeypatch.setenv(VARIABLE, json.dumps(value))

    with pytest.raises(
        ConfigurationError,
        match=r"of connection flowengine_default \(type http; its extra has the unknown key engineKey",
    ):
        FlowEngineHook().list_pipelines()


NO_CONNECTION = r"flowengine_conn_id: Airflow has no connection 'nix'; create it, of type flowengine, or name one"


def test_a_connection_that_does_not_exist_is_a_mistake_and_says_what_to_do(airflow_db):
    with pytest.raises(ConfigurationError, match=NO_CONNECTION) as failure:
        FlowEngineHook("nix").list_pipelines()
    assert not should_retry(failure.value)


async def test_a_connection_that_does_not_exist_is_a_mistake_in_the_triggerer_too(airflow_db):
    with pytest.raises(ConfigurationError, match=NO_CONNECTION):
        await async_settings("nix")


# --- the button “Test” ------------------------------------------------------------------------------------------------


def test_the_test_says_which_engine_answers(emulator, pipeline):
    pipeline("a")
    assert FlowEngineHook().test_connection() == (
        True,
        "FlowEngine answers: engine 6 at /engine/15/cess-data-3 (kernel/v1, open source, 0.0.3.4 and later), "
        "1 pipeline. "
        "Times without a zone are read as UTC until a run that a task starts shows their zone: timezone is not set.",
    )

    pipeline("b")
    assert "2 pipelines" in FlowEngineHook().test_connection()[1]


def test_the_test_of_an_engine_that_does_not_exist(emulator, monkeypatch):
    monkeypatch.setenv(VARIABLE, emulator.connection(engine_key="cess-data"))
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "Is there an engine of key 'cess-data'" in says


def test_the_test_without_an_engine_key_says_so(emulator, monkeypatch):
    monkeypatch.setenv(VARIABLE, emulator.connection(engine_key=""))

    works, says = FlowEngineHook().test_connection()

    assert not works
    assert says.startswith("No engine_key: set it in the extra of connection flowengine_default (type flowengine), or")


def test_the_test_of_a_host_where_nobody_listens(emulator, monkeypatch):
    monkeypatch.setenv(VARIABLE, emulator.connection())
    emulator.stop()
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "connection refused by 127.0.0.1" in says
    assert "Check the connection's Gateway (host) and Port" in says


def test_the_test_of_a_host_that_does_not_exist(monkeypatch):
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "flowengine", "host": "gw.invalid", "extra": EXTRA}))
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "gw.invalid" in says
    assert "Check the connection's Gateway (host) and Port" in says


def test_the_test_of_a_host_that_does_not_speak_tls(emulator, monkeypatch):
    fields = json.loads(emulator.connection()) | {"schema": "https"}
    monkeypatch.setenv(VARIABLE, json.dumps(fields))
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "SSL" in says
    assert "Scheme" in says


def test_the_test_behind_a_login_wall(emulator):
    emulator.options.login_wall = True
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "a login page" in says


def test_the_test_with_a_wrong_access_key(emulator):
    emulator.options.access_key = "right-access-key"
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert "Check the connection's User id (login) and Access key (password)" in says


@pytest.mark.parametrize(
    ("served", "set_to", "advised"), [("automl", "kernel/v1", "automl/v1"), ("kernel", "automl/v1", "kernel/v1")]
)
def test_the_test_of_the_other_generation_says_which_one_works(emulator, monkeypatch, served, set_to, advised):
    emulator.options.generation = served
    monkeypatch.setenv(VARIABLE, emulator.connection(api_root=set_to))
    works, says = FlowEngineHook().test_connection()

    assert not works
    assert says.startswith(
        f"api_root: set it to {advised} in connection flowengine_default (type flowengine): engine 6"
    )


def test_the_test_of_a_bad_connection_names_the_field(monkeypatch):
    monkeypatch.setenv(VARIABLE, json.dumps({"conn_type": "flowengine", "extra": {"engine_key": "demo"}}))

    assert FlowEngineHook().test_connection() == (
        False,
        "Connection flowengine_default: host is empty; it must be FlowEngine's gateway, e.g. gw.example.com",
    )
