"""
Whose a run is: what a task's tries leave to each other, and what a later try does about it.

Airflow 3.3 and later keep a task's state store through its retries and clears. In it stands one :class:`Record`: first
the intent to start, then the run, then that its result was handed on. A new try reads it and decides
(:func:`decide`); only the try that wrote it last owns the run, since Airflow gives every try a new id and answers an
old one's questions with "not found".

What tells a clear from a crash: Airflow sets a task's ``max_tries`` anew when a person clears it in any state but
*running*, and counts the clears of its DAG run; a running task that is cleared is told so itself, and stops its run
before it ends.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from airflow_provider_flowengine import compat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

RECORD_KEY = "flowengine_run"
"""Where the record stands in the task state store."""


class Phase(StrEnum):
    """How far a task has come with its run."""

    STARTING = "intended"  # a start may have been sent; which run it made isn't known yet
    POLLING = "watched"  # a worker waits for the run
    DEFERRED = "deferred"  # a triggerer waits for the run
    LOST = "vanished"  # the run is gone from the history
    DELIVERED = "handed on"  # the run's result was returned


class Next(StrEnum):
    """What a try does about what it finds."""

    START = "start"  # a new run
    LOOK = "look"  # for the run that an earlier start of unknown outcome may have made
    RECONNECT = "go on"  # waiting for the run there is
    TAKE = "take"  # the result of the run there is
    RESUME = "resume"  # the failed run, from its failed nodes
    REPLACE = "replace"  # stop the run there is, then start a new one


class Checkpoint(NamedTuple):
    """
    What one try leaves to the next.

    :param phase: how far it has come.
    :param pipeline_id: the pipeline that was started.
    :param max_tries: the task's ``max_tries`` at the time.
    :param run_id: the run, once it is known.
    :param intent: what was noted before the start (:meth:`.protocol.starting.Intent.as_dict`).
    :param try_number: the try that wrote it.
    :param clear_number: how often tasks of the DAG run had been cleared at the time; None where it isn't known.
    """

    phase: Phase
    pipeline_id: Identifier
    max_tries: int
    run_id: Identifier | None = None
    intent: Mapping[str, Json] = {}
    try_number: int = 0
    clear_number: int | None = None

    def as_dict(self) -> dict[str, Json]:
        """Return the record as plain JSON values."""
        return {
            "phase": self.phase.value,
            "pipeline_id": self.pipeline_id,
            "max_tries": self.max_tries,
            "run_id": self.run_id,
            "intent": dict(self.intent),
            "try_number": self.try_number,
            "clear_number": self.clear_number,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> Self:
        """Return the record that :meth:`as_dict` wrote."""
        intent = content.get("intent")
        return cls(
            phase=Phase(str(content["phase"])),
            pipeline_id=cast("Identifier", content["pipeline_id"]),
            max_tries=int(str(content["max_tries"])),
            run_id=cast("Identifier | None", content.get("run_id")),
            intent=intent if isinstance(intent, dict) else {},
            try_number=int(str(content.get("try_number") or 0)),
            clear_number=cast("int | None", content.get("clear_number")),
        )


def decide(record: Checkpoint | None, run: PipelineRun | None, *, cleared: bool, resume: bool) -> Next:
    """
    Return what a try does about what an earlier one left: the table of the reliability page, in one place.

    :param record: what the earlier try left, or None.
    :param run: the record's run as the history shows it now; None where it isn't there, or not known.
    :param cleared: whether a person has cleared the task since.
    :param resume: whether a failed run is resumed (``retry_mode="resume"``) instead of started anew.
    """
    if record is None or (record.phase is Phase.LOST and run is None):
        return Next.START
    if record.phase is Phase.DELIVERED and cleared:
        return Next.START
    if record.run_id is None:
        return Next.LOOK
    if record.phase is Phase.DEFERRED and cleared:
        return Next.START if run is None or run.state.is_final else Next.REPLACE
    if record.phase is Phase.DELIVERED:
        return Next.TAKE
    if run and run.is_stopping:
        return Next.START
    return {
        "succeeded": Next.TAKE,
        "failed": Next.RESUME if resume else Next.START,
        "stopped": Next.START,
    }.get(run.state if run else "", Next.RECONNECT)


class CheckpointStore:
    """
    A task's record, as this try reads and writes it.

    :param context: the task's context.
    :param durable: whether to keep a record at all; without a store (Airflow before 3.3) there is none.
    """

    def __init__(self, context: Context, durable: bool) -> None:
        self._store = compat.task_state_store(context) if durable else None
        ti = context.get("ti")
        self.max_tries = int(getattr(ti, "max_tries", 0) or 0)
        self.try_number = int(getattr(ti, "try_number", 1) or 1)
        self._clear_number: int | None = getattr(context.get("dag_run"), "clear_number", None)
        self._retries = int(getattr(context.get("task"), "retries", 0) or 0)
        self.record: Checkpoint | None = None

    @property
    def is_persistent(self) -> bool:
        """Whether there is a store to keep a record in."""
        return self._store is not None

    @property
    def is_last_try(self) -> bool:
        """Whether Airflow won't try this task again by itself."""
        return self.try_number > self.max_tries

    @property
    def was_cleared(self) -> bool:
        """Whether a person has cleared the task since the record was written."""
        record = self.record
        if record is None or record.max_tries != self.max_tries:
            return record is not None
        # A clear makes it the tries so far plus the task's retries: where these were lowered, maybe what it was before.
        return record.clear_number != self._clear_number and self.max_tries == record.try_number + self._retries

    def read(self) -> Checkpoint | None:
        """Return the record that stands in the store."""
        content = self._store.get(RECORD_KEY) if self._store else None
        self.record = Checkpoint.from_dict(content) if isinstance(content, dict) else None
        return self.record

    def intend(self, pipeline_id: Identifier, intent: Mapping[str, Json]) -> None:
        """Note that a start is about to be sent. Fails, and so prevents the start, where it can't be written."""
        self._write(Phase.STARTING, pipeline_id, None, intent)

    def note(self, phase: Phase, pipeline_id: Identifier, run_id: Identifier) -> None:
        """Note how far the task has come with its run."""
        intent = self.record.intent if self.record else {}
        self._write(phase, pipeline_id, run_id, intent)

    def forget(self) -> None:
        """Drop the record: nothing was started."""
        self.record = None
        if self._store:
            self._store.delete(RECORD_KEY)

    def is_current_try(self) -> bool:
        """Whether this try is still the task's own: the store answers an old one as if it held nothing."""
        return self._store is None or self._store.get(RECORD_KEY) is not None

    def _write(
        self, phase: Phase, pipeline_id: Identifier, run_id: Identifier | None, intent: Mapping[str, Json]
    ) -> None:
        record = Checkpoint(phase, pipeline_id, self.max_tries, run_id, intent, self.try_number, self._clear_number)
        self.record = record
        if self._store:
            self._store.set(RECORD_KEY, record.as_dict())
