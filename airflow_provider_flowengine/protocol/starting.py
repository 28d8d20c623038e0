"""
A run is started exactly once.

Start is not idempotent, its answer may be lost, and it need not carry the run's id (nobody says that it does). So:

1. Note the newest run of the pipeline, and write that down as an :class:`Intent`, before anything is sent.
2. Send the start once. A refusal is final. What surely wasn't taken may be sent again. Anything else is unknown.
3. The run is looked for in the history: it is the one newer than the intent's. What the answer says of it helps, but
   is believed only once the history shows it too. Several candidates are narrowed by what they say of themselves;
   never is one guessed.
4. A start that stays unknown ends in :class:`~.errors.StartUnconfirmedError` and is not sent again. A later try
   looks first, by :func:`look_for`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, repeat
from typing import TYPE_CHECKING, Self

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    ConfigurationError,
    FlowEngineError,
    NodeNotFoundError,
    ServiceUnavailableError,
    StartUnconfirmedError,
    UnexpectedResponseError,
    known,
)
from airflow_provider_flowengine.protocol.flow import Flow, Sleep
from airflow_provider_flowengine.protocol.history import History, is_newer, pick
from airflow_provider_flowengine.protocol.http import Json
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.offset import learn_offset

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.models import Node, Pipeline, PipelineRun
    from airflow_provider_flowengine.protocol.reply import Reply

log = logging.getLogger(__name__)

CONFIRMATION_TIMEOUT = 30.0
"""Seconds that a started run may take to appear in the history."""

JobParams = Mapping[str, Mapping[str, Json]]
"""What nodes are given at a start: ``{node: {key: value}}``."""

_LOOK_DELAYS = (0.5, 1.0, 2.0, 3.0, 5.0)
_CLOCKS_DIFFER = timedelta(minutes=1)
_SCHEDULED = (
    "cron",
    "schedul",
    "period",
    "loop",
    "interval",
    "message",
    "auto",
    "定时",
    "周期",
    "循环",
    "消息",
    "自动",
)


@dataclass(frozen=True)
class Intent:
    """
    What is known before a start is sent: enough to recognise its run afterwards.

    :param pipeline_id: the pipeline.
    :param newest: its newest run's id, or None when it has none.
    :param known: the ids of its newest runs, where ids are no numbers.
    :param server_time: what the server's clock said just before, ISO 8601, or empty.
    :param noted: when the start was about to be sent by our own clock, in seconds since the epoch.
    """

    pipeline_id: Identifier
    newest: Identifier | None = None
    known: frozenset[Identifier] = field(default_factory=frozenset)
    server_time: str = ""
    noted: float = 0.0

    def as_dict(self) -> dict[str, Json]:
        """Return the intent as plain JSON values."""
        return {
            "pipeline_id": self.pipeline_id,
            "newest": self.newest,
            "known": sorted(self.known, key=str),
            "server_time": self.server_time,
            "noted": self.noted,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> Self:
        """Return the intent that :meth:`as_dict` wrote."""
        listed = content.get("known")
        pipeline_id = identifier(content.get("pipeline_id"))
        return cls(
            pipeline_id=pipeline_id if pipeline_id is not None else "",
            newest=identifier(content.get("newest")),
            known=frozenset(item for item in listed if isinstance(item, int | str))
            if isinstance(listed, list)
            else frozenset(),
            server_time=str(content.get("server_time") or ""),
            noted=float(str(content.get("noted") or 0)),
        )


def start_once(
    api: Api,
    pipeline_id: Identifier,
    job_params: JobParams | None = None,
    *,
    remember: Callable[[Intent], None] = lambda intent: None,
    forget: Callable[[], None] = lambda: None,
    confirmation_timeout: float = CONFIRMATION_TIMEOUT,
) -> Flow[PipelineRun]:
    """
    Start a pipeline, once, and return its run.

    :param api: the engine's view.
    :param pipeline_id: the pipeline.
    :param job_params: ``{node id: {key: value}}``, checked already.
    :param remember: is given the intent each time before the start is sent; what it raises prevents the start.
    :param forget: is called each time when the start surely wasn't taken, before it is sent again or given up.
    :param confirmation_timeout: seconds that the run may take to appear in the history, default 30.
    :raises RequestRejectedError: when FlowEngine says no; nothing was started.
    :raises ServiceUnavailableError: when the start surely wasn't taken; nothing was started.
    :raises StartUnconfirmedError: when it can't be known yet whether it was taken.
    :raises AmbiguousRunError: when several runs could be the one.
    """
    named: PipelineRun | None = None
    history = History(api, pipeline_id)
    runs = yield from history.newest()
    intent = Intent(
        pipeline_id=pipeline_id,
        newest=runs[0].id if runs else None,
        known=frozenset(run.id for run in runs if not isinstance(run.id, int)),
        server_time=api.server_time.isoformat() if api.server_time else "",
    )
    body: dict[str, Json] = {node: dict(params) for node, params in (job_params or {}).items()}
    try:
        reply = yield from api.call(
            lambda engine: endpoints.start_pipeline(engine, pipeline_id, body),
            on_attempt=lambda: remember(replace(intent, noted=api.now())),
            on_not_processed=forget,
        )
    except ServiceUnavailableError as error:
        if not error.may_have_been_processed:
            raise
        doubt = str(error)
    except UnexpectedResponseError as error:
        doubt = str(error)
    else:
        doubt, named = "", _run_in_answer(reply, intent)
    if doubt:
        log.warning("%s Whether the start was taken isn't known; looking for its run in the history.", doubt)
    look = partial(_look, replace(history, api=api.without_retries(max(confirmation_timeout, 1.0))), intent, job_params)
    run = yield from _until_seen(api, lambda: look(named), api.now() + confirmation_timeout)
    if named and not run:
        log.warning("FlowEngine answered with %s, but its history doesn't show it.", named)
        run = (yield from _until_seen(api, look, 0.0)) or named
    if run:
        log.debug("Started %s.", run)  # who asked for it says so, by the pipeline's name
        sent = datetime.fromisoformat(intent.server_time) if intent.server_time else None
        return run if doubt else learn_offset(api, run, sent)
    what = doubt or f"FlowEngine took the start of pipeline {pipeline_id}, but its answer names no run."
    raise StartUnconfirmedError(
        f"{what} No new run of pipeline {pipeline_id} appeared in its history within {confirmation_timeout:g} s. It was"
        " not started again, since a slow server may still do it; a later try looks for the run first, where Airflow "
        "keeps the task's state (3.3 and later, durable on). Raise start_confirmation_timeout if this FlowEngine is "
        "slow.",
        pipeline_id=pipeline_id,
    )


def look_for(
    api: Api,
    intent: Intent,
    job_params: JobParams | None = None,
    *,
    until: float = 0.0,
    forgiving: bool = False,
) -> Flow[PipelineRun | None]:
    """
    Return the run that an earlier start of unknown outcome made, or None when there is none.

    That start may have been sent a moment ago, by a process that has died since: so this can look again and again,
    until the run has had the time that it may take to appear.

    :param api: the engine's view.
    :param intent: what was noted before that start.
    :param job_params: what it was started with, nodes named by their ids.
    :param until: when the last look is taken, in seconds since the epoch; by default there is one look.
    :param forgiving: whether a look that fails is only logged: for who won't start anything where there is no run.
    :raises AmbiguousRunError: when several runs could be the one.
    """
    history = History(api, intent.pipeline_id)
    forgives = (FlowEngineError,) if forgiving else ()
    return (yield from _until_seen(api, lambda: _look(history, intent, job_params), until, forgives))


def _until_seen(
    api: Api,
    look: Callable[[], Flow[PipelineRun | None]],
    until: float,
    forgives: tuple[type[FlowEngineError], ...] = (FlowEngineError,),
) -> Flow[PipelineRun | None]:
    """Look until there is something to see; a look that fails says nothing of the start, which may have been taken."""
    for pause in chain(_LOOK_DELAYS, repeat(_LOOK_DELAYS[-1])):
        try:
            run = yield from look()
            if run:
                return run
        except AmbiguousRunError:
            raise
        except forgives as error:
            log.warning("%s", error)
        left = until - api.now()
        if left <= 0:
            break
        yield Sleep(min(pause, left))
    return None


def _look(
    history: History, intent: Intent, job_params: JobParams | None, named: PipelineRun | None = None
) -> Flow[PipelineRun | None]:
    new = yield from history.newer_than(intent.newest, intent.known)
    if named:
        return pick(new, named.id)
    candidates = _narrow(new, intent, job_params)
    if len(candidates) > 1:
        listed = "; ".join(
            f"run {run.id} ({run.status or 'no status'}, started {run.started or 'unknown'}"
            f"{', ' + run.trigger if run.trigger else ''})"
            for run in candidates[:20]
        )
        raise AmbiguousRunError(
            f"{len(candidates)} runs of pipeline {intent.pipeline_id} are newer than the start of this task, and "
            f"nothing tells which is its own: {listed}. Look at them in FlowEngine; stop the ones that shouldn't be, "
            "or wait until they have ended, then clear this task to start anew.",
            pipeline_id=intent.pipeline_id,
            candidates=candidates,
        )
    return candidates[0] if candidates else None


def _narrow(runs: Iterable[PipelineRun], intent: Intent, job_params: JobParams | None) -> list[PipelineRun]:
    """Keep the runs that can be the one: by trigger kind, by params, and among several by their start time."""
    candidates = [run for run in runs if not _is_scheduled(run) and not _contradicts(run, job_params)]
    if len(candidates) > 1 and intent.server_time:
        sent = datetime.fromisoformat(intent.server_time) - _CLOCKS_DIFFER
        # A run that tells no start may not have begun yet. Where all seem too early, the clocks or the zone are wrong.
        candidates = [run for run in candidates if not run.started or run.started >= sent] or candidates
    return candidates


def _is_scheduled(run: PipelineRun) -> bool:
    kind = run.trigger.casefold()
    return any(word in kind for word in _SCHEDULED)


def _contradicts(run: PipelineRun, job_params: JobParams | None) -> bool:
    """Whether a run tells of params of its own, and they differ from what was sent."""
    told = next((run.content[name] for name in ("params", "jobParams", "startParams") if run.content.get(name)), None)
    if not isinstance(told, dict):
        return False
    for node, params in (job_params or {}).items():
        theirs = told.get(node)
        if isinstance(theirs, dict) and any(key in theirs and _differ(theirs[key], params[key]) for key in params):
            return True
    return False


def _differ(theirs: Json, ours: Json) -> bool:
    """Whether two values surely differ: a server may keep numbers and booleans as text, and objects as it likes."""
    plain = [_plain(value) for value in (theirs, ours)]
    return theirs != ours and None not in plain and plain[0] != plain[1]


def _plain(value: Json) -> str | float | None:
    if not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return float(text)
    except ValueError:
        return text.strip().casefold()


def _run_in_answer(reply: Reply, intent: Intent) -> PipelineRun | None:
    """
    Return the run that a start's answer holds, where it can be one.

    ``data.status`` is ``running`` on success (a client in the wild), so ``data`` looks like the run's record; whether
    its ``id`` is the run's isn't said. It may be when it has a status and no part of a pipeline's object, and is newer
    than every run before.
    """
    data = reply.data
    if (
        not isinstance(data, dict)
        or not data.get("status")
        or any(name in data for name in ("nodes", "engineTemplateId", "data"))
    ):
        return None
    try:
        run = reply.run(data, intent.pipeline_id)
    except UnexpectedResponseError:
        return None
    unsure = run.id == intent.pipeline_id or (intent.newest is None and not intent.known and not run.started)
    return run if is_newer(run, intent.newest, intent.known) and not unsure else None


# --- job params -------------------------------------------------------------------------------------------------------


def resolve_job_params(pipeline: Pipeline, job_params: JobParams) -> dict[str, dict[str, Json]]:
    """
    Check job params against the pipeline's nodes, and name each node by its id.

    :param pipeline: the pipeline, read from FlowEngine.
    :param job_params: ``{node: {key: value}}``; a node is named by its id or, where that is unambiguous, its name.
    :return: ``{node id: {key: value}}``.
    :raises NodeNotFoundError: when the pipeline has no such node, or two of this name, or the node has no such key.
    :raises ConfigurationError: when a node is given something else than an object, or what can't be sent as JSON.
    """
    matched: dict[str, dict[str, Json]] = {}
    for name, params in job_params.items():
        node = _node(pipeline, str(name))
        if not isinstance(params, Mapping):
            raise ConfigurationError(
                f"job_params: node {name!r} must be given an object {{key: value}}, not {params!r}"
            )
        keys = [param.key for param in node.params]
        strange = [key for key in params if key not in keys]
        if strange:
            raise NodeNotFoundError(
                f"job_params: node {name!r} of pipeline {pipeline.id} has no parameter {strange[0]!r}; "
                f"{known('parameters', keys)}"
            )
        for key, value in params.items():
            endpoints.ensure_json_serializable(f"job_params: {value!r} for {key!r} of node {name!r}", value)
        matched.setdefault(node.id, {}).update(params)
    return matched


def _node(pipeline: Pipeline, name: str) -> Node:
    found = [node for node in pipeline.nodes if node.id == name] or [
        node for node in pipeline.nodes if node.name == name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise NodeNotFoundError(
            f"job_params: {len(found)} nodes of pipeline {pipeline.id} are called {name!r}; name one by its id: "
            f"{', '.join(node.id for node in found)}"
        )
    names = [f"{node.id} ({node.name})" if node.name and node.name != node.id else node.id for node in pipeline.nodes]
    raise NodeNotFoundError(f"job_params: pipeline {pipeline.id} has no node {name!r}; {known('nodes', names)}")
