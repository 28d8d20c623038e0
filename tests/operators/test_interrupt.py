"""When the end of a task may interrupt what it is doing."""

# ruff: noqa: PT012 - what is inside of the blocks is what is tested

import threading

import pytest

from airflow_provider_flowengine.operators.interrupt import Interrupt, Interrupted


@pytest.fixture
def interrupt():
    interrupt = Interrupt()
    with interrupt.armed():
        yield interrupt


def test_it_is_raised_at_once_where_the_task_may_be_interrupted(interrupt):
    with pytest.raises(Interrupted), interrupt.interruptible():
        interrupt.request()


def test_elsewhere_it_waits_for_the_next_checkpoint(interrupt):
    assert interrupt.request() is False

    with pytest.raises(Interrupted):
        interrupt.checkpoint()


def test_what_is_interruptible_gives_way_to_an_earlier_request(interrupt):
    interrupt.request()

    with pytest.raises(Interrupted), interrupt.interruptible():
        pytest.fail("it was entered")


def test_what_is_shielded_is_finished_first(interrupt):
    finished = []
    with pytest.raises(Interrupted), interrupt.interruptible():
        with interrupt.shielded():
            interrupt.request()
            finished.append(True)
        pytest.fail("it went on after what was shielded")

    assert finished


def test_an_error_in_what_is_shielded_leaves_it_interruptible_as_before(interrupt):
    with pytest.raises(Interrupted), interrupt.interruptible():
        with pytest.raises(LookupError), interrupt.shielded():
            raise LookupError
        interrupt.request()


def test_after_what_is_interruptible_it_waits_again(interrupt):
    with interrupt.interruptible():
        pass

    assert interrupt.request() is False


def test_nested_what_is_interruptible_stays_so(interrupt):
    with pytest.raises(Interrupted), interrupt.interruptible():
        with interrupt.interruptible():
            pass
        interrupt.request()


def test_nested_what_is_shielded_stays_so(interrupt):
    reached = []
    with pytest.raises(Interrupted), interrupt.interruptible(), interrupt.shielded():
        with interrupt.shielded():
            interrupt.request()
        reached.append(True)

    assert reached


def test_from_another_thread_the_caller_is_to_decide(interrupt):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(interrupt.request()))
    thread.start()
    thread.join()

    assert answers == [True]
    with pytest.raises(Interrupted):
        interrupt.checkpoint()


def test_a_task_that_does_not_execute_has_nothing_to_interrupt():
    assert Interrupt().request() is False
