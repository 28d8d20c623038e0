"""
Answers in: HTTP's own outcome, the envelope ``{"status", "msg", "data"}``, and every odd thing that comes instead.

``status`` is ``0`` (the vendor's API page) or ``"0"`` (the vendor's older client, clients in the wild) on success; any
other value is a refusal whose reason is ``msg``, with HTTP 200 all the same. A gateway that lost its backend answers
with HTML or plain text, a login wall with HTML and 200 (inference).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.endpoints import Call, Json

EXCERPT_CHARACTERS = 500
_NOT_TAKEN = (429, 503)
_MOVED = (301, 307, 308)
"""Redirects that want the same call elsewhere, so it wasn't taken; others may come after it was. Source: RFC 9110."""
_UNAVAILABLE = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Response:
    """
    What came back for one request.

    :param status: the HTTP status.
    :param body: the body's bytes.
    :param headers: the headers, their names in lower case.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def server_time(self) -> datetime | None:
        """What the server's clock said, from its ``Date`` header; None where it sent none."""
        return parse_date(self.headers.get("date", ""))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait (``Retry-After``, as seconds or as a date); None where it doesn't."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        moment = parse_date(value)
        return max(0.0, (moment - (self.server_time or datetime.now(UTC))).total_seconds()) if moment else None


def parse_date(text: str) -> datetime | None:
    """Return the moment that a header such as ``Date`` names; None where it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def transport_error(call: Call, reason: str, *, taken: bool | None) -> ServiceUnavailableError:
    """
    Build the error about a call that had no answer at all.

    :param call: the call.
    :param reason: what the transport says, e.g. ``"connection refused by gw.example.com:31101"``.
    :param taken: False when the server surely didn't take the call, None when that can't be known.
    """
    reason = re.sub(r"//[^/@\s]*@", "//***@", reason)  # the transport's words may name a proxy with its password
    hint = ""
    if re.search("ssl|certificate", reason, re.IGNORECASE):
        hint = (
            " Check the connection's schema (http or https), its port, and verify, which takes the path of a CA bundle."
        )
    elif taken is False:
        hint = " Check the connection's host and port, and that FlowEngine is up."
    return ServiceUnavailableError(f"Could not {call.name}: {call.redact(reason)}.{hint}", call=call, taken=taken)


def excerpt(call: Call, body: bytes) -> str:
    """Return the first 500 characters of the answer to a call, secrets masked and white space folded."""
    text = body[: EXCERPT_CHARACTERS * 8].decode("utf-8", "replace")
    return " ".join(call.redact(text).split())[:EXCERPT_CHARACTERS]


def unexpected_response(
    call: Call, expected: str, came: object, *, http_status: int | None = None
) -> UnexpectedResponseError:
    """
    Build the error about an answer that was read but doesn't hold what it should.

    :param call: the call that was answered.
    :param expected: what was expected, e.g. ``"a list of runs"``.
    :param came: what came instead; its first 500 characters are quoted, secrets masked.
    :param http_status: the HTTP status, where it says something.
    """
    try:
        quoted = came if isinstance(came, str) else json.dumps(came, ensure_ascii=False, default=str)
    except RecursionError:
        quoted = "JSON that is nested too deeply"
    quoted = call.redact(quoted)[:EXCERPT_CHARACTERS]
    return UnexpectedResponseError(
        f"Could not {call.name}: expected {expected}, but the answer to {call.method} {call.path} was: {quoted}",
        call=call,
        http_status=http_status,
        excerpt=quoted,
    )


def read(call: Call, answer: Response) -> dict[str, Json]:
    """
    Return the whole JSON object of a good answer; its ``data`` is for :mod:`.models` to read.

    :param call: the call that was answered.
    :param answer: what came back.
    :raises ServiceUnavailableError: when the server or a gateway was unable to answer (408, 425, 429, 5xx).
    :raises AccessDeniedError: on HTTP 401 and 403.
    :raises RequestRejectedError: on another 4xx, an envelope whose status isn't 0, or a redirected change.
    :raises UnexpectedResponseError: when the answer isn't a JSON object with a status.
    """
    where = f"{call.method} {call.path}"
    content = _json_object(answer.body)
    if answer.status >= 500 or answer.status in _UNAVAILABLE:
        raise ServiceUnavailableError(
            f"Could not {call.name}: {where} answered HTTP {answer.status}: {excerpt(call, answer.body) or 'nothing'}.",
            call=call,
            taken=False if answer.status in _NOT_TAKEN else None,
            retry_after=answer.retry_after,
            http_status=answer.status,
        )
    if answer.status >= 400:
        raise _refused_by_http(call, answer, content)
    if not 200 <= answer.status < 300:
        target = call.redact(answer.headers.get("location", "nowhere"))
        if answer.status in _MOVED and call.method != "GET":
            raise RequestRejectedError(
                f"FlowEngine's gateway refused to {call.name}: {where} answered HTTP {answer.status}, a redirect to "
                f"{target}. Only reads follow redirects; set the connection's schema and host so that none is needed.",
                call=call,
                msg=f"a redirect to {target}",
                http_status=answer.status,
            )
        raise UnexpectedResponseError(
            f"Could not {call.name}: {where} answered HTTP {answer.status}, a redirect to {target}. Redirects to "
            "another host are not followed, since credentials would go there; set the right host in the connection.",
            call=call,
            http_status=answer.status,
            excerpt=excerpt(call, answer.body),
        )
    if content is None:
        text = excerpt(call, answer.body)
        hint = (
            " It is a web page: a login wall, or a proxy's own page? Check the connection's host, port and credentials."
            if text[:200].lstrip().lower().startswith(("<!doctype", "<html", "<head", "<?xml", "<body"))
            else ""
        )
        raise UnexpectedResponseError(
            f"Could not {call.name}: expected a JSON object with status, msg and data, but {where} answered HTTP "
            f"{answer.status} with: {text or 'nothing'}.{hint}",
            call=call,
            http_status=answer.status,
            excerpt=text,
        )
    status = content.get("status")
    if status is None and call.has_envelope:
        raise unexpected_response(
            call, "a JSON object with a status", excerpt(call, answer.body), http_status=answer.status
        )
    # A bare answer to the handshake may have a status of its own, which is the engine's and not the envelope's.
    refused = status is not None and str(status).strip() != "0"
    if refused and (call.has_envelope or not {"url", "engineId"} & content.keys()):
        msg, word = (call.redact(_text(content.get(name))) for name in ("msg", "status"))
        raise RequestRejectedError(
            f"FlowEngine refused to {call.name}: {msg or 'it gave no reason'} (status {word}, {where})",
            call=call,
            status=status if isinstance(status, int | str) else str(status),
            msg=msg,
            http_status=answer.status,
        )
    return content


def _refused_by_http(call: Call, answer: Response, content: dict[str, Json] | None) -> RequestRejectedError:
    msg = call.redact(_text((content or {}).get("msg"))) or excerpt(call, answer.body)
    denied = answer.status in (401, 403)
    hint = " Check the connection's login (user id) and password (access key)." if denied else ""
    status = (content or {}).get("status")
    return (AccessDeniedError if denied else RequestRejectedError)(
        f"FlowEngine refused to {call.name}: {call.method} {call.path} answered HTTP {answer.status}: "
        f"{msg or 'it gave no reason'}.{hint}",
        call=call,
        status=status if isinstance(status, int | str) else None,
        msg=msg,
        http_status=answer.status,
    )


def _json_object(body: bytes) -> dict[str, Json] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _text(value: Json) -> str:
    return "" if value is None else str(value)
