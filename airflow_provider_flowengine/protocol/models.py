"""
What FlowEngine's answers hold: engines, pipelines, nodes, runs.

Answers are read tolerantly (ids as numbers or text, times as epoch milliseconds or as text, lists under any name) and
checked strictly: what can't be read ends in an :class:`~.errors.UnexpectedResponseError` that quotes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pendulum

from airflow_provider_flowengine.protocol.endpoints import KERNEL, ApiVersion, Call, Json
from airflow_provider_flowengine.protocol.envelope import unexpected_response
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_flowengine.protocol.status import StatusVocabulary

JsonObject = dict[str, Json]


@dataclass(frozen=True)
class Engine:
    """
    One deployed application, resolved.

    :param key: its key.
    :param url: ``engineUrl``: its path below the gateway, e.g. ``/engine/15/cess-data-3``.
    :param id: ``engineId``.
    :param generation: which generation of the API it speaks.
    """

    key: str
    url: str
    id: Identifier
    generation: ApiVersion = KERNEL


@dataclass(frozen=True)
class Param:
    """A parameter of a node: its key, its value, and TEXT or FILE."""

    key: str
    value: Json = None
    type: str = "TEXT"


@dataclass(frozen=True)
class Node:
    """One job of a pipeline."""

    id: str
    name: str = ""
    type: str = ""
    params: tuple[Param, ...] = ()


@dataclass(frozen=True)
class Pipeline:
    """
    A pipeline as FlowEngine knows it.

    :param id: its id.
    :param name: its name.
    :param key: its ``pipelineKey``.
    :param nodes: its nodes.
    :param content: the whole object as it came, for what this class doesn't name.
    """

    id: Identifier
    name: str = ""
    key: str = ""
    nodes: tuple[Node, ...] = ()
    content: JsonObject = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class NodeRun:
    """What one node did, or does, within a run."""

    id: str
    name: str
    status: str
    state: RunState
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""

    @property
    def label(self) -> str:
        """The node's name, and its id where that says more."""
        return self.name if self.name and self.name == self.id else f"{self.name or 'node'} ({self.id})"


@dataclass(frozen=True)
class PipelineRun:
    """
    One run of a pipeline: a row of its run history.

    :param id: the run's id.
    :param pipeline_id: the pipeline's id.
    :param status: the status word as FlowEngine wrote it.
    :param state: what the word means.
    :param started: when it started, aware; None where FlowEngine doesn't say.
    :param ended: when it ended, aware; None while it runs.
    :param trigger: what started it, as FlowEngine wrote it, e.g. ``手动触发`` (by hand).
    :param message: what FlowEngine says about it.
    :param nodes: what its nodes did, where that is known.
    :param content: the whole row as it came.
    """

    id: Identifier
    pipeline_id: Identifier
    status: str
    state: RunState
    started: datetime | None = None
    ended: datetime | None = None
    trigger: str = ""
    message: str = ""
    nodes: tuple[NodeRun, ...] = ()
    content: JsonObject = field(default_factory=dict, compare=False, repr=False)

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the run as plain JSON values, for XCom and events; times are ISO 8601 text."""
        return {
            "run_id": self.id,
            "pipeline_id": self.pipeline_id,
            "status": self.status,
            "state": self.state.value,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "trigger": self.trigger,
        }

    def __str__(self) -> str:
        return f"run {self.id} of pipeline {self.pipeline_id}"


def run_from_dict(content: Mapping[str, Json]) -> PipelineRun:
    """
    Return the run that :meth:`PipelineRun.as_dict` wrote; what isn't in it stays unknown.

    :param content: at least ``run_id`` and ``pipeline_id``.
    """
    started, ended = (str(content[name]) if content.get(name) else None for name in ("started", "ended"))
    return PipelineRun(
        id=cast("Identifier", content["run_id"]),
        pipeline_id=cast("Identifier", content["pipeline_id"]),
        status=_text(content.get("status")),
        state=RunState(str(content.get("state") or RunState.UNKNOWN)),
        started=datetime.fromisoformat(started) if started else None,
        ended=datetime.fromisoformat(ended) if ended else None,
        trigger=_text(content.get("trigger")),
    )


@dataclass(frozen=True)
class HistoryPage:
    """
    One page of a run history, in the server's order.

    :param runs: the page's runs.
    :param total: how many runs there are in all, where the server says so.
    """

    runs: tuple[PipelineRun, ...]
    total: int | None = None


def newest_first(runs: Iterable[PipelineRun]) -> list[PipelineRun]:
    """Return runs with the newest first: run ids grow; where they aren't numbers, their start times do."""
    return sorted(
        runs,
        key=lambda run: (True, run.id, 0.0) if isinstance(run.id, int) else (False, 0, _epoch(run.started)),
        reverse=True,
    )


def _epoch(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def parse_time(value: Json, zone: str, call: Call) -> datetime | None:
    """
    Return a time, aware.

    :param value: epoch milliseconds as a number or in digits, text such as ``2023-04-14 18:32:50``, or nothing
        (null, empty, 0, ``-``). Whether times are numbers or text isn't said anywhere.
    :param zone: the zone of text that names none.
    :param call: the call it came from, for the error.
    :raises UnexpectedResponseError: when it is none of these.
    """
    if value is None or value in ("", "-", 0, "0"):
        return None
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return pendulum.from_timestamp(value / 1000 if abs(value) >= 1e11 else value)
        if isinstance(value, str):
            text = value.strip()
            if text.isdigit():
                return parse_time(int(text), zone, call)
            # pendulum also reads times of day, weeks, durations and "now": none of these is when something happened.
            if re.fullmatch(r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T].*)?", text):
                return cast("datetime", pendulum.parse(text, tz=zone))
    except (ValueError, TypeError, OverflowError, OSError):
        pass
    raise unexpected_response(call, "a time as epoch milliseconds or as yyyy-MM-dd HH:mm:ss", value)


def _first(content: Mapping[str, Json], *names: str) -> Json:
    return next((content[name] for name in names if content.get(name) not in (None, "")), None)


def _text(value: Json) -> str:
    return "" if value is None else str(value)


def _nested(whole: JsonObject, name: str) -> Json:
    """Find a value in ``data``, at top level, or nested once in ``data``: where it stands isn't said anywhere."""
    data = whole.get("data")
    places: list[Json] = [data, whole]
    if isinstance(data, dict):
        places += list(data.values())
    elif isinstance(data, list):
        places += data
    for place in places:
        if isinstance(place, dict) and place.get(name) not in (None, ""):
            return place[name]
    return None


def parse_engine_url(call: Call, whole: JsonObject, fl_url: str) -> str | None:
    """
    Return ``engineUrl``, the engine's path below the gateway.

    :param call: the handshake's first call.
    :param whole: its answer.
    :param fl_url: the gateway; an absolute ``engineUrl`` must be on its host, since credentials follow it.
    :return: the path without a trailing slash, or None when the answer names none.
    :raises UnexpectedResponseError: when it isn't a path, or is on another host.
    """
    url = _nested(whole, "url")
    if url is None:
        return None
    if not isinstance(url, str) or re.search(r"[\s\\?#]", url.strip()):
        raise unexpected_response(call, "the engine's url as a path", url)
    gateway = urlsplit(fl_url)
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise unexpected_response(call, "the engine's url as a path", url) from None
    if (parts.scheme or parts.netloc) and (parts.hostname or "").lower() != (gateway.hostname or "").lower():
        raise unexpected_response(
            call, f"an engine url on the connection's host {gateway.hostname}, where credentials may go", url
        )
    path = "/" + parts.path.strip("/")
    if parts.netloc and f"{path}/".startswith(f"{gateway.path}/"):
        path = path.removeprefix(gateway.path)
    if path in ("", "/"):
        raise unexpected_response(call, "the engine's url as a path", url)
    return path


def parse_engine_id(call: Call, whole: JsonObject) -> Identifier:
    """
    Return ``engineId``.

    :raises UnexpectedResponseError: when the answer holds none.
    """
    engine_id = identifier(_nested(whole, "engineId"))
    if engine_id is None:
        raise unexpected_response(call, "an engineId", whole)
    return engine_id


_LIST_NAMES = ("list", "records", "content", "rows", "items", "historyList", "engineJobPipelineTemplateList")
_TOTAL_NAMES = ("total", "totalCount", "totalElements", "totalNum", "totalSize")


def parse_list(call: Call, whole: JsonObject) -> tuple[list[JsonObject], int | None]:
    """
    Return the rows of a list answer, and how many there are in all where the server says so.

    :param call: the call, for the error.
    :param whole: the answer, whose ``data`` is a list, or a dict that holds one list under any name.
    :raises UnexpectedResponseError: when there is no list, or no telling which.
    """
    data = whole.get("data")
    total: int | None = None
    rows: Json = data
    if isinstance(data, dict):
        count = identifier(_first(data, *_TOTAL_NAMES))
        total = count if isinstance(count, int) else None
        lists = {name: value for name, value in data.items() if isinstance(value, list)}
        if len(lists) > 1:
            lists = {name: value for name, value in lists.items() if name in _LIST_NAMES}
        if len(lists) == 1:
            rows = next(iter(lists.values()))
        elif not lists and total in (0, None) and any(data.get(name, 1) is None for name in data):
            rows = []
    elif data is None and "data" in whole:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise unexpected_response(call, "a list of objects in data", whole)
    return cast("list[JsonObject]", rows), total


def read_run(call: Call, row: JsonObject, pipeline_id: Identifier, words: StatusVocabulary, zone: str) -> PipelineRun:
    """
    Return one run.

    :param call: the call it came from, for the error.
    :param row: the run's object.
    :param pipeline_id: the pipeline it belongs to, for a row that doesn't say.
    :param words: the connection's status words.
    :param zone: the zone of times that name none.
    :raises UnexpectedResponseError: when it has no id, or a time that can't be read.
    """
    run_id = identifier(_first(row, "id", "pipelineRunId", "runId"))
    if run_id is None:
        raise unexpected_response(call, "a run with an id", row)
    word = row.get("status")
    return PipelineRun(
        id=run_id,
        pipeline_id=pipeline_id,
        status=_text(word),
        state=words.read(word),
        started=parse_time(_first(row, "startTime", "start_time", "startAt"), zone, call),
        ended=parse_time(_first(row, "endTime", "end_time", "endAt"), zone, call),
        trigger=_text(_first(row, "triggerType", "triggerKind", "trigger", "startType", "runType")),
        message=call.redact(_text(_first(row, "message", "errorMsg", "errorMessage", "failReason"))),
        nodes=_best_effort(lambda: parse_node_runs(call, row, words, zone)),
        content=row,
    )


def _best_effort(read: Callable[[], tuple[NodeRun, ...]]) -> tuple[NodeRun, ...]:
    """Node details decorate a run; what can't be read of them must not hide the run itself."""
    try:
        return read()
    except Exception:
        return ()


_NODE_LISTS = ("nodes", "nodeList", "jobs", "jobList", "nodeRuns", "jobHistoryList")


def parse_node_runs(call: Call, row: JsonObject, words: StatusVocabulary, zone: str) -> tuple[NodeRun, ...]:
    """Return what a run's nodes did, where its object tells: in itself, or in its ``data``."""
    places = [place for place in (row, row.get("data"), row.get("pipeline")) if isinstance(place, dict)]
    rows = next((_first(place, *_NODE_LISTS) for place in places if _first(place, *_NODE_LISTS)), None)
    if not isinstance(rows, list):
        return ()
    nodes = []
    for node in rows:
        if not isinstance(node, dict):
            continue
        word = node.get("status")
        node_id = _text(_first(node, "nodeId", "id", "name"))
        nodes.append(
            NodeRun(
                id=node_id,
                name=_text(_first(node, "title", "name")) or node_id,
                status=_text(word),
                state=words.read(word),
                started=parse_time(_first(node, "startTime", "start_time"), zone, call),
                ended=parse_time(_first(node, "endTime", "end_time"), zone, call),
                message=call.redact(_text(_first(node, "message", "errorMsg", "errorMessage", "failReason", "msg"))),
            )
        )
    return tuple(nodes)


def parse_pipeline(call: Call, content: Json) -> Pipeline:
    """
    Return a pipeline from its object.

    :raises UnexpectedResponseError: when it isn't an object with an id.
    """
    pipeline_id = identifier(content.get("id")) if isinstance(content, dict) else None
    if not isinstance(content, dict) or pipeline_id is None:
        raise unexpected_response(call, "a pipeline with an id", content)
    data = content.get("data")
    definition: Mapping[str, Json] = data if isinstance(data, dict) else {}
    nodes = definition.get("nodes")
    return Pipeline(
        id=pipeline_id,
        name=_text(_first(definition, "name") or _first(content, "name")),
        key=_text(_first(content, "pipelineKey") or _first(definition, "pipelineKey")),
        nodes=tuple(_read_node(node) for node in nodes if isinstance(node, dict)) if isinstance(nodes, list) else (),
        content=content,
    )


def _read_node(node: JsonObject) -> Node:
    params = node.get("params")
    values = params.get("values") if isinstance(params, dict) else params
    return Node(
        id=_text(_first(node, "nodeId", "id")),
        name=_text(_first(node, "name", "title")),
        type=_text(node.get("indexType")),
        params=tuple(
            Param(_text(value.get("key")), value.get("value"), _text(value.get("type")) or "TEXT")
            for value in values
            if isinstance(value, dict) and value.get("key")
        )
        if isinstance(values, list)
        else (),
    )
