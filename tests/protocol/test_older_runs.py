"""Older runs, which the newest page of a history doesn't hold: by the one-run call, or by bisection."""

import logging

import pytest

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.history_pages import HistoryPages, Order
from airflow_provider_flowengine.protocol.older_runs import OlderRunsReader

from .conftest import ok

NEWEST_FIRST, OLDEST_FIRST = Order.NEWEST_FIRST, Order.OLDEST_FIRST


@pytest.fixture
def reader(server):
    return OlderRunsReader(HistoryPages(server.api(), 19))


def find(server, reader, *run_ids, order=NEWEST_FIRST):
    """Look runs up; return what was found: None, or the id of the run."""
    server.forget()
    reader.pages.last_page = None if order is NEWEST_FIRST else 1
    found = server.drive(reader.find(run_ids))
    return {run_id: run if run is None else run.id for run_id, run in found.items()}


def asked(server):
    """The pages that were asked for, a hundred runs each."""
    queries = [request.query for request in server.requests if "historyList" in request.url]
    assert {query["size"] for query in queries} <= {100}
    return [query["page"] for query in queries]


# --- by the one-run call ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("owner", [19, "19"])
def test_a_run_that_says_that_it_is_of_this_pipeline_is_taken(server, reader, owner):
    server.on("one run", ok({"id": 7, "pipelineId": owner, "status": "failed"}))

    run = server.drive(reader.read_own_run(7))

    assert (run.id, run.pipeline_id, run.status) == (7, 19, "failed")
    assert server.requests[-1].path.split("/")[-2] == "7"


@pytest.mark.parametrize("content", [{"id": 7, "pipelineId": 20}, {"id": 7}, {"id": 8, "pipelineId": 19}])
def test_a_run_that_may_be_another_pipelines_is_not_taken(server, reader, content):
    server.on("one run", ok({"status": "failed", **content}))

    assert server.drive(reader.read_own_run(7)) is None


def test_up_to_three_runs_are_asked_for_by_their_ids(server, reader):
    server.fill(1_000)
    server.one_run_call = True

    assert find(server, reader, 900, 500, 100) == {900: 900, 500: 500, 100: 100}
    assert server.calls == ["resolve", "engine id", "one run", "one run", "one run"]


def test_of_more_runs_each_is_searched_for_by_its_page_which_may_hold_others(server, reader):
    server.fill(1_000)
    server.one_run_call = True

    assert find(server, reader, 900, 890, 880, 870) == {900: 900, 890: 890, 880: 880, 870: 870}
    assert asked(server) == [1, 2, 4, 3]
    assert server.count("one run") == 0


def test_a_run_whose_page_is_known_is_not_asked_for_by_its_id(server, reader):
    server.fill(1_000)

    assert find(server, reader, 150) == {150: 150}
    assert server.count("one run") == 1
    assert find(server, reader, 150) == {150: 150}
    assert server.calls == ["history"]


def test_a_text_id_is_in_no_order_and_only_asked_for_by_itself(server, reader):
    server.fill(1_000)

    assert find(server, reader, "run-x") == {"run-x": None}
    assert server.calls == ["resolve", "engine id", "one run"]


# --- by bisection -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "run_id", "searched", "page"),
    [
        ("descending", 950, [1], 1),
        ("descending", 850, [1, 2, 4, 3], 2),
        ("descending", 800, [1, 2, 4, 3], 3),  # the newest run of a page
        ("descending", 350, [1, 2, 4, 8, 6, 7], 7),
        ("descending", 1, [1, 2, 4, 8, 16, 12, 10, 11], 10),
        ("ascending", 50, [1], 1),
        ("ascending", 150, [1, 2, 4, 3], 2),
        ("ascending", 201, [1, 2, 4, 3], 3),  # the oldest run of a page
        ("ascending", 650, [1, 2, 4, 8, 6, 7], 7),
        ("ascending", 1_000, [1, 2, 4, 8, 16, 12, 10, 11], 10),
    ],
)
def test_the_page_of_a_run_is_searched_for_and_known_from_then_on(server, reader, order, run_id, searched, page):
    server.order = order
    server.fill(1_000)
    direction = NEWEST_FIRST if order == "descending" else OLDEST_FIRST

    assert find(server, reader, run_id, order=direction) == {run_id: run_id}
    assert asked(server) == searched
    assert find(server, reader, run_id, order=direction) == {run_id: run_id}
    assert asked(server) == [page]


@pytest.mark.parametrize(("order", "run_id"), [(NEWEST_FIRST, 5_000), (OLDEST_FIRST, 0)])
def test_a_run_beyond_the_first_page_is_not_searched_for(server, reader, order, run_id):
    server.order = "descending" if order is NEWEST_FIRST else "ascending"
    server.fill(1_000)

    assert find(server, reader, run_id, order=order) == {run_id: None}
    assert asked(server) == [1]


def test_a_run_that_newer_ones_have_moved_is_searched_for_from_the_page_where_it_was(server, reader):
    server.fill(1_000)
    find(server, reader, 650)
    server.fill(300)

    assert find(server, reader, 650) == {650: 650}
    assert asked(server) == [4, 5, 7, 11, 9, 8]
    assert find(server, reader, 650) == {650: 650}
    assert asked(server) == [7]


@pytest.mark.parametrize(("run_id", "known"), [(850, 2), (650, 4)])
def test_a_run_that_a_pruning_has_moved_is_searched_for_from_the_first_page(server, reader, run_id, known):
    server.fill(1_000)
    find(server, reader, run_id)
    del server.runs[run_id + 10 :]

    assert find(server, reader, run_id) == {run_id: run_id}
    assert asked(server) == [known, 1]
    assert find(server, reader, run_id) == {run_id: run_id}
    assert asked(server) == [1]


def test_a_run_that_is_gone_is_not_found(server, reader):
    server.fill(1_000)
    find(server, reader, 350)
    server.runs = [run for run in server.runs if run["id"] != 350]

    assert find(server, reader, 350) == {350: None}
    assert find(server, reader, 350) == {350: None}


def test_a_history_in_no_order_that_comes_whole_holds_no_other_run(server, reader):
    server.fill(30)
    del server.runs[14]
    server.paged, server.order = False, lambda row: row["id"] % 7

    assert find(server, reader, 15) == {15: None}
    assert asked(server) == [1, 2]


def test_a_run_cannot_be_searched_for_in_pages_of_no_order(server, reader):
    server.fill(300)
    server.order = lambda row: row["id"] % 7

    with pytest.raises(UnexpectedResponseError) as error:
        find(server, reader, 6)
    assert str(error.value) == (
        "Could not search the history of pipeline 19: run 6 is not on its first page, and its pages are in no order "
        "of ids."
    )
    assert asked(server) == [1, 2]


# --- many of them -----------------------------------------------------------------------------------------------------

FAR_APART = [150, 250, 350, 450, 550, 650, 750, 850]


def test_of_many_runs_three_are_searched_for_in_one_poll_and_the_others_in_the_next_ones(server, reader):
    server.fill(1_000)

    assert list(find(server, reader, *FAR_APART)) == [150, 250, 350]
    assert list(find(server, reader, *FAR_APART)) == [450, 550, 650]
    assert list(find(server, reader, *FAR_APART)) == [750, 850, 150, 250, 350, 450, 550, 650]


def test_a_run_that_another_ones_page_has_shown_takes_no_turn(server, reader):
    server.fill(1_000)
    wanted = [550, 650, 750, 840, 850, 860]

    assert set(find(server, reader, *wanted)) == {550, 650, 750}
    assert set(find(server, reader, *wanted)) == set(wanted)


def test_20_pages_that_are_known_are_read_in_one_poll(server, reader):
    server.fill(4_000)
    wanted = [3_850 - 100 * place for place in range(25)][::-1]
    for _ in range(9):
        find(server, reader, *wanted)
    reader._next = 0

    assert list(find(server, reader, *wanted)) == wanted[:20]
    assert sorted(asked(server)) == list(range(7, 27))
    assert list(find(server, reader, *wanted)) == wanted[20:] + wanted[:15]


def test_of_many_runs_one_that_others_have_overtaken_is_asked_for_by_its_id(server, reader):
    server.fill(1_000)
    server.one_run_call = True
    places = {600: 601.5, 500: 1_000.5}  # on the page before its own, and on the first, which is in no order then
    server.order = lambda row: -places.get(row["id"], row["id"])

    assert find(server, reader, 150, 250, 500, 600) == {150: 150, 250: 250, 500: 500}
    assert find(server, reader, 150, 250, 500, 600)[600] == 600


def test_hundreds_of_runs_on_a_few_pages_have_all_been_looked_up_after_a_few_polls(server, reader):
    server.fill(1_000)
    wanted = range(101, 900)

    found = [find(server, reader, *wanted) for _ in range(4)]

    assert set().union(*found) == set(wanted)


def test_each_of_many_text_ids_is_asked_for_by_itself_since_no_page_can_be(server, reader):
    server.one_run_call = True
    names = [f"run-{place}" for place in range(5)]
    for name in names:
        server.add_run(name)

    assert find(server, reader, *names) == dict(zip(names[:3], names[:3], strict=True))


def test_of_no_runs_none_is_looked_up(server, reader):
    assert find(server, reader) == {}
    assert server.calls == []


def test_many_runs_are_warned_of_once(server, reader, caplog):
    server.fill(1_000)

    find(server, reader, *FAR_APART[:3])
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            find(server, reader, 10, 20, *FAR_APART, 11, 12)

    assert caplog.messages == [
        "12 runs of pipeline 19 that are polled are older than the newest page of its history. Each poll looks up some "
        "of them, so their ends are noticed later."
    ]
