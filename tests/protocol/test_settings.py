"""What a connection says becomes settings, or an error that names the field and what is allowed in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.versions import AUTOML, COMMERCIAL, KERNEL


def build(**fields):
    return Settings.build(**{"fl_url": "http://gw:31101", **fields})


def test_a_bare_connection_has_the_vendors_defaults():
    settings = build()

    assert settings.headers == {"X-FlowEngine-UserId": "1"}
    assert settings.versions == (KERNEL,)
    assert (settings.verify, settings.timeout, settings.timezone) == (True, 30.0, "")
    assert settings.redact.secrets == ()


def test_login_password_and_workspace_are_sent_as_headers():
    settings = build(user="7", access_key="a-secret-key", workspace_id=3, headers={"X-Gateway": "inner"})

    assert settings.headers == {
        "X-FlowEngine-UserId": "7",
        "Access-Key": "a-secret-key",
        "X-Prophet-Workspace-Id": "3",
        "X-Gateway": "inner",
    }


def test_a_header_of_the_connection_wins():
    assert build(headers={"X-FlowEngine-UserId": "9"}).headers["X-FlowEngine-UserId"] == "9"


def test_white_space_around_a_pasted_key_is_no_part_of_it():
    settings = build(access_key=" a-secret-key\n")

    assert settings.headers["Access-Key"] == "a-secret-key"
    assert settings.redact("key a-secret-key") == "key ***"


@pytest.mark.parametrize("name", ["kernel/v1", "/kernel/v1/", "", " "])
def test_the_newest_generation_is_the_default(name):
    assert build(api_root=name).versions == (KERNEL,)


def test_the_older_generations_are_chosen_by_their_root():
    assert build(api_root="automl/v1").versions == (COMMERCIAL, AUTOML)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://gw.example.com/fl/", "https://gw.example.com/fl"),
        (" http://gw:31101 ", "http://gw:31101"),
        ("http://[::1]:31101", "http://[::1]:31101"),
        ("http://网关.example:31101/流", "http://xn--d6q013i.example:31101/流"),
        ("http://例子.中国:31101", "http://xn--fsqu00a.xn--fiqs8s:31101"),
    ],
)
def test_the_gateways_path_and_port_are_kept(url, kept):
    assert build(fl_url=url).fl_url == kept


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fl_url", "gw"),
        ("fl_url", "ftp://gw"),
        ("fl_url", "http://"),
        ("fl_url", "http://g w"),
        ("fl_url", "http://gw?x=1"),
        ("fl_url", "http://gw#x"),
        ("fl_url", "http://gw:port"),
        ("fl_url", "http://gw:0"),
        ("fl_url", "http://[gw"),
        ("fl_url", "http://gw\\@other"),
        ("fl_url", "http://" + "a" * 64 + ".example"),
        ("fl_url", "http://a..b"),
        ("api_root", "kernel/v2"),
        *(("verify", value) for value in (1, "0", "1", "no", "Off", "null")),
        ("headers", {"X-Tenant": None}),
        ("headers", {"X-Tenant": ["risk"]}),
        ("headers", {"X-Tenant": True}),
        ("workspace_id", {}),
        ("authentication", "basic"),
        ("engine_patience", -1),
        ("engine_patience", 1e10),
        ("timeout", 1e10),
        ("timeout", 0),
        ("timeout", "soon"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("timezone", "Mars/Olympus"),
        ("ui_url", "{fl_url}/{secret}"),
        ("ui_url", "{fl_url:{secret}}"),
        ("ui_url", "{fl_url!r}"),
        ("ui_url", "{fl_url.__class__}"),
        ("ui_url", "{"),
        ("ui_url", "{}"),
        ("ui_url", "javascript:alert({run_id})"),
        ("ui_url", "{engine_url}/runs"),
        ("status_words", {"good": ["ok"]}),
    ],
)
def test_a_field_that_cant_be_right_is_named(field, value):
    with pytest.raises(ConfigurationError, match="host" if field == "fl_url" else field):
        build(**{field: value})


def test_a_blank_login_or_password_is_none():
    settings = build(user=" ", access_key="\t")

    assert settings.headers == {"X-FlowEngine-UserId": "1"}


@pytest.mark.parametrize("url", ["http://me:s3cret@gw", "http://:s3cret@gw", "me:s3cret@gw"])
def test_credentials_in_the_host_are_refused_and_not_repeated(url):
    with pytest.raises(ConfigurationError, match="login and password") as caught:
        build(fl_url=url)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Expect", "Content-Encoding"])
def test_a_header_that_says_how_one_request_is_sent_is_refused(name):
    with pytest.raises(ConfigurationError, match=f"headers: '{name}' can't be set"):
        build(headers={name: "5"})


def test_another_host_may_be_named_to_a_gateway_that_is_reached_by_its_address():
    assert build(fl_url="http://10.0.0.7", headers={"Host": "gw.example.com"}).headers["Host"] == "gw.example.com"


@pytest.mark.parametrize(
    "headers", [{"X Y": "1"}, {"X-Key": "a\r\nX-More: b"}, {"X-Key": "密钥"}, {"": "1"}, {"X-Key": "a\0"}]
)
def test_a_header_that_cant_be_sent_is_refused_without_its_value(headers):
    (name, value) = next(iter(headers.items()))
    with pytest.raises(ConfigurationError, match="can't be sent") as caught:
        build(headers=headers)

    assert name in str(caught.value)
    assert value == "1" or value not in str(caught.value)


@pytest.mark.parametrize(
    ("given_", "meant"),
    [(True, True), (False, False), (None, True), ("", True), ("False", False), ("true", True), ("/ca.pem", "/ca.pem")],
)
def test_verify_is_yes_no_or_a_bundle(given_, meant):
    assert build(verify=given_).verify == meant


@pytest.mark.parametrize(("given_", "meant"), [(None, 30.0), ("", 30.0), ("2.5", 2.5), (90, 90.0)])
def test_timeout_is_seconds(given_, meant):
    assert build(timeout=given_).timeout == meant


def test_an_engine_is_waited_for_a_minute_unless_the_connection_says_otherwise():
    assert [build(engine_patience=value).engine_patience for value in (None, "", "5", 0)] == [60.0, 60.0, 5.0, 0.0]


def test_a_session_signs_in_by_login_and_password_and_sends_neither_as_a_header():
    settings = build(authentication="session", user="admin", access_key="s3cret-word", user_id=7)

    assert (settings.authentication, settings.account) == ("session", ("admin", "s3cret-word"))
    assert settings.headers == {"X-FlowEngine-UserId": "7"}
    assert settings.redact("s3cret-word") == "***"
    assert "s3cret-word" not in repr(settings)


@pytest.mark.parametrize("account", [{"user": "admin"}, {"access_key": "s3cret"}, {}])
def test_a_session_without_an_account_is_refused(account):
    with pytest.raises(ConfigurationError, match=r"authentication: session needs .* login, .* password"):
        build(authentication="session", **account)


def test_a_runs_page_follows_the_template():
    settings = build(ui_url="https://ui/{engine_key}/{pipeline_id}/{run_id}?at={fl_url}{engine_url}")

    url = settings.run_url(Engine("demo", "/engine/15/x", 15), pipeline_id=19, run_id=43)

    assert url == "https://ui/demo/19/43?at=http://gw:31101/engine/15/x"


def test_every_secret_is_masked_the_longest_first():
    settings = build(access_key="abcdef", headers={"X-Token": "abc", "Authorization": "Bearer tok-1234567"})

    assert settings.redact("abcdef abc Bearer tok-1234567 tok-1234567 ab") == "*** *** *** *** ab"


def test_what_is_too_short_to_be_a_secret_is_not_masked():
    assert build(access_key="1", headers={"X-A": "no"}).redact("1 no") == "1 no"


def test_a_headers_short_word_is_no_secret():
    settings = build(headers={"X-Tenant": "pipeline", "X-Env": "run"})

    assert settings.redact("run 7 of pipeline 12") == "run 7 of pipeline 12"


@pytest.mark.parametrize("name", ["X-Api-Key", "User-Token", "Authorization", "Cookie", "X-Secret", "X-PASSWORD"])
def test_a_short_value_is_a_secret_if_its_headers_name_says_so(name):
    assert build(headers={name: "abc1"}).redact("abc1") == "***"


def test_settings_say_nothing_secret_when_they_are_shown():
    shown = repr(build(access_key="a-secret-key", headers={"Cookie": "User-Token=xyz12345"}))

    assert "a-secret-key" not in shown
    assert "xyz12345" not in shown


@given(
    st.fixed_dictionaries(
        {"fl_url": st.text() | st.from_regex(r"https?://\S*", fullmatch=True)},
        optional={
            "user": st.text(),
            "access_key": st.text(),
            "api_root": st.text(),
            "verify": st.none() | st.booleans() | st.text() | st.integers(),
            "timeout": st.none() | st.text() | st.floats() | st.booleans(),
            "headers": st.dictionaries(st.text(), st.text() | st.integers()),
            "timezone": st.text(),
            "ui_url": st.text(alphabet="{}:!.[]flur_ed0 "),
            "status_words": st.dictionaries(st.text(), st.text() | st.lists(st.text() | st.integers())),
        },
    )
)
def test_whatever_is_typed_is_taken_or_refused_by_our_own_error(fields):
    try:
        settings = Settings.build(**fields)
    except ConfigurationError:
        return
    assert settings.run_url(Engine("k", "/e", 15), pipeline_id=1, run_id=2) is not None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"good": ["ok"]}, "'good'; keys there are: running, success, failed, stopped"),
        ({"success": 1}, r"status_words\['success'\] must be a list of words, not 1"),
        ({"success": [["ok"]]}, "must be a list of words"),
        ({"success": [True]}, "must be a list of words"),
        ({"success": [""]}, "must be a list of words"),
        ({"success": ["ok", " - "]}, "must be a list of words"),
        ({"success": ["OK"], "failed": ["o_k"]}, "'o_k' has two meanings, succeeded and failed"),
    ],
)
def test_status_words_that_cannot_be_parsed_are_refused_by_name(more, says):
    with pytest.raises(ConfigurationError, match=says):
        build(status_words=more)
