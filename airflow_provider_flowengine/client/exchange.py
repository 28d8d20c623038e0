"""
What both transports have in common: a request's time limit, its headers, and the error when it fails.

Whatever a library raises while a request is sent or its response is read becomes one error, about that request.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import traceback
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
import urllib3

from airflow_provider_flowengine.client.proxy import ProxyAddressError
from airflow_provider_flowengine.protocol.content import ACCEPT_ENCODING, ContentError
from airflow_provider_flowengine.protocol.envelope import transport_error

if TYPE_CHECKING:
    from airflow_provider_flowengine.client.upload import Upload
    from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
    from airflow_provider_flowengine.protocol.http import Request

MAX_UPLOAD_TIME = 3600.0
"""Seconds that an upload may take, however slowly the file is received."""

# A class, or the name of one of aiohttp's: aiohttp takes long to load, and the synchronous client doesn't need it.
Kind = type[BaseException] | str

_NETWORK: tuple[Kind, ...] = (
    OSError,
    http.client.HTTPException,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    "aiohttp.ClientError",
    ContentError,
)
"""Errors of a network or a server; of any other error, the text names the code that raised it."""


def time_limit(request: Request) -> float:
    """Return the seconds that a request may take: the connection, the request and the whole response together."""
    return max(request.timeout, MAX_UPLOAD_TIME if request.file else 0.0)


def headers_of(request: Request, upload: Upload | None) -> dict[str, str]:
    """Return the headers that a request is sent with, each once, however its name is written."""
    groups = ({"Accept-Encoding": ACCEPT_ENCODING}, request.headers, upload.headers if upload else {})
    return dict({name.lower(): (name, value) for group in groups for name, value in group.items()}.values())


def request_failed(request: Request, error: Exception, *, is_sent: bool, timeout: float) -> ServiceUnavailableError:
    """
    Return the error about a request that had no complete response.

    :param request: the request.
    :param error: what was raised while it was sent, or its response read.
    :param is_sent: whether any of it was sent.
    :param timeout: the seconds that it was allowed to take.
    """
    reason = describe(error, timeout=timeout, host=_host(request.url))
    return transport_error(request, reason, may_have_been_processed=is_sent)


def describe(error: Exception, *, timeout: float, host: str) -> str:
    """Return why a request failed, in the same words for both transports."""
    chain = _causes(error)
    root = chain[-1]
    for kinds, words in _DESCRIPTIONS.items():
        cause = next((each for each in chain if _is_one_of(each, kinds)), None)
        if cause:
            return words.format(reason=_text(cause), root=_text(root), timeout=f"{timeout:g}", host=host)
    place = "" if _is_one_of(error, _NETWORK) else f", raised {_place(error)}"
    return f"{type(root).__name__}: {_text(root)}{place}"


_DESCRIPTIONS: dict[tuple[Kind, ...], str] = {
    (ProxyAddressError, ContentError): "{reason}",
    (urllib3.exceptions.ProxyError, "aiohttp.ClientHttpProxyError", "aiohttp.ClientProxyConnectionError"): (
        "no connection through the proxy: {root}"
    ),
    (ssl.SSLCertVerificationError,): "the certificate of {host} is not accepted: {reason}",
    (ssl.SSLError, "aiohttp.ClientSSLError"): "TLS failed: {reason}",
    (socket.gaierror,): "the host name of {host} cannot be resolved: {reason}",
    (ConnectionRefusedError,): "connection refused by {host}",
    (urllib3.exceptions.ConnectTimeoutError, "aiohttp.ConnectionTimeoutError"): "no connection to {host} in time",
    (TimeoutError, urllib3.exceptions.TimeoutError): "no complete answer within {timeout} s",
    (
        ConnectionError,
        "aiohttp.ServerDisconnectedError",
    ): "the connection broke before the answer was complete: {reason}",
}
"""The description of a failure: the first entry with a class that is among its causes."""


def _is_one_of(error: BaseException, kinds: tuple[Kind, ...]) -> bool:
    names = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    return any(kind in names if isinstance(kind, str) else isinstance(error, kind) for kind in kinds)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, the outermost first; libraries keep them in different attributes."""
    chain: list[BaseException] = []
    following: object = error
    while isinstance(following, BaseException) and following not in chain:
        chain.append(following)
        candidates = [getattr(following, name, None) for name in ("reason", "original_error", "os_error")]
        candidates += [*following.args, following.__cause__, following.__context__]
        following = next((each for each in candidates if isinstance(each, BaseException) and each not in chain), None)
    return chain


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return "the address"


def _text(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    # aiohttp adds how TLS would be set up, even if it is not used.
    text = re.sub(r" ssl:(default|True|False|<[^>]*>)", "", str(error))
    return text or type(error).__name__


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno}" if frames else "somewhere"
