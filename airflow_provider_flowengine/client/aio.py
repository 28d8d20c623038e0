"""Drives flows over aiohttp: one session a connection, and no blocking call in the event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, Self

import aiohttp
from yarl import URL

from airflow_provider_flowengine.client import tls
from airflow_provider_flowengine.client.exchange import headers_of, request_failed, time_limit
from airflow_provider_flowengine.client.proxy import ProxyAddressError, proxy_for
from airflow_provider_flowengine.client.upload import Upload
from airflow_provider_flowengine.protocol.content import Content
from airflow_provider_flowengine.protocol.errors import AccessDeniedError, FlowEngineError, ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import Finished, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.session import Session
from airflow_provider_flowengine.protocol.settings import MAX_CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from airflow_provider_flowengine.protocol.flow import Flow, Step
    from airflow_provider_flowengine.protocol.settings import Settings

MAX_REQUESTS = 16
"""How many requests of one client are under way at once; further ones wait."""

_MAX_LINE_SIZE = 64 * 1024
"""Bytes of a header's line: as many as requests takes."""

_LARGE = 256 * 1024
"""Bytes of a response from which on it is parsed in a thread, so that the event loop isn't blocked."""


class AsyncClient:
    """
    An asynchronous client.

    :param settings: the connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections: _Connections | None = None
        self._session = Session(settings)
        self._opening = asyncio.Lock()
        self._signing_in = asyncio.Lock()
        self._request_slots = asyncio.Semaphore(MAX_REQUESTS)

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return what it returns."""
        return await self._drive(self._session.run(flow))

    async def close(self) -> None:
        """Close the connections."""
        if self._connections:
            await self._connections.kept.close()
            await self._connections.fresh.close()
            self._connections = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _drive(self, flow: Flow[T]) -> T:
        step = advance(flow, None)
        while not isinstance(step, Finished):
            outcome: Response | FlowEngineError | None
            try:
                outcome = await self._perform(step)
            except (ServiceUnavailableError, AccessDeniedError) as error:
                outcome = error
            if isinstance(outcome, Response) and len(outcome.body) > _LARGE:
                step = await asyncio.to_thread(advance, flow, outcome)
            else:
                step = advance(flow, outcome)
        return step.value

    async def _perform(self, step: Step) -> Response | None:
        if isinstance(step, Request):
            async with self._request_slots:  # aiohttp would count the wait for a connection as the request's own time
                return await self._send(step)
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
        else:
            async with self._signing_in:
                await self._drive(step.flow)
        return None

    async def _send(self, request: Request) -> Response:
        timeout = time_limit(request)
        exchange = SimpleNamespace(is_sent=False)  # as soon as a connection is there, some of it may be sent
        try:
            connections = await self._open()
            async with asyncio.timeout(timeout):
                return await self._exchange(request, connections, exchange)
        except FlowEngineError:
            raise
        except Exception as error:
            failure = request_failed(request, error, is_sent=exchange.is_sent, timeout=timeout)
        raise failure  # not in the handler: the library's error would be kept, with what was read so far

    async def _exchange(self, request: Request, connections: _Connections, exchange: SimpleNamespace) -> Response:
        upload = await asyncio.to_thread(Upload, request.file) if request.file else None
        try:
            # A request that must not be repeated goes out on a connection of its own: the server may close one that was
            # kept at any moment, and then it cannot be known whether the request was processed.
            async with (connections.kept if request.idempotent else connections.fresh).request(
                request.method,
                URL(request.url, encoded=True),
                headers=headers_of(request, upload),
                json=request.body,
                data=_chunks(upload) if upload else None,
                proxy=connections.proxy,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=min(request.timeout, MAX_CONNECT_TIMEOUT), sock_read=request.timeout
                ),
                allow_redirects=False,
                trace_request_ctx=exchange,
            ) as response:
                headers = _join(response.headers.items())
                content = Content(headers, self._settings.max_response_size)
                async for chunk in response.content.iter_any():
                    content.add(chunk)
                return Response(response.status, content.finish(), headers)
        finally:
            if upload:
                await asyncio.to_thread(upload.close)

    async def _open(self) -> _Connections:
        async with self._opening:
            self._connections = self._connections or await self._connect()
            return self._connections

    async def _connect(self) -> _Connections:
        # Once a session: aiohttp's own trust_env reads files in a thread for every single request.
        proxy = await asyncio.to_thread(proxy_for, self._settings.fl_url, self._settings.redact)
        if proxy and not proxy.lower().startswith(("http://", "https://")):  # aiohttp would talk HTTP to any
            raise ProxyAddressError("the environment names a proxy of another kind than http and https")
        context = await asyncio.to_thread(lambda: tls.ssl_context(tls.ca_bundle(self._settings.verify)))
        kept, fresh = (
            aiohttp.TCPConnector(limit=MAX_REQUESTS, ssl=context, force_close=force_close)
            for force_close in (False, True)
        )
        return _Connections(_session(kept), _session(fresh), proxy)


class _Connections(NamedTuple):
    """The session that keeps its connections, the one that opens one for each request, and the proxy of both."""

    kept: aiohttp.ClientSession
    fresh: aiohttp.ClientSession
    proxy: str | None


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(_connected)
    trace.on_connection_reuseconn.append(_connected)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=_MAX_LINE_SIZE,
        max_field_size=_MAX_LINE_SIZE,
        trace_configs=[trace],
    )


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object) -> None:
    context.trace_request_ctx.is_sent = True


def _join(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by their lower-case names; values of one name are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined


async def _chunks(upload: Upload) -> AsyncIterator[bytes]:
    pieces = iter(upload)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
