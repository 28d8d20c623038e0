"""What the pages of a run history say of its order and of its end."""

from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_flowengine.protocol.history_pages import Order, continues, ids_are_ordered, order_of
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NEWEST_FIRST, OLDEST_FIRST, UNKNOWN = Order


def page(*ids, minutes=None):
    """A page of runs with these ids, which started so many minutes after the first: None for one that has no time."""
    moments = [None if each is None else FIRST + timedelta(minutes=each) for each in minutes or [None] * len(ids)]
    return tuple(
        PipelineRun(run_id, 19, "succeeded", RunState.SUCCEEDED, started)
        for run_id, started in zip(ids, moments, strict=True)
    )


TEXTS = ("a", "x", "b", "y", "c", "z")

PAGES = {
    "ids that fall": (page(9, 8, 6, 5, 3, 1), NEWEST_FIRST),
    "ids that grow": (page(1, 3, 5, 6, 8, 9), OLDEST_FIRST),
    "ids that grow, and times that fall": (page(1, 3, 5, 6, 8, 9, minutes=[6, 5, 4, 3, 2, 1]), OLDEST_FIRST),
    "too few": (page(1, 3, 5, 6, 8), UNKNOWN),
    "none": ((), UNKNOWN),
    "ids in no order": (page(9, 1, 6, 5, 3, 8), UNKNOWN),
    "ids in no order, whose ends grow": (page(1, 6, 5, 3, 8, 9), UNKNOWN),
    "ids in no order, and times that grow": (page(9, 1, 6, 5, 3, 8, minutes=[1, 2, 3, 4, 5, 6]), OLDEST_FIRST),
    "text, and times that fall, some alike": (page(*TEXTS, minutes=[6, 5, 5, 3, 3, 1]), NEWEST_FIRST),
    "text, and times that grow, some alike": (page(*TEXTS, minutes=[1, 1, 3, 5, 5, 6]), OLDEST_FIRST),
    "text, and one time for all": (page(*TEXTS, minutes=[2] * 6), UNKNOWN),
    "text, and times of which one is missing": (page(*TEXTS, minutes=[1, 2, None, 4, 5, 6]), UNKNOWN),
    "text, and no times": (page(*TEXTS), UNKNOWN),
    "numbers that grow, and one text": (page(1, 3, 5, "x", 8, 9), UNKNOWN),
}


@pytest.mark.parametrize(("runs", "order"), PAGES.values(), ids=PAGES)
def test_a_page_tells_its_order_by_its_ids_else_by_its_times(runs, order):
    assert order_of(runs) is order


@pytest.mark.parametrize(
    ("ids", "ordered"),
    [((), True), ((5,), True), ((1, 2, 4), True), ((4, 2, 1), True), ((1, "x", 4), True), ((2, 4, 1), False)],
)
def test_a_run_can_be_searched_for_by_its_id_where_the_numbers_are_in_order(ids, ordered):
    assert ids_are_ordered(page(*ids)) is ordered


FOLLOWING = {
    "older ids": (page(9, 8, 7), page(6, 5, 4), NEWEST_FIRST, True),
    "older ids, some of them again": (page(9, 8, 7), page(8, 7, 6), NEWEST_FIRST, True),
    "newer ids": (page(4, 5, 6), page(7, 8, 9), OLDEST_FIRST, True),
    "nothing": (page(9, 8, 7), (), NEWEST_FIRST, False),
    "the same": (page(9, 8, 7), page(9, 8, 7), NEWEST_FIRST, False),
    "a part of the same": (page(9, 8, 7), page(8, 7), NEWEST_FIRST, False),
    "newest first, and its begin again": (page(6, 5, 4), page(9, 8, 7), NEWEST_FIRST, False),
    "oldest first, and its begin again": (page(7, 8, 9), page(4, 5, 6), OLDEST_FIRST, False),
    "one run a page": (page(7), page(8), OLDEST_FIRST, True),
    "one run a page, and its begin again": (page(8), page(7), OLDEST_FIRST, False),
    "one run a page, by times": (page(7, minutes=[2]), page(8, minutes=[1]), OLDEST_FIRST, False),
    "text, by times": (page("a", "x", minutes=[1, 2]), page("b", "y", minutes=[3, 4]), OLDEST_FIRST, True),
    "text, and the begin again by times": (
        page("a", "x", minutes=[3, 4]),
        page("b", "y", minutes=[1, 2]),
        OLDEST_FIRST,
        False,
    ),
    "ids in no order, by times": (page(5, 2, minutes=[1, 2]), page(4, 9, minutes=[3, 4]), OLDEST_FIRST, True),
    "ids in order, and times that disagree": (
        page(9, 8, 7, minutes=[1, 2, 3]),
        page(6, 5, 4, minutes=[4, 5, 6]),
        NEWEST_FIRST,
        True,
    ),
    "text without times": (page("a", "x"), page("b", "y"), OLDEST_FIRST, True),
    "a page of text after one of numbers": (page(9, 8), page("b", "y"), OLDEST_FIRST, True),
}


@pytest.mark.parametrize(("before", "there", "order", "can_follow"), FOLLOWING.values(), ids=FOLLOWING)
def test_a_page_follows_another_if_it_is_new_and_goes_on_in_the_same_order(before, there, order, can_follow):
    assert continues(before, there, order) is can_follow
