"""Searching the pages of a run history: for its end, for its order, for the page of a run."""

import pytest

from airflow_provider_flowengine.protocol.flow import Finished, advance
from airflow_provider_flowengine.protocol.models import HistoryPage, PipelineRun
from airflow_provider_flowengine.protocol.page_order import Order
from airflow_provider_flowengine.protocol.page_search import (
    HistoryStart,
    last_page_before,
    last_page_of,
    read_until_ordered,
)
from airflow_provider_flowengine.protocol.status import RunState

NEWEST_FIRST, OLDEST_FIRST, UNKNOWN = Order
SIZE = 3


def page(*ids):
    return tuple(PipelineRun(run_id, 19, "succeeded", RunState.SUCCEEDED) for run_id in ids)


class Pages:
    """The pages of a history, by a function of their number."""

    def __init__(self, page_of):
        self.page_of = page_of
        self.asked = []

    @classmethod
    def listed(cls, *pages, beyond=()):
        return cls(lambda number: pages[number - 1] if number <= len(pages) else beyond)

    def read(self, number, size):
        assert size == SIZE
        self.asked.append(number)
        return HistoryPage(self.page_of(number))
        yield

    def first(self, total=None):
        return HistoryPage(self.page_of(1), total)


def growing(number):
    """One of the pages of a history that begins with its oldest run, and never ends."""
    return page(*range(number * SIZE - 2, number * SIZE + 1))


def up_to(last, beyond=lambda number: ()):
    return Pages(lambda number: growing(number) if number <= last else beyond(number))


def result(flow):
    """Return what a flow returns that sends nothing itself."""
    step = advance(flow, None)
    assert isinstance(step, Finished)
    return step.value


# --- until an order shows ---------------------------------------------------------------------------------------------


def test_a_first_page_that_shows_an_order_is_enough():
    runs, pages = page(9, 8, 7, 6, 5, 4), Pages.listed()

    assert result(read_until_ordered(pages.read, HistoryPage(runs), SIZE)) == HistoryStart(runs, 1, NEWEST_FIRST)
    assert pages.asked == []


def test_pages_are_read_until_they_show_an_order():
    pages = Pages.listed(page(1, 2), page(3, 4), page(5, 6), page(7, 8))

    start = result(read_until_ordered(pages.read, pages.first(), SIZE))

    assert start == HistoryStart(page(1, 2, 3, 4, 5, 6), 3, OLDEST_FIRST)
    assert pages.asked == [2, 3]


@pytest.mark.parametrize("beyond", [(), page("b", "y"), page("c")], ids=["nothing", "the last", "a part of it"])
def test_a_history_ends_where_a_page_adds_nothing(beyond):
    pages = Pages.listed(page("a", "x"), page("b", "y", "c"), beyond=beyond)

    start = result(read_until_ordered(pages.read, pages.first(), SIZE))

    assert start == HistoryStart(page("a", "x", "b", "y", "c"), 2, UNKNOWN, is_complete=True)
    assert pages.asked == [2, 3]


def test_a_history_whose_first_page_comes_again_is_that_page():
    pages = Pages.listed(page("a", "x"), beyond=page("x", "a"))

    assert result(read_until_ordered(pages.read, pages.first(), SIZE)) == HistoryStart(
        page("a", "x"), 1, UNKNOWN, is_complete=True
    )


def test_pages_that_overlap_in_no_order_tell_neither_an_order_nor_an_end():
    pages = Pages.listed(page("a", "x"), page("b", "y"), page("x", "c"))

    assert result(read_until_ordered(pages.read, pages.first(), SIZE)) == HistoryStart(
        page("a", "x", "b", "y"), 2, UNKNOWN, problem="its pages overlap, and are in no order of ids or start times"
    )


def test_20_pages_in_no_order_are_the_most_that_is_read():
    pages = Pages(lambda number: page(f"run-{number}"))

    start = result(read_until_ordered(pages.read, pages.first(), SIZE))

    assert start == HistoryStart(
        page(*(f"run-{number}" for number in range(1, 21))),
        20,
        UNKNOWN,
        problem="its first 20 pages are in no order of ids or start times",
    )
    assert pages.asked == list(range(2, 21))


# --- the last page ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "total", "asked"),
    [
        (1, 3, [2]),  # the first page is known already
        (2, 6, [2, 3]),
        (5, 13, [5, 6]),
        (65_535, 65_535 * SIZE, [65_535, 65_536]),
    ],
)
def test_a_total_that_is_true_tells_the_last_page(last, total, asked):
    pages = up_to(last)

    assert result(last_page_of(pages.read, pages.first(total), SIZE)) == last
    assert pages.asked == asked


@pytest.mark.parametrize(
    ("total", "asked"),
    [
        (None, []),
        (0, []),
        (-5, []),
        (65_536 * SIZE, []),  # more than there can be
        (3, [2]),
        (12, [4, 5]),
        (30, [10, 11]),
    ],
)
def test_a_total_that_is_missing_or_untrue_is_not_believed(total, asked):
    pages = up_to(5)

    assert result(last_page_of(pages.read, pages.first(total), SIZE)) == 5
    assert pages.asked == [*asked, 2, 4, 8, 6, 5]


def test_a_total_is_not_believed_where_pages_begin_anew_beyond_the_last():
    pages = up_to(5, beyond=lambda number: growing((number - 1) % 5 + 1))

    assert result(last_page_of(pages.read, pages.first(24), SIZE)) == 5
    assert pages.asked[:2] == [8, 9]


# --- the page of a run ------------------------------------------------------------------------------------------------


def beyond(run_id):
    return lambda rows: min(run.id for run in rows) > run_id


@pytest.mark.parametrize(
    ("run_id", "at", "asked"),
    [
        (3, 1, [2]),
        (4, 2, [2, 4, 3]),
        (20, 7, [2, 4, 8, 6, 7]),
        (299, 100, [2, 4, 8, 16, 32, 64, 128, 96, 112, 104, 100, 102, 101]),
    ],
)
def test_the_page_of_a_run_is_found_by_doubling_then_by_halving(run_id, at, asked):
    pages = up_to(1_000)

    found = result(last_page_before(pages.read, beyond(run_id), 1, growing(1), SIZE, OLDEST_FIRST))

    assert found == (at, growing(at))
    assert pages.asked == asked


def test_the_search_begins_at_a_page_that_is_known():
    pages = up_to(1_000)

    assert result(last_page_before(pages.read, beyond(160), 50, growing(50), SIZE, OLDEST_FIRST)) == (54, growing(54))
    assert pages.asked == [51, 53, 57, 55, 54]


def test_a_history_that_begins_with_its_newest_run_is_searched_alike():
    pages = Pages(lambda number: growing(21 - number)[::-1] if number <= 20 else ())

    found = result(
        last_page_before(
            pages.read, lambda rows: max(run.id for run in rows) < 42, 1, growing(20)[::-1], SIZE, NEWEST_FIRST
        )
    )

    assert found == (7, page(42, 41, 40))


def test_pages_that_never_end_are_searched_up_to_a_bound():
    pages = Pages(growing)

    found = result(last_page_before(pages.read, lambda rows: False, 1, growing(1), SIZE, OLDEST_FIRST))

    assert found == (32_768, growing(32_768))
    assert pages.asked == [2**power for power in range(1, 16)]


def test_the_last_page_that_can_be_is_searched_for_no_further():
    pages = Pages(growing)

    found = result(last_page_before(pages.read, lambda rows: False, 65_535, growing(65_535), SIZE, OLDEST_FIRST))

    assert found == (65_535, growing(65_535))
    assert pages.asked == []
