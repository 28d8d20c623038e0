"""Drives flows over aiohttp: one session a connection, and no blocking call in the event loop."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Self

import aiohttp
from requests.utils import get_environ_proxies, select_proxy
from yarl import URL

from airflow_provider_flowengine.client import tls
from airflow_provider_flowengine.client.upload import CHUNK_SIZE, Upload
from airflow_provider_flowengine.protocol.envelope import transport_error
from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
from airflow_provider_flowengine.protocol.flow import Finished, Sleep, T, advance
from airflow_provider_flowengine.protocol.http import Request, Response
from airflow_provider_flowengine.protocol.settings import MAX_CONNECT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.settings import Settings

MAX_REQUESTS = 16
"""How many requests of one client are under way at once; further ones wait."""

MAX_UPLOAD_TIME = 3600.0
"""Seconds that the sending of a file may take, however slowly it is taken."""

_LONGEST_LINE = 64 * 1024
"""Bytes of a header's line: as many as requests takes."""

_LARGE = 256 * 1024
"""Bytes of an answer from which on it is read in a thread, so that the event loop goes on meanwhile."""


class AsyncClient:
    """
    A client for coroutines.

    :param settings: the connection.
    """

    def __init__(self, settings: Settings) -> None:
        self._verify = settings.verify
        self._session: aiohttp.ClientSession | None = None
        self._gateway = settings.fl_url
        self._proxy: str | None = None
        self._opening = asyncio.Lock()
        self._turns = asyncio.Semaphore(MAX_REQUESTS)

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return what it returns."""
        step = advance(flow, None)
        while not isinstance(step, Finished):
            outcome = await self._take(step)
            if isinstance(outcome, Response) and len(outcome.body) > _LARGE:
                step = await asyncio.to_thread(advance, flow, outcome)
            else:
                step = advance(flow, outcome)
        return step.value

    async def close(self) -> None:
        """Close the session."""
        if self._session:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _take(self, step: Request | Sleep) -> Response | ServiceUnavailableError | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        try:
            async with self._turns:  # aiohttp would count the wait for a connection as the request's own time
                return await self._send(step)
        except ServiceUnavailableError as error:
            return error

    async def _send(self, request: Request) -> Response:
        session = await self._open()
        connect = min(request.timeout, MAX_CONNECT_TIMEOUT)
        upload = await asyncio.to_thread(Upload, request.file) if request.file else None
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                headers={**request.headers, **(upload.headers if upload else {})},
                json=request.body,
                data=_pieces(upload) if upload else None,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(
                    total=MAX_UPLOAD_TIME if upload else connect + request.timeout,
                    sock_connect=connect,
                    sock_read=request.timeout,
                ),
                allow_redirects=False,
            ) as response:
                body = await response.read()
                return Response(
                    response.status, body, {name.lower(): value for name, value in response.headers.items()}
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise transport_error(request, _reason(error), taken=_taken(error)) from error
        finally:
            if upload:
                await asyncio.to_thread(upload.close)

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # Once a session: aiohttp's own trust_env reads files in a thread for every single request.
                self._proxy = await asyncio.to_thread(proxy_for, self._gateway)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=MAX_REQUESTS, ssl=await asyncio.to_thread(lambda: tls.context(tls.bundle(self._verify)))
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    max_line_size=_LONGEST_LINE,
                    max_field_size=_LONGEST_LINE,
                )
            return self._session


def _taken(error: Exception) -> bool | None:
    """False when no connection came about, so nothing can have been taken."""
    none_came = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientHttpProxyError
    return False if isinstance(error, none_came) else None


def _reason(error: Exception) -> str:
    # aiohttp tells how TLS would be set up, even where there is none.
    told = re.sub(r" ssl:(default|True|False|<[^>]*>)", "", str(error))
    return f"{type(error).__name__}: {told}".removesuffix(": ")


async def _pieces(upload: Upload) -> AsyncIterator[bytes]:
    while len(upload) and (piece := await asyncio.to_thread(upload.read, CHUNK_SIZE)):
        yield piece


def proxy_for(url: str) -> str | None:
    """Return the proxy that requests would take from the environment for an address, so that both transports do."""
    proxy = select_proxy(url, get_environ_proxies(url))
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"
