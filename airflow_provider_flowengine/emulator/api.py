"""
FlowEngine's calls, one table: method, path and what each does to the engine.

``{engine_id}`` in a path is checked; ``engineId`` in a query isn't, unless ``strict_engine_id``: clients in the
wild send the pipeline's id there, and FlowEngine accepts it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.routing import compile_path

from . import serialization
from .definition import RequestRejected, read_definition
from .engine import Engine
from .generations import COMMERCIAL, DIALECTS, ENGINE_DIALECTS, GATEWAY, KERNEL, OPEN_SOURCE

if TYPE_CHECKING:
    from .options import Options

_LARGEST = 2**31 - 1  # of page or size: their product still fits into SQLite's integers


class BadRequest(Exception):
    """HTTP 400, as a web framework gives it before FlowEngine's own code sees the request (inference)."""


@dataclass(frozen=True)
class ParsedRequest:
    """A request: its dialect and its parts."""

    dialect: str = KERNEL
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def number(self, name: str, default: int) -> int:
        """Return a whole number of the query; one that is larger than any page counts as the largest."""
        text = self.query.get(name, "")
        if not text:
            return default
        try:
            return min(int(text), _LARGEST)
        except ValueError:
            raise BadRequest(f"{name}={text} is not a number") from None


Handler = Callable[[Engine, ParsedRequest], serialization.Json]


@dataclass(frozen=True)
class Call:
    """One call: its name in logs and faults, its method and path, and its handler, which returns the whole answer."""

    name: str
    method: str
    path: str
    handler: Handler
    dialects: tuple[str, ...] = ENGINE_DIALECTS
    query: Mapping[str, str] = field(default_factory=dict)  # what its query must hold
    engine_key: bool = True  # whether the query holds engineKey, in the dialects that want it
    pattern: re.Pattern[str] = re.compile("")

    def matches(self, dialect: str, path: str, query: Mapping[str, str]) -> Mapping[str, str] | None:
        """Return the path's parts, or None if this is another call."""
        if dialect not in self.dialects or any(query.get(name) != value for name, value in self.query.items()):
            return None
        match = self.pattern.match(path)
        return match.groupdict() if match else None


def _check_engine_key(options: Options, request: ParsedRequest) -> None:
    dialect = options.dialect("automl/v1") if options.generation == "automl" else request.dialect
    required = dialect in (None, GATEWAY) or DIALECTS[dialect].engine_key
    if options.engine_key_in_query != "generation":
        required = options.engine_key_in_query == "required"
    key = request.query.get("engineKey")
    if not key and required:
        raise BadRequest("Required String parameter 'engineKey' is not present")
    if key and key != options.engine_key:
        raise RequestRejected(f"engine with engineKey {key} does not exist")


def _check_engine(engine: Engine, request: ParsedRequest) -> None:
    options = engine.options
    given = request.path.get("engine_id")
    if given is None and options.strict_engine_id:
        given = request.query.get("engineId", "")
    if given is not None and given != str(options.engine_id):
        raise RequestRejected(f"engine {given} does not exist")


def _engine_url(engine: Engine, request: ParsedRequest) -> serialization.Json:
    return serialization.handshake(engine.options, "url", engine.options.engine_url)


def _engine_id(engine: Engine, request: ParsedRequest) -> serialization.Json:
    return serialization.handshake(
        engine.options, "engineId", serialization.identifier(engine.options, engine.options.engine_id)
    )


def _object(request: ParsedRequest) -> dict[str, Any]:
    if not isinstance(request.body, dict):
        raise RequestRejected("the body is not a pipeline object")
    return request.body


def _create(engine: Engine, request: ParsedRequest) -> serialization.Json:
    body = _object(request)
    read_definition(body)  # FlowEngine rejects a definition alone; engine.create_pipeline accepts it
    pipeline = engine.create_pipeline(body)
    return serialization.envelope(engine.options, serialization.pipeline_object(engine.options, pipeline))


def _update(engine: Engine, request: ParsedRequest) -> serialization.Json:
    pipeline = engine.update_pipeline(_object(request))
    return serialization.envelope(engine.options, serialization.pipeline_object(engine.options, pipeline))


def _list(engine: Engine, request: ParsedRequest) -> serialization.Json:
    options = engine.options
    pipelines = engine.pipelines()
    asked = "page" in request.query or "size" in request.query
    if options.pipelines_paging == "never" or (options.pipelines_paging == "asked" and not asked):
        items = [serialization.pipeline_object(options, pipeline) for pipeline in pipelines]
        return serialization.envelope(options, serialization.under(options.pipelines_under, items))
    size = max(1, request.number("size", options.pipelines_page_size))
    page = _page_shown(options, max(1, request.number("page", 1)), size, len(pipelines))
    items = [serialization.pipeline_object(options, each) for each in pipelines[(page - 1) * size : page * size]]
    # The one source of a list under a name has this one.
    name = options.pipelines_under or "engineJobPipelineTemplateList"
    return serialization.envelope(options, serialization.page(options, name, items, len(pipelines)))


def _get(engine: Engine, request: ParsedRequest) -> serialization.Json:
    pipeline = engine.pipeline(request.path["pipeline_id"])
    return serialization.envelope(engine.options, serialization.pipeline_object(engine.options, pipeline))


def _schedule_on(engine: Engine, request: ParsedRequest) -> serialization.Json:
    engine.set_schedule(request.path["pipeline_id"], True)
    return serialization.envelope(engine.options, {})


def _schedule_off(engine: Engine, request: ParsedRequest) -> serialization.Json:
    engine.set_schedule(request.path["pipeline_id"], False)
    return serialization.envelope(engine.options, {})


def _refuse(message: str) -> None:
    if message:
        raise RequestRejected(message)


def _start(engine: Engine, request: ParsedRequest) -> serialization.Json:
    options = engine.options
    _refuse(options.refuse_start)
    run = engine.start(request.path["pipeline_id"], request.body)
    row = serialization.run_row(options, run, engine.clock.now())
    answers: dict[str, Callable[[], serialization.Json]] = {
        "run": lambda: row,
        "run_without_id": lambda: {name: value for name, value in row.items() if name != "id"},
        "empty": lambda: {},
        "pipeline": lambda: serialization.pipeline_object(options, engine.pipeline(run.pipeline_id)),
    }
    return serialization.envelope(options, answers[options.start_answer]())


def _page_shown(options: Options, page: int, size: int, total: int) -> int:
    """Return which page is shown instead of one that is beyond the last."""
    last = max(1, -(-total // size))
    if page <= last or options.pages == "end":
        return page
    return last if options.pages == "repeat" else (page - 1) % last + 1


def _history(engine: Engine, request: ParsedRequest) -> serialization.Json:
    options, now = engine.options, engine.clock.now()
    by_generation = DIALECTS[request.dialect].pages
    paged = by_generation if options.history_paging == "generation" else options.history_paging == "always"
    page = max(1, request.number("page", 1))
    size = max(1, request.number("size", 10)) if paged else -1
    pipeline_id, ascending = request.path["pipeline_id"], options.history_order == "ascending"
    runs, total = engine.runs(pipeline_id, page=page, size=size, ascending=ascending)
    if paged and (shown := _page_shown(options, page, size, total)) != page:
        runs, total = engine.runs(pipeline_id, page=shown, size=size, ascending=ascending)
    rows = serialization.in_order(options, [serialization.run_row(options, run, now) for run in runs], page)
    name = ("list" if by_generation else "") if options.history_under == "generation" else options.history_under
    return serialization.envelope(options, serialization.page(options, name, rows, total))


def _stop(engine: Engine, request: ParsedRequest) -> serialization.Json:
    _refuse(engine.options.refuse_stop)
    run = engine.stop(request.path["run_id"])
    return serialization.envelope(engine.options, serialization.run_row(engine.options, run, engine.clock.now()))


def _resume(engine: Engine, request: ParsedRequest) -> serialization.Json:
    _refuse(engine.options.refuse_resume)
    run = engine.resume(request.path["run_id"])
    return serialization.envelope(engine.options, serialization.run_row(engine.options, run, engine.clock.now()))


def _one_run(engine: Engine, request: ParsedRequest) -> serialization.Json:
    run = engine.run(request.path["run_id"])
    return serialization.envelope(engine.options, serialization.run_object(engine.options, run, engine.clock.now()))


def _session(engine: Engine, request: ParsedRequest) -> serialization.Json:
    body = request.body if isinstance(request.body, dict) else {}
    options = engine.options
    if (body.get("username"), body.get("password")) != (options.username, options.password):
        raise RequestRejected("wrong username or password")
    return serialization.envelope(options, {"username": options.username})


def _upload(engine: Engine, request: ParsedRequest) -> serialization.Json:
    return serialization.envelope(engine.options, request.body)


def _call(name: str, method: str, path: str, handler: Handler, **more: Any) -> Call:
    return Call(name, method, path, handler, pattern=compile_path(path)[0], **more)


_ENGINE_INFO = "/engine-manager/v1/k8s/info/"
_START, _STOP = "/pipeline/{engine_id}/{pipeline_id}/start", "/pipeline/{engine_id}/{pipeline_id}/stop"

# The first that matches counts.
CALLS = (
    _call("session", "POST", "/keystone/v1/sessions", _session, dialects=(GATEWAY,), engine_key=False),
    _call("engine_url", "GET", _ENGINE_INFO, _engine_url, dialects=(GATEWAY,)),
    _call("engine_id", "GET", "/system/getParam", _engine_id, dialects=(KERNEL, OPEN_SOURCE)),
    _call("engine_id", "GET", "/system/getParamWithoutTemplate", _engine_id, dialects=(COMMERCIAL,)),
    _call("create", "POST", "/pipeline/template/{engine_id}/create", _create),
    _call("upload", "POST", "/template/uploadJobFileParam/{slot}", _upload, engine_key=False),
    _call("list", "GET", "/pipeline/{engine_id}/list", _list),
    _call("get", "GET", "/pipeline/template/{engine_id}/{pipeline_id}/get", _get),
    _call("update", "PUT", "/pipeline/template/{engine_id}/update", _update),
    _call("schedule_on", "POST", _START, _schedule_on, query={"once": "false"}),
    _call("schedule_off", "POST", _STOP, _schedule_off, dialects=(KERNEL, OPEN_SOURCE)),
    _call("schedule_off", "DELETE", _STOP, _schedule_off, dialects=(COMMERCIAL,)),
    _call("start", "POST", _START, _start),
    _call("history", "GET", "/pipeline/{pipeline_id}/historyList", _history),
    _call("stop", "DELETE", "/pipeline/{run_id}/stopHistory", _stop),
    _call("resume", "POST", "/pipeline/{run_id}/resumeHistory", _resume),
    _call("run", "GET", "/pipeline/{run_id}/get", _one_run),
)

NAMES = (*dict.fromkeys(call.name for call in CALLS), "unknown")  # as the log of calls has them


def known_call(name: str) -> str:
    """
    Return a call's name.

    :raises ValueError: when no call has it: a fault that never comes, or a count that is always 0, misleads a test.
    """
    if name not in NAMES:
        raise ValueError(f"FlowEngine has no call {name!r}; calls: {', '.join(NAMES)}")
    return name


def find_call(
    options: Options, dialect: str, method: str, path: str, query: Mapping[str, str]
) -> tuple[Call | None, Mapping[str, str], bool]:
    """
    Find out which call a request is.

    :param options: how FlowEngine answers.
    :param dialect: the dialect of the API root that the request was sent under.
    :param method: its method.
    :param path: the path below the API root.
    :param query: its query.
    :return: the call, or None; the path's parts; and whether there is a call at this path with another method.
    """
    other_method = False
    for call in CALLS:
        if call.name == "run" and not options.one_run_call:
            continue
        parts = call.matches(dialect, path, query)
        if parts is None:
            continue
        if call.method == method:
            return call, parts, False
        other_method = True
    return None, {}, other_method


def dispatch(engine: Engine, call: Call, request: ParsedRequest) -> serialization.Json:
    """
    Carry out a call.

    :param engine: the engine.
    :param call: the call.
    :param request: its parts.
    :return: the answer, ready for JSON; a rejection too.
    :raises BadRequest: when the query lacks engineKey or has an invalid value.
    """
    try:
        if call.engine_key:
            _check_engine_key(engine.options, request)
        if GATEWAY not in call.dialects:
            _check_engine(engine, request)
        return call.handler(engine, request)
    except RequestRejected as refusal:
        return serialization.envelope(engine.options, None, serialization.FAILURE, str(refusal))
