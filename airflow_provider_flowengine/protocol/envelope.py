"""
Answers in: HTTP's own outcome, the envelope ``{"status", "msg", "data"}``, and every odd thing that comes instead.

``status`` is ``0`` (the vendor's API page) or ``"0"`` (the vendor's older client, clients in the wild) on success; any
other value is a refusal whose reason is ``msg``, with HTTP 200 all the same. A gateway that lost its backend answers
with HTML or plain text, a login wall with HTML and 200 (inference).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.http import (
    DENIED_STATUSES,
    UNAVAILABLE_STATUSES,
    UNPROCESSED_REDIRECTS,
    UNPROCESSED_STATUSES,
)

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json, JsonObject, Request, Response

EXCERPT_CHARACTERS = 500


def transport_error(request: Request, reason: str, *, taken: bool | None) -> ServiceUnavailableError:
    """
    Build the error about a call that had no answer at all.

    :param request: the request.
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
    return ServiceUnavailableError(
        f"Could not {request.name}: {request.redact(reason)}.{hint}", request=request, taken=taken
    )


def excerpt(request: Request, body: bytes) -> str:
    """Return the first 500 characters of the answer to a call, secrets masked and white space folded."""
    text = body[: EXCERPT_CHARACTERS * 8].decode("utf-8", "replace")
    return " ".join(request.redact(text).split())[:EXCERPT_CHARACTERS]


def unexpected_response(
    request: Request, expected: str, came: object, *, http_status: int | None = None
) -> UnexpectedResponseError:
    """
    Build the error about an answer that was read but doesn't hold what it should.

    :param request: the request that was answered.
    :param expected: what was expected, e.g. ``"a list of runs"``.
    :param came: what came instead; its first 500 characters are quoted, secrets masked.
    :param http_status: the HTTP status, where it says something.
    """
    try:
        quoted = came if isinstance(came, str) else json.dumps(came, ensure_ascii=False, default=str)
    except RecursionError:
        quoted = "JSON that is nested too deeply"
    quoted = request.redact(quoted)[:EXCERPT_CHARACTERS]
    return UnexpectedResponseError(
        f"Could not {request.name}: expected {expected}, but the answer to {request.method} {request.path} was: "
        f"{quoted}",
        request=request,
        http_status=http_status,
        excerpt=quoted,
    )


def parse_envelope(request: Request, response: Response) -> JsonObject:
    """
    Return the whole JSON object of a good answer; its ``data`` is for :mod:`.reply` to read.

    :param request: the request that was answered.
    :param response: what came back.
    :raises ServiceUnavailableError: when the server or a gateway was unable to answer (408, 425, 429, 5xx).
    :raises AccessDeniedError: on HTTP 401 and 403.
    :raises RequestRejectedError: on another 4xx, an envelope whose status isn't 0, or a redirected change.
    :raises UnexpectedResponseError: when the answer isn't a JSON object with a status.
    """
    where = f"{request.method} {request.path}"
    content = _json_object(response.body)
    if response.status >= 500 or response.status in UNAVAILABLE_STATUSES:
        raise ServiceUnavailableError(
            f"Could not {request.name}: {where} answered HTTP {response.status}: "
            f"{excerpt(request, response.body) or 'nothing'}.",
            request=request,
            taken=False if response.status in UNPROCESSED_STATUSES else None,
            retry_after=response.retry_after,
            http_status=response.status,
        )
    if response.status >= 400:
        raise _refused_by_http(request, response, content)
    if not 200 <= response.status < 300:
        target = request.redact(response.headers.get("location", "nowhere"))
        if response.status in UNPROCESSED_REDIRECTS and request.method != "GET":
            raise RequestRejectedError(
                f"FlowEngine's gateway refused to {request.name}: {where} answered HTTP {response.status}, a redirect "
                f"to {target}. Only reads follow redirects; set the connection's schema and host so that none is "
                "needed.",
                request=request,
                msg=f"a redirect to {target}",
                http_status=response.status,
            )
        raise UnexpectedResponseError(
            f"Could not {request.name}: {where} answered HTTP {response.status}, a redirect to {target}. Redirects to "
            "another host are not followed, since credentials would go there; set the right host in the connection.",
            request=request,
            http_status=response.status,
            excerpt=excerpt(request, response.body),
        )
    if content is None:
        text = excerpt(request, response.body)
        hint = (
            " It is a web page: a login wall, or a proxy's own page? Check the connection's host, port and credentials."
            if text[:200].lstrip().lower().startswith(("<!doctype", "<html", "<head", "<?xml", "<body"))
            else ""
        )
        raise UnexpectedResponseError(
            f"Could not {request.name}: expected a JSON object with status, msg and data, but {where} answered HTTP "
            f"{response.status} with: {text or 'nothing'}.{hint}",
            request=request,
            http_status=response.status,
            excerpt=text,
        )
    status = content.get("status")
    if status is None and request.has_envelope:
        raise unexpected_response(
            request, "a JSON object with a status", excerpt(request, response.body), http_status=response.status
        )
    # A bare answer to the handshake may have a status of its own, which is the engine's and not the envelope's.
    refused = status is not None and str(status).strip() != "0"
    if refused and (request.has_envelope or not {"url", "engineId"} & content.keys()):
        msg, word = (request.redact(_text(content.get(name))) for name in ("msg", "status"))
        raise RequestRejectedError(
            f"FlowEngine refused to {request.name}: {msg or 'it gave no reason'} (status {word}, {where})",
            request=request,
            status=status if isinstance(status, int | str) else str(status),
            msg=msg,
            http_status=response.status,
        )
    return content


def _refused_by_http(request: Request, response: Response, content: JsonObject | None) -> RequestRejectedError:
    msg = request.redact(_text((content or {}).get("msg"))) or excerpt(request, response.body)
    denied = response.status in DENIED_STATUSES
    hint = " Check the connection's login (user id) and password (access key)." if denied else ""
    status = (content or {}).get("status")
    return (AccessDeniedError if denied else RequestRejectedError)(
        f"FlowEngine refused to {request.name}: {request.method} {request.path} answered HTTP {response.status}: "
        f"{msg or 'it gave no reason'}.{hint}",
        request=request,
        status=status if isinstance(status, int | str) else None,
        msg=msg,
        http_status=response.status,
    )


def _json_object(body: bytes) -> JsonObject | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _text(value: Json) -> str:
    return "" if value is None else str(value)
