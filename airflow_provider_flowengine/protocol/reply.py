"""
What FlowEngine's answers hold: engines, pipelines, nodes, runs.

Answers are read tolerantly (ids as numbers or text, times as epoch milliseconds or as text, lists under any name) and
checked strictly: what can't be parsed ends in an :class:`~.errors.UnexpectedResponseError` that quotes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, urlsplit

from airflow_provider_flowengine.protocol.envelope import text_of, unexpected_response
from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import Node, NodeRun, Param, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.zone import DEFAULT_ZONE, local_time, parse_time

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime, timezone

    from airflow_provider_flowengine.protocol.http import Json, JsonObject, Request
    from airflow_provider_flowengine.protocol.settings import Settings

_LIST_NAMES = ("list", "records", "content", "rows", "items", "historyList", "engineJobPipelineTemplateList")
_EXPECTED_LIST = "a list of objects in data"
_TOTAL_NAMES = ("total", "totalCount", "totalElements", "totalNum", "totalSize")

_STARTED = ("startTime", "start_time", "startAt")
_ENDED = ("endTime", "end_time", "endAt")
_TRIGGER = ("triggerType", "triggerKind", "trigger", "startType", "runType")
_MESSAGE = ("message", "errorMsg", "errorMessage", "failReason")
_MAX_ODD_ROWS = 20
"""Rows of a page that can't be parsed and may be left out at most: each costs an error, and there may be millions."""

_NODE_LISTS = ("nodes", "nodeList", "jobs", "jobList", "nodeRuns", "jobHistoryList")


@dataclass(frozen=True)
class Reply:
    """
    A good answer of FlowEngine's, with all that is needed to parse it.

    :param request: the request that was answered, for errors.
    :param settings: the connection: its status words, its time zone, its gateway.
    :param payload: the answer's whole JSON object.
    :param server_time: what the server's clock said, aware; None if it said nothing.
    :param offset: the offset of times without a zone, if the connection names none and it has been found out.
    """

    request: Request
    settings: Settings
    payload: JsonObject = field(default_factory=dict)
    server_time: datetime | None = None
    offset: timezone | None = None

    @property
    def data(self) -> Json:
        """The envelope's ``data``."""
        return self.payload.get("data")

    def unexpected(self, expected: str, came: Json) -> UnexpectedResponseError:
        """Build the error about an answer that doesn't hold what it should."""
        return unexpected_response(self.request, expected, came)

    # --- the handshake --------------------------------------------------------------------------------------------

    def engine_url(self) -> str | None:
        """
        Return ``engineUrl``, the engine's path below the gateway.

        :return: the path without a trailing slash, or None if the answer names none.
        :raises UnexpectedResponseError: if it isn't a path, or is on another host, where credentials would follow it.
        """
        url = self._nested("url")
        if url is None:
            return None
        parts, gateway = self._split_url(url), urlsplit(self.settings.fl_url)
        if (parts.scheme or parts.netloc) and (parts.hostname or "").lower() != (gateway.hostname or "").lower():
            raise self.unexpected(
                f"an engine url on the connection's host {gateway.hostname}, where credentials may go", url
            )
        path = "/" + parts.path.strip("/")
        if parts.netloc and f"{path}/".startswith(f"{gateway.path}/"):
            path = path.removeprefix(gateway.path)
        if path in ("", "/"):
            raise self.unexpected("the engine's url as a path", url)
        return path

    def _split_url(self, url: Json) -> SplitResult:
        try:
            if isinstance(url, str) and not re.search(r"[\s\\?#]", url.strip()):
                return urlsplit(url.strip())
        except ValueError:
            pass
        raise self.unexpected("the engine's url as a path", url)

    def engine_id(self) -> Identifier:
        """
        Return ``engineId``.

        :raises UnexpectedResponseError: if the answer holds none.
        """
        engine_id = identifier(self._nested("engineId"))
        if engine_id is None:
            raise self.unexpected("an engineId", self.payload)
        return engine_id

    def _nested(self, name: str) -> Json:
        """Find a value in ``data``, at top level, or nested once in ``data``: where it stands isn't documented."""
        data = self.data
        places: list[Json] = [data, self.payload]
        if isinstance(data, dict):
            places += list(data.values())
        elif isinstance(data, list):
            places += data
        for place in places:
            if isinstance(place, dict) and place.get(name) not in (None, ""):
                return place[name]
        return None

    # --- lists ----------------------------------------------------------------------------------------------------

    def rows(self) -> list[JsonObject]:
        """
        Return the rows of a list: ``data`` itself, or the one list that ``data`` holds under any name.

        :raises UnexpectedResponseError: if there is no list, or it cannot be determined which.
        """
        rows = self.listed()
        if not all(isinstance(row, dict) for row in rows):
            raise self.unexpected(_EXPECTED_LIST, self.payload)
        return cast("list[JsonObject]", rows)

    def listed(self) -> list[Json]:
        """Return the same, whatever each row is."""
        data = self.data
        lists = [data] if isinstance(data, list) else _lists(self._listing)
        if len(lists) > 1:
            lists = _named_lists(self._listing)
        if not lists and self._may_lack_list():
            return []
        if len(lists) != 1:
            raise self.unexpected(_EXPECTED_LIST, self.payload)
        return lists[0]

    def total(self) -> int | None:
        """Return how many rows there are in all, if the answer says so."""
        count = identifier(_first(self._listing, *_TOTAL_NAMES))
        return count if isinstance(count, int) else None

    @property
    def _listing(self) -> JsonObject:
        """The object that holds the list: ``data``, or the only object in it that does."""
        data = self.data if isinstance(self.data, dict) else {}
        nested = [] if _lists(data) else [each for each in objects(list(data.values())) if _named_lists(each)]
        return nested[0] if len(nested) == 1 else data

    def _may_lack_list(self) -> bool:
        """Whether no list means no rows: a page beyond the end may still say how many rows there are in all."""
        if not isinstance(self.data, dict):
            return self.data is None and "data" in self.payload
        if self.request.query.get("page", 1) != 1:
            return True
        return self.total() == 0 or (self.total() is None and None in self._listing.values())

    # --- pipelines ------------------------------------------------------------------------------------------------

    def pipeline(self, content: Json) -> Pipeline:
        """
        Return a pipeline.

        :param content: the pipeline's object.
        :raises UnexpectedResponseError: if it isn't an object with an id.
        """
        if not isinstance(content, dict) or (pipeline_id := identifier(content.get("id"))) is None:
            raise self.unexpected("a pipeline with an id", content)
        data = content.get("data")
        definition = data if isinstance(data, dict) else {}
        nodes = definition.get("nodes")
        return Pipeline(
            id=pipeline_id,
            name=text_of(_first(definition, "name") or _first(content, "name")),
            key=text_of(_first(content, "pipelineKey") or _first(definition, "pipelineKey")),
            nodes=tuple(map(_node, objects(nodes))),
            content=content,
        )

    # --- runs -----------------------------------------------------------------------------------------------------

    def run(self, row: JsonObject, pipeline_id: Identifier) -> PipelineRun:
        """
        Return one run.

        :param row: the run's object.
        :param pipeline_id: the pipeline that it belongs to, for a row that doesn't say.
        :raises UnexpectedResponseError: if it has no id, or a time that can't be parsed.
        """
        run_id = identifier(_first(row, "id", "pipelineRunId", "runId"))
        if run_id is None:
            raise self.unexpected("a run with an id", row)
        word, began, ended = row.get("status"), _first(row, *_STARTED), _first(row, *_ENDED)
        return PipelineRun(
            id=run_id,
            pipeline_id=pipeline_id,
            status=self.settings.redact(text_of(word)),
            state=self.settings.vocabulary.state_of(word),
            started=self.time(began),
            ended=self.time(ended),
            trigger=self._message(row, *_TRIGGER),
            message=self._message(row, *_MESSAGE),
            nodes=self._node_runs(row),
            is_zone_certain=not (self._is_guessed(began) or self._is_guessed(ended)),
            content=row,
        )

    def runs(
        self,
        pipeline_id: Identifier,
        *,
        seen: Mapping[Identifier, PipelineRun] | None = None,
        wanted: Collection[Identifier] = (),
    ) -> tuple[PipelineRun, ...]:
        """
        Return the runs of a page.

        :param pipeline_id: the pipeline that they belong to.
        :param seen: runs of an earlier answer, by id: a row that is as it was then needn't be parsed again.
        :param wanted: runs that are enough: if the page shows them all, a row that can't be parsed is left out.
        :raises UnexpectedResponseError: if a row can't be parsed otherwise: it may be any run.
        """
        runs, problems = [], []
        for row in self.listed():
            try:
                runs.append(self._run_of_row(row, pipeline_id, seen or {}))
            except UnexpectedResponseError as error:
                problems.append(error)
                if not wanted or len(problems) > _MAX_ODD_ROWS:
                    raise problems[0] from None
        if problems and not {run.id for run in runs} >= set(wanted):
            raise problems[0]
        return tuple(runs)

    def _run_of_row(self, row: Json, pipeline_id: Identifier, seen: Mapping[Identifier, PipelineRun]) -> PipelineRun:
        if not isinstance(row, dict):
            raise self.unexpected(_EXPECTED_LIST, row)
        run_id = identifier(row.get("id"))
        before = seen.get(run_id) if run_id is not None else None
        is_same = before is not None and before.content == row and before.is_zone_certain
        return before if before and is_same else self.run(row, pipeline_id)

    def only_run(self, pipeline_id: Identifier) -> PipelineRun | None:
        """
        Return the run that ``data`` is; None if it is no run, or another pipeline's.

        :param pipeline_id: the pipeline that it must belong to, if it says so; empty for any.
        :raises UnexpectedResponseError: if it can't be parsed.
        """
        data = self.data
        # Without a status it isn't a run: where the one-run call is missing, its path may be that of a pipeline.
        if not isinstance(data, dict) or not data.get("status"):
            return None
        owner = identifier(data.get("pipelineId"))
        if pipeline_id and owner not in (None, pipeline_id):
            return None
        return self.run(data, pipeline_id or owner or "")

    def _node_runs(self, row: JsonObject) -> tuple[NodeRun, ...]:
        """
        Return what a run's nodes did, if its object says so: in itself, in its ``data`` or its ``pipeline``.

        Node details decorate a run: what can't be parsed of them must not hide the run itself.
        """
        places = objects([row, row.get("data"), row.get("pipeline")])
        nodes = next((found for place in places if (found := _first(place, *_NODE_LISTS))), None)
        if nodes is None:
            return ()
        try:
            return tuple(map(self._node_run, objects(nodes)))
        except Exception:
            return ()

    def _node_run(self, node: JsonObject) -> NodeRun:
        word, node_id = node.get("status"), text_of(_first(node, "nodeId", "id", "name"))
        return NodeRun(
            id=node_id,
            name=text_of(_first(node, "title", "name")) or node_id,
            status=self.settings.redact(text_of(word)),
            state=self.settings.vocabulary.state_of(word),
            started=self.time(_first(node, *_STARTED)),
            ended=self.time(_first(node, *_ENDED)),
            message=self._message(node, *_MESSAGE, "msg"),
        )

    def _message(self, content: JsonObject, *names: str) -> str:
        return self.settings.redact(text_of(_first(content, *names)))

    @property
    def _zone(self) -> str | timezone:
        return self.settings.timezone or self.offset or DEFAULT_ZONE

    def _is_guessed(self, value: Json) -> bool:
        """Whether the zone of a time is known neither from itself, nor from the connection, nor otherwise."""
        return isinstance(value, str) and not self.settings.timezone and self.offset is None and bool(local_time(value))

    def time(self, value: Json) -> datetime | None:
        """
        Return a time, aware.

        :param value: as :func:`.zone.parse_time` takes it.
        :raises UnexpectedResponseError: if it is neither a time nor what stands for none.
        """
        if value is None or value == 0:
            return None
        try:
            return parse_time(value, self._zone)
        except (ValueError, TypeError, OverflowError, OSError):
            raise self.unexpected("a time as epoch milliseconds or as yyyy-MM-dd HH:mm:ss", value) from None


def local_start(row: JsonObject) -> datetime | None:
    """
    Return when a run started by the wall clock of a zone that isn't given; None if it is given.

    :param row: the run's object.
    """
    return local_time(_first(row, *_STARTED))


def _lists(data: JsonObject) -> list[list[Json]]:
    return [value for value in data.values() if isinstance(value, list)]


def _named_lists(data: JsonObject) -> list[list[Json]]:
    return [value for name in _LIST_NAMES if isinstance(value := data.get(name), list)]


def _node(content: JsonObject) -> Node:
    params = content.get("params")
    values = params.get("values") if isinstance(params, dict) else params
    return Node(
        id=text_of(_first(content, "nodeId", "id")),
        name=text_of(_first(content, "name", "title")),
        type=text_of(content.get("indexType")),
        params=tuple(
            Param(text_of(value.get("key")), value.get("value"), text_of(value.get("type")) or "TEXT")
            for value in objects(values)
            if value.get("key")
        ),
    )


def _first(content: Mapping[str, Json], *names: str) -> Json:
    for name in names:  # a loop: each row of a history comes here a dozen times
        value = content.get(name)
        if value is not None and value != "":
            return value
    return None
