"""The emulator over HTTP: a gateway, an engine behind it, and the control endpoints beside it."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import struct
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response

from . import wire
from .api import AUTOML, GATEWAY, KERNEL, BadRequest, Call, Sent, carry_out, find_call
from .control import router as control_router
from .definition import Refused
from .page import mount as mount_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .faults import Fault, Faults
    from .files import Files
    from .world import World

_LOGGED_BYTES = 64 * 2**10  # how much of a body the log keeps
_SESSION = "emulated-session"
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]


# Answers


def _json(content: wire.Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, "application/json;charset=UTF-8")


def _html(status: int, heading: str, headers: Mapping[str, str] | None = None) -> Response:
    page = f"<html><head><title>{heading}</title></head><body><center><h1>{heading}</h1></center></body></html>\n"
    return Response(page, status, headers, "text/html")


def _gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """What a gateway says that has no backend for a request (inference)."""
    return _html(status, f"{status} {HTTPStatus(status).phrase}", headers)


def _framework_error(status: int, path: str, message: str) -> Response:
    """What a Java web framework says by itself: FlowEngine's kernel is one such program (inference)."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    phrase = HTTPStatus(status).phrase
    return _json({"timestamp": moment, "status": status, "error": phrase, "message": message, "path": path}, status)


class _Hangup(Response):
    """No answer: the connection is reset after a while.

    :param seconds: how long the client waits for nothing first.
    :param partial: bytes that go out before; then the connection is closed in order.
    """

    def __init__(self, seconds: float = 0, partial: bytes = b"") -> None:
        super().__init__()
        self._seconds = seconds
        self._partial = partial

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self._seconds)
        transport = cast("asyncio.Transport", scope["flowengine.transport"])
        if self._partial:
            transport.write(self._partial)
            transport.close()
        else:
            # Linger of 0 s: the kernel sends RST in place of FIN.
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


def _broken(fault: Fault, response: Response, world: World) -> Response:
    """The answer that a fault makes of the right one."""
    body = bytes(response.body)
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else None
    match fault.kind:
        case "status":
            return _gateway_error(fault.status, headers)
        case "html":
            return _html(200, "登录 FlowEngine")
        case "redirect":
            return Response("", 302, {"Location": fault.location})
        case "reset":
            return _Hangup()
        case "hang":
            return _Hangup(fault.seconds)
        case "truncated":
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            return _Hangup(partial=head.encode() + body[: len(body) // 2])
        case "broken_json":
            return Response(body[: len(body) // 2], 200, None, "application/json")
        case "envelope":
            return _json(wire.envelope(world.options, None, wire.FAILURE, fault.msg))
        case "slow":
            return response


# Requests


def _may_call(request: Request, world: World) -> bool:
    options = world.options
    if options.authentication == "session":
        return request.cookies.get("User-Token") == _SESSION
    key = request.headers.get("Access-Key", "")
    if options.access_key or options.authentication == "access_key":
        return bool(key) and key == (options.access_key or key)
    return bool(request.headers.get("X-FlowEngine-UserId"))


def _split(path: str, engine_url: str) -> tuple[str, str] | None:
    """The API root of a path and the path below it; None where the gateway has no engine."""
    if path.startswith(engine_url + "/"):
        below = path[len(engine_url) :]
        for root in (KERNEL, AUTOML):
            if below.startswith(f"/{root}/"):
                return root, below[len(root) + 1 :]
        return KERNEL, below
    return None if path.startswith(("/engine/", "/automl-engine/")) else (GATEWAY, path)


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
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"JSON parse error: {error}") from error


class Gateway:
    """Answers every request that isn't for the control endpoints or the page.

    :param world: what there is.
    :param faults: what is to go wrong.
    :param files: where uploads go.
    """

    def __init__(self, world: World, faults: Faults, files: Files) -> None:
        self.world = world
        self.faults = faults
        self.files = files

    async def __call__(self, request: Request) -> Response:
        """Answer one request: find the call, note it, do it, and let faults strike."""
        split = _split(request.url.path, self.world.options.engine_url)
        root, path = split or (GATEWAY, "")
        query = dict(request.query_params)
        call, parts, elsewhere = find_call(self.world.options, root, request.method, path, query)
        name = call.name if call else "unknown"
        # A fault strikes a request that has arrived; of an upload, its first part has.
        raw = await _read(request, self.world.options.max_json_bytes) if name != "upload" else b""
        number = self._note(request, name, raw or b"")
        fault = self.faults.strike(name)
        if fault and fault.where == "before" and fault.kind != "slow":
            response = _broken(fault, _json(wire.envelope(self.world.options, {})), self.world)
        else:
            if fault and fault.where == "before":
                await asyncio.sleep(fault.seconds)
            response = self._forbidden(request, name) or (
                await self._work(request, call, Sent(root, parts, query), raw)
                if call
                else self._nowhere(request, split is None, root, elsewhere)
            )
            if fault and fault.where == "after":
                await asyncio.sleep(fault.seconds if fault.kind == "slow" else 0)
                response = _broken(fault, response, self.world)
        with self.world.lock:
            status = None if isinstance(response, _Hangup) else response.status_code
            self.world.store.answer_call(number, status, f"{fault.kind} {fault.where}" if fault else "")
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
        options = self.world.options
        if options.login_wall:
            return _html(200, "登录 FlowEngine")
        if name != "session" and not _may_call(request, self.world):
            return _json(wire.envelope(options, None, 401, "未登录或登录已过期"), 401)
        return None

    def _nowhere(self, request: Request, no_engine: bool, root: str, elsewhere: bool) -> Response:
        path = request.url.path
        if no_engine:
            return _gateway_error(self.world.options.wrong_address)
        if elsewhere:
            return _framework_error(405, path, f"Request method '{request.method}' not supported")
        return _framework_error(404, path, "No message available") if root else _gateway_error(404)

    async def _work(self, request: Request, call: Call, sent: Sent, raw: bytes | None) -> Response:
        world = self.world
        try:
            if call.name == "upload":
                body: Any = await self._take_file(request, sent.path["slot"])
            else:
                body = _parse(raw, world.options.max_json_bytes)
            sent = Sent(sent.root, sent.path, sent.query, body)
            response = _json(carry_out(world, call, sent))
        except BadRequest as error:
            return _framework_error(400, request.url.path, str(error))
        except Refused as refusal:
            return _json(wire.envelope(world.options, None, wire.FAILURE, str(refusal)))
        if call.name == "session" and json.loads(bytes(response.body))["data"]:
            response.set_cookie("User-Token", _SESSION)
        return response

    async def _take_file(self, request: Request, slot: str) -> dict[str, Any]:
        """Keep the multipart field ``file``."""
        try:
            async with request.form() as form:
                file = form.get("file")
                if not isinstance(file, UploadFile):
                    raise BadRequest("Required request part 'file' is not present")
                limit, size, name = self.world.options.max_upload_bytes, file.size or 0, file.filename or ""
                if size > limit:
                    raise Refused(f"{name} has {size} bytes; at most {limit} are taken")
                path = await asyncio.to_thread(self.files.keep_upload, slot, name, file.file)
                return {"name": name, "path": str(path), "size": size}
        except HTTPException as error:
            raise BadRequest(str(error.detail)) from error


def build_app(world: World, faults: Faults, files: Files, names: Sequence[str]) -> ASGIApp:
    """The whole emulator as an ASGI application for uvicorn.

    :param world: what there is.
    :param faults: what is to go wrong.
    :param files: where uploads go.
    :param names: the hosts that requests may name, where only this machine can reach the emulator. Empty where others
        can: then the control endpoints need the access key too, if there is one.
    """
    app = FastAPI(title="FlowEngine emulator", docs_url="/__control__/docs", openapi_url="/__control__/openapi.json")
    app.state.world, app.state.faults = world, faults
    app.include_router(control_router)
    mount_page(app, world)
    app.add_route("/{path:path}", Gateway(world, faults, files).__call__, methods=_METHODS, include_in_schema=False)
    if names:
        # A web page that makes its own name mean this machine (DNS rebinding) could otherwise start jobs here.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's `send` is a method of the request's cycle, and the cycle knows the connection: to reset it is no
        # part of ASGI.
        scope["flowengine.transport"] = getattr(getattr(send, "__self__", None), "transport", None)
        if not names and _is_guarded(scope["path"]) and not _has_key(scope, world):
            await Response("the access key is missing, or another one\n", 401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return with_transport


def _is_guarded(path: str) -> bool:
    """Whether a path needs the access key though FlowEngine doesn't have it: all control but what signing in needs."""
    return path.startswith("/__control__/") and not path.startswith(("/__control__/page", "/__control__/engine"))


def _has_key(scope: Scope, world: World) -> bool:
    given = Headers(scope=scope).get("Access-Key", "")
    return not world.options.access_key or secrets.compare_digest(given.encode(), world.options.access_key.encode())
