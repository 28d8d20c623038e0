"""The emulator over HTTP: a gateway, an engine behind it, and the control endpoints beside it."""

from __future__ import annotations

import asyncio
import json
import math
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from . import redact, serialization
from .api import BadRequest, Call, ParsedRequest, dispatch, find_call
from .control import router as control_router
from .definition import RequestRejected
from .generations import DIALECTS, GATEWAY
from .page import mount as mount_page
from .responses import (
    ConnectionDropped,
    apply_fault,
    encode_json,
    framework_error,
    json_answer,
    login_page,
    no_backend,
)
from .sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .engine import Engine
    from .faults import Fault, Faults
    from .files import Files
    from .options import Options

_LOGGED_BYTES = 64 * 2**10  # how much of a body the log keeps
_FORM_BYTES = 64 * 2**10  # what an upload may hold beside the file
_MAX_DEPTH = 100  # of a JSON body: far more than a pipeline has, far less than Python's recursion limit
# Types that another site's page may send without a preflight request; no client of FlowEngine does.
_FORM_TYPES = ("text/plain", "application/x-www-form-urlencoded")
_NO_ENGINE = "no engine"  # in place of a dialect: an engine's path, without an engine
_UNKNOWN = "unknown"  # in place of a dialect: a path of the engine outside its API
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
_ROOTS = dict.fromkeys(dialect.root for dialect in DIALECTS.values())


async def _read(request: Request, limit: int) -> bytes | None:
    """Return the body; None if it is too long. All of it is read, since a client reads no refusal while it sends."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks) if size <= limit else None


def _at_most(receive: Receive, limit: int, refusal: Exception) -> Receive:
    """Limit a body's size; the rest is read and dropped, since a client reads no refusal while it sends."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken <= limit:
            return message
        while message.get("more_body"):
            message = await receive()
        raise refusal

    return limited


def _parse(body: bytes | None, limit: int) -> Any:
    if body is None:
        raise RequestRejected(f"the body is too large; at most {limit} bytes are taken")
    if not body.strip():
        return None
    try:
        value = json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise RequestRejected(f"the body is not JSON: {error}") from error
    if _is_deep(value):
        raise RequestRejected(f"the body is not JSON: it is nested more than {_MAX_DEPTH} deep")
    return value


def _finite(text: str) -> float:
    """Return a number, but not NaN, Infinity and 1e999, which JSON has no word for."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _is_deep(value: Any) -> bool:
    """Return whether a value is nested so deep that it might not be serializable."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


class Gateway:
    """
    Answers every request that isn't for the control endpoints or the page.

    :param engine: the engine.
    :param faults: the faults to come.
    :param files: the folder of uploads.
    """

    def __init__(self, engine: Engine, faults: Faults, files: Files) -> None:
        self.engine = engine
        self.options = engine.options
        self.faults = faults
        self.files = files
        self.sessions = Sessions(engine.options, engine.clock)
        self.away_until = 0.0  # by the engine's clock

    async def __call__(self, request: Request) -> Response:
        """Answer one request: find the call, log it, carry it out, and apply a fault."""
        dialect, path = self._split(request.url.path)
        query = dict(request.query_params)
        call, parts, other_method = find_call(self.options, dialect, request.method, path, query)
        name = call.name if call else "unknown"
        # A fault applies to a request that has arrived; of an upload, its first part has.
        raw = await _read(request, self.options.max_json_bytes) if name != "upload" else b""
        number = self._log_call(request, name, raw or b"")

        async def work() -> Response:
            if dialect in (*DIALECTS, _UNKNOWN) and not self._is_running():
                return no_backend(self.options.wrong_address, request.method)
            if forbidden := self._refuse_access(request, name):
                return forbidden
            if call is None:
                return self._no_such_call(request, dialect, other_method)
            return await self._carry_out(request, call, ParsedRequest(dialect, parts, query), raw)

        fault = self.faults.next_fault(name)
        if self.options.answer_delay:
            await asyncio.sleep(self.options.answer_delay)
        response = await (self._with_fault(fault, work) if fault else work())
        if self.options.close_connections:
            response.headers["Connection"] = "close"
        with self.engine.lock:
            status = None if isinstance(response, ConnectionDropped) else response.status_code
            self.engine.store.answer_call(number, status, f"{fault.kind} {fault.where}" if fault else "")
        return response

    def _split(self, path: str) -> tuple[str, str]:
        """Return a path's dialect, and the path below its API root."""
        engine_url = self.options.engine_url
        if not path.startswith(engine_url + "/"):
            return (_NO_ENGINE if path.startswith(("/engine/", "/automl-engine/")) else GATEWAY), path
        below = path[len(engine_url) + 1 :]
        root = next((root for root in _ROOTS if below.startswith(f"{root}/")), "")
        return self.options.dialect(root) or _UNKNOWN, below.removeprefix(root)

    def take_away(self, seconds: float) -> None:
        """
        Take the engine away (stopped, restarting) for a while: the gateway answers in its place.

        :param seconds: for how long from now.
        """
        self.away_until = self.engine.clock.now() + seconds

    def _is_running(self) -> bool:
        return self.options.engine_running and self.engine.clock.now() >= self.away_until

    async def _with_fault(self, fault: Fault, work: Callable[[], Awaitable[Response]]) -> Response:
        """Apply a fault, before or after the work is done."""
        before = fault.where == "before"
        if fault.kind not in ("slow", "away"):
            undone = json_answer(serialization.envelope(self.options, {}))
            return apply_fault(fault, undone if before else await work(), self.options)
        if before:
            await self._delay(fault)
        response = await work()
        if not before:
            await self._delay(fault)
        return response

    async def _delay(self, fault: Fault) -> None:
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        else:
            self.take_away(fault.seconds)

    def _log_call(self, request: Request, name: str, raw: bytes) -> int:
        with self.engine.lock:
            return self.engine.store.add_call(
                self.engine.clock.now(),
                name,
                request.method,
                request.url.path,
                redact.query(request.url.query),
                json.dumps(redact.headers(request.headers)),
                redact.body(raw[:_LOGGED_BYTES].decode(errors="replace")),
            )

    def _refuse_access(self, request: Request, name: str) -> Response | None:
        if self.options.login_wall:
            return login_page()
        if name == "session" or self._may_call(request):
            return None
        if self.options.session_over == "wall" and self.options.authentication == "session":
            return login_page()
        answer = serialization.envelope(self.options, None, 401, "未登录或登录已过期")
        in_envelope = self.options.session_over == "envelope" and self.options.authentication == "session"
        return json_answer(answer, 200 if in_envelope else 401)

    def _may_call(self, request: Request) -> bool:
        options = self.options
        if options.access_key:
            return _has_key(request.headers, options)
        header = {"user": "X-FlowEngine-UserId", "access_key": "Access-Key"}.get(options.authentication)
        if header and request.headers.get(header):
            return True
        return self.sessions.use(request.cookies.get("User-Token", ""))

    def _no_such_call(self, request: Request, dialect: str, other_method: bool) -> Response:
        path, method = request.url.path, request.method
        if dialect == _NO_ENGINE:
            return no_backend(self.options.wrong_address, method)
        if other_method:
            return framework_error(405, path, f"Request method '{method}' not supported")
        return no_backend(404, method) if dialect == GATEWAY else framework_error(404, path, "No message available")

    async def _carry_out(self, http: Request, call: Call, request: ParsedRequest, raw: bytes | None) -> Response:
        try:
            if call.name == "upload":
                body: Any = await self._save_upload(http, request.path["slot"])
            else:
                body = _parse(raw, self.options.max_json_bytes)
            answer = dispatch(self.engine, call, replace(request, body=body))
        except BadRequest as error:
            return framework_error(400, http.url.path, str(error))
        except RequestRejected as refusal:
            return json_answer(serialization.envelope(self.options, None, serialization.FAILURE, str(refusal)))
        refused = str(answer["status"]) != "0"
        response = json_answer(answer, 200 if refused else self.options.success_status)
        if call.name == "session" and not refused:
            response.set_cookie("User-Token", self.sessions.begin())
        return response

    async def _save_upload(self, request: Request, slot: str) -> dict[str, Any]:
        """Save the multipart field ``file``."""
        limit = self.options.max_upload_bytes
        # Without this, the web framework writes the whole upload to disk before its size is known.
        too_large = RequestRejected(f"the upload is too large; a file of at most {limit} bytes is taken")
        upload = Request(request.scope, _at_most(request.receive, limit + _FORM_BYTES, too_large))
        try:
            async with upload.form() as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise BadRequest("Required request part 'file' is not present")
                size, name = file.size or 0, file.filename or ""
                if size > limit:
                    raise RequestRejected(f"{name} has {size} bytes; at most {limit} are taken")
                path = await asyncio.to_thread(self.files.save_upload, slot, name, file.file)
                return {"name": name, "path": str(path), "size": size}
        except HTTPException as error:
            raise BadRequest(str(error.detail)) from error


async def _invalid_control(request: Request, error: Exception) -> Response:
    """Say what is wrong with a control request, without its values: JSON has no word for some, such as Infinity."""
    errors = cast("RequestValidationError", error).errors()
    return json_answer({"detail": [{name: each[name] for name in ("loc", "msg")} for each in errors]}, 422)


async def _not_found(request: Request, error: Exception) -> Response:
    """Answer a control request about a pipeline or run that isn't there."""
    return json_answer({"detail": str(error)}, 404)


async def _refused_control(request: Request, error: Exception) -> Response:
    problem = cast("HTTPException", error)
    return json_answer({"detail": problem.detail}, problem.status_code)


async def _client_gone(request: Request, error: Exception) -> Response:
    """Answer a client that disconnected in the middle of its request's body: nothing was done."""
    return Response(status_code=400)


class _Json(JSONResponse):
    """JSON that may hold halves of surrogate pairs, as answers of the engine may."""

    def render(self, content: Any) -> bytes:
        return encode_json(content)


def _is_foreign(method: str, headers: Headers) -> bool:
    """Return whether another site's web page sends a request: it could run jobs here otherwise."""
    origin = headers.get("Origin")
    if origin is not None:
        return origin.partition("://")[2] != headers.get("Host")
    if method in ("GET", "HEAD", "OPTIONS"):
        return False
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    by_form = kind in _FORM_TYPES and not any(name in headers for name in ("X-FlowEngine-UserId", "Access-Key"))
    return by_form or headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")


def build_app(engine: Engine, faults: Faults, files: Files, names: Sequence[str]) -> tuple[ASGIApp, Gateway]:
    """
    Build the whole emulator as an ASGI application for uvicorn.

    :param engine: the engine.
    :param faults: the faults to come.
    :param files: the folder of uploads.
    :param names: the hosts that requests may name, if only this machine can reach the emulator. Empty if others can:
        then the control endpoints need the access key too, if there is one.
    :return: the application, and its part that answers FlowEngine's calls.
    """
    app = FastAPI(openapi_url=None, default_response_class=_Json)  # without pages that load scripts from the network
    app.add_exception_handler(RequestValidationError, _invalid_control)
    app.add_exception_handler(HTTPException, _refused_control)
    app.add_exception_handler(RequestRejected, _not_found)
    app.add_exception_handler(ClientDisconnect, _client_gone)
    app.state.engine, app.state.faults, app.state.files = engine, faults, files
    app.include_router(control_router)
    mount_page(app, engine)
    gateway = Gateway(engine, faults, files)
    app.state.take_away = gateway.take_away
    app.add_route("/{path:path}", gateway.__call__, methods=_METHODS, include_in_schema=False)
    if names:
        # A web page that makes its own name mean this machine (DNS rebinding) could otherwise start jobs here.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        # ASGI cannot reset a connection. uvicorn's `send` is a method of an object that knows it.
        scope["flowengine.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        headers = Headers(scope=scope)
        if _is_foreign(scope.get("method", "GET"), headers):
            asked = f"not one from {headers['Origin']}" if "Origin" in headers else "and programs that send JSON"
            text = f"only the emulator's own page may ask for this, {asked}\n"
            await Response(text, 403)(scope, receive, send)
        elif not names and _is_guarded(scope["path"]) and not _has_key(headers, engine.options):
            await Response("the access key is missing, or another one\n", 401)(scope, receive, send)
        else:
            if _is_control(scope["path"]):
                limit = engine.options.max_json_bytes
                too_large = HTTPException(413, f"the body is too large; at most {limit} bytes are taken")
                receive = _at_most(receive, limit, too_large)
            await app(scope, receive, send)

    return with_transport, gateway


def _is_control(path: str) -> bool:
    return path.startswith("/__control__/")


def _is_guarded(path: str) -> bool:
    """Return whether a path needs the access key: control, except what the page needs to sign in."""
    return _is_control(path) and not path.startswith(("/__control__/page", "/__control__/engine"))


def _has_key(headers: Headers, options: Options) -> bool:
    given = headers.get("Access-Key", "")
    # A key may hold halves of surrogate pairs, as JSON may.
    wanted = options.access_key.encode(errors="surrogatepass")
    return not wanted or secrets.compare_digest(given.encode(), wanted)
