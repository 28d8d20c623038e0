"""Searching the pages of a run history: for its order, for its end, for the page of a run."""

import pytest

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Finished, advance
from airflow_provider_flowengine.protocol.history_pages import HistoryPages, Order
from airflow_provider_flowengine.protocol.latest_runs import LatestRuns, LatestRunsReader
from airflow_provider_flowengine.protocol.models import HistoryPage, PipelineRun, newest_first
from airflow_provider_flowengine.protocol.status import RunState

NEWEST_FIRST, OLDEST_FIRST = Order.NEWEST_FIRST, Order.OLDEST_FIRST
SIZE = 20
LENGTH = 6
"""How long the pages of a server get that was asked for more."""


def page(*ids):
    return tuple(PipelineRun(run_id, 19, "succeeded", RunState.SUCCEEDED) for run_id in ids)


class Pages:
    """A server that tells the pages of a history, by a function of their number."""

    def __init__(self, page_of, total=None):
        self.page_of, self.total = page_of, total
        self.asked = []

    @classmethod
    def listed(cls, *pages, beyond=()):
        return cls(lambda number: pages[number - 1] if number <= len(pages) else beyond)

    def list_runs(self, pipeline_id, number, size, *, seen, wanted):
        assert (pipeline_id, size) == (19, SIZE)
        self.asked.append(number)
        return HistoryPage(self.page_of(number), self.total)
        yield

    def latest(self, wanted=None):
        """Return the newest runs."""
        return result(LatestRunsReader(HistoryPages(self, 19), SIZE).read(wanted))

    def search(self, is_beyond, number, order=OLDEST_FIRST):
        """Return the last page that isn't beyond, from one on that is known."""
        pages = HistoryPages(self, 19)
        return result(pages.last_page_before(is_beyond, number, self.page_of(number), SIZE, order))


def growing(number):
    """One of the pages of a history that begins with its oldest run, and never ends."""
    return page(*range((number - 1) * LENGTH + 1, number * LENGTH + 1))


def up_to(last, beyond=lambda number: (), total=None):
    return Pages(lambda number: growing(number) if number <= last else beyond(number), total)


def result(flow):
    """Return what a flow returns that sends nothing itself."""
    step = advance(flow, None)
    assert isinstance(step, Finished)
    return step.value


# --- until an order shows ---------------------------------------------------------------------------------------------


def test_a_first_page_that_shows_that_the_newest_come_first_is_enough():
    pages = Pages.listed(page(9, 8, 7, 6, 5, 4))

    assert pages.latest() == LatestRuns(list(page(9, 8, 7, 6, 5, 4)))
    assert pages.asked == [1]


def test_pages_are_read_until_they_show_an_order():
    pages = Pages.listed(page(8, 7), page(6, 5), page(4, 3), page(2, 1))

    assert pages.latest() == LatestRuns(list(page(8, 7, 6, 5, 4, 3)), pages=3)
    assert pages.asked == [1, 2, 3]


@pytest.mark.parametrize("beyond", [(), page("b", "y"), page("c")], ids=["nothing", "the last", "a part of it"])
def test_a_history_ends_where_a_page_adds_nothing(beyond):
    pages = Pages.listed(page("a", "x"), page("b", "y", "c"), beyond=beyond)

    assert pages.latest() == LatestRuns(newest_first(page("a", "x", "b", "y", "c")), is_complete=True, pages=2)
    assert pages.asked == [1, 2, 3]


def test_a_history_whose_first_page_comes_again_is_that_page():
    pages = Pages.listed(page("a", "x"), beyond=page("x", "a"))

    assert pages.latest() == LatestRuns(newest_first(page("a", "x")), is_complete=True)


@pytest.mark.parametrize(
    ("pages", "problem", "read"),
    [
        (Pages.listed(page("a", "x"), page("b", "y"), page("x", "c")), "its pages overlap, and are in no order", 2),
        (Pages(lambda number: page(f"run-{number}")), "its first 20 pages are in no order", 20),
    ],
    ids=["overlap", "no end"],
)
def test_pages_that_tell_neither_an_order_nor_an_end_do_for_a_run_that_is_looked_for_alone(pages, problem, read):
    with pytest.raises(UnexpectedResponseError, match=rf"newest cannot be determined: {problem} of ids or start times"):
        pages.latest()
    assert pages.asked == list(range(1, max(pages.asked) + 1))
    assert max(pages.asked) in (read, read + 1)

    latest = pages.latest(wanted={"z"})

    assert (latest.is_complete, latest.pages) == (False, read)


# --- the last page ----------------------------------------------------------------------------------------------------


def last_page(pages):
    """Return the last page that a search for the newest runs finds."""
    reader = LatestRunsReader(HistoryPages(pages, 19), SIZE)
    result(reader.read())
    return reader.pages.last_page


def test_a_history_of_one_page_is_the_whole_of_it():
    pages = up_to(1)

    assert pages.latest() == LatestRuns(newest_first(growing(1)), is_complete=True)
    assert pages.asked == [1, 2]


@pytest.mark.parametrize("total", [None, 0, -5, LENGTH, 5 * LENGTH, 65_536 * LENGTH])
def test_the_last_page_is_searched_for_whatever_the_total_says(total):
    pages = up_to(5, total=total)

    assert last_page(pages) == 5
    assert pages.asked == [1, 2, 4, 8, 6, 5, 5, 6]


def test_pages_that_begin_anew_beyond_the_last_are_no_further_ones():
    pages = up_to(5, beyond=lambda number: growing((number - 1) % 5 + 1))

    assert last_page(pages) == 5


# --- the page of a run ------------------------------------------------------------------------------------------------


def beyond(run_id):
    return lambda rows: min(run.id for run in rows) > run_id


@pytest.mark.parametrize(
    ("run_id", "at", "asked"),
    [
        (LENGTH, 1, [2]),
        (LENGTH + 1, 2, [2, 4, 3]),
        (7 * LENGTH - 1, 7, [2, 4, 8, 6, 7]),
        (100 * LENGTH - 1, 100, [2, 4, 8, 16, 32, 64, 128, 96, 112, 104, 100, 102, 101]),
    ],
)
def test_the_page_of_a_run_is_found_by_doubling_then_by_halving(run_id, at, asked):
    pages = up_to(1_000)

    assert pages.search(beyond(run_id), 1) == (at, growing(at))
    assert pages.asked == asked


def test_the_search_begins_at_a_page_that_is_known():
    pages = up_to(1_000)

    assert pages.search(beyond(53 * LENGTH + 1), 50) == (54, growing(54))
    assert pages.asked == [51, 53, 57, 55, 54]


def test_a_history_that_begins_with_its_newest_run_is_searched_alike():
    pages = Pages(lambda number: growing(21 - number)[::-1] if number <= 20 else ())
    seventh = growing(14)[::-1]

    found = pages.search(lambda rows: max(run.id for run in rows) < seventh[0].id, 1, NEWEST_FIRST)

    assert found == (7, seventh)


def test_pages_that_never_end_are_searched_up_to_a_bound():
    pages = Pages(growing)

    assert pages.search(lambda rows: False, 1) == (32_768, growing(32_768))
    assert pages.asked == [2**power for power in range(1, 16)]


def test_the_last_page_that_can_be_is_searched_for_no_further():
    pages = Pages(growing)

    assert pages.search(lambda rows: False, 65_535) == (65_535, growing(65_535))
    assert pages.asked == []
