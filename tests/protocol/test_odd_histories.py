"""Histories whose pages are short, wrap, repeat, never end, or lie: each poll makes a bounded number of requests."""

import logging
import random

import pytest

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.history_pages import MAX_REQUESTS
from airflow_provider_flowengine.protocol.starting import start_once

from .conftest import NOW, no_reply, ok


def ids(runs):
    return [run.id for run in runs]


def start(server):
    return server.drive(start_once(server.api(), 19))


def pages(server):
    """The pages that were asked for."""
    return [int(request.query["page"]) for request in server.requests if "historyList" in request.url]


def listing(server, page_of, total=None):
    """Let the server answer each page of its history by a function of its rows, the page and the size."""

    def respond(request):
        rows = page_of(server.runs, int(request.query["page"]), int(request.query["size"]))
        return server._dated(ok(rows if total is None else {"total": total, "list": rows}))

    server.always("history", respond)


def cut(rows, page, size):
    return rows[(page - 1) * size : page * size]


def wrapping(rows, page, size):
    return cut(rows, 1 + (page - 1) % max(1, -(-len(rows) // size)), size)


def repeating(rows, page, size):
    return cut(rows, min(page, max(1, -(-len(rows) // size))), size)


def newest_first(page_of):
    return lambda rows, page, size: page_of(rows[::-1], page, size)


def in_another_order_each_time(page_of):
    shuffled = random.Random(7)
    return lambda rows, page, size: page_of(shuffled.sample(rows, len(rows)), page, size)


# --- short pages ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("most", [1, 2, 3, 10, 19])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 10, 11, 19, 20, 57])
def test_the_newest_run_is_found_however_short_the_pages_are(server, order, most, length):
    server.order, server.most = order, most
    server.fill(length)

    newest = server.drive(server.history().latest()).runs

    assert ids(newest)[:1] == ([length] if length else [])
    assert server.count("history") <= 20


@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_start_whose_answer_is_lost_is_found_at_the_end_of_a_history_of_short_pages(server, most):
    server.order, server.most = "ascending", most
    server.fill(25)
    server.on("start", server.taken(no_reply))

    assert start(server).id == 26
    assert server.count("start") == 1


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("run_id", [1, 13, 24, 25])
def test_any_run_is_found_however_short_the_pages_are(server, order, run_id):
    server.order, server.most = order, 1
    server.fill(25)

    assert server.drive(server.history().find(run_id)).id == run_id
    assert server.count("history") <= 30


def test_random_ids_that_are_in_order_by_chance_are_not_taken_for_an_order(server):
    server.most = 2
    for place, run_id in enumerate([900, 100, 700, 300, 800, 200]):
        server.add_run(run_id, started=NOW - 1000 + place)

    latest = server.drive(server.history().latest())

    assert 200 in ids(latest.runs)
    assert 800 in ids(latest.runs)


def test_polling_the_only_run_of_a_pipeline_costs_one_request(server):
    server.fill(1)
    history = server.history()
    server.drive(history.find(1))
    server.forget()

    assert server.drive(history.find(1)).id == 1
    assert server.count("history") == 1


# --- an order or an end that cannot be determined ---------------------------------------------------------------------


@pytest.mark.parametrize("total", [None, 10**12, 90])
def test_a_history_of_several_pages_in_another_order_each_time_refuses_a_start(server, total):
    server.fill(90)
    listing(server, in_another_order_each_time(lambda rows, page, size: cut(rows, page, min(size, 30))), total)

    with pytest.raises(UnexpectedResponseError, match=r"newest cannot be determined: its pages overlap"):
        start(server)
    assert server.count("start") == 0
    assert server.count("history") <= 4


def test_pages_that_never_end_and_tell_no_order_refuse_a_start(server):
    listing(server, lambda rows, page, size: [{"id": f"run-{page}-{n}", "status": "succeeded"} for n in range(size)])

    with pytest.raises(UnexpectedResponseError, match=r"its first 20 pages are in no order of ids or start times"):
        start(server)
    assert server.count("start") == 0
    assert server.count("history") == 21


def test_pages_that_never_end_oldest_first_refuse_a_start(server):
    listing(server, lambda rows, page, size: [{"id": page * 1000 + n, "status": "succeeded"} for n in range(size)])

    with pytest.raises(UnexpectedResponseError, match=r"128 requests did not reach its end: its pages may repeat"):
        start(server)
    assert server.count("start") == 0
    assert server.count("history") == MAX_REQUESTS - 2  # the engine is resolved by two


def test_a_history_that_comes_whole_in_another_order_each_time_is_read_as_it_is(server):
    server.fill(300)
    listing(server, in_another_order_each_time(lambda rows, page, size: rows))
    server.on("start", server.taken(no_reply))

    assert start(server).id == 301
    assert server.count("start") == 1


def test_text_ids_without_start_times_are_read_to_the_end_of_a_few_pages(server):
    server.most = 10
    for place in range(35):
        server.add_run(f"run-{place * 7919 % 100}", started=0)

    latest = server.drive(server.history().latest())

    assert (len(latest.runs), latest.is_complete) == (35, True)
    assert pages(server) == [1, 2, 3, 4, 5]


# --- pages beyond the end, and totals ---------------------------------------------------------------------------------

BEYOND = {"empty": cut, "begins anew": wrapping, "the last page again": repeating}


@pytest.mark.parametrize("total", [None, 10**12, 0, -5, "many", 1, 20, 85, 105, 130])
@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("arranged", [lambda page_of: page_of, newest_first], ids=["oldest first", "newest first"])
def test_the_newest_run_is_known_whatever_the_total_says_and_what_follows_the_last_page(
    server, arranged, beyond, total
):
    server.fill(105)
    listing(server, arranged(BEYOND[beyond]), total)
    history = server.history()

    assert ids(server.drive(history.latest()).runs)[0] == 105
    assert server.count("history") <= 15
    server.fill(40)
    server.forget()

    assert ids(server.drive(history.latest()).runs)[0] == 145
    assert server.count("history") <= 5


@pytest.mark.parametrize("total", [None, 10**12, 0, -5, "many"])
@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("arranged", [lambda page_of: page_of, newest_first], ids=["oldest first", "newest first"])
def test_a_run_that_isnt_there_is_not_searched_for_without_end(server, arranged, beyond, total):
    server.fill(105)
    listing(server, arranged(BEYOND[beyond]), total)

    assert server.drive(server.history().find(777)) is None
    assert server.count("history") <= 25


# --- many runs far down -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_200_polled_runs_behind_3000_newer_ones_cost_a_bounded_number_of_requests_and_one_warning(
    server, order, caplog
):
    server.order = order
    server.fill(3_200)
    history, wanted, seen = server.history(), list(range(1, 201)), set()

    with caplog.at_level(logging.WARNING, logger="airflow_provider_flowengine"):
        for _ in range(30):
            server.forget()
            seen |= server.drive(history.find_all(wanted)).keys()
            assert len(server.requests) <= 60

    assert seen == set(wanted)
    warnings = [record.getMessage() for record in caplog.records if "older than the newest page" in record.message]
    assert len(warnings) <= 1
