"""HTTP responses: FlowEngine's own, those of the gateway and the web framework around it, and broken ones."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from datetime import UTC, datetime
from http.client import responses
from typing import TYPE_CHECKING, cast

from starlette.responses import Response

from . import serialization

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from .faults import Fault
    from .options import Options


def json_answer(content: serialization.Json, status: int = 200) -> Response:
    """
    Return JSON as FlowEngine sends it.

    :param content: the content.
    :param status: the HTTP status.
    """
    return Response(encode_json(content), status, media_type="application/json;charset=UTF-8")


def encode_json(content: serialization.Json) -> bytes:
    """
    Return a value as JSON in UTF-8; half of a surrogate pair, which UTF-8 cannot hold, becomes a question mark.

    :param content: the value.
    """
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")


def html(status: int, heading: str, headers: Mapping[str, str] | None = None) -> Response:
    """
    Return a page of HTML.

    :param status: the HTTP status.
    :param heading: its only text.
    :param headers: more headers.
    """
    page = f"<html><head><title>{heading}</title></head><body><center><h1>{heading}</h1></center></body></html>\n"
    return Response(page, status, headers, "text/html")


def gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """
    Return a gateway's or a proxy's own error (inference).

    :param status: the HTTP status.
    :param headers: more headers.
    """
    return html(status, f"{status} {responses.get(status, 'Error')}", headers)


def no_backend(status: int, method: str) -> Response:
    """
    Return the gateway's answer to a request for which it has no backend.

    A stock one hands it to the web UI, an nginx with static files: 404 to reads and POST, 405 to the methods that those
    don't know (Source: the vendor's release files, tried with the nginx that they hold).

    :param status: 404 for a stock gateway; another one may answer otherwise.
    :param method: the request's method.
    """
    return gateway_error(405 if status == 404 and method in ("PUT", "DELETE", "PATCH", "OPTIONS") else status)


def framework_error(status: int, path: str, message: str) -> Response:
    """
    Return a Java web framework's own error: FlowEngine's kernel is such a program (inference).

    :param status: the HTTP status.
    :param path: the request's path.
    :param message: what is wrong.
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    error = {"timestamp": moment, "status": status, "error": responses[status], "message": message, "path": path}
    return json_answer(error, status)


def login_page() -> Response:
    """Return a login wall: HTML with status 200 (inference)."""
    return html(200, "登录 FlowEngine")


class ConnectionDropped(Response):
    """
    No answer: the connection is reset after a while.

    :param seconds: how long the client waits before that.
    :param partial: bytes that are sent first; then the connection is closed and not reset.
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


def apply_fault(fault: Fault, response: Response, options: Options) -> Response:
    """
    Return the answer as a fault changes it.

    :param fault: the fault.
    :param response: the right answer.
    :param options: how FlowEngine answers.
    """
    match fault.kind:
        case "status":
            return gateway_error(fault.status, {"Retry-After": fault.retry_after} if fault.retry_after else None)
        case "html":
            return login_page()
        case "redirect":
            return Response("", 302, {"Location": fault.location})
        case "reset":
            return ConnectionDropped()
        case "hang":
            return ConnectionDropped(fault.seconds)
        case "truncated":
            return _truncated(bytes(response.body))
        case "broken_json":
            return Response(response.body[: len(response.body) // 2], 200, None, "application/json")
        case "envelope":
            return json_answer(serialization.envelope(options, None, serialization.FAILURE, fault.msg))
    return response  # slow, or away


def _truncated(body: bytes) -> ConnectionDropped:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return ConnectionDropped(partial=head.encode() + body[: len(body) // 2])
