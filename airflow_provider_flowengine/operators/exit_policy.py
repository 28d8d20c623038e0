"""
What becomes of a run when a try of its task ends before it does: one table for every way in which a try can end.

Even if the table says stop, ``cancel_on_kill=False`` or a newer try prevents it (``execution/exits.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.operators.interrupt import Interrupted
from airflow_provider_flowengine.protocol.errors import (
    FlowEngineError,
    RunError,
    RunLostError,
    RunTimeoutError,
    StatusUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ending(StrEnum):
    """Why a try ends."""

    RUN_ENDED = "run_ended"  # failed or stopped: nothing is left to decide
    TIMED_OUT = "timed_out"  # the time for the run is over
    INTERRUPTED = "interrupted"  # the process got a signal to end
    RUN_LOST = "run_lost"  # the run cannot be followed any more
    GAVE_UP = "gave_up"  # FlowEngine gave no usable answer, or refused
    UNFORESEEN = "unforeseen"  # an error that says nothing about the run: a bug, or Airflow itself fails


class Action(StrEnum):
    """What is done about the run."""

    STOP = "stop"
    LEAVE = "leave"
    NOTHING = "nothing"


class Row(NamedTuple):
    """
    One row of the table; None matches both True and False.

    :param ending: why the try ends.
    :param by_user: whether the user has ended the task.
    :param last_try: whether no retry follows.
    :param reconnects: whether a later try, by retry or by clear, reconnects to the run.
    :param action: what is done about the run.
    :param reason: why, for the log.
    """

    ending: Ending
    by_user: bool | None
    last_try: bool | None
    reconnects: bool | None
    action: Action
    reason: str


_TIME_OVER = "The time for the run is over"
_BY_USER = "The task was ended by the user"
_ALONE = "No later try can reconnect to this run, and a retry would start another one beside it"
_NEXT = "the next try will reconnect"
_ON_CLEAR = "the error says nothing about the run; clear the task to reconnect to it"


def _on_give_up(ending: Ending) -> Iterator[Row]:
    yield Row(ending, None, True, None, Action.STOP, "The last try gives up")
    yield Row(ending, None, False, True, Action.LEAVE, _NEXT)
    yield Row(ending, None, False, False, Action.STOP, _ALONE)


TABLE: tuple[Row, ...] = (
    # ending, by_user, last_try, reconnects, action, reason
    Row(Ending.RUN_ENDED, None, None, None, Action.NOTHING, ""),
    Row(Ending.TIMED_OUT, None, None, None, Action.STOP, _TIME_OVER),
    Row(Ending.INTERRUPTED, True, None, None, Action.STOP, _BY_USER),
    *_on_give_up(Ending.INTERRUPTED),
    *_on_give_up(Ending.RUN_LOST),
    *_on_give_up(Ending.GAVE_UP),
    Row(Ending.UNFORESEEN, None, False, True, Action.LEAVE, _NEXT),
    Row(Ending.UNFORESEEN, None, True, True, Action.LEAVE, _ON_CLEAR),
    Row(Ending.UNFORESEEN, None, None, False, Action.STOP, _ALONE),
)
"""The first row that matches decides."""

ENDINGS: tuple[tuple[tuple[type[BaseException], ...], Ending], ...] = (
    # More special errors stand before more general ones: the first that matches decides.
    ((AirflowTaskTimeout,), Ending.TIMED_OUT),
    ((Interrupted, *compat.TERMINATED), Ending.INTERRUPTED),
    ((StatusUnavailableError,), Ending.GAVE_UP),
    ((RunTimeoutError,), Ending.TIMED_OUT),
    ((RunLostError,), Ending.RUN_LOST),
    ((RunError,), Ending.RUN_ENDED),
    ((FlowEngineError,), Ending.GAVE_UP),
    ((Exception,), Ending.UNFORESEEN),
)
"""Why a try ends, by the exception that it raises."""


def classify_ending(error: BaseException) -> Ending | None:
    """Return why a try ends that raises this; None if it doesn't end the try, as a deferral."""
    return next((ending for kinds, ending in ENDINGS if isinstance(error, kinds)), None)


def exit_policy(ending: Ending, *, by_user: bool, last_try: bool, reconnects: bool) -> Row:
    """
    Return what is done about the run when a try ends before it.

    :param ending: why the try ends.
    :param by_user: whether the user has ended the task: marked it, cleared it, or marked its DAG run.
    :param last_try: whether no retry follows.
    :param reconnects: whether a later try, by retry or by clear, reconnects to the run.
    :return: the row of :data:`TABLE` that decides.
    """
    asked = (by_user, last_try, reconnects)
    return next(
        row
        for row in TABLE
        if row.ending is ending and all(wanted in (None, is_so) for wanted, is_so in zip(row[1:4], asked, strict=True))
    )
