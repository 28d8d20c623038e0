"""HTTP answers: FlowEngine's own, those of the gateway and the web framework around it, and broken ones."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from starlette.responses import Response

from . import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from .faults import Fault
    from .options import Options


def json_answer(content: wire.Json, status: int = 200) -> Response:
    """JSON as FlowEngine sends it.

    :param content: what it says.
    :param status: the HTTP status.
    """
    # Half of a surrogate pair, which JSON may hold, becomes a question mark: UTF-8 has no place for it.
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(errors="replace")
    return Response(body, status, media_type="application/json;charset=UTF-8")


def html(status: int, heading: str, headers: Mapping[str, str] | None = None) -> Response:
    """A page of HTML.

    :param status: the HTTP status.
    :param heading: all that it says.
    :param headers: more headers.
    """
    page = f"<html><head><title>{heading}</title></head><body><center><h1>{heading}</h1></center></body></html>\n"
    return Response(page, status, headers, "text/html")


def gateway_error(status: int, headers: Mapping[str, str] | None = None) -> Response:
    """What a gateway says that has no backend for a request (inference).

    :param status: the HTTP status.
    :param headers: more headers.
    """
    return html(status, f"{status} {HTTPStatus(status).phrase}", headers)


def framework_error(status: int, path: str, message: str) -> Response:
    """What a Java web framework says by itself: FlowEngine's kernel is one such program (inference).

    :param status: the HTTP status.
    :param path: the request's path.
    :param message: what is wrong.
    """
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    phrase = HTTPStatus(status).phrase
    return json_answer(
        {"timestamp": moment, "status": status, "error": phrase, "message": message, "path": path}, status
    )


def login_page() -> Response:
    """A login wall: HTML with status 200 (inference)."""
    return html(200, "登录 FlowEngine")


class Hangup(Response):
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


def broken(fault: Fault, response: Response, options: Options) -> Response:
    """The answer that a fault makes of the right one.

    :param fault: what goes wrong.
    :param response: the right answer.
    :param options: how FlowEngine answers.
    """
    body = bytes(response.body)
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else None
    match fault.kind:
        case "status":
            return gateway_error(fault.status, headers)
        case "html":
            return login_page()
        case "redirect":
            return Response("", 302, {"Location": fault.location})
        case "reset":
            return Hangup()
        case "hang":
            return Hangup(fault.seconds)
        case "truncated":
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            return Hangup(partial=head.encode() + body[: len(body) // 2])
        case "broken_json":
            return Response(body[: len(body) // 2], 200, None, "application/json")
        case "envelope":
            return json_answer(wire.envelope(options, None, wire.FAILURE, fault.msg))
        case "slow":
            return response
