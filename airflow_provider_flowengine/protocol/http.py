"""Requests and responses as values, addresses, and what HTTP's status codes mean. Imports nothing of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]

YEARS = range(1971, 2500)
"""The years of real times: databases write the year 1, 1970 or 9999 for no time."""

UNAVAILABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""The server, or a gateway before it, was unable to answer."""

RETRYABLE_STATUSES = UNAVAILABLE_STATUSES - {500}
"""Sending an idempotent request again may help."""

DENIED_STATUSES = frozenset({401, 403})
"""The server refuses this user."""

UNAUTHENTICATED_STATUSES = frozenset({401, 407})
"""The server, or a proxy, asks who the user is: the request was not processed (RFC 9110)."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
UNPROCESSED_REDIRECTS = frozenset({301, 307, 308})
"""The same request is wanted elsewhere, so it was not processed; other redirects may follow processing (RFC 9110)."""

ENGINE_ABSENT_STATUSES = frozenset({404, 405})
"""
What a stock gateway answers, by a page that is no JSON, for an engine that is not there: nothing was processed.

The gateway (traefik) passes what it has no route for to the web UI, an nginx with static files, which answers 404 to
GET and POST and 405 to PUT and DELETE. A FlowEngine's own refusal is JSON. Source: the vendor's release files, tried.
"""

ENGINE_RELOCATED_STATUSES = frozenset({502, 503})
"""What a gateway answers for an engine that it can't reach any more. Source: inference, from how traefik answers."""

MISSING_CALL_STATUSES = frozenset({404, 405})
"""What a server answers for a call of another generation: it surely did nothing."""


def objects(value: Json) -> list[JsonObject]:
    """Return the objects in a JSON list; what is no list holds none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@dataclass(frozen=True)
class Request:
    """
    One HTTP request.

    :param name: what it does, for messages, e.g. ``"start pipeline 12"``.
    :param method: the HTTP method.
    :param path: the path below the gateway, with its leading slash.
    :param query: the query's parameters.
    :param body: what is sent as JSON; None sends no body.
    :param file: the file that is sent as multipart instead of a body.
    :param idempotent: whether sending it twice does no harm.
    :param has_envelope: whether its answer always carries the envelope's ``status``.
    :param is_for_engine: whether the engine answers it, and not the gateway or what manages engines.
    :param url: the whole address, its query included; empty until a connection has prepared the request.
    :param headers: the headers, likewise.
    :param timeout: seconds it may take to answer, likewise.
    :param redact: hides the connection's secrets in whatever an error quotes, likewise.
    """

    name: str
    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Json = None
    file: Path | None = None
    idempotent: bool = False
    has_envelope: bool = True
    is_for_engine: bool = True
    url: str = field(default="", compare=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    timeout: float = field(default=30.0, compare=False)
    redact: Callable[[str], str] = field(default=str, repr=False, compare=False)


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

    @cached_property
    def server_time(self) -> datetime | None:
        """What the server's clock said, from its ``Date`` header; None if it sent none."""
        return parse_date(self.headers.get("date", ""))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait (``Retry-After``, as seconds or as a date); None if it doesn't."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        moment = parse_date(value)
        return max(0.0, (moment - (self.server_time or datetime.now(UTC))).total_seconds()) if moment else None


def parse_date(text: str) -> datetime | None:
    """Return the moment that a header such as ``Date`` names; None if it names none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment if is_real(moment) else None


def is_real(moment: datetime) -> bool:
    """Return whether something can have happened at a moment: a clock or a record may show any."""
    return moment.year in YEARS


def address(gateway: str, path: str, query: Mapping[str, str | int]) -> str:
    """
    Put an address together.

    :param gateway: the gateway's address, without a trailing slash.
    :param path: the path below it, with its leading slash.
    :param query: the query's parameters.
    """
    return _ascii(f"{gateway}{path}?{urlencode(query, errors='surrogatepass')}" if query else f"{gateway}{path}")


def redirect_target(url: str, response: Response) -> str | None:
    """
    Return where a response redirects to, if that is on the same host and no less safe: credentials go there too.

    :param url: the address that was asked.
    :param response: what it answered.
    """
    if response.status not in REDIRECT_STATUSES or not response.headers.get("location"):
        return None
    try:
        target = _ascii(urljoin(url, response.headers["location"]))
        here, there = urlsplit(url), urlsplit(target)
    except ValueError:
        return None
    safe = there.hostname == here.hostname and there.scheme in (here.scheme, "https") and "@" not in there.netloc
    return target if safe and target != url else None


def _ascii(url: str) -> str:
    """Escape what no address may hold, and leave what is escaped already: transports would each do so in their way."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~", errors="surrogatepass")
