"""Drives flows over aiohttp: one session a connection, and no blocking call in the event loop."""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import TYPE_CHECKING, Self

import aiohttp
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy

from airflow_provider_flowengine.protocol.envelope import Answer, no_answer
from airflow_provider_flowengine.protocol.errors import CannotReachError, ConfigurationError
from airflow_provider_flowengine.protocol.flows import Finished, Request, Sleep, T, advance
from airflow_provider_flowengine.protocol.settings import LONGEST_CONNECT

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.flows import Flow
    from airflow_provider_flowengine.protocol.settings import Settings

MOST_REQUESTS = 32
"""How many requests of one client are under way at once; further ones wait."""

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

    async def run(self, flow: Flow[T]) -> T:
        """Drive a flow to its end and return what it returns."""
        step = advance(flow, None)
        while not isinstance(step, Finished):
            outcome = await self._take(step)
            if isinstance(outcome, Answer) and len(outcome.body) > _LARGE:
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

    async def _take(self, step: Request | Sleep) -> Answer | CannotReachError | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await self._send(step)
        except CannotReachError as error:
            return error

    async def _send(self, request: Request) -> Answer:
        call = request.call
        session = await self._open()
        file = await asyncio.to_thread(call.file.open, "rb") if call.file else None
        form: aiohttp.FormData | None = None
        if file and call.file:
            form = aiohttp.FormData()
            form.add_field("file", file, filename=call.file.name, content_type="application/octet-stream")
        try:
            async with session.request(
                call.method,
                request.url,
                headers=dict(request.headers),
                json=call.body,
                data=form,
                proxy=self._proxy,
                timeout=aiohttp.ClientTimeout(
                    total=request.timeout, sock_connect=min(request.timeout, LONGEST_CONNECT)
                ),
                allow_redirects=False,
            ) as response:
                body = await response.read()
                return Answer(response.status, body, {name.lower(): value for name, value in response.headers.items()})
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise no_answer(call, reason, taken=_taken(error)) from error
        finally:
            if file:
                file.close()

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # Once a session: aiohttp's own trust_env reads files in a thread for every single request.
                self._proxy = await asyncio.to_thread(proxy_for, self._gateway)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        limit=MOST_REQUESTS, ssl=await asyncio.to_thread(_ssl_context, self._verify)
                    ),
                    cookie_jar=aiohttp.DummyCookieJar(),
                )
            return self._session


def _taken(error: Exception) -> bool | None:
    """False when no connection came about, so nothing can have been taken."""
    return False if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) else None


def proxy_for(url: str) -> str | None:
    """Return the proxy that requests would take from the environment for an address, so that both transports do."""
    proxy = select_proxy(url, get_environ_proxies(url))
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _ssl_context(verify: bool | str) -> ssl.SSLContext | bool:
    """Trust what requests trusts, so that both transports do: the bundle given, the environment's, or certifi's."""
    if verify is False:
        return False
    bundle = verify if isinstance(verify, str) else ""
    bundle = (
        bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    )
    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise ConfigurationError(f"verify: no CA bundle can be read from {bundle!r}: {error}") from error
