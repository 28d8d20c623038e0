"""Drives flows over requests: one pooled session a client, kept alive between requests that may be repeated."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from contextvars import ContextVar
from functools import cached_property
from http.cookiejar import DefaultCookiePolicy
from time import sleep
from typing import TYPE_CHECKING, Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from airflow_provider_flowengine.client import tls
from airflow_provider_flowengine.client.exchange import headers_of, request_failed, time_limit
from airflow_provider_flowengine.client.proxy import proxy_for
from airflow_provider_flowengine.client.upload import CHUNK_SIZE, Upload
from airflow_provider_flowengine.protocol.content import Content
from airflow_provider_flowengine.protocol.errors import AccessDeniedError, FlowEngineError, ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import Finished, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.session import Session
from airflow_provider_flowengine.protocol.settings import MAX_CONNECT_TIMEOUT

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.flow import Flow, Step
    from airflow_provider_flowengine.protocol.settings import Settings


class Client:
    """
    A synchronous client.

    :param settings: the connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = _Connections()
        self._session = Session(settings)
        self._signing_in = threading.Lock()

    def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return what it returns."""
        return self._drive(self._session.run(flow))

    def close(self) -> None:
        """Close the pooled connections."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _bundle(self) -> bool | str:
        return tls.ca_bundle(self._settings.verify)

    def _drive(self, flow: Flow[T]) -> T:
        step = advance(flow, None)
        while not isinstance(step, Finished):
            outcome: Response | FlowEngineError | None
            try:
                outcome = self._perform(step)
            except (ServiceUnavailableError, AccessDeniedError) as error:
                outcome = error
            step = advance(flow, outcome)
        return step.value

    def _perform(self, step: Step) -> Response | None:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, Sleep):
            sleep(step.seconds)
        else:
            with self._signing_in:
                self._drive(step.flow)
        return None

    def _send(self, request: Request) -> Response:
        timeout = time_limit(request)
        exchange = _Exchange(timeout)
        try:
            with exchange:
                response = self._exchange(request)
            if exchange.is_over:  # a response without a length seems complete when its connection is shut down
                raise TimeoutError
            return response
        except FlowEngineError:
            raise
        except Exception as error:
            cause = TimeoutError() if exchange.is_over else error
            failure = request_failed(request, cause, is_sent=exchange.is_sent, timeout=timeout)
        raise failure  # not in the handler: the library's error would be kept, with what was read so far

    def _exchange(self, request: Request) -> Response:
        proxy = proxy_for(request.url, self._settings.redact)
        with contextlib.ExitStack() as stack:
            upload = stack.enter_context(contextlib.closing(Upload(request.file))) if request.file else None
            # A request that must not be repeated goes out on a connection of its own: the server may close one that was
            # kept at any moment, and then it cannot be known whether the request was processed.
            connections = self._connections if request.idempotent else stack.enter_context(_Connections())
            response = stack.enter_context(
                connections.request(
                    request.method,
                    request.url,
                    headers=headers_of(request, upload),
                    json=request.body,
                    data=upload,
                    timeout=(min(request.timeout, MAX_CONNECT_TIMEOUT), request.timeout),
                    allow_redirects=False,
                    verify=self._bundle,
                    proxies={"http": proxy, "https": proxy} if proxy else None,
                    stream=True,
                )
            )
            headers = {name.lower(): value for name, value in response.headers.items()}
            content = Content(headers, self._settings.max_response_size)
            for chunk in response.raw.stream(CHUNK_SIZE, decode_content=False):
                content.add(chunk)
            return Response(response.status_code, content.finish(), headers)


class _Connections(requests.Session):
    """A session without defaults: no environment, no cookies, and no parsing of redirects."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing: requests parses a redirect's address even if it is not to follow it."""


class _Exchange:
    """
    One request and its response: whether any of it was sent, and the end of its time.

    A timeout of requests' begins anew with each byte that comes, so the connection is shut down at the end.

    :param timeout: seconds that all of it may take.
    """

    current: ContextVar[_Exchange | None] = ContextVar("current", default=None)

    def __init__(self, timeout: float) -> None:
        self.is_sent = False
        self.is_over = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(timeout, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._token = self.current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.current.reset(self._token)
        self._timer.cancel()
        with self._lock:
            if self._socket:
                self._socket.close()
                self._socket = None

    def watch(self, connection: socket.socket) -> None:
        """Shut this connection down at the end. A duplicate is kept, since TLS takes the original away."""
        with self._lock:
            if self._socket:
                self._socket.close()
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        if self.is_over:
            self._shut_down()

    def _end(self) -> None:
        self.is_over = True
        self._shut_down()

    def _shut_down(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket:
                self._socket.shutdown(socket.SHUT_RDWR)


class _FinalResponse(http.client.HTTPResponse):
    """The final response: interim ones (102, 103) are passed over, as aiohttp does and ``http.client`` doesn't."""

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # the standard library's own, untyped
        is_interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if is_interim else status, reason


class _Watched(HTTPConnection):
    """A connection that reports to the exchange that uses it."""

    response_class = _FinalResponse

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        if exchange := _Exchange.current.get():
            exchange.watch(connection)
        return connection

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Send the headers, from which on the request may have been processed; connecting comes before."""
        if self.sock is None:
            self.connect()
        if exchange := _Exchange.current.get():
            exchange.watch(self.sock)
            exchange.is_sent = True
        super().endheaders(*args, **kwargs)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    """requests' adapter, with connections that are watched."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pool of connections to an address, through a proxy or not."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _WatchedTls if isinstance(pool, HTTPSConnectionPool) else _Watched
        return pool

    def close(self) -> None:
        """Close the kept connections now: urllib3 leaves that to the garbage collector."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in list(manager.pools.keys()):
                if pool := manager.pools.get(key):
                    pool.close()
        super().close()
