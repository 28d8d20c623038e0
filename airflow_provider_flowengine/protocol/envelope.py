"""
Answers in: HTTP's own outcome, the envelope ``{"status", "msg", "data"}``, and every odd thing that comes instead.

``status`` is ``0`` (the vendor's API page) or ``"0"`` (the vendor's older client, clients in the wild) on success; any
other value is a refusal whose reason is ``msg``, with HTTP 200 all the same. A gateway that lost its backend answers
with HTML or plain text, a login wall with HTML and 200 (inference).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_flowengine.protocol.content import decode, storable
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.http import (
    DENIED_STATUSES,
    UNAUTHENTICATED_STATUSES,
    UNAVAILABLE_STATUSES,
    UNPROCESSED_REDIRECTS,
)

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json, JsonObject, Request, Response

EXCERPT_CHARACTERS = 500

_HINTS = {
    r"wrong.version.number|record layer|unknown protocol|unexpected.eof|packet length": (
        "The server does not speak TLS there: check the connection's Scheme (http or https) and Port."
    ),
    r"certificate": "Check the connection's Gateway (host), or give the path of a CA bundle in Verify TLS (verify).",
    # An alert of TLS, as it came or as Python shows it; or what a server answers that expects TLS.
    r"\x15\x03|\\x15\\x03|HTTP/0\.9|HTTPS (?:server|port)": (
        "The server expects TLS: set the connection's Scheme to https."
    ),
    r"proxy|socks": "Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment of Airflow's workers.",
    r"\bssl|\btls": "Check the connection's Scheme (http or https), Port and Verify TLS (verify).",
    r"^the connection broke": "If this happens each time, the server may expect TLS: check the connection's Scheme.",
    r"^no complete answer within": "Raise the connection's Timeout (timeout) if this FlowEngine is slow.",
}
"""What to do, by what the reason of a failure says; the first that matches."""

MAX_CONTAINERS = 1_000_000
"""Lists and objects that an answer may hold at most: 32 MiB of small ones would fill a gigabyte of memory."""

_NUL = "\\u0000"
_ANY_ESCAPE = re.compile(r"\\(?:u0000|.)", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_WEB_PAGE = re.compile(r"\s*<(?:!doctype|html|head|\?xml|body)", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>\s*([^<]+?)\s*</title", re.IGNORECASE)


def transport_error(request: Request, reason: str, *, may_have_been_processed: bool) -> ServiceUnavailableError:
    """
    Build the error about a request that had no answer at all.

    :param request: the request.
    :param reason: what the transport says, e.g. ``"connection refused"``.
    :param may_have_been_processed: False if the server surely did not process the request.
    """
    reason = re.sub(r"//[^@\s]*@", "//***@", reason)  # the transport's words may name a proxy with its password
    hint = hint_for(reason)
    if not hint and not may_have_been_processed:
        hint = "Check the connection's Gateway (host) and Port, and that FlowEngine is up."
    return ServiceUnavailableError(
        f"Could not {request.name}: {request.redact(reason)}. {hint}".rstrip() + f" ({_where(request)})",
        request=request,
        may_have_been_processed=may_have_been_processed,
    )


def hint_for(reason: str) -> str:
    """Return what to do about a failure, by its reason; empty if that is unknown."""
    return next((hint for words, hint in _HINTS.items() if re.search(words, reason, re.IGNORECASE)), "")


def excerpt(request: Request, response: Response) -> str:
    """Return the first 500 characters of a response, secrets masked and white space folded."""
    text = _text(response, EXCERPT_CHARACTERS * 16)
    folded = " ".join(request.redact(text).split())
    return request.redact(folded)[:EXCERPT_CHARACTERS]  # again: a secret with a space may have been wrapped at it


def _text(response: Response, limit: int | None = None) -> str:
    return decode(response.body, response.headers.get("content-type", ""), limit)


def _reason(request: Request, response: Response) -> str:
    """Return what a response says of a failure: of a web page its title, since the rest is markup."""
    text = excerpt(request, response)
    title = _TITLE.search(text) if _WEB_PAGE.match(text) else None
    return f"a web page, {title[1]!r}" if title else text


def unexpected_response(
    request: Request, expected: str, came: Json, *, http_status: int | None = None
) -> UnexpectedResponseError:
    """
    Build the error about an answer that was read but doesn't hold what it should.

    :param request: the request that was answered.
    :param expected: what was expected, e.g. ``"a list of runs"``.
    :param came: what came instead; its first 500 characters are quoted, secrets masked.
    :param http_status: the HTTP status, where it says something.
    """
    try:
        quoted = came if isinstance(came, str) else json.dumps(came, ensure_ascii=False)
    except RecursionError:
        quoted = "JSON that is nested too deeply"
    quoted = request.redact(quoted)[:EXCERPT_CHARACTERS]
    return UnexpectedResponseError(
        f"Could not {request.name}: expected {expected}, but the answer was: {quoted} ({_where(request)})",
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
    content = json_object(response)
    if response.status >= 500 or response.status in UNAVAILABLE_STATUSES:
        _raise_unavailable(request, response)
    if response.status >= 400:
        _raise_rejected(request, response, content)
    if response.status >= 300:
        _raise_redirected(request, response)
    if response.status < 200 or content is None:
        _raise_unreadable(request, response)
    _check_status(request, response, content)
    return content


def _raise_unavailable(request: Request, response: Response) -> NoReturn:
    reason = _reason(request, response) or "no reason given"
    raise ServiceUnavailableError(
        f"Could not {request.name}: HTTP {response.status}, {reason} ({_where(request)})",
        request=request,
        retry_after=response.retry_after,
        http_status=response.status,
    )


def _raise_rejected(request: Request, response: Response, content: JsonObject | None) -> NoReturn:
    is_denied = response.status in DENIED_STATUSES
    is_from_proxy = content is None and bool(response.body.strip())
    content = content or {}
    msg = request.redact(text_of(content.get("msg"))) or _reason(request, response)
    hint = "Check the connection's User id (login) and Access key (password)." if is_denied else hint_for(msg)
    raise (AccessDeniedError if is_denied else RequestRejectedError)(
        f"FlowEngine refused to {request.name}: {msg or 'it gave no reason'}. {hint}".rstrip()
        + f" (HTTP {response.status}, {_where(request)})",
        request=request,
        status=_status_of(request, content),
        msg=msg,
        http_status=response.status,
        may_have_been_processed=is_from_proxy and response.status not in UNAUTHENTICATED_STATUSES,
    )


def _raise_redirected(request: Request, response: Response) -> NoReturn:
    target = request.redact(response.headers.get("location", "nowhere"))[:EXCERPT_CHARACTERS]
    where = f"HTTP {response.status}, {_where(request)}"
    if response.status in UNPROCESSED_REDIRECTS and request.method != "GET":
        raise RequestRejectedError(
            f"FlowEngine's gateway refused to {request.name}: it redirects to {target}, and only reads follow "
            f"redirects. Set the connection's Scheme and Gateway (host) so that none is needed. ({where})",
            request=request,
            msg=f"a redirect to {target}",
            http_status=response.status,
        )
    raise UnexpectedResponseError(
        f"Could not {request.name}: the answer is a redirect to {target}. Redirects to another host are not followed, "
        f"since credentials would go there: set the right Gateway (host) in the connection. ({where})",
        request=request,
        http_status=response.status,
        excerpt=excerpt(request, response),
    )


def _raise_unreadable(request: Request, response: Response) -> NoReturn:
    text = excerpt(request, response)
    hint = ""
    if _holds_too_many(_text(response)):
        hint = f" An answer may hold at most {MAX_CONTAINERS:,} lists and objects."
    if _WEB_PAGE.match(text):
        hint = (
            " It is a web page: a login page, or a proxy's own? Check the connection's Gateway (host), Port, User id"
            " and Access key."
        )
    raise UnexpectedResponseError(
        f"Could not {request.name}: expected a JSON object with status, msg and data, but the answer was: "
        f"{text or 'nothing'}.{hint} (HTTP {response.status}, {_where(request)})",
        request=request,
        http_status=response.status,
        excerpt=text,
    )


def _check_status(request: Request, response: Response, content: JsonObject) -> None:
    """Raise the refusal that an envelope tells."""
    status = content.get("status")
    if not request.has_envelope and (status is None or {"url", "engineId"} & content.keys()):
        return  # a bare answer to the handshake may have a status of its own, which is the engine's
    if not _says_something(status):
        raise unexpected_response(
            request, "a JSON object with a status", excerpt(request, response), http_status=response.status
        )
    if _is_zero(status):
        return
    msg = request.redact(text_of(content.get("msg")))
    raise RequestRejectedError(
        f"FlowEngine refused to {request.name}: {msg or 'it gave no reason'} (status {_status_of(request, content)}, "
        f"{_where(request)})",
        request=request,
        status=_status_of(request, content),
        msg=msg,
        http_status=response.status,
    )


def _status_of(request: Request, content: JsonObject) -> int | str | None:
    """Return the status that an error carries, secrets masked; None if it says nothing."""
    status = content.get("status")
    if not _says_something(status):
        return None
    return status if isinstance(status, int) else request.redact(str(status))


def _says_something(status: Json) -> bool:
    """Whether a status is a number or text; of any other it isn't known if the request was processed."""
    is_kind = isinstance(status, str | int | float) and not isinstance(status, bool)
    return is_kind and str(status).strip() not in ("", "nan")


def _is_zero(status: Json) -> bool:
    try:
        return float(str(status)) == 0
    except ValueError:
        return False


def _where(request: Request) -> str:
    return f"{request.method} {request.redact(request.path)}"


def json_object(response: Response) -> JsonObject | None:
    """Return the JSON object that a response is; None if it is none."""
    text = _text(response)
    if _holds_too_many(text):
        return None
    try:
        content = _load(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _holds_too_many(text: str) -> bool:
    """Whether JSON may hold too many lists and objects: what opens one may also stand in a text."""
    return text.count("{") + text.count("[") > MAX_CONTAINERS


def _load(text: str) -> Json:
    """Parse JSON, whose escapes can hold NUL and half a surrogate pair."""
    if _NUL in text:
        text = _ANY_ESCAPE.sub(lambda escape: escape[0].replace(_NUL, "\ufffd"), text)
    content: Json = json.loads(text)
    if _SURROGATE_ESCAPE.search(text):
        content = json.loads(storable(json.dumps(content, ensure_ascii=False)))
    return content


def is_web_page(response: Response) -> bool:
    """Whether a response is a page for a browser: a login page, or a proxy's own."""
    return bool(_WEB_PAGE.match(_text(response, 512)))


def text_of(value: Json) -> str:
    """Return a value as text; empty for None."""
    return "" if value is None else str(value)
