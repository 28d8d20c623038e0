"""Finding runs in a history of any order and length, in a bounded number of requests."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.candidates import Intent
from airflow_provider_flowengine.protocol.errors import AmbiguousRunError, RequestRejectedError, UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Retry
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.history_pages import MAX_REQUESTS
from airflow_provider_flowengine.protocol.models import newest_first
from airflow_provider_flowengine.protocol.status import RunState

from .conftest import NOW, FakeServer, answer, ok, refused, sample

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def by_hash(row):
    """An order that is none."""
    return random.Random(row["id"]).random()


def ids(runs):
    return [run.id for run in runs]


def after(history, intent):
    return history.after_baseline(intent.is_new, intent.baseline_run_id)


def asked(server):
    """The pages that were asked for: (page, size)."""
    return [
        (request.query["page"], request.query["size"]) for request in server.requests if "historyList" in request.url
    ]


# --- the newest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["history.paged", "history.plain", "history.ascending", "history.text_times"])
def test_the_newest_runs_come_first_whatever_the_shape_and_order(server, name):
    server.on("history", sample(name))

    assert ids(server.drive(server.history(timezone="Asia/Shanghai").latest()).runs) == [6, 3]
    assert server.count("history") == 2


def test_a_pipeline_that_never_ran_has_no_newest_run(server):
    server.on("history", sample("history.empty"))

    assert server.drive(server.history().latest()).runs == []


SHAPES = {
    "paged, newest first": {},
    "paged, newest first, counted": {"counts": True},
    "paged, oldest first": {"order": "ascending"},
    "paged, oldest first, counted": {"order": "ascending", "counts": True},
    "paged, newest first, refused beyond": {"beyond_the_end": "refusal"},
    "paged, oldest first, refused beyond": {"order": "ascending", "beyond_the_end": "refusal"},
    "paged, oldest first, the last page for all beyond": {"order": "ascending", "beyond_the_end": "last page"},
    "paged, oldest first, short pages, counted": {"order": "ascending", "counts": True, "most": 7},
    "paged, oldest first, short pages": {"order": "ascending", "most": 10},
    "paged, newest first, short pages": {"most": 10},
    "whole, newest first": {"paged": False},
    "whole, oldest first": {"paged": False, "order": "ascending"},
    "whole, in no order": {"paged": False, "order": by_hash},
}
LENGTHS = [0, 1, 19, 20, 21, 40, 41, 100, 140, 777]


def shaped(shape, length):
    server = FakeServer()
    for name, value in SHAPES[shape].items():
        setattr(server, name, value)
    server.fill(length)
    return server


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_newest_run_is_found_however_the_server_lists_them(shape, length):
    server = shaped(shape, length)

    newest = ids(server.drive(server.history().latest()).runs)

    assert newest == sorted(newest, reverse=True)
    assert newest == list(range(length, 0, -1))[: len(newest)]
    assert bool(newest) == bool(length)
    assert server.count("history") <= (24 if "refused" in shape else 18)  # a refusal is asked for twice


def test_a_server_that_is_busy_for_a_moment_is_not_taken_for_the_end_of_its_history(server):
    server.order = "ascending"
    server.fill(500)
    asked = []

    def busy_after_the_first(request):
        asked.append(request)
        return server._work(request) if len(asked) == 1 else refused("busy")

    server.always("history", busy_after_the_first)

    with pytest.raises(RequestRejectedError, match="busy"):
        server.drive(server.history().latest())


@pytest.mark.parametrize("grown", [1, 20, 45])
@pytest.mark.parametrize("length", LENGTHS[:-1])
@pytest.mark.parametrize("shape", SHAPES)
def test_runs_that_come_between_two_polls_are_seen(shape, length, grown):
    server = shaped(shape, length)
    history = server.history()
    newest = server.drive(history.latest()).runs
    server.fill(grown)

    new = server.drive(after(history, Intent(19, newest[0].id if newest else None)))

    assert ids(new) == list(range(length + grown, length, -1))


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_poll_that_has_found_the_newest_page_costs_little_from_then_on(server, order):
    server.order = order
    server.fill(5_550)
    history = server.history()
    server.drive(history.latest())
    server.add_run()
    server.forget()

    assert server.drive(history.latest()).runs[0].id == 5_551
    assert server.count("history") <= 2


def test_a_short_ascending_history_that_grows_is_read_in_pages_that_are_worth_it(server):
    server.order = "ascending"
    server.fill(3)
    history = server.history()
    server.drive(history.find(3))
    server.fill(60)

    assert server.drive(history.find(63)).id == 63
    assert asked(server)[-1][1] == 20


def test_a_history_that_is_pruned_is_found_anew(server):
    server.order = "ascending"
    server.fill(500)
    history = server.history()
    server.drive(history.latest())
    del server.runs[:-30]

    assert ids(server.drive(history.latest()).runs)[:2] == [500, 499]
    del server.runs[:-5]
    assert ids(server.drive(history.latest()).runs) == [500, 499, 498, 497, 496]


def test_a_history_that_is_emptied_is_read_from_its_begin_again(server):
    server.order = "ascending"
    server.fill(500)
    history = server.history()
    server.drive(history.latest())
    server.runs.clear()

    assert server.drive(history.latest()).runs == []
    server.add_run(501)
    assert ids(server.drive(history.latest()).runs) == [501]


@pytest.mark.parametrize(("before", "since", "newest"), [(45, 35, range(80, 40, -1)), (50, 500, range(550, 530, -1))])
def test_the_end_of_an_ascending_history_that_grows_between_polls_is_followed(server, before, since, newest):
    server.order = "ascending"
    server.fill(before)
    history = server.history()
    server.drive(history.latest())
    server.fill(since)

    assert ids(server.drive(history.latest()).runs)[: len(newest)] == list(newest)


def test_an_ascending_history_that_is_pruned_while_its_end_is_searched_for_is_searched_again(server):
    server.order = "ascending"
    server.fill(50)

    def pruned_after_its_last_page_was_read(request):
        response = server._work(request)
        if request.query["page"] == 3:
            del server.runs[40:]
        return response

    server.always("history", pruned_after_its_last_page_was_read)

    assert server.drive(server.history().latest()).runs[0].id == 40


def test_an_ascending_history_of_one_page_is_complete(server):
    server.order = "ascending"
    server.fill(10)

    assert server.drive(server.history().latest()).is_complete is True


def test_as_many_of_the_newest_runs_as_are_asked_for_cost_one_request(server):
    server.fill(300)

    assert len(server.drive(server.history().latest(100)).runs) == 100
    assert asked(server) == [(1, 100)]


@pytest.mark.parametrize("most", [1000, 2], ids=["long pages", "short pages"])
@pytest.mark.parametrize(
    ("first", "is_ordered"), [([], True), ([900, 100, 700, 300], False)], ids=["growing ids", "odd ids"]
)
def test_it_is_known_of_the_newest_runs_whether_their_ids_are_in_order(server, most, first, is_ordered):
    server.most, server.order = most, lambda row: -row["startTime"]
    for place, run_id in enumerate([*range(1, 60), *first]):
        server.add_run(run_id, started=NOW - 1000 + place)

    assert server.drive(server.history().latest()).is_ordered is is_ordered


@pytest.mark.parametrize(
    ("number", "requests"),
    [
        (0, [(1, 20), (1, 1000), (2, 1000), (3, 1000)]),
        (500, [(1, 500), (1, 1000), (2, 1000), (3, 1000)]),
        (1000, [(1, 1000), (2, 1000), (3, 1000)]),
    ],
)
def test_a_history_that_tells_no_order_is_read_in_long_pages(server, number, requests):
    for place in range(1_200):
        server.add_run(f"run-{place * 7919 % 10_000}", started=0)

    latest = server.drive(server.history().latest(number))

    assert (len(latest.runs), latest.is_complete) == (1_200, True)
    assert asked(server) == requests


def test_if_ids_are_text_the_newest_run_started_last(server):
    for name, age in (("run-x", 300), ("run-a", 200), ("run-m", 100)):
        server.add_run(name, started=NOW - age)

    assert ids(server.drive(server.history().latest()).runs) == ["run-m", "run-a", "run-x"]


def test_if_ids_are_text_an_ascending_history_is_known_by_its_times(server):
    server.order = "ascending"
    for place in range(64):
        server.add_run(f"run-{hash((place, 'x')) % 10_000}-{place}", started=NOW - 1000 + place)

    assert server.drive(server.history().latest()).runs[0].id.endswith("-63")


def test_digits_in_text_are_numbers(server):
    for run_id in ("9", "100", "20"):
        server.add_run(run_id)

    assert ids(server.drive(server.history().latest()).runs) == [100, 20, 9]


def test_as_many_of_the_newest_runs_as_are_asked_for_are_read_from_short_pages(server):
    server.most = 50
    server.fill(500)

    latest = server.drive(server.history().latest(120))

    assert ids(latest.runs) == list(range(500, 350, -1))
    assert latest.is_complete is False
    assert max(asked(server)) == (3, 200)


def test_fewer_runs_than_are_asked_for_are_the_whole_history(server):
    server.fill(7)

    latest = server.drive(server.history().latest(120))

    assert ids(latest.runs) == [7, 6, 5, 4, 3, 2, 1]
    assert latest.is_complete is True


def test_the_newest_runs_are_read_back_to_one_that_is_known_a_hundred_at_least(server):
    server.fill(500)
    history = server.history()

    for known, oldest in ((480, 401), (350, 301), (0, 1)):
        runs, reached = server.drive(history.latest_until(lambda run, known=known: run.id == known))
        assert (ids(runs)[-1], reached) == (oldest, True)
    assert asked(server)[0] == (1, 100)


# --- one run ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 20, 21, 101, 1500])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_run_is_found_however_the_server_lists_them(shape, length):
    server = shaped(shape, length)

    for run_id in {1, length // 3, length // 2, length - 1, length} - {0}:
        assert server.drive(server.history().find(run_id)).id == run_id


@pytest.mark.parametrize("length", [0, 1, 20, 21, 100, 777])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_run_that_isnt_there_is_not_found_and_not_searched_for_without_end(shape, length):
    server = shaped(shape, length)
    server.runs = [run for run in server.runs if run["id"] != length // 2]

    for run_id in (length // 2, length + 1, -5, "odd"):
        server.forget()
        assert server.drive(server.history().find(run_id)) is None
        assert server.count("history") <= (40 if "refused" in shape else 30)  # a refusal is asked for twice


@pytest.mark.parametrize("one_run_call", [True, False])
@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_among_100_000_runs_any_is_found_in_a_bounded_number_of_requests(server, order, one_run_call):
    server.order, server.one_run_call = order, one_run_call
    server.fill(100_000)
    history = server.history()

    for run_id in (1, 17, 50_000, 98_765, 99_999, 100_000):
        server.forget()
        assert server.drive(history.find(run_id)).id == run_id
        assert len(server.requests) <= 50, run_id
        server.forget()
        assert server.drive(history.find(run_id)).id == run_id
        assert len(server.requests) <= 4, run_id
    assert max(size for _, size in asked(server)) <= 1000


def test_a_run_is_found_again_after_newer_ones_have_moved_it_to_another_page(server):
    server.fill(5_000)
    history = server.history()
    assert server.drive(history.find(42)).id == 42
    server.fill(250)

    assert server.drive(history.find(42)).id == 42
    del server.runs[1000:4000]
    assert server.drive(history.find(42)).id == 42


def test_several_runs_are_found_in_one_request(server):
    server.fill(500)

    found = server.drive(server.history().find_all([500, 495, 481]))

    assert sorted(found) == [481, 495, 500]
    assert asked(server) == [(1, 20)]


def test_a_run_further_down_makes_the_page_grow_and_shrink_again(server):
    server.fill(5_000)
    history = server.history()

    assert sorted(server.drive(history.find_all([5000, 4700]))) == [4700, 5000]
    server.forget()
    assert sorted(server.drive(history.find_all([5000, 4700]))) == [4700, 5000]
    assert asked(server) == [(1, 500)]
    server.drive(history.find_all([5000]))
    server.forget()
    server.drive(history.find_all([5000]))
    assert asked(server) == [(1, 2)]


@pytest.mark.parametrize(
    ("place", "size"), [(1, 2), (2, 2), (3, 5), (5, 5), (6, 20), (20, 20), (21, 100), (200, 200), (201, 500)]
)
def test_the_next_poll_asks_for_no_more_than_what_holds_the_run(server, place, size):
    server.fill(600)
    history = server.history()
    server.drive(history.find(601 - place))
    server.forget()

    assert server.drive(history.find(601 - place)).id == 601 - place
    assert asked(server) == [(1, size)]


@pytest.mark.parametrize(("length", "newest"), [(21, 21), (41, 21), (59, 39), (60, 20), (61, 21)])
def test_the_end_of_an_ascending_history_is_a_pages_length_of_runs_at_least(server, length, newest):
    server.order = "ascending"
    server.fill(length)

    assert ids(server.drive(server.history().latest()).runs) == list(range(length, length - newest, -1))


def test_all_runs_that_are_waited_for_are_found_however_far_down(server):
    server.fill(10_000)
    wanted = [8500 - 100 * place for place in range(8)]
    history, found = server.history(), {}

    for _ in range(4):  # some in each poll
        server.forget()
        found |= server.drive(history.find_all(wanted))
        assert len(server.requests) <= 60

    assert sorted(found) == sorted(wanted)


def test_a_run_that_only_the_one_run_call_knows_is_found_by_it(server):
    server.fill(2_000)
    server.on("one run", ok({"id": "run-7", "pipelineId": 19, "status": "running"}))

    assert server.drive(server.history().find("run-7")).state is RunState.RUNNING


def test_a_short_page_is_the_whole_history_if_the_next_page_is_empty(server):
    server.fill(19)

    assert server.drive(server.history().find(77)) is None
    assert server.calls == ["resolve", "engine id", "history", "history"]


def test_a_short_page_is_the_whole_history_if_the_next_page_is_the_same(server):
    server.beyond_the_end = "last page"
    server.fill(10)

    assert server.drive(server.history().find(77)) is None
    assert server.calls == ["resolve", "engine id", "history", "history"]


def test_a_run_further_down_is_asked_for_in_a_page_of_the_next_size(server):
    server.fill(600)

    assert server.drive(server.history().find(550)).id == 550
    assert asked(server) == [(1, 20), (1, 100)]


@pytest.mark.parametrize(("number", "size"), [(1, 2), (2, 2), (3, 5), (501, 1000), (1000, 1000), (1001, 1000)])
def test_pages_are_of_a_few_sizes(server, number, size):
    server.fill(2_000)

    server.drive(server.history().latest(number))

    assert asked(server)[0] == (1, size)


def test_a_history_that_isnt_paged_is_read_once(server):
    server.paged = False
    server.fill(2_000)

    assert server.drive(server.history().find(777_777)) is None
    assert server.calls == ["resolve", "engine id", "history"]


def test_a_server_that_gives_shorter_pages_than_asked_for_hides_no_run(server):
    server.most = 50
    server.fill(400)

    assert server.drive(server.history().find(300)).id == 300
    assert server.drive(server.history().find(3)).id == 3


def test_a_row_that_changed_is_read_again(server):
    server.add_run(status="running")
    history = server.history()
    server.drive(history.find(1))
    server.set(1, status="succeeded")

    assert server.drive(history.find(1)).state is RunState.SUCCEEDED


def test_ids_in_text_are_the_numbers_that_they_write(server):
    server.fill(3)
    history = History(server.api(), "19")

    assert history.pipeline_id == 19
    assert History(server.api(), " ").pipeline_id == " "  # what is no id stays as it was given
    assert server.drive(history.find("2")).id == 2
    assert sorted(server.drive(history.find_all(["1", 3]))) == [1, 3]


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_run_is_looked_up_beyond_the_newest_page(server, order):
    server.order = order
    server.fill(1_000)
    history = server.history()
    server.drive(history.latest())

    found = server.drive(history.find_older({350, 2_000}))

    assert {run_id: run and run.id for run_id, run in found.items()} == {350: 350, 2_000: None}


def test_a_lookup_beyond_the_newest_page_has_an_end(server):
    server.always("one run", answer(503, ""))
    history = server.history()
    history.api.retry = Retry(attempts=1_000, first_delay=0.0)

    with pytest.raises(UnexpectedResponseError, match="128 requests did not reach its end"):
        server.drive(history.find_older({5}))
    assert len(server.requests) == MAX_REQUESTS


def test_a_run_is_looked_up_by_its_id_alone(server):
    server.one_run_call = True
    server.fill(3)

    assert server.drive(server.history().read_own_run(2)).id == 2
    assert server.calls == ["resolve", "engine id", "one run"]


def test_runs_of_which_some_have_texts_as_ids_are_looked_up_together(server):
    server.fill(2_000)

    found = server.drive(server.history().find_all(["run-x", 3, 1_998]))

    assert {run_id: run and run.id for run_id, run in found.items()} == {1_998: 1_998, 3: 3, "run-x": None}


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_what_is_known_of_a_history_is_known_to_another_api_client_too(server, order):
    server.order = order
    server.fill(1_000)
    history = server.history()
    server.drive(history.find(350))
    server.forget()
    server.drive(history.find(350))
    known = asked(server)
    history.api = server.api(user="8")
    server.forget()

    assert server.drive(history.find(350)).id == 350
    assert asked(server) == known
    assert {request.headers["X-FlowEngine-UserId"] for request in server.requests} == {"8"}


# --- rows that cannot be parsed ---------------------------------------------------------------------------------------

UNREADABLE = {
    "no id": {"status": "running"},
    "a time that is none": {"id": 3, "status": "failed", "startTime": "soon"},
    "no object": None,
}


@pytest.fixture(params=UNREADABLE.values(), ids=UNREADABLE)
def odd_history(server, request):
    """A history of five runs and a row of nonsense."""
    server.add_run()
    server.fill(4)
    rows = [*server.runs[::-1], request.param]
    server.on("history", *[ok(rows)] * 9)
    return server.history()


def test_a_run_is_found_beside_a_row_that_cannot_be_parsed(server, odd_history):
    assert server.drive(odd_history.find(5)).id == 5


def test_a_run_further_down_is_found_beside_a_row_that_cannot_be_parsed(server):
    server.fill(60)
    server.set(10, startTime="soon")

    assert server.drive(server.history().find(20)).id == 20


def test_a_run_that_is_missing_may_be_the_row_that_cannot_be_parsed(server, odd_history):
    with pytest.raises(UnexpectedResponseError):
        server.drive(odd_history.find(6))


def test_which_runs_are_the_newest_cannot_be_said_beside_a_row_that_cannot_be_parsed(server, odd_history):
    with pytest.raises(UnexpectedResponseError):
        server.drive(odd_history.latest())


def test_that_no_run_is_newer_than_a_baseline_cannot_be_said_beside_a_row_that_cannot_be_parsed(server, odd_history):
    with pytest.raises(UnexpectedResponseError):
        server.drive(after(odd_history, Intent(19, baseline_run_id=5)))


def test_a_run_that_a_start_named_is_found_beside_a_row_that_cannot_be_parsed(server, odd_history):
    assert ids(server.drive(odd_history.after_baseline(lambda run: run.id > 4, 4, wanted=5))) == [5]


# --- newer than a baseline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["descending", "ascending"])
@pytest.mark.parametrize("length", [0, 10, 300])
def test_every_run_since_the_baseline_is_listed_however_many(server, order, length):
    server.order = order
    server.fill(length + 950)

    new = server.drive(after(server.history(), Intent(19, length or None)))

    assert ids(new) == list(range(length + 950, length, -1))


@pytest.mark.parametrize(("order", "number"), [("descending", 5_000), ("ascending", 1_620)])
def test_more_runs_than_can_be_searched_are_reported_and_not_passed_over(server, order, number):
    server.order = order
    server.fill(9_000)

    with pytest.raises(AmbiguousRunError) as since_run:
        server.drive(after(server.history(), Intent(19, 3)))
    with pytest.raises(AmbiguousRunError) as since_moment:
        server.drive(server.history().started_since(ALWAYS))

    assert str(since_run.value) == (
        "It cannot be determined which run this task started. Look at the pipeline's runs in FlowEngine, then clear "
        f"this task to start a new one: pipeline 19 has more than {number} runs since run 3."
    )
    assert str(since_moment.value) == (
        "It cannot be determined which run came first. Give a later started_after, or run_id: pipeline 19 has more "
        f"than {number} runs since 1970-01-01 00:00:00+00:00."
    )
    for error in (since_run.value, since_moment.value):
        assert error.pipeline_id == 19
        assert ids(error.candidates) == list(range(9_000, 9_000 - number, -1))


def test_runs_are_read_back_to_the_baseline_and_no_further(server):
    server.fill(500)

    assert ids(server.drive(after(server.history(), Intent(19, 495)))) == [500, 499, 498, 497, 496]
    assert asked(server) == [(1, 20)]


def test_a_run_that_a_start_named_is_enough_if_the_first_page_shows_it(server):
    server.fill(500)

    new = server.drive(server.history().after_baseline(lambda run: run.id > 300, 300, wanted=490))

    assert ids(new) == list(range(500, 480, -1))
    assert asked(server) == [(1, 20)]


def test_text_ids_are_new_when_they_werent_known(server):
    for name in ("run-a", "run-b"):
        server.add_run(name)
    known = frozenset(ids(server.drive(server.history().latest()).runs))
    server.add_run("run-0")

    assert ids(server.drive(after(server.history(), Intent(19, "run-b", known)))) == ["run-0"]


# --- since a moment ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("minutes", [1, 30, 450])
def test_all_runs_since_a_moment_are_listed(shape, minutes):
    server = shaped(shape, 777)
    first = server.drive(server.history().find(777 - minutes + 1))

    listed = server.drive(server.history().started_since(first.started))

    assert min(run.id for run in listed if run.started >= first.started) == first.id


@pytest.mark.parametrize("length", [1_000, 1_500])
def test_a_last_page_that_comes_again_ends_a_search(server, length):
    server.beyond_the_end = "last page"
    server.fill(length)

    assert ids(server.drive(server.history().started_since(ALWAYS))) == list(range(length, 0, -1))
    assert server.count("history") <= 8


def test_a_search_from_the_end_to_the_begin_of_a_history_ends_there(server):
    server.order = "ascending"
    server.fill(90)

    assert ids(server.drive(server.history().started_since(ALWAYS))) == list(range(90, 0, -1))
    assert min(asked(server)) == (1, 20)


@pytest.mark.parametrize(("order", "last"), [("descending", 81), ("ascending", 120)])
def test_a_search_back_reads_eighty_short_pages_at_most(server, order, last):
    server.order, server.most = order, 10
    server.fill(2_000)

    with pytest.raises(AmbiguousRunError):
        server.drive(server.history().started_since(ALWAYS))
    assert asked(server)[-1][0] == last


def test_all_runs_that_started_at_the_very_moment_are_listed(server):
    for run_id in range(1, 61):
        server.add_run(run_id, started=NOW)

    listed = server.drive(server.history().started_since(datetime.fromtimestamp(NOW, UTC)))

    assert ids(listed) == list(range(60, 0, -1))


def test_without_a_moment_the_newest_page_is_enough(server):
    server.fill(500)

    assert ids(server.drive(server.history().started_since(None)))[0] == 500
    assert asked(server) == [(1, 20)]


# --- whatever comes ---------------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 5_000) | st.text("abc", min_size=1, max_size=3), unique=True, max_size=130),
    st.sampled_from(list(SHAPES)),
    st.data(),
)
def test_in_any_history_a_run_that_is_there_is_found_and_another_isnt(run_ids, shape, data):
    server = FakeServer()
    for name, value in SHAPES[shape].items():
        setattr(server, name, value)
    numbers = sorted(run_id for run_id in run_ids if isinstance(run_id, int))
    for place, run_id in enumerate(numbers):
        server.add_run(run_id, started=NOW + place)
    if server.order is by_hash:
        server.order = lambda row: str(row["id"])[::-1]
    history = History(server.api(), 19)

    assert ids(server.drive(history.latest()).runs)[:1] == ids(newest_first(server.drive(history.latest()).runs))[:1]
    if numbers:
        wanted = data.draw(st.sampled_from(numbers))
        assert server.drive(history.find(wanted)).id == wanted
    assert server.drive(history.find(9_999)) is None
