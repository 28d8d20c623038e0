"""Drives flows over requests: one pooled session a client, kept alive between calls."""

from __future__ import annotations

import ssl
import time
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Self

import requests
import urllib3

from airflow_provider_flowengine.client import tls
from airflow_provider_flowengine.client.upload import Upload
from airflow_provider_flowengine.protocol.envelope import transport_error
from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import Finished, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.settings import MAX_CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.settings import Settings


_NEVER_CONNECTED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    ssl.SSLCertVerificationError,
)


class Client:
    """
    A client for plain code.

    :param settings: the connection.
    :param sleep: lets seconds pass, default :func:`time.sleep`.
    """

    def __init__(self, settings: Settings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._verify = settings.verify
        self._sleep = sleep

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return what it returns."""
        step = advance(flow, None)
        while not isinstance(step, Finished):
            step = advance(flow, self._take(step))
        return step.value

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _bundle(self) -> bool | str:
        return tls.bundle(self._verify)

    def _take(self, step: Request | Sleep) -> Response | ServiceUnavailableError | None:
        if isinstance(step, Sleep):
            self._sleep(step.seconds)
            return None
        try:
            return self._send(step)
        except ServiceUnavailableError as error:
            return error

    def _send(self, request: Request) -> Response:
        verify = self._bundle
        upload = Upload(request.file) if request.file else None
        try:
            response = self._session.request(
                request.method,
                request.url,
                headers={**request.headers, **(upload.headers if upload else {})},
                json=request.body,
                data=upload,
                auth=_no_netrc,
                timeout=(min(request.timeout, MAX_CONNECT_TIMEOUT), request.timeout),
                allow_redirects=False,
                # Given with each request, since requests lets an environment's CA bundle win over the session's value.
                verify=verify,
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise transport_error(request, _reason(error), taken=_taken(error)) from error
        finally:
            if upload:
                upload.close()
        return Response(
            response.status_code,
            response.content,
            {name.lower(): value for name, value in response.headers.items()},
        )


def _taken(error: Exception) -> bool | None:
    """False when no connection came about, so nothing can have been taken."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return False
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    # A proxy is blamed, too, for a connection that broke after the call was sent.
    if isinstance(reason, urllib3.exceptions.ProxyError):
        reason = reason.original_error
    # TLS may also break after a call was sent; only a certificate that isn't accepted is the server's first word.
    why = reason.args[0] if isinstance(reason, urllib3.exceptions.SSLError) and reason.args else reason
    refused_by_proxy = type(why) is OSError and str(why).startswith("Tunnel connection failed")  # http.client's words
    return False if refused_by_proxy or isinstance(why, _NEVER_CONNECTED) else None


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return f"{type(error).__name__}: {getattr(cause, 'reason', None) or cause}"


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from adding what a .netrc says of the host: credentials come from the connection alone."""
    return request
