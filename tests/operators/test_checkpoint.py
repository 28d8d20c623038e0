"""What a task's tries leave to each other, and how a try sees the store."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_flowengine.operators.checkpoint import DECISIONS, Checkpoint, CheckpointStore, Phase

RETRIES = 2


def test_a_checkpoint_survives_the_store():
    first = Checkpoint(Phase.POLLING, 1, RETRIES, run_id=7, intent={"newest": 6}, try_number=2)

    assert Checkpoint.from_dict(json.loads(json.dumps(first.as_dict()))) == first


WRITTEN = Checkpoint(Phase.DEFERRED, 1, RETRIES, run_id=7, intent={"newest": 6}, try_number=2, clear_number=1)


@pytest.mark.parametrize(
    ("edited", "read"),
    [
        ({"phase": "watching_closely"}, WRITTEN._replace(phase=Phase.POLLING)),  # a later version's
        (
            {"max_tries": "many", "try_number": None, "clear_number": "x"},
            WRITTEN._replace(max_tries=0, try_number=0, clear_number=None),
        ),
        ({"intent": 5, "later": True}, WRITTEN._replace(intent={})),
        ({"run_id": None}, WRITTEN._replace(phase=Phase.STARTING, run_id=None)),
        ({"run_id": "7", "max_tries": "2"}, WRITTEN),
    ],
)
def test_what_can_be_read_of_an_odd_checkpoint_is_read(edited, read):
    assert Checkpoint.from_dict({**WRITTEN.as_dict(), **edited}) == read


@pytest.mark.parametrize(
    "nonsense", [None, {}, {"run_id": 7}, {"pipeline_id": 1}, {"pipeline_id": 1, "run_id": [7]}, {"pipeline_id": {}}]
)
def test_what_names_neither_a_run_nor_a_start_is_no_checkpoint(nonsense):
    with pytest.raises(ValueError, match="neither a run nor a start"):
        Checkpoint.from_dict(nonsense or {})


def test_the_documentation_shows_what_is_decided():
    page = (Path(__file__).parent.parent.parent / "docs" / "retries.md").read_text(encoding="utf-8")
    rows = [
        f"| `{phase}`{', cleared' if cleared else ''} | {' | '.join(f'`{decision}`' for decision in decisions)} |"
        for (phase, cleared), decisions in DECISIONS.items()
    ]

    assert "\n".join(rows) in page


# --- the store, as a try sees it --------------------------------------------------------------------------------------


class Store:
    """Airflow's task state store."""

    def __init__(self):
        self.rows, self.writes, self.refuses = {}, 0, False

    def get(self, key):
        return self.rows.get(key)

    def set(self, key, value):
        if self.refuses:
            raise LookupError("Task instance not found")
        self.writes += 1
        self.rows[key] = json.loads(json.dumps(value))

    def delete(self, key):
        self.rows.pop(key, None)


class Try:
    def __init__(self, number, max_tries=RETRIES):
        self.try_number, self.max_tries = number, max_tries


def store_of(store, number, durable=True, *, max_tries=RETRIES, retries=RETRIES, clears=0):
    dag_run, task = SimpleNamespace(clear_number=clears), SimpleNamespace(retries=retries)
    context = {"ti": Try(number, max_tries), "dag_run": dag_run, "task": task, "task_state_store": store}
    return CheckpointStore(context, durable)


def test_a_try_is_told_by_what_airflow_says_of_it():
    third = store_of(Store(), 3, max_tries=5)

    assert (third.try_number, third.max_tries, third.is_persistent) == (3, 5, True)


def test_where_airflow_says_nothing_of_a_try_it_is_the_first_and_last():
    one = CheckpointStore({}, durable=True)

    assert (one.try_number, one.max_tries, one.is_persistent) == (1, 0, False)
    assert (one.follows_another_try, one.is_last_try, one.was_cleared, one.read()) == (False, True, False, None)


def test_a_try_without_a_number_is_the_first():
    assert store_of(Store(), None).try_number == 1


def test_a_second_try_follows_another():
    assert store_of(Store(), 2).follows_another_try


def test_the_next_try_reads_what_the_one_before_has_noted():
    store = Store()
    first = store_of(store, 1)
    first.record_intent(1, {"newest": 6})
    first.save(Phase.POLLING, 1, 7)

    assert store_of(store, 2).read() == Checkpoint(Phase.POLLING, 1, RETRIES, 7, {"newest": 6}, 1, 0)


@pytest.mark.parametrize(
    ("later", "cleared"),
    [
        ({}, False),
        ({"clears": 1}, False),  # of another task of the DAG run
        ({"clears": 1, "max_tries": 1 + RETRIES}, True),
        ({"clears": 1, "max_tries": 1 + 1, "retries": 1}, True),  # the retries were lowered from 2 to 1 meanwhile
        ({"clears": 0, "max_tries": 1 + 1, "retries": 1}, False),
    ],
)
def test_a_clear_is_distinguished_from_a_retry(later, cleared):
    store = Store()
    store_of(store, 1).save(Phase.DELIVERED, 1, 7)
    second = store_of(store, 2, **later)
    second.read()

    assert second.was_cleared is cleared


def test_a_clear_of_a_task_that_has_no_retries_any_more_is_distinguished():
    store = Store()
    store_of(store, 1, max_tries=1).save(Phase.DELIVERED, 1, 7)
    second = store_of(store, 2, max_tries=1, retries=None, clears=1)
    second.read()

    assert second.was_cleared


def test_without_a_checkpoint_no_task_was_cleared():
    one = store_of(Store(), 2, clears=1)
    one.read()

    assert (one.may_have_been_cleared, one.was_cleared) == (False, False)


@pytest.mark.parametrize(
    ("pipeline_id", "run_id", "intent"),
    [(1, 7, {"newest": 6}), (1, 8, {}), (2, 7, {})],
    ids=["its run", "another run", "another pipeline's run"],
)
def test_an_intent_is_kept_with_its_own_run_alone(pipeline_id, run_id, intent):
    store = Store()
    one = store_of(store, 1)
    one.record_intent(1, {"newest": 6})
    one.save(Phase.POLLING, 1, 7)
    one.save(Phase.DEFERRED, pipeline_id, run_id)

    assert store.rows["flowengine_run"]["intent"] == intent


def test_a_run_of_another_pipeline_than_the_intents_is_saved_without_it():
    store = Store()
    one = store_of(store, 1)
    one.record_intent(1, {"newest": 6})
    one.save(Phase.POLLING, 2, 7)

    assert store.rows["flowengine_run"]["intent"] == {}


def test_a_try_saves_what_it_knows_of_itself():
    store = Store()
    store_of(store, 2, clears=3).save(Phase.POLLING, 1, 7)

    assert store.rows["flowengine_run"] == {
        "phase": "polling",
        "pipeline_id": 1,
        "max_tries": RETRIES,
        "run_id": 7,
        "intent": {},
        "try_number": 2,
        "clear_number": 3,
    }


def test_what_an_earlier_part_of_a_try_has_saved_is_not_written_again():
    store = Store()
    resumed = store_of(store, 1)
    resumed.restore(Phase.DEFERRED, 1, 7)
    resumed.save(Phase.DEFERRED, 1, 7)
    assert store.writes == 0

    resumed.save(Phase.DELIVERED, 1, 7)
    assert store_of(store, 2).read().phase is Phase.DELIVERED


def test_what_was_read_is_not_written_again():
    store = Store()
    store_of(store, 1).save(Phase.DEFERRED, 1, 7)
    resumed = store_of(store, 1)
    resumed.read()
    resumed.save(Phase.DEFERRED, 1, 7)

    assert store.writes == 1


def test_after_a_clear_the_same_is_written_anew():
    store = Store()
    one = store_of(store, 1)
    one.save(Phase.POLLING, 1, 7)
    one.clear()
    one.save(Phase.POLLING, 1, 7)

    assert store_of(store, 2).read().run_id == 7


def test_what_came_to_nothing_is_forgotten():
    store = Store()
    first = store_of(store, 1)
    first.record_intent(1, {})
    first.clear()

    assert store_of(store, 2).read() is None


def run_try(store, number, run_id):
    """One try's way with the store, as far as it concerns which run it has."""
    one = store_of(store, number)
    one.read()
    one.record_earlier_try()
    one.save(Phase.DEFERRED, 1, run_id)


def test_the_runs_of_earlier_tries_are_kept_for_the_user():
    store = Store()
    run_try(store, 1, 7)
    assert "flowengine_tries" not in store.rows  # the first try costs nothing
    run_try(store, 2, 7)  # resumed
    run_try(store, 4, 8)  # the third had none

    assert store.rows["flowengine_tries"] == {"1": 7, "2": 7}


@pytest.mark.parametrize("kept", [None, "text", {"1": 7}])
def test_the_run_of_an_earlier_try_is_kept_beside_whatever_stands_there_and_written_once(kept):
    store = Store()
    store_of(store, 1).save(Phase.POLLING, 1, 7)
    store.rows["flowengine_tries"] = kept
    writes = store.writes
    second = store_of(store, 2)
    second.read()
    second.record_earlier_try()
    second.record_earlier_try()

    assert store.rows["flowengine_tries"] == {"1": 7}
    assert store.writes - writes == (0 if kept == {"1": 7} else 1)


def test_a_trys_own_run_is_none_of_an_earlier_try():
    store = Store()
    run_try(store, 1, 7)
    resumed = store_of(store, 1)
    resumed.read()
    resumed.record_earlier_try()

    assert "flowengine_tries" not in store.rows


def test_a_start_whose_run_is_not_known_is_no_run_of_an_earlier_try():
    store = Store()
    store_of(store, 1).record_intent(1, {})
    second = store_of(store, 2)
    second.read()
    second.record_earlier_try()

    assert "flowengine_tries" not in store.rows


def test_a_run_of_an_earlier_try_that_cannot_be_kept_fails_no_task():
    store = Store()
    run_try(store, 1, 7)
    second = store_of(store, 2)
    second.read()
    store.refuses = True
    second.record_earlier_try()

    assert second.checkpoint.run_id == 7


def test_a_try_that_finds_nothing_in_the_store_is_still_the_owner_if_it_may_write():
    store = Store()
    current = store_of(store, 1)
    current.save(Phase.POLLING, 1, 7)
    store.rows.clear()  # the user has deleted the checkpoint on Airflow's page

    assert current.is_current_try()
    assert store.rows["flowengine_run"]["run_id"] == 7


def test_a_try_whose_writes_are_refused_is_not_the_owner_any_more():
    store = Store()
    old = store_of(store, 1)
    old.save(Phase.POLLING, 1, 7)
    store.refuses = True  # Airflow gives the next try a new id

    assert not old.is_current_try()


def test_a_try_that_has_nothing_to_write_is_the_owner():
    store = Store()
    store.refuses = True

    assert store_of(store, 1).is_current_try()
    undurable = store_of(store, 1, durable=False)
    undurable.save(Phase.POLLING, 1, 7)
    assert undurable.is_current_try()


def test_what_is_saved_already_is_not_written_twice():
    store = Store()
    one = store_of(store, 1)
    for _ in range(3):
        one.save(Phase.POLLING, 1, 7)

    assert store.writes == 1


def test_a_start_whose_intent_cannot_be_recorded_is_not_sent():
    store = Store()
    store.refuses = True

    with pytest.raises(LookupError):
        store_of(store, 1).record_intent(1, {})


def test_a_write_that_failed_is_made_again():
    store = Store()
    one = store_of(store, 1)
    store.refuses = True
    one.save(Phase.POLLING, 1, 7)  # fails no task: there is a run already
    store.refuses = False
    one.save(Phase.POLLING, 1, 7)

    assert store.writes == 1


@pytest.mark.parametrize("content", ["text", [1], 5, {"phase": "polling"}])
def test_a_checkpoint_that_was_edited_into_nonsense_counts_as_none_and_is_logged(content, caplog):
    store = Store()
    store.rows["flowengine_run"] = content

    assert store_of(store, 2).read() is None
    assert caplog.messages == [
        "The checkpoint in the task state store cannot be read, it names neither a run nor a start: " + repr(content)
    ]


@pytest.mark.parametrize(("number", "last"), [(1, False), (RETRIES, False), (RETRIES + 1, True)])
def test_which_try_is_the_last(number, last):
    assert store_of(Store(), number).is_last_try is last


def test_without_a_store_or_durable_nothing_is_kept():
    store = Store()
    undurable = store_of(store, 1, durable=False)
    undurable.save(Phase.POLLING, 1, 7)

    assert store.rows == {}
    assert not undurable.is_persistent
    assert not store_of(None, 1).is_persistent
