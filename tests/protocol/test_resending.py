"""Whether a request may be sent again, and to where."""

import pytest

from airflow_provider_flowengine.protocol.errors import EngineNotRunningError, ServiceUnavailableError
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.resending import is_engine_absent, may_have_moved, may_resend

READ = Request("list runs", "GET", "/engine/15/x/kernel/v1/pipeline/19/historyList", idempotent=True)
START = Request("start pipeline 19", "POST", "/engine/15/x/kernel/v1/pipeline/6/19/start")


def unavailable(http_status=None, *, may_have_been_processed=True, kind=ServiceUnavailableError):
    return kind("no answer", http_status=http_status, may_have_been_processed=may_have_been_processed)


@pytest.mark.parametrize("status", [None, 429, 502, 503, 504])
def test_a_read_may_be_sent_again_after_silence_and_after_an_answer_that_passes(status):
    assert may_resend(READ, unavailable(status))


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_read_is_not_sent_again_after_an_answer_that_stays(status):
    assert not may_resend(READ, unavailable(status))


@pytest.mark.parametrize("status", [None, 429, 503, 500])
def test_a_start_that_may_have_been_processed_is_never_sent_again(status):
    assert not may_resend(START, unavailable(status))


def test_a_start_that_surely_was_not_processed_may_be_sent_again():
    assert may_resend(START, unavailable(may_have_been_processed=False))


@pytest.mark.parametrize(("status", "may_have"), [(502, True), (503, True), (404, False), (None, False)])
def test_an_engine_that_a_read_does_not_find_may_have_moved(status, may_have):
    assert may_have_moved(READ, unavailable(status)) is may_have


def test_a_start_is_not_sent_to_another_address_after_an_answer_that_may_be_its_own():
    assert not may_have_moved(START, unavailable(502))


@pytest.mark.parametrize("request_sent", [READ, START], ids=["a read", "a start"])
def test_an_engine_that_is_surely_absent_may_have_moved(request_sent):
    assert may_have_moved(request_sent, unavailable(404, kind=EngineNotRunningError))


@pytest.mark.parametrize(
    ("body", "is_absent"), [(b"404 page not found", True), (b"", False), (b'{"status": 404}', False), (b" []", False)]
)
def test_an_engine_is_absent_if_a_page_answers_in_its_place(body, is_absent):
    assert is_engine_absent(READ, Response(404, body)) is is_absent
