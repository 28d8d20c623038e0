"""Which runs are news: one piece a run and end, in whatever order they end and however often somebody looks."""

import random

import pytest

from airflow_provider_flowengine.protocol.cursor import (
    MAX_OPEN_RUNS,
    OUTCOMES,
    Cursor,
    Look,
    begin,
    look,
    news,
    outcomes_of,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState


def seen(**runs):
    """What a look shows, the newest last: ``seen(r1="succeeded", r2="running")``."""
    rows = [PipelineRun(int(name[1:]), 19, state, RunState(state)) for name, state in runs.items()]
    return Look(tuple(reversed(rows)))


def told(cursor, look, outcomes=OUTCOMES):
    cursor, runs = news(cursor, look, outcomes)
    return cursor, [run.id for run in runs]


def test_a_run_that_has_ended_is_news_once():
    cursor, first = told(Cursor(newest=1), seen(r1="succeeded", r2="succeeded"))
    _, again = told(cursor, seen(r1="succeeded", r2="succeeded"))

    assert (first, again) == ([2], [])


def test_a_run_that_goes_on_is_news_when_it_ends():
    cursor, early = told(Cursor(newest=1), seen(r2="running"))
    _, late = told(cursor, seen(r2="failed"))

    assert (early, late) == ([], [2])


def test_an_older_run_that_ends_after_a_newer_one_is_not_lost():
    cursor, first = told(Cursor(newest=1), seen(r2="running", r3="succeeded"))
    _, second = told(cursor, seen(r2="succeeded", r3="succeeded"))

    assert (first, second) == ([3], [2])


def test_several_runs_are_told_in_the_order_of_their_ids():
    _, runs = told(Cursor(newest=1), seen(r2="failed", r3="succeeded", r4="stopped"))

    assert runs == [2, 3, 4]


def test_only_the_ends_that_are_watched_for_are_news():
    _, runs = told(Cursor(newest=1), seen(r2="failed", r3="succeeded", r4="stopped"), outcomes_of("succeeded"))

    assert runs == [3]


def test_a_failed_run_that_is_resumed_is_news_when_it_succeeds():
    cursor, failed = told(Cursor(newest=1), seen(r2="failed"), outcomes_of("succeeded"))
    cursor, resumed = told(cursor, seen(r2="running"), outcomes_of("succeeded"))
    _, succeeded = told(cursor, seen(r2="succeeded"), outcomes_of("succeeded"))

    assert (failed, resumed, succeeded) == ([], [], [2])


def test_a_status_that_nobody_knows_is_no_end():
    cursor, runs = told(Cursor(newest=1), seen(r2="unknown"))

    assert (runs, cursor.open) == ([], {2})


def test_a_run_that_has_vanished_is_given_up():
    cursor, runs = told(Cursor(newest=3, open=frozenset({2})), Look(seen(r3="succeeded").runs, gone=frozenset({2})))

    assert (runs, cursor.open) == ([], frozenset())


def test_a_run_that_a_look_does_not_show_stays_watched():
    cursor, _ = told(Cursor(newest=3, open=frozenset({2})), seen(r3="succeeded"))

    assert cursor.open == {2}


def test_a_new_watcher_begins_with_what_ends_from_now_on():
    cursor, runs = begin(seen(r1="succeeded", r2="running", r3="failed"), OUTCOMES, with_last=False)
    _, later = told(cursor, seen(r1="succeeded", r2="succeeded", r3="failed"))

    assert ([run.id for run in runs], later) == ([], [2])


def test_a_new_watcher_can_begin_with_the_last_run_that_came_to_such_an_end():
    first = seen(r1="succeeded", r2="succeeded", r3="failed", r4="running")

    _, runs = begin(first, outcomes_of("succeeded"), with_last=True)

    assert [run.id for run in runs] == [2]


def test_the_first_run_of_a_pipeline_without_history_is_news():
    cursor, _ = begin(Look(()), OUTCOMES, with_last=True)

    assert told(cursor, seen(r1="succeeded"))[1] == [1]


def test_ids_that_are_no_numbers_are_told_once_too():
    runs = [PipelineRun(name, 19, "succeeded", RunState.SUCCEEDED) for name in ("b", "a")]
    cursor, first = begin(Look(tuple(runs)), OUTCOMES, with_last=False)
    newer = PipelineRun("0c", 19, "succeeded", RunState.SUCCEEDED)

    cursor, second = told(cursor, Look((newer, *runs)))
    _, third = told(cursor, Look((newer, *runs)))

    assert (first, second, third) == ([], ["0c"], [])


def test_a_cursor_stays_small_where_runs_never_end(caplog):
    many = Look(
        tuple(PipelineRun(number, 19, "running", RunState.RUNNING) for number in range(MAX_OPEN_RUNS + 5, 0, -1))
    )

    cursor, _ = told(Cursor(), many)

    assert cursor.open == set(range(6, MAX_OPEN_RUNS + 6))


def test_a_cursor_survives_json():
    cursor = Cursor(newest=7, open=frozenset({3, "x"}), known=frozenset({"x"}))

    assert Cursor.from_dict(cursor.as_dict()) == cursor


@pytest.mark.parametrize("content", [{}, {"newest": None, "open": None}, {"newest": "x", "open": [None, {}]}])
def test_a_cursor_that_cannot_be_read_is_a_new_one(content):
    assert Cursor.from_dict(content) == Cursor()


@pytest.mark.parametrize("wanted", ["running", "", [], ["succeeded", "lost"], ["all", "failed"]])
def test_outcomes_that_there_are_not_are_refused_with_those_there_are(wanted):
    with pytest.raises(ConfigurationError, match="succeeded, failed, stopped, all"):
        outcomes_of(wanted)


def test_outcomes_are_one_several_or_all():
    assert outcomes_of("failed") == {RunState.FAILED}
    assert outcomes_of(["failed", "stopped"]) == {RunState.FAILED, RunState.STOPPED}
    assert outcomes_of("all") == set(OUTCOMES)


# --- looking ----------------------------------------------------------------------------------------------------------


def ids(look):
    return [run.id for run in look.runs]


def test_a_look_costs_one_request_while_the_first_page_reaches_back(server):
    server.fill(500)
    history, cursor = server.history(), Cursor(newest=495)
    server.drive(history.newest())
    server.forget()

    shown = server.drive(look(history, [cursor]))

    assert server.calls == ["history"]
    assert shown.satisfies(cursor)


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_look_reaches_back_to_the_watcher_that_has_come_least_far(server, order):
    server.order = order
    server.fill(700)
    cursors = [Cursor(newest=690), Cursor(newest=350)]

    shown = server.drive(look(server.history(), cursors))

    assert set(range(351, 701)) <= set(ids(shown))


def test_a_look_after_a_deep_one_is_short_again(server):
    server.fill(700)
    history = server.history()
    server.drive(look(history, [Cursor(newest=100)]))
    server.forget()

    server.drive(look(history, [Cursor(newest=700)]))
    server.drive(look(history, [Cursor(newest=700)]))

    assert server.requests[-1].query["size"] == 100


def test_a_run_that_is_resumed_is_noticed_as_long_as_it_is_among_the_newest_hundred(server):
    server.fill(300)
    server.set(202, status="running")
    cursor = Cursor(newest=300)

    moved, _ = news(cursor, server.drive(look(server.history(), [cursor])), OUTCOMES)

    assert moved.open == {202}


@pytest.mark.parametrize("one_run_call", [True, False], ids=["with the one-run call", "without it"])
def test_a_run_that_goes_on_while_many_newer_ones_start_is_still_looked_at(server, one_run_call):
    server.one_run_call = one_run_call
    old = server.add_run(started=server.now)
    server.fill(400)

    shown = server.drive(look(server.history(), [Cursor(newest=400, open=frozenset({old}))]))

    assert old in ids(shown)


def test_of_many_such_runs_each_has_its_turn(server):
    old = {server.add_run(started=server.now) for _ in range(8)}
    server.fill(400)
    cursor, history = Cursor(newest=408, open=frozenset(old)), server.history()

    shown = [set(ids(server.drive(look(history, [cursor], turn)))) & old for turn in range(3)]

    assert set.union(*shown) == old


def test_a_pruned_run_is_told_as_gone(server):
    server.fill(150)

    shown = server.drive(look(server.history(), [Cursor(newest=150, open=frozenset({9999}))]))

    assert shown.gone == {9999}


@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_order_of_starts_ends_and_looks_each_end_is_told_once(server, seed):
    dice = random.Random(seed)
    server.fill(dice.choice([0, 5, 30]))
    history, running, ended, told = server.history(), set(), [], []
    cursor, _ = begin(server.drive(look(history, [])), OUTCOMES, with_last=False)

    for turn in range(40):
        for _ in range(dice.choice([0, 1, 1, 3, 25])):
            running.add(server.add_run())
        for run_id in dice.sample(sorted(running), dice.randint(0, len(running))):
            running.discard(run_id)
            server.set(run_id, status=dice.choice(["succeeded", "failed", "stopped"]))
            ended.append(run_id)
        server.now += 30
        if dice.random() < 0.5:
            cursor, runs = news(cursor, server.drive(look(history, [cursor], turn)), OUTCOMES)
            told += [run.id for run in runs]
    for turn in range(40, 120):
        cursor, runs = news(cursor, server.drive(look(history, [cursor], turn)), OUTCOMES)
        told += [run.id for run in runs]

    assert sorted(told) == sorted(ended)
