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
from starlette.responses import Response

from . import wire
from .answers import Hangup, broken, framework_error, gateway_error, json_answer, login_page
from .api import GATEWAY, ROOTS, BadRequest, Call, Sent, carry_out, find_call
from .control import router as control_router
from .definition import Refused
from .page import mount as mount_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .faults import Fault, Faults
    from .files import Files
    from .options import Options
    from .world import World

_LOGGED_BYTES = 64 * 2**10  # how much of a body the log keeps
_NO_ENGINE = "no engine"  # as an API root: where an engine might be and isn't
_NO_ROOT = "no root"  # as an API root: a path of the engine's that is none of its API
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


def _may_call(request: Request, options: Options, session: str) -> bool:
    if options.access_key:
        return _has_key(request.headers, options)
    if options.authentication == "session":
        return secrets.compare_digest(request.cookies.get("User-Token", "").encode(), session.encode())
    return bool(request.headers.get("Access-Key" if options.authentication == "access_key" else "X-FlowEngine-UserId"))


def _split(path: str, engine_url: str) -> tuple[str, str]:
    """The API root that a path is under, and the path below it."""
    if path.startswith(engine_url + "/"):
        below = path[len(engine_url) + 1 :]
        root = next((root for root in ROOTS if below.startswith(f"{root}/")), _NO_ROOT)
        return root, below.removeprefix(root)
    return (_NO_ENGINE if path.startswith(("/engine/", "/automl-engine/")) else GATEWAY), path


async def _read(request: Request, limit: int) -> bytes | None:
    """The body; None if it is too long: all of it is taken, so that the client gets to read the refusal."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks) if size <= limit else None


def _parse(body: bytes | None, limit: int) -> Any:
    if body is None:
        raise Refused(f"the body is too large; at most {limit} bytes are taken")
    if not body.strip():
        return None
    try:
        return json.loads(body, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from error


def _finite(text: str) -> float:
    """A number; not NaN, Infinity and 1e999, which JSON can't say back."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


class Gateway:
    """Answers every request that isn't for the control endpoints or the page.

    :param world: what there is.
    :param faults: what is to go wrong.
    :param files: where uploads go.
    :param session: what the cookie of a session holds.
    """

    def __init__(self, world: World, faults: Faults, files: Files, session: str) -> None:
        self.world = world
        self.options = world.options
        self.faults = faults
        self.files = files
        self.session = session

    async def __call__(self, request: Request) -> Response:
        """Answer one request: find the call, note it, do it, and let a fault strike."""
        root, path = _split(request.url.path, self.options.engine_url)
        query = dict(request.query_params)
        call, parts, elsewhere = find_call(self.options, root, request.method, path, query)
        name = call.name if call else "unknown"
        # A fault strikes a request that has arrived; of an upload, its first part has.
        raw = await _read(request, self.options.max_json_bytes) if name != "upload" else b""
        number = self._note(request, name, raw or b"")

        async def work() -> Response:
            if forbidden := self._forbidden(request, name):
                return forbidden
            if call is None:
                return self._nowhere(request, root, elsewhere)
            return await self._carry_out(request, call, Sent(root, parts, query), raw)

        fault = self.faults.strike(name)
        response = await (self._struck(fault, work) if fault else work())
        with self.world.lock:
            status = None if isinstance(response, Hangup) else response.status_code
            self.world.store.answer_call(number, status, f"{fault.kind} {fault.where}" if fault else "")
        return response

    async def _struck(self, fault: Fault, work: Callable[[], Awaitable[Response]]) -> Response:
        """Answer as a fault lets it, before or after the work is done."""
        if fault.kind != "slow":
            undone = json_answer(wire.envelope(self.options, {}))
            return broken(fault, await work() if fault.where == "after" else undone, self.options)
        if fault.where == "before":
            await asyncio.sleep(fault.seconds)
        response = await work()
        if fault.where == "after":
            await asyncio.sleep(fault.seconds)
        return response

    def _note(self, request: Request, name: str, raw: bytes) -> int:
        with self.world.lock:
            return self.world.store.add_call(
                self.world.clock.now(),
                name,
                request.method,
                request.url.path,
                request.url.query,
                json.dumps(dict(request.headers)),
                raw[:_LOGGED_BYTES].decode(errors="replace"),
            )

    def _forbidden(self, request: Request, name: str) -> Response | None:
        if self.options.login_wall:
            return login_page()
        if name != "session" and not _may_call(request, self.options, self.session):
            return json_answer(wire.envelope(self.options, None, 401, "未登录或登录已过期"), 401)
        return None

    def _nowhere(self, request: Request, root: str, elsewhere: bool) -> Response:
        path = request.url.path
        if root == _NO_ENGINE:
            return gateway_error(self.options.wrong_address)
        if elsewhere:
            return framework_error(405, path, f"Request method '{request.method}' not supported")
        return gateway_error(404) if root == GATEWAY else framework_error(404, path, "No message available")

    async def _carry_out(self, request: Request, call: Call, sent: Sent, raw: bytes | None) -> Response:
        try:
            if call.name == "upload":
                body: Any = await self._take_file(request, sent.path["slot"])
            else:
                body = _parse(raw, self.options.max_json_bytes)
            answer = carry_out(self.world, call, replace(sent, body=body))
        except BadRequest as error:
            return framework_error(400, request.url.path, str(error))
        except Refused as refusal:
            return json_answer(wire.envelope(self.options, None, wire.FAILURE, str(refusal)))
        refused = str(answer["status"]) != "0"
        response = json_answer(answer, 200 if refused else self.options.success_status)
        if call.name == "session" and answer["data"]:
            response.set_cookie("User-Token", self.session)
        return response

    async def _take_file(self, request: Request, slot: str) -> dict[str, Any]:
        """Keep the multipart field ``file``."""
        try:
            async with request.form() as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise BadRequest("Required request part 'file' is not present")
                limit, size, name = self.options.max_upload_bytes, file.size or 0, file.filename or ""
                if size > limit:
                    raise Refused(f"{name} has {size} bytes; at most {limit} are taken")
                path = await asyncio.to_thread(self.files.keep_upload, slot, name, file.file)
                return {"name": name, "path": str(path), "size": size}
        except HTTPException as error:
            raise BadRequest(str(error.detail)) from error


async def _no_such_control(request: Request, error: Exception) -> Response:
    """What is wrong with a control request, without what it brought: that may be Infinity, which JSON can't say."""
    errors = cast("RequestValidationError", error).errors()
    return json_answer({"detail": [{name: each[name] for name in ("loc", "msg")} for each in errors]}, 422)


def build_app(world: World, faults: Faults, files: Files, session: str, names: Sequence[str]) -> ASGIApp:
    """The whole emulator as an ASGI application for uvicorn.

    :param world: what there is.
    :param faults: what is to go wrong.
    :param files: where uploads go.
    :param session: what the cookie of a session holds.
    :param names: the hosts that requests may name, where only this machine can reach the emulator. Empty where others
        can: then the control endpoints need the access key too, if there is one.
    """
    app = FastAPI(openapi_url=None)  # the pages it makes of that load scripts from the network
    app.add_exception_handler(RequestValidationError, _no_such_control)
    app.state.world, app.state.faults, app.state.files = world, faults, files
    app.include_router(control_router)
    mount_page(app, world)
    app.add_route(
        "/{path:path}", Gateway(world, faults, files, session).__call__, methods=_METHODS, include_in_schema=False
    )
    if names:
        # A web page that makes its own name mean this machine (DNS rebinding) could otherwise start jobs here.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's `send` is a method of the request's cycle, and the cycle knows the connection: to reset it is no
        # part of ASGI.
        scope["flowengine.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        if not names and _is_guarded(scope["path"]) and not _has_key(Headers(scope=scope), world.options):
            await Response("the access key is missing, or another one\n", 401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return with_transport


def _is_guarded(path: str) -> bool:
    """Whether a path needs the access key though FlowEngine doesn't have it: all control but what signing in needs."""
    return path.startswith("/__control__/") and not path.startswith(("/__control__/page", "/__control__/engine"))


def _has_key(headers: Headers, options: Options) -> bool:
    given = headers.get("Access-Key", "")
    return not options.access_key or secrets.compare_digest(given.encode(), options.access_key.encode())
