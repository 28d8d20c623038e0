"""FlowEngine's calls, one table: method, path and what each does to the world.

``{engine_id}`` in a path is checked; ``engineId`` in a query isn't, unless ``strict_engine_id``: clients in the
wild send the pipeline's id there and get away with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.routing import compile_path

from . import wire
from .definition import Refused
from .world import World

if TYPE_CHECKING:
    from .options import Options

# API roots: the gateway's own, the newest generation's, the older one's.
GATEWAY, KERNEL, AUTOML = "", "kernel/v1", "automl/v1"
ROOTS = (KERNEL, AUTOML)

_LARGEST = 2**31 - 1  # page or size: their product still is a number for SQLite


class BadRequest(Exception):
    """HTTP 400, as a web framework gives it before FlowEngine's own code sees the request (inference)."""


@dataclass(frozen=True)
class Sent:
    """What a request brought: the API root it was sent under, and its parts."""

    root: str = KERNEL
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def number(self, name: str, default: int) -> int:
        """A whole number in the query; one that is larger than any page counts as the largest."""
        text = self.query.get(name, "")
        if not text:
            return default
        try:
            return min(int(text), _LARGEST)
        except ValueError:
            raise BadRequest(f"{name}={text} is not a number") from None


Handler = Callable[[World, Sent], wire.Json]


@dataclass(frozen=True)
class Call:
    """One call: its name in logs and faults, where it is, and its handler, which returns the whole answer."""

    name: str
    method: str
    path: str
    handler: Handler
    roots: tuple[str, ...] = ROOTS
    query: Mapping[str, str] = field(default_factory=dict)  # what its query must say
    engine_key: bool = True  # whether the query must hold engineKey
    pattern: re.Pattern[str] = re.compile("")

    def matches(self, root: str, path: str, query: Mapping[str, str]) -> Mapping[str, str] | None:
        """The path's parts, or None where this is another call."""
        if root not in self.roots or any(query.get(name) != value for name, value in self.query.items()):
            return None
        match = self.pattern.match(path)
        return match.groupdict() if match else None


def _check_engine(world: World, sent: Sent) -> None:
    options = world.options
    given = sent.path.get("engine_id")
    if given is None and options.strict_engine_id:
        given = sent.query.get("engineId", "")
    if given is not None and given != str(options.engine_id):
        raise Refused(f"engine {given} does not exist")


def _engine_url(world: World, sent: Sent) -> wire.Json:
    return wire.handshake(world.options, "url", world.options.engine_url)


def _engine_id(world: World, sent: Sent) -> wire.Json:
    return wire.handshake(world.options, "engineId", wire.identifier(world.options, world.options.engine_id))


def _object(sent: Sent) -> dict[str, Any]:
    if not isinstance(sent.body, dict):
        raise Refused("the body is not a pipeline object")
    return sent.body


def _create(world: World, sent: Sent) -> wire.Json:
    pipeline = world.create_pipeline(_object(sent))
    return wire.envelope(world.options, wire.pipeline_object(world.options, pipeline))


def _update(world: World, sent: Sent) -> wire.Json:
    pipeline = world.update_pipeline(_object(sent))
    return wire.envelope(world.options, wire.pipeline_object(world.options, pipeline))


def _list(world: World, sent: Sent) -> wire.Json:
    items = [wire.pipeline_object(world.options, pipeline) for pipeline in world.pipelines()]
    return wire.envelope(world.options, wire.under(world.options.pipelines_under, items))


def _get(world: World, sent: Sent) -> wire.Json:
    pipeline = world.pipeline(sent.path["pipeline_id"])
    return wire.envelope(world.options, wire.pipeline_object(world.options, pipeline))


def _schedule_on(world: World, sent: Sent) -> wire.Json:
    world.set_schedule(sent.path["pipeline_id"], True)
    return wire.envelope(world.options, {})


def _schedule_off(world: World, sent: Sent) -> wire.Json:
    world.set_schedule(sent.path["pipeline_id"], False)
    return wire.envelope(world.options, {})


def _refuse(message: str) -> None:
    if message:
        raise Refused(message)


def _start(world: World, sent: Sent) -> wire.Json:
    options = world.options
    _refuse(options.refuse_start)
    run = world.start(sent.path["pipeline_id"], sent.body)
    row = wire.run_row(options, run, world.clock.now())
    answers: dict[str, Callable[[], wire.Json]] = {
        "run": lambda: row,
        "run_without_id": lambda: {name: value for name, value in row.items() if name != "id"},
        "empty": lambda: {},
        "pipeline": lambda: wire.pipeline_object(options, world.pipeline(run.pipeline_id)),
    }
    return wire.envelope(options, answers[options.start_answer]())


def _under(options: Options, root: str) -> str:
    """The name that holds the list of runs; the older generation has none. Source: the vendor's client."""
    by_generation = "list" if root == KERNEL else ""
    return by_generation if options.history_under == "generation" else options.history_under


def _paged(options: Options, root: str) -> bool:
    return root == KERNEL if options.history_paging == "generation" else options.history_paging == "always"


def _history(world: World, sent: Sent) -> wire.Json:
    options, now = world.options, world.clock.now()
    page = max(1, sent.number("page", 1))
    size = max(1, sent.number("size", 10)) if _paged(options, sent.root) else -1
    ascending = options.history_order == "ascending"
    runs, total = world.runs(sent.path["pipeline_id"], page=page, size=size, ascending=ascending)
    rows = wire.in_order(options, [wire.run_row(options, run, now) for run in runs], page)
    return wire.envelope(options, wire.under(_under(options, sent.root), rows, total=total))


def _stop(world: World, sent: Sent) -> wire.Json:
    _refuse(world.options.refuse_stop)
    run = world.stop(sent.path["run_id"])
    return wire.envelope(world.options, wire.run_row(world.options, run, world.clock.now()))


def _resume(world: World, sent: Sent) -> wire.Json:
    _refuse(world.options.refuse_resume)
    run = world.resume(sent.path["run_id"])
    return wire.envelope(world.options, wire.run_row(world.options, run, world.clock.now()))


def _one_run(world: World, sent: Sent) -> wire.Json:
    run = world.run(sent.path["run_id"])
    return wire.envelope(world.options, wire.run_object(world.options, run, world.clock.now()))


def _session(world: World, sent: Sent) -> wire.Json:
    body = sent.body if isinstance(sent.body, dict) else {}
    options = world.options
    if (body.get("username"), body.get("password")) != (options.username, options.password):
        raise Refused("wrong username or password")
    return wire.envelope(options, {"username": options.username})


def _upload(world: World, sent: Sent) -> wire.Json:
    return wire.envelope(world.options, sent.body)


def _call(name: str, method: str, path: str, handler: Handler, **more: Any) -> Call:
    return Call(name, method, path, handler, pattern=compile_path(path)[0], **more)


_ENGINE_INFO = "/engine-manager/v1/k8s/info/"
_START, _STOP = "/pipeline/{engine_id}/{pipeline_id}/start", "/pipeline/{engine_id}/{pipeline_id}/stop"

# The first that matches counts.
CALLS = (
    _call("session", "POST", "/keystone/v1/sessions", _session, roots=(GATEWAY,), engine_key=False),
    _call("engine_url", "GET", _ENGINE_INFO, _engine_url, roots=(GATEWAY,)),
    _call("engine_id", "GET", "/system/getParam", _engine_id),
    _call("engine_id", "GET", "/system/getParamWithoutTemplate", _engine_id, roots=(AUTOML,)),
    _call("create", "POST", "/pipeline/template/{engine_id}/create", _create),
    _call("upload", "POST", "/template/uploadJobFileParam/{slot}", _upload, engine_key=False),
    _call("list", "GET", "/pipeline/{engine_id}/list", _list),
    _call("get", "GET", "/pipeline/template/{engine_id}/{pipeline_id}/get", _get),
    _call("update", "PUT", "/pipeline/template/{engine_id}/update", _update),
    _call("schedule_on", "POST", _START, _schedule_on, query={"once": "false"}),
    _call("schedule_off", "POST", _STOP, _schedule_off, roots=(KERNEL,)),
    _call("schedule_off", "DELETE", _STOP, _schedule_off, roots=(AUTOML,)),
    _call("start", "POST", _START, _start),
    _call("history", "GET", "/pipeline/{pipeline_id}/historyList", _history),
    _call("stop", "DELETE", "/pipeline/{run_id}/stopHistory", _stop),
    _call("resume", "POST", "/pipeline/{run_id}/resumeHistory", _resume),
    _call("run", "GET", "/pipeline/{run_id}/get", _one_run),
)

NAMES = (*dict.fromkeys(call.name for call in CALLS), "unknown")  # as the log of calls has them


def known_call(name: str) -> str:
    """Return a call's name.

    :raises ValueError: when no call has it: a fault that never strikes, or a count that is always 0, misleads a test.
    """
    if name not in NAMES:
        raise ValueError(f"FlowEngine has no call {name!r}; calls: {', '.join(NAMES)}")
    return name


_SERVED = {"both": ROOTS, "kernel": (KERNEL,), "automl": (AUTOML,)}


def find_call(
    options: Options, root: str, method: str, path: str, query: Mapping[str, str]
) -> tuple[Call | None, Mapping[str, str], bool]:
    """Which call a request is.

    :param root: the API root, empty for the gateway's own calls.
    :param path: the path below it.
    :returns: the call, or None; the path's parts; and whether there is a call at this path with another method.
    """
    elsewhere = False
    for call in CALLS:
        absent = root not in (GATEWAY, *_SERVED[options.generation])
        if absent or (call.name == "run" and not options.one_run_call):
            continue
        parts = call.matches(root, path, query)
        if parts is None:
            continue
        if call.method == method:
            return call, parts, False
        elsewhere = True
    return None, {}, elsewhere


def carry_out(world: World, call: Call, sent: Sent) -> wire.Json:
    """Do what a call asks for.

    :returns: the answer, ready for JSON. A refusal is an answer too.
    :raises BadRequest: when the query lacks engineKey or holds nonsense.
    """
    try:
        if call.engine_key:
            key = sent.query.get("engineKey")
            if not key:
                raise BadRequest("Required String parameter 'engineKey' is not present")
            if key != world.options.engine_key:
                raise Refused(f"engine with engineKey {key} does not exist")
        if GATEWAY not in call.roots:
            _check_engine(world, sent)
        return call.handler(world, sent)
    except Refused as refusal:
        return wire.envelope(world.options, None, wire.FAILURE, str(refusal))
