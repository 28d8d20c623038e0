"""
What a try saves about its run for the next one, and what the next one does about it.

Airflow 3.3 and later keep a task's state store through its retries and clears. In it stands one :class:`Checkpoint`:
first the intent to start, then the run, then that its result was delivered. A new try reads it and decides
(:func:`decide`). Only the try that Airflow still knows owns the run: Airflow gives every try a new id, and refuses
what an old one writes.

A clear is distinguished from a crash by ``max_tries``, which Airflow sets anew when the user clears a task in any state
but *running*, and by the number of clears of its DAG run. A running task that is cleared learns of it itself, and stops
its run before it ends.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

CHECKPOINT_KEY = "flowengine_run"
"""The checkpoint's key in the task state store."""

TRIES_KEY = "flowengine_tries"
"""The key of the runs of earlier tries, by the tries' numbers: for the user, on Airflow's page."""


class Phase(StrEnum):
    """How far a task has come with its run."""

    STARTING = "starting"  # a start may have been sent; which run it made isn't known yet
    POLLING = "polling"  # a worker waits for the run
    DEFERRED = "deferred"  # a triggerer waits for the run
    LOST = "lost"  # the run is gone from the history
    CANCELLED = "cancelled"  # the task has stopped its run itself, e.g. since its time was over
    DELIVERED = "delivered"  # the run's result was returned


class Decision(StrEnum):
    """What a try does about the run that an earlier one started."""

    SUBMIT = "submit"  # start a new run
    RECOVER = "recover"  # look for the run that an earlier start of unknown outcome may have made, then decide again
    RECONNECT = "reconnect"  # wait for the run there is
    ALREADY_SUCCEEDED = "already_succeeded"  # take the result of the run there is
    RESUME = "resume"  # resume the failed run, from its failed nodes
    REPLACE = "replace"  # stop the run there is, then start a new one


class Checkpoint(NamedTuple):
    """
    What one try leaves to the next.

    :param phase: how far it has come.
    :param pipeline_id: the pipeline that was started.
    :param max_tries: the task's ``max_tries`` at the time.
    :param run_id: the run, once it is known.
    :param intent: what was recorded before the start (:meth:`.protocol.starting.Intent.as_dict`).
    :param try_number: the try that wrote it.
    :param clear_number: how often tasks of the DAG run had been cleared at the time; None if it isn't known.
    """

    phase: Phase
    pipeline_id: Identifier
    max_tries: int
    run_id: Identifier | None = None
    intent: Mapping[str, Json] = {}
    try_number: int = 0
    clear_number: int | None = None

    @property
    def run_fields(self) -> dict[str, Json]:
        """What it knows of its run, as :func:`.protocol.models.run_from_dict` takes it."""
        return {"run_id": self.run_id, "pipeline_id": self.pipeline_id}

    def as_dict(self) -> dict[str, Json]:
        """Return the checkpoint as plain JSON values."""
        return {**self._asdict(), "phase": self.phase.value, "intent": dict(self.intent)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> Self:
        """
        Return the checkpoint that :meth:`as_dict` wrote.

        A later version may have written a phase that isn't known here: its run is what counts.

        :raises ValueError: when neither a run nor a start can be read from it.
        """
        run_id, pipeline_id, intent = (content.get(name) for name in ("run_id", "pipeline_id", "intent"))
        known_run, known_pipeline = identifier(run_id), identifier(pipeline_id)
        if known_pipeline is None or (known_run is None and not isinstance(intent, dict)):
            raise ValueError("it names neither a run nor a start")
        phases = {phase.value: phase for phase in Phase}
        return cls(
            phase=phases.get(str(content.get("phase")), Phase.POLLING) if known_run is not None else Phase.STARTING,
            pipeline_id=known_pipeline,
            max_tries=_int(content.get("max_tries")) or 0,
            run_id=known_run,
            intent=intent if isinstance(intent, dict) else {},
            try_number=_int(content.get("try_number")) or 0,
            clear_number=_int(content.get("clear_number")),
        )


def _int(value: Json) -> int | None:
    number = identifier(value)
    return number if isinstance(number, int) else None


# --- the decision -----------------------------------------------------------------------------------------------------

RUN_STATES = ("gone", "running", "stopping", "unknown", "succeeded", "failed", "stopped")
"""The columns of :data:`DECISIONS`: the run's state now; gone if the history doesn't show it."""

_SUBMIT, _RECONNECT, _TAKE = Decision.SUBMIT, Decision.RECONNECT, Decision.ALREADY_SUCCEEDED
_RESUME, _REPLACE = Decision.RESUME, Decision.REPLACE

# A failed run is resumed with retry_mode="resume" only, else a new one is submitted. A run that was stopped in
# FlowEngine is reconnected to, so that the task fails by it; with retry_stopped a new one is submitted.
_AFTER_A_CRASH = (_RECONNECT, _RECONNECT, _RECONNECT, _RECONNECT, _TAKE, _RESUME, _RECONNECT)
_AFTER_A_CLEAR = (_RECONNECT, _RECONNECT, _SUBMIT, _RECONNECT, _TAKE, _RESUME, _SUBMIT)

DECISIONS: dict[tuple[Phase, bool], tuple[Decision, ...]] = {
    # phase, cleared: gone, running, stopping, unknown, succeeded, failed, stopped
    (Phase.POLLING, False): _AFTER_A_CRASH,
    (Phase.POLLING, True): _AFTER_A_CLEAR,
    (Phase.DEFERRED, False): _AFTER_A_CRASH,
    # The trigger may not have come to stop the run.
    (Phase.DEFERRED, True): (_SUBMIT, _REPLACE, _REPLACE, _REPLACE, *_AFTER_A_CLEAR[4:]),
    (Phase.LOST, False): (_SUBMIT, *_AFTER_A_CRASH[1:]),
    (Phase.LOST, True): (_SUBMIT, *_AFTER_A_CLEAR[1:]),
    (Phase.CANCELLED, False): (_SUBMIT, _REPLACE, _SUBMIT, _REPLACE, _TAKE, _RESUME, _SUBMIT),
    (Phase.CANCELLED, True): (_SUBMIT, _REPLACE, _SUBMIT, _REPLACE, _TAKE, _RESUME, _SUBMIT),
    # A try that fails after its result was returned takes it again; who clears a succeeded task wants a new run.
    (Phase.DELIVERED, False): (_TAKE, _TAKE, _TAKE, _TAKE, _TAKE, _TAKE, _TAKE),
    (Phase.DELIVERED, True): (_SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT, _SUBMIT),
}
"""What a try does, by the checkpoint's phase, whether the user has cleared the task since, and the run's state."""


def decide(
    checkpoint: Checkpoint | None,
    run: PipelineRun | None,
    *,
    cleared: bool,
    resume_failed: bool,
    retry_stopped: bool,
) -> Decision:
    """
    Return what a try does about what an earlier one left.

    :param checkpoint: what the earlier try left, or None.
    :param run: the checkpoint's run as the history shows it now; None if it isn't there, or not known.
    :param cleared: whether the user has cleared the task since.
    :param resume_failed: whether a failed run is resumed (``retry_mode="resume"``) instead of started anew.
    :param retry_stopped: whether a new run takes the place of one that was stopped in FlowEngine.
    """
    if checkpoint is None:
        return Decision.SUBMIT
    if checkpoint.run_id is None:
        return Decision.RECOVER
    state = run_state(run)
    decision = DECISIONS[checkpoint.phase, cleared][RUN_STATES.index(state)]
    if decision is Decision.RESUME and not resume_failed:
        return Decision.SUBMIT
    if decision is Decision.RECONNECT and retry_stopped and state in ("stopping", "stopped"):
        return Decision.SUBMIT
    return decision


def run_state(run: PipelineRun | None) -> str:
    """Return which column of :data:`DECISIONS` a run belongs to."""
    if run is None:
        return "gone"
    return "stopping" if run.is_stopping else run.state.value


# --- the store --------------------------------------------------------------------------------------------------------


class CheckpointStore:
    """
    A task's checkpoint, as this try reads and writes it.

    :param context: the task's context.
    :param durable: whether to keep a checkpoint at all; without a store (Airflow before 3.3) there is none.
    """

    def __init__(self, context: Context, durable: bool) -> None:
        self._store = compat.task_state_store(context) if durable else None
        ti = context.get("ti")
        self.max_tries = int(getattr(ti, "max_tries", None) or 0)
        self.try_number = int(getattr(ti, "try_number", None) or 1)
        self._clear_number: int | None = getattr(context.get("dag_run"), "clear_number", None)
        self._retries = int(getattr(context.get("task"), "retries", None) or 0)
        self.checkpoint: Checkpoint | None = None
        self._stored: Checkpoint | None = None

    @property
    def is_persistent(self) -> bool:
        """Whether there is a store to keep a checkpoint in."""
        return self._store is not None

    @property
    def follows_another_try(self) -> bool:
        """Whether an earlier try can have left something."""
        return self.try_number > 1

    @property
    def is_last_try(self) -> bool:
        """Whether Airflow won't retry this task by itself."""
        return self.try_number > self.max_tries

    @property
    def was_cleared(self) -> bool:
        """Whether the user has cleared the task since the checkpoint was written."""
        found = self.checkpoint
        if found is None or found.max_tries != self.max_tries:
            return found is not None
        # A clear makes it the tries so far plus the task's retries: if these were lowered, maybe what it was before.
        return self.may_have_been_cleared and self.max_tries == found.try_number + self._retries

    @property
    def may_have_been_cleared(self) -> bool:
        """Whether the user has cleared this or another task of the DAG run: a *running* one keeps its max_tries."""
        found = self.checkpoint
        return found is not None and found.clear_number != self._clear_number

    def read(self) -> Checkpoint | None:
        """Return the stored checkpoint; one that cannot be parsed is logged, and counts as none."""
        content = self._store.get(CHECKPOINT_KEY) if self._store else None
        checkpoint = None
        if content is not None:
            try:
                checkpoint = Checkpoint.from_dict(content if isinstance(content, dict) else {})
            except ValueError as error:
                log.warning("The checkpoint in the task state store cannot be read, %s: %.500r", error, content)
        self.checkpoint = self._stored = checkpoint
        return checkpoint

    def record_intent(self, pipeline_id: Identifier, intent: Mapping[str, Json]) -> None:
        """Record that a start is about to be sent. Fails, and so prevents the start, if it can't be written."""
        self._write(Phase.STARTING, pipeline_id, None, intent)

    def save(self, phase: Phase, pipeline_id: Identifier, run_id: Identifier) -> None:
        """
        Save how far the task has come with its run; what is saved already isn't written twice.

        Once there is a run, no failure of Airflow's store may fail the task: it is logged.
        """
        before = self.checkpoint
        same_run = before is not None and (before.pipeline_id, before.run_id) in (
            (pipeline_id, run_id),
            (pipeline_id, None),
        )
        try:
            self._write(phase, pipeline_id, run_id, before.intent if before and same_run else {})
        except Exception:
            log.warning("Run %s could not be saved in the task state store", run_id, exc_info=True)

    def record_earlier_try(self) -> None:
        """Keep which run an earlier try had, before this one's takes its place in the checkpoint. Never fails."""
        found = self.checkpoint
        if self._store is None or found is None or found.run_id is None or found.try_number >= self.try_number:
            return
        try:
            known = self._store.get(TRIES_KEY)
            runs = {**(known if isinstance(known, dict) else {}), str(found.try_number): found.run_id}
            if runs != known:
                self._store.set(TRIES_KEY, runs)
        except Exception as error:
            log.debug("The run of try %d could not be kept: %s", found.try_number, error)

    def restore(self, phase: Phase, pipeline_id: Identifier, run_id: Identifier) -> None:
        """Assume, without reading the store, what this try saved before it was deferred."""
        self.checkpoint = self._stored = self._new(phase, pipeline_id, run_id)

    def clear(self) -> None:
        """Remove the checkpoint: there is no run that the next try should know of."""
        self.checkpoint = self._stored = None
        if self._store:
            self._store.delete(CHECKPOINT_KEY)

    def is_current_try(self) -> bool:
        """
        Whether this is still the task's current try: Airflow refuses what an older one writes.

        The checkpoint is written again and not read: a missing one proves nothing, since the user can delete it on
        Airflow's page.
        """
        if self._store is None or self.checkpoint is None:
            return True
        try:
            self._store.set(CHECKPOINT_KEY, self.checkpoint.as_dict())
        except Exception as error:
            log.warning("A newer try may have replaced this one; the task state store says: %s", error)
            return False
        return True

    def _write(
        self, phase: Phase, pipeline_id: Identifier, run_id: Identifier | None, intent: Mapping[str, Json]
    ) -> None:
        self.checkpoint = new = self._new(phase, pipeline_id, run_id, intent)
        if self._store and new != self._stored:
            self._store.set(CHECKPOINT_KEY, new.as_dict())
            self._stored = new

    def _new(
        self, phase: Phase, pipeline_id: Identifier, run_id: Identifier | None, intent: Mapping[str, Json] | None = None
    ) -> Checkpoint:
        return Checkpoint(phase, pipeline_id, self.max_tries, run_id, intent or {}, self.try_number, self._clear_number)
