"""Which runs are reported: each end of a run once, in whatever order they end and however often it is polled."""

import json
import random
from datetime import UTC, datetime, timedelta, timezone

import pytest

from airflow_provider_flowengine.protocol.cursor import (
    MAX_ENDS,
    MAX_OPEN_RUNS,
    OUTCOMES,
    Cursor,
    RestartDetector,
    Snapshot,
    completed_since,
    initial_cursor,
    outcomes_of,
    restart_cursor,
    take_snapshot,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState


def seen(**runs):
    """What a poll shows, the newest last: ``seen(r1="succeeded", r2="running")``."""
    rows = [PipelineRun(int(name[1:]), 19, state, RunState(state)) for name, state in runs.items()]
    return Snapshot(tuple(reversed(rows)))


def told(cursor, snapshot, outcomes=OUTCOMES):
    cursor, runs = completed_since(cursor, snapshot, outcomes)
    return cursor, [run.id for run in runs]


def test_a_run_that_has_ended_is_reported_once():
    cursor, first = told(Cursor(latest=1), seen(r1="succeeded", r2="succeeded"))
    _, again = told(cursor, seen(r1="succeeded", r2="succeeded"))

    assert (first, again) == ([2], [])


def test_a_run_under_way_is_reported_when_it_ends():
    cursor, early = told(Cursor(latest=1), seen(r2="running"))
    _, late = told(cursor, seen(r2="failed"))

    assert (early, late) == ([], [2])


def test_an_older_run_that_ends_after_a_newer_one_is_not_lost():
    cursor, first = told(Cursor(latest=1), seen(r2="running", r3="succeeded"))
    _, second = told(cursor, seen(r2="succeeded", r3="succeeded"))

    assert (first, second) == ([3], [2])


def test_several_runs_are_reported_in_the_order_of_their_ids():
    _, runs = told(Cursor(latest=1), seen(r2="failed", r3="succeeded", r4="stopped"))

    assert runs == [2, 3, 4]


def test_only_the_ends_that_are_watched_for_are_reported():
    _, runs = told(Cursor(latest=1), seen(r2="failed", r3="succeeded", r4="stopped"), outcomes_of("succeeded"))

    assert runs == [3]


def test_a_failed_run_that_is_resumed_is_reported_when_it_succeeds():
    cursor, failed = told(Cursor(latest=1), seen(r2="failed"), outcomes_of("succeeded"))
    cursor, resumed = told(cursor, seen(r2="running"), outcomes_of("succeeded"))
    _, succeeded = told(cursor, seen(r2="succeeded"), outcomes_of("succeeded"))

    assert (failed, resumed, succeeded) == ([], [], [2])


def test_a_status_that_is_not_recognized_is_no_end():
    cursor, runs = told(Cursor(latest=1), seen(r2="unknown"))

    assert (runs, cursor.open) == ([], {2})


def test_a_run_that_has_vanished_is_given_up():
    cursor, runs = told(
        Cursor(latest=3, open=frozenset({2})), Snapshot(seen(r3="succeeded").runs, missing=frozenset({2}))
    )

    assert (runs, cursor.open) == ([], frozenset())


def test_a_run_that_a_snapshot_does_not_show_stays_watched():
    cursor, _ = told(Cursor(latest=3, open=frozenset({2})), seen(r3="succeeded"))

    assert cursor.open == {2}


def test_a_new_watcher_begins_with_what_ends_from_now_on():
    cursor, runs = initial_cursor(seen(r1="succeeded", r2="running", r3="failed"), OUTCOMES, with_last=False)
    _, later = told(cursor, seen(r1="succeeded", r2="succeeded", r3="failed"))

    assert ([run.id for run in runs], later) == ([], [2])


def test_a_new_watcher_can_begin_with_the_last_run_that_came_to_such_an_end():
    first = seen(r1="succeeded", r2="succeeded", r3="failed", r4="running")

    _, runs = initial_cursor(first, outcomes_of("succeeded"), with_last=True)

    assert [run.id for run in runs] == [2]


def test_the_first_run_of_a_pipeline_without_history_is_reported():
    cursor, _ = initial_cursor(Snapshot(()), OUTCOMES, with_last=True)

    assert told(cursor, seen(r1="succeeded"))[1] == [1]


def test_ids_that_are_no_numbers_are_reported_once_too():
    runs = [PipelineRun(name, 19, "succeeded", RunState.SUCCEEDED) for name in ("b", "a")]
    cursor, first = initial_cursor(Snapshot(tuple(runs)), OUTCOMES, with_last=False)
    newer = PipelineRun("0c", 19, "succeeded", RunState.SUCCEEDED)

    cursor, second = told(cursor, Snapshot((newer, *runs)))
    _, third = told(cursor, Snapshot((newer, *runs)))

    assert (first, second, third) == ([], ["0c"], [])


def test_of_more_such_runs_than_ends_are_remembered_of_none_is_reported_again():
    runs = [PipelineRun(f"run-{number}", 19, "failed", RunState.FAILED) for number in range(MAX_ENDS + 50)]

    cursor, first = told(Cursor(), Snapshot(tuple(runs)))
    _, again = told(cursor, Snapshot(tuple(runs)))

    assert (len(first), again) == (MAX_ENDS + 50, [])


@pytest.mark.parametrize(
    ("run_id", "latest", "known", "has_seen"),
    [
        (43, 42, set(), False),
        (42, 42, set(), True),
        (41, 42, set(), True),
        (1, 0, set(), False),
        ("b", 0, {"a"}, False),
        ("a", 0, {"a"}, True),
        ("b", 42, set(), False),
    ],
)
def test_a_run_was_seen_if_its_id_is_not_greater_or_was_known(run_id, latest, known, has_seen):
    run = PipelineRun(run_id, 19, "", RunState.RUNNING)

    assert Cursor(latest, known=frozenset(known)).has_seen(run) is has_seen


def under_way(*run_ids):
    return Snapshot(tuple(PipelineRun(run_id, 19, "running", RunState.RUNNING) for run_id in run_ids))


def test_a_cursor_holds_as_many_runs_under_way_as_it_may(caplog):
    cursor, _ = told(Cursor(), under_way(*range(MAX_OPEN_RUNS, 0, -1)))

    assert len(cursor.open) == MAX_OPEN_RUNS
    assert caplog.messages == []


def test_a_cursor_stays_small_if_runs_never_end(caplog):
    cursor, _ = told(Cursor(), under_way(*range(MAX_OPEN_RUNS + 5, 0, -1)))

    assert cursor.open == set(range(6, MAX_OPEN_RUNS + 6))
    assert caplog.messages == ["505 runs are under way at once; the oldest are watched no longer."]


def test_of_too_many_runs_under_way_those_whose_ids_tell_no_order_are_given_up_first():
    cursor, _ = told(Cursor(), under_way("run-a", *range(MAX_OPEN_RUNS, 0, -1)))

    assert cursor.open == set(range(1, MAX_OPEN_RUNS + 1))


def test_a_cursor_survives_json():
    cursor = Cursor(7, frozenset({3, "x"}), frozenset({4, "x"}), frozenset({(6, "failed"), ("y", "stopped")}))

    assert Cursor.from_dict(json.loads(json.dumps(cursor.as_dict()))) == cursor


@pytest.mark.parametrize(
    "content",
    [
        None,
        "7",
        [],
        {},
        {"latest": None, "open": [], "known": [], "ends": []},
        {"latest": "x", "open": [], "known": [], "ends": []},
        {"latest": True, "open": [], "known": [], "ends": []},
        {"latest": 7, "open": None, "known": [], "ends": []},
        {"latest": 7, "open": [None, {}], "known": [], "ends": []},
        {"latest": 7, "open": [], "known": [], "ends": [[1]]},
        {"latest": 7, "open": [], "known": [], "ends": {"1": "x"}},
    ],
)
def test_a_cursor_that_cannot_be_parsed_is_none(content):
    assert Cursor.from_dict(content) is None


# --- runs that are resumed --------------------------------------------------------------------------------------------


def ended(run_id, state, minute, zone=UTC):
    return PipelineRun(run_id, 19, state, RunState(state), ended=datetime(2026, 11, 26, 8, minute, tzinfo=zone))


def test_a_run_that_is_resumed_and_ends_again_between_two_polls_is_reported_again():
    cursor, first = told(Cursor(latest=1), Snapshot((ended(2, "failed", 10),)))
    cursor, second = told(cursor, Snapshot((ended(2, "succeeded", 12),)))
    cursor, third = told(cursor, Snapshot((ended(2, "succeeded", 14),)))
    _, unchanged = told(cursor, Snapshot((ended(2, "succeeded", 14),)))

    assert (first, second, third, unchanged) == ([2], [2], [2], [])


def test_a_run_that_had_ended_before_a_watcher_began_is_reported_when_it_is_resumed_and_ends_again():
    cursor, _ = initial_cursor(Snapshot((ended(2, "failed", 10),)), OUTCOMES, with_last=False)

    assert told(cursor, Snapshot((ended(2, "succeeded", 12),)))[1] == [2]


def test_a_replica_that_lags_behind_for_a_while_makes_no_second_report():
    cursor, first = told(Cursor(latest=1), Snapshot((ended(2, "failed", 10),)))
    cursor, lagging = told(cursor, seen(r2="running"))
    _, again = told(cursor, Snapshot((ended(2, "failed", 10),)))

    assert (first, lagging, again) == ([2], [], [])


@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_a_run_without_end_times_that_was_seen_to_be_resumed_is_reported_when_it_ends_again(state):
    cursor, _ = told(Cursor(latest=1), seen(r2="failed"))
    cursor, _ = told(cursor, seen(r2="running"))

    assert told(cursor, seen(r2=state))[1] == [2]


def test_a_run_without_end_times_that_was_not_seen_to_be_resumed_is_reported_if_its_state_differs():
    cursor, _ = told(Cursor(latest=1), seen(r2="failed"))

    assert told(cursor, seen(r2="succeeded"))[1] == [2]


def test_an_edited_time_zone_reports_nothing_again():
    cursor, _ = told(Cursor(latest=1), Snapshot((ended(2, "failed", 10),)))

    assert told(cursor, Snapshot((ended(2, "failed", 10, timezone(timedelta(hours=8))),)))[1] == []


def test_a_cursor_remembers_the_ends_of_the_newest_runs_alone():
    cursor, _ = told(Cursor(), Snapshot(tuple(ended(number, "failed", 1) for number in range(MAX_ENDS + 50, 0, -1))))

    assert {run_id for run_id, _ in cursor.ends} == set(range(51, MAX_ENDS + 51))


# --- a database that is restored --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latest", "run_ids", "is_beyond"),
    [
        (0, (), False),
        (1, (), True),
        (5, (3, 4), True),
        (5, (4, 5), False),
        (5, (4, 6), False),
        (5, (4, "run-a"), False),
    ],
)
def test_a_cursor_lies_beyond_a_history_of_smaller_ids_alone(latest, run_ids, is_beyond):
    assert Cursor(latest).is_beyond(under_way(*run_ids)) is is_beyond


def restart(cursor, *snapshots, with_last=False):
    """Return what the detector says after each snapshot, as run ids."""
    detector = RestartDetector()
    found = []
    for snapshot in snapshots:
        if not cursor.is_beyond(snapshot):
            detector.reset()
            found.append(None)
            continue
        moved, runs = detector.check(cursor, snapshot, OUTCOMES, with_last=with_last)
        found.append(None if moved == cursor else (moved.latest, sorted(moved.open), [run.id for run in runs]))
    return found


def test_a_cursor_beyond_every_id_starts_anew_after_three_such_polls():
    low = seen(r1="succeeded", r2="running")

    assert restart(Cursor(latest=900), low, low, low) == [None, None, (2, [2], [])]


def test_it_starts_anew_with_the_last_run_if_it_is_to():
    low = seen(r1="succeeded", r2="running")

    assert restart(Cursor(latest=900), low, low, low, with_last=True)[-1] == (2, [2], [1])


def test_what_ends_while_a_restart_is_being_made_sure_of_is_reported():
    cursor, _ = restart_cursor(Cursor(latest=900), seen(r1="succeeded", r2="running"), OUTCOMES, with_last=False)

    assert told(cursor, seen(r1="succeeded", r2="failed", r3="succeeded"))[1] == [2, 3]


def test_a_run_that_was_under_way_before_a_restart_is_reported_though_it_has_ended():
    cursor, runs = restart_cursor(
        Cursor(latest=900, open=frozenset({1})), Snapshot((ended(1, "failed", 5),)), OUTCOMES, with_last=False
    )

    assert runs == []
    assert told(cursor, Snapshot((ended(1, "failed", 5),)))[1] == [1]


def test_a_replica_that_lags_behind_once_restarts_nothing():
    low, high = seen(r1="succeeded"), seen(r1="succeeded", r900="running")

    assert restart(Cursor(latest=900), low, low, high, low, low) == [None] * 5


def test_an_empty_history_alone_restarts_nothing():
    empty = Snapshot(())

    assert restart(Cursor(latest=900), empty, empty, empty, empty) == [None] * 4


def test_the_first_run_of_an_emptied_history_is_reported():
    empty, first = Snapshot(()), seen(r1="succeeded")
    detector = RestartDetector()
    cursor = Cursor(latest=900)
    found = [detector.check(cursor, snapshot, OUTCOMES, with_last=False) for snapshot in (empty, first, first, first)]

    assert [[run.id for run in runs] for _, runs in found] == [[], [], [], [1]]


@pytest.mark.parametrize("wanted", ["running", "", [], ["succeeded", "lost"], ["all", "failed"]])
def test_outcomes_that_there_are_not_are_refused_with_those_there_are(wanted):
    with pytest.raises(ConfigurationError, match="succeeded, failed, stopped, all"):
        outcomes_of(wanted)


def test_outcomes_are_one_several_or_all():
    assert outcomes_of("failed") == {RunState.FAILED}
    assert outcomes_of(["failed", "stopped"]) == {RunState.FAILED, RunState.STOPPED}
    assert outcomes_of("all") == outcomes_of(["succeeded", "failed", "stopped"]) == set(OUTCOMES)


# --- snapshots --------------------------------------------------------------------------------------------------------


def ids(snapshot):
    return [run.id for run in snapshot.runs]


@pytest.mark.parametrize(
    ("latest", "requested", "covers"),
    [(3, (), False), (4, (), True), (3, (2, 3), True), (3, (2,), False)],
    ids=["does not reach back", "reaches back", "as far back as it can", "as far as another one's"],
)
def test_a_snapshot_covers_a_cursor_that_it_reaches_back_to_or_was_to_reach_back_to(latest, requested, covers):
    snapshot = Snapshot(under_way(6, 5, 4).runs, frozenset(map(Cursor, requested)))

    assert snapshot.covers(Cursor(latest)) is covers


def test_a_snapshot_costs_one_request_while_the_first_page_reaches_back(server):
    server.fill(500)
    history, cursor = server.history(), Cursor(latest=495)
    server.drive(history.latest())
    server.forget()

    shown = server.drive(take_snapshot(history, [cursor]))

    assert server.calls == ["history"]
    assert shown.covers(cursor)


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_snapshot_reaches_back_to_the_watcher_that_has_come_least_far(server, order):
    server.order = order
    server.fill(700)
    cursors = [Cursor(latest=690), Cursor(latest=350)]

    shown = server.drive(take_snapshot(server.history(), cursors))

    assert set(range(351, 701)) <= set(ids(shown))


def test_a_snapshot_after_a_deep_one_is_short_again(server):
    server.fill(700)
    history = server.history()
    server.drive(take_snapshot(history, [Cursor(latest=100)]))
    server.forget()

    server.drive(take_snapshot(history, [Cursor(latest=700)]))
    server.drive(take_snapshot(history, [Cursor(latest=700)]))

    assert server.requests[-1].query["size"] == 100


def test_a_run_that_is_resumed_is_noticed_as_long_as_it_is_among_the_newest_hundred(server):
    server.fill(300)
    server.set(202, status="running")
    cursor = Cursor(latest=300)

    moved, _ = completed_since(cursor, server.drive(take_snapshot(server.history(), [cursor])), OUTCOMES)

    assert moved.open == {202}


@pytest.mark.parametrize("one_run_call", [True, False], ids=["with the one-run call", "without it"])
def test_a_run_under_way_while_many_newer_ones_start_is_still_polled(server, one_run_call):
    server.one_run_call = one_run_call
    old = server.add_run(started=server.now)
    server.fill(400)

    shown = server.drive(take_snapshot(server.history(), [Cursor(latest=400, open=frozenset({old}))]))

    assert old in ids(shown)


def test_of_many_such_runs_each_has_its_turn(server):
    old = {server.add_run(started=server.now) for _ in range(8)}
    server.fill(400)
    cursor, history = Cursor(latest=408, open=frozenset(old)), server.history()

    shown = [set(ids(server.drive(take_snapshot(history, [cursor])))) & old for _ in range(3)]

    assert set.union(*shown) == old


def test_pruned_runs_are_shown_as_missing(server):
    server.fill(150)
    cursor = Cursor(latest=150, open=frozenset({9999, "run-a"}))

    assert server.drive(take_snapshot(server.history(), [cursor])).missing == {9999, "run-a"}


@pytest.mark.parametrize("seed", range(10))
def test_whatever_the_order_of_starts_ends_and_polls_each_end_is_reported_once(server, seed):
    dice = random.Random(seed)
    server.fill(dice.choice([0, 5, 30]))
    history, running, ended, told = server.history(), set(), [], []
    cursor, _ = initial_cursor(server.drive(take_snapshot(history, [])), OUTCOMES, with_last=False)

    for _ in range(40):
        for _ in range(dice.choice([0, 1, 1, 3, 25])):
            running.add(server.add_run())
        for run_id in dice.sample(sorted(running), dice.randint(0, len(running))):
            running.discard(run_id)
            server.set(run_id, status=dice.choice(["succeeded", "failed", "stopped"]))
            ended.append(run_id)
        server.now += 30
        if dice.random() < 0.5:
            cursor, runs = completed_since(cursor, server.drive(take_snapshot(history, [cursor])), OUTCOMES)
            told += [run.id for run in runs]
    for _ in range(80):
        cursor, runs = completed_since(cursor, server.drive(take_snapshot(history, [cursor])), OUTCOMES)
        told += [run.id for run in runs]

    assert sorted(told) == sorted(ended)
