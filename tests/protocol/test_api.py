"""Conversations: the handshake, retries, redirects, an engine that moves, and the calls about pipelines."""

import os
import random

import pytest

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    EngineNotFoundError,
    PipelineNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import MAX_RETRY_AFTER, NO_RETRY, Retry
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.retry import should_retry

from .conftest import answer, no_reply, not_connected, ok, refused, sample

STEADY = Retry(jitter=0.0)

# --- the handshake ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["", ".top", ".nested"])
def test_the_engine_is_resolved_in_two_calls_and_remembered(server, shape):
    server.on("resolve", sample(f"engine_url{shape}"))
    server.on("engine id", sample(f"engine_id{shape}"))
    api = server.api()

    engine = server.drive(api.resolve())

    assert engine == Engine("demo", "/engine/15/cess-data-3", 6)
    assert server.drive(api.resolve()) is engine
    assert server.calls == ["resolve", "engine id"]


def test_the_older_generation_is_resolved_by_its_own_call(server):
    server.engine_url = "/automl-engine/2"
    server.on("resolve", sample("engine_url.automl"))
    server.on("engine id", sample("engine_id.automl"))

    engine = server.drive(server.api(api_root="automl/v1").resolve())

    assert (engine.url, engine.id) == ("/automl-engine/2", 6)
    assert server.requests[1].url.endswith("/automl/v1/system/getParamWithoutTemplate?engineKey=demo")


def test_every_request_says_who_asks(server):
    server.drive(server.api(user="7", access_key="a-secret-key").list_pipelines())

    assert {(r.headers["X-FlowEngine-UserId"], r.headers["Access-Key"]) for r in server.requests} == {
        ("7", "a-secret-key")
    }


def test_an_engine_key_must_stand_somewhere():
    with pytest.raises(ConfigurationError, match="engine_key"):
        Api(Settings.build(fl_url="http://gw"))


def test_an_engine_key_given_wins_over_the_connections():
    settings = Settings.build(fl_url="http://gw", engine_key="usual")

    assert Api(settings).engine_key == "usual"
    assert Api(settings, "other").engine_key == "other"


@pytest.mark.parametrize(
    "outcome", [refused("engine xyz does not exist"), answer(404, "404 page not found"), ok(None), ok({})]
)
def test_an_engine_that_the_gateway_doesnt_know_is_not_found(server, outcome):
    server.on("resolve", outcome)

    with pytest.raises(EngineNotFoundError, match="'demo'"):
        server.drive(server.api().resolve())


def test_a_404_of_the_gateways_own_is_worth_another_try_since_it_says_so_while_the_engine_restarts(server):
    server.on("resolve", answer(404, "404 page not found"))

    with pytest.raises(EngineNotFoundError) as raised:
        server.drive(server.api().resolve())
    assert should_retry(raised.value)


def test_who_is_not_let_in_hears_that_and_not_that_there_is_no_engine(server):
    server.on("resolve", answer(401, "no"))

    with pytest.raises(AccessDeniedError):
        server.drive(server.api().resolve())


def test_an_engine_on_another_host_gets_no_request(server):
    server.on("resolve", ok({"url": "http://elsewhere/engine/15/x"}))

    with pytest.raises(UnexpectedResponseError, match="where credentials may go"):
        server.drive(server.api().resolve())
    assert server.calls == ["resolve"]


def test_an_absolute_engine_url_on_the_gateways_host_is_used_by_its_path(server):
    server.on("resolve", ok({"url": "https://gw/engine/15/cess-data-3/"}))

    assert server.drive(server.api().resolve()).url == "/engine/15/cess-data-3"


def test_an_error_about_the_engines_answer_quotes_no_secret(server):
    server.on("resolve", ok({"url": {"echo": "a-secret-key"}}))

    with pytest.raises(UnexpectedResponseError) as caught:
        server.drive(server.api(access_key="a-secret-key").resolve())
    assert "a-secret-key" not in str(caught.value) + caught.value.excerpt


def test_an_error_about_a_list_quotes_no_secret(server):
    server.on("pipelines", ok({"echo": "a-secret-key"}))

    with pytest.raises(UnexpectedResponseError) as caught:
        server.drive(server.api(access_key="a-secret-key").list_pipelines())
    assert "a-secret-key" not in str(caught.value) + caught.value.excerpt


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble", [no_reply, not_connected, *(answer(status, "") for status in (408, 425, 429, 502, 503, 504))]
)
def test_a_read_is_sent_again_until_it_is_answered(server, trouble):
    server.on("pipelines", trouble, trouble)

    assert server.drive(server.api().list_pipelines()) == []
    assert server.count("pipelines") == 3


@pytest.mark.parametrize(
    "trouble", [answer(500, ""), answer(200, "<html>"), answer(400, ""), refused("no"), answer(401, "")]
)
def test_what_trying_again_wont_mend_is_not_sent_again(server, trouble):
    server.on("pipelines", trouble)

    with pytest.raises((RequestRejectedError, ServiceUnavailableError, UnexpectedResponseError)):
        server.drive(server.api().list_pipelines())
    assert server.count("pipelines") == 1


def test_after_five_times_the_last_error_is_reported(server):
    server.always("resolve", no_reply)

    with pytest.raises(ServiceUnavailableError, match="Could not resolve engine 'demo': connection reset"):
        server.drive(server.api(retry=STEADY).resolve())
    assert server.count("resolve") == 5
    assert server.pauses == [0.5, 1.0, 2.0, 4.0]


def test_a_call_that_is_sent_once_is_not_sent_again(server):
    server.always("resolve", not_connected)

    with pytest.raises(ServiceUnavailableError):
        server.drive(server.api(retry=NO_RETRY).resolve())
    assert (server.count("resolve"), server.pauses) == (1, [])


def test_a_change_is_sent_again_when_it_was_surely_not_processed(server):
    server.on("create", not_connected, ok({"id": 20}))

    assert server.drive(server.api().create_pipeline({})).id == 20
    assert server.count("create") == 2


@pytest.mark.parametrize("trouble", [no_reply, *(answer(status, "") for status in (408, 425, 429, 500, 502, 503, 504))])
def test_a_change_that_may_have_been_processed_is_not_sent_again(server, trouble):
    server.on("create", trouble)

    with pytest.raises(ServiceUnavailableError) as caught:
        server.drive(server.api().create_pipeline({}))
    assert caught.value.may_have_been_processed
    assert server.count("create") == 1


def test_retry_after_is_obeyed(server):
    server.on("pipelines", answer(429, "", retry_after="120"))

    server.drive(server.api(retry=STEADY).list_pipelines())

    assert server.pauses == [120.0]


def test_a_server_that_asks_for_a_day_is_asked_again_after_minutes():
    assert STEADY.delay(1, retry_after=86_400) == MAX_RETRY_AFTER == 300.0


def test_pauses_double_up_to_the_longest():
    assert [STEADY.delay(attempt) for attempt in (1, 2, 3, 7, 8, 5000)] == [0.5, 1, 2, 30, 30, 30]


def test_jitter_makes_a_pause_longer_by_a_quarter_at_most():
    random.seed(0)
    pauses = [Retry().delay(3, retry_after) for _ in range(500) for retry_after in (None, 2.0)]

    assert 2.0 <= min(pauses) < 2.05
    assert 2.45 < max(pauses) <= 2.5


def test_a_hurried_view_asks_once_and_briefly(server):
    api = server.api()
    without_retries = api.without_retries(4)

    prepared = without_retries.settings.prepare(endpoints.engine_info("demo"))
    assert (prepared.timeout, without_retries.retry) == (4, NO_RETRY)
    assert api.without_retries(90).settings.timeout == 30
    assert (api.settings.timeout, api.retry.attempts) == (30, 5)


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "followed"),
    [
        ("/elsewhere?engineKey=demo", "http://gw:31101/elsewhere?engineKey=demo"),
        ("http://gw:31101/elsewhere", "http://gw:31101/elsewhere"),
        ("https://gw/elsewhere", "https://gw/elsewhere"),
        ("https://GW/elsewhere", "https://GW/elsewhere"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_read_follows_a_redirect_on_the_same_host(server, status, location, followed):
    server.on("resolve", answer(status, "", location=location), sample("engine_url"))

    server.drive(server.api().resolve())

    assert server.requests[1].url == followed
    assert server.requests[1].headers == server.requests[0].headers


@pytest.mark.parametrize(
    "location",
    ["http://elsewhere/", "//elsewhere/", "https://gw.elsewhere/", "ftp://gw/", "https://me@gw/", "http://[gw/", ""],
)
def test_a_redirect_to_another_host_is_not_followed(server, location):
    server.on("resolve", answer(302, "", location=location))

    with pytest.raises(UnexpectedResponseError, match="a redirect to"):
        server.drive(server.api().resolve())
    assert len(server.requests) == 1


def test_a_redirect_from_https_to_http_is_not_followed(server):
    server.on("resolve", answer(302, "", location="http://gw:31101/x"))

    with pytest.raises(UnexpectedResponseError):
        server.drive(server.api(fl_url="https://gw:31101").resolve())


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_change_that_is_to_be_sent_elsewhere_was_refused(server, status):
    server.on("create", answer(status, "", location="https://gw/elsewhere"))

    with pytest.raises(RequestRejectedError, match="only reads follow redirects"):
        server.drive(server.api().create_pipeline({}))
    assert server.count("create") == 1


@pytest.mark.parametrize("status", [302, 303])
def test_after_another_redirect_it_isnt_known_whether_a_change_was_taken(server, status):
    server.on("create", answer(status, "", location="/elsewhere"))

    with pytest.raises(UnexpectedResponseError):
        server.drive(server.api().create_pipeline({}))
    assert server.count("create") == 1


@pytest.mark.parametrize("word", ["success", "创建成功"])
def test_a_word_is_no_id_of_a_pipeline_that_was_made(server, word):
    server.on("create", answer(200, {"status": 0, "data": word}))

    with pytest.raises(UnexpectedResponseError):
        server.drive(server.api().create_pipeline({}))


def test_redirects_that_lead_in_circles_end(server):
    server.on("resolve", *(answer(302, "", location=f"/{name}") for name in "abcdefgh"))

    with pytest.raises(UnexpectedResponseError):
        server.drive(server.api().resolve())
    assert [request.url[-2:] for request in server.requests[1:]] == ["/a", "/b", "/c"]


# --- an engine that moves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 502, 503])
def test_an_engine_that_moved_is_found_at_its_new_address(server, status):
    api = server.api(retry=NO_RETRY)
    server.drive(api.resolve())
    server.engine_url = "/engine/16/cess-data-3"
    server.on("pipelines", answer(status, "gone"))

    assert server.drive(api.list_pipelines()) == []
    assert api.engine.url == "/engine/16/cess-data-3"
    assert server.calls == ["resolve", "engine id", "pipelines", "resolve", "engine id", "pipelines"]


def test_an_engine_that_didnt_move_is_looked_up_once_a_failure(server):
    api = server.api(retry=NO_RETRY)
    server.drive(api.resolve())
    server.forget()
    server.on("pipelines", answer(502, "gone"))

    with pytest.raises(ServiceUnavailableError):
        server.drive(api.list_pipelines())
    assert server.calls == ["pipelines", "resolve", "engine id"]


def test_when_the_gateway_is_gone_too_the_first_error_is_reported(server):
    api = server.api(retry=NO_RETRY)
    server.drive(api.resolve())
    server.on("pipelines", answer(502, "gone"))
    server.on("resolve", refused("no such engine"))

    with pytest.raises(ServiceUnavailableError, match="HTTP 502"):
        server.drive(api.list_pipelines())
    assert api.engine.url == "/engine/15/cess-data-3"


def test_a_change_that_nobody_has_taken_is_sent_to_the_new_address(server):
    api = server.api(retry=NO_RETRY)
    server.drive(api.resolve())
    server.engine_url = "/engine/16/cess-data-3"

    server.drive(api.call(lambda engine: endpoints.create_pipeline(engine, {})))
    assert server.calls == ["resolve", "engine id", "create", "resolve", "engine id", "create"]


def test_a_change_that_may_have_been_taken_is_not_sent_to_a_new_address(server):
    api = server.api(retry=NO_RETRY)
    server.on("create", answer(502, "gone"))

    with pytest.raises(ServiceUnavailableError):
        server.drive(api.create_pipeline({}))
    assert server.calls == ["resolve", "engine id", "create"]


# --- pipelines --------------------------------------------------------------------------------------------------------

PIPELINE = {"id": 19, "pipelineKey": "train", "data": {"name": "Train"}}
TWIN = {"id": 20, "pipelineKey": "train-2", "data": {"name": "Train"}}


@pytest.mark.parametrize("name", ["list", "list.named"])
def test_pipelines_are_listed_in_either_shape(server, name):
    server.on("pipelines", sample(name))

    assert 19 in [pipeline.id for pipeline in server.drive(server.api().list_pipelines())]


def test_a_pipeline_is_read_whole(server):
    server.on("pipeline", sample("get"))

    pipeline = server.drive(server.api().get_pipeline(19))

    assert (pipeline.id, pipeline.content["tiggerKey"]) == (19, None)


@pytest.mark.parametrize("outcome", [refused("pipeline 99 does not exist"), ok(None), answer(404, "")])
def test_a_pipeline_that_isnt_there_is_not_found_and_the_others_are_named(server, outcome):
    server.on("pipeline", outcome)
    server.on("pipelines", ok([PIPELINE, TWIN]))

    with pytest.raises(PipelineNotFoundError, match=r"no pipeline 99; pipelines there are: 19 \(Train\), 20 \(Train\)"):
        server.drive(server.api(retry=NO_RETRY).get_pipeline(99))


@pytest.mark.parametrize(
    ("outcome", "error"), [(refused("busy"), RequestRejectedError), (ok(None), UnexpectedResponseError)]
)
def test_a_pipeline_that_is_listed_but_cant_be_read_is_reported_as_it_is(server, outcome, error):
    server.on("pipeline", outcome)
    server.on("pipelines", ok([PIPELINE]))

    with pytest.raises(error):
        server.drive(server.api().get_pipeline(19))


def test_who_may_not_read_a_pipeline_hears_that(server):
    server.on("pipeline", answer(403, ""))

    with pytest.raises(AccessDeniedError):
        server.drive(server.api().get_pipeline(19))
    assert server.count("pipelines") == 0


def test_a_pipeline_is_found_by_key_or_by_name(server):
    server.always("pipelines", ok([PIPELINE, {"id": 20, "pipelineKey": "other", "data": {"name": "Other"}}]))

    assert server.drive(server.api().find_pipeline(key="other")).id == 20
    assert server.drive(server.api().find_pipeline(name="Train")).id == 19


def test_a_name_that_two_pipelines_have_names_neither(server):
    server.on("pipelines", ok([PIPELINE, TWIN]))

    with pytest.raises(PipelineNotFoundError, match=r"2 pipelines .* Name it by pipeline_id"):
        server.drive(server.api().find_pipeline(name="Train"))


def test_a_key_that_no_pipeline_has_is_named_with_those_there_are(server):
    server.on("pipelines", ok([PIPELINE]))

    with pytest.raises(PipelineNotFoundError, match=r"no pipeline of key 'x'; keys there are: train$"):
        server.drive(server.api().find_pipeline(key="x"))


def test_a_key_that_is_nearly_right_is_suggested(server):
    server.always("pipelines", ok([PIPELINE, TWIN]))

    with pytest.raises(PipelineNotFoundError, match=r"of key 'trian'; did you mean 'train'\? keys there are"):
        server.drive(server.api().find_pipeline(key="trian"))


@pytest.mark.parametrize("outcome", [sample("create"), ok(19), ok("19"), ok({"id": "19"})])
def test_a_created_pipeline_has_the_id_that_the_answer_gives(server, outcome):
    server.on("create", outcome)

    assert server.drive(server.api().create_pipeline({"pipelineKey": "k"})).id == 19


def test_updating_and_scheduling_send_what_they_say(server):
    api = server.api()

    server.drive(api.update_pipeline(PIPELINE))
    server.drive(api.set_schedule(19, True))
    server.drive(api.set_schedule(19, False))

    assert server.calls[2:] == ["update", "schedule on", "schedule off"]
    assert server.requests[2].body == PIPELINE


# --- files ------------------------------------------------------------------------------------------------------------


def test_an_upload_returns_what_the_server_answers(server, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("a,b\n")
    server.on("upload", sample("upload"))

    assert server.drive(server.api().upload_file(path))["size"] == 11
    assert server.requests[-1].file == path


@pytest.mark.parametrize(
    ("name", "says"), [("", "is a directory"), ("none.csv", "does not exist"), ("pipe", "no plain file")]
)
def test_what_isnt_one_file_is_refused_before_any_request(server, tmp_path, name, says):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ConfigurationError, match=says):
        server.drive(server.api().upload_file(tmp_path / name))
    assert server.requests == []


def test_a_file_that_may_not_be_read_is_refused_before_any_request(server, tmp_path, monkeypatch):
    path = tmp_path / "secret.csv"
    path.write_text("a,b\n")

    class Locked(type(path)):
        def open(self, *args, **kwargs):
            raise PermissionError(13, "Permission denied", str(self))  # root may read everything: so it is played

    with pytest.raises(ConfigurationError, match="can't be read: Permission denied"):
        server.drive(server.api().upload_file(Locked(path)))
    assert server.requests == []


# --- one run ----------------------------------------------------------------------------------------------------------


def test_a_run_is_read_with_its_nodes_if_the_server_shows_them(server):
    server.on("one run", sample("run"))

    run = server.drive(server.api().read_run(19, 6))

    assert (run.id, len(run.nodes)) == (6, 3)


@pytest.mark.parametrize(
    "outcome",
    [
        answer(404, ""),
        refused("no"),
        answer(200, "<html>"),
        ok(None),
        ok({}),
        ok({"id": 7, "status": "running"}),  # another run
        ok({"id": 6, "engineTemplateId": 23, "data": {"nodes": []}}),  # a pipeline
        ok({"id": 6, "status": "running", "startTime": "yesterday"}),
    ],
)
def test_if_the_one_run_call_is_missing_or_odd_there_are_no_details(server, outcome):
    server.on("one run", outcome)

    assert server.drive(server.api(retry=NO_RETRY).read_run(19, 6)) is None


def test_a_one_run_call_without_an_answer_is_no_proof_that_there_is_no_run(server):
    server.always("one run", no_reply)

    with pytest.raises(ServiceUnavailableError):
        server.drive(server.api(retry=NO_RETRY).read_run(19, 6))
