"""Reading the pages of a run history: how a page is asked for, and how many requests a poll may make."""

import pytest

from airflow_provider_flowengine.protocol.errors import RequestRejectedError, UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Sleep
from airflow_provider_flowengine.protocol.history_pages import HistoryPages
from airflow_provider_flowengine.protocol.http import Request

from .conftest import ok, refused


@pytest.fixture
def pages(server):
    return HistoryPages(server.api(), 19)


def asked(server):
    """The pages that were asked for: (page, size)."""
    return [
        (request.query["page"], request.query["size"]) for request in server.requests if "historyList" in request.url
    ]


# --- pages beyond the end ---------------------------------------------------------------------------------------------


def test_a_first_page_that_is_refused_is_an_error_and_asked_for_once(server, pages):
    server.always("history", refused("no such pipeline"))

    with pytest.raises(RequestRejectedError, match="no such pipeline"):
        server.drive(pages.read(1, 20))
    assert asked(server) == [(1, 20)]


def test_a_further_page_that_is_refused_twice_while_the_first_is_not_is_beyond_the_end(server, pages):
    server.fill(30)
    server.beyond_the_end = "refusal"

    assert server.drive(pages.read(3, 20)) == ()
    assert asked(server) == [(3, 20), (1, 20), (3, 20)]


def test_a_further_page_that_is_refused_for_a_moment_is_read(server, pages):
    server.fill(30)
    server.on("history", refused("busy"))

    assert [run.id for run in server.drive(pages.read(2, 20))] == list(range(10, 0, -1))
    assert asked(server) == [(2, 20), (1, 20), (2, 20)]


# --- rows that cannot be parsed ---------------------------------------------------------------------------------------


def test_beside_a_row_that_cannot_be_parsed_only_runs_that_are_named_are_enough(server, pages):
    server.fill(3)
    server.always("history", ok([*server.runs, {"status": "running"}]))

    assert [run.id for run in server.drive(pages.read(1, 5, [3, 1]))] == [1, 2, 3]
    assert asked(server) == [(1, 5)]
    with pytest.raises(UnexpectedResponseError, match="expected a run with an id"):
        server.drive(pages.read(1, 5, [3, 4]))
    with pytest.raises(UnexpectedResponseError, match="expected a run with an id"):
        server.drive(pages.read(1, 5))


# --- rows that are as they were ---------------------------------------------------------------------------------------


def test_a_row_that_is_as_it_was_is_not_parsed_again(server, pages):
    server.fill(2)
    before = server.drive(pages.read(1, 20))
    server.set(2, status="failed")

    now = server.drive(pages.read(1, 20))

    assert now[0] is not before[0]
    assert now[1] is before[1]


# --- how many requests ------------------------------------------------------------------------------------------------


def poll(number):
    """A poll of so many requests, with a sleep between any two."""
    for _ in range(number):
        yield Request("list", "GET", "/historyList")
        yield Sleep(1.0)
    return "done"


def steps(flow):
    """Drive a flow to its end; return how many requests it sent, and what it returned or raised."""
    sent = 0
    try:
        while True:
            sent += isinstance(flow.send(None), Request)
    except StopIteration as end:
        return sent, end.value
    except UnexpectedResponseError as error:
        return sent, str(error)


def test_a_poll_makes_128_requests_at_most(pages):
    assert steps(pages.limited(poll(128))) == (128, "done")
    assert steps(pages.limited(poll(129))) == (
        128,
        "Could not search the history of pipeline 19: 128 requests did not reach its end: its pages may repeat, or "
        "never end.",
    )
