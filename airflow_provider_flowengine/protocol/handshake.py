"""
The handshake: where an engine is, which id it has, and which dialect of the API it speaks.

The first call asks the gateway for the engine's address. The second asks the engine for its id, by the call of each
dialect that the connection's ``api_root`` may have, until one is answered: either dialect answers 404 or 405 for the
other's, which surely did nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    EngineNotFoundError,
    EngineNotRunningError,
    FlowEngineError,
    RequestRejectedError,
)
from airflow_provider_flowengine.protocol.flow import Flow
from airflow_provider_flowengine.protocol.http import MISSING_CALL_STATUSES, Request
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.reply import Reply
from airflow_provider_flowengine.protocol.versions import API_VERSIONS

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.settings import Settings
    from airflow_provider_flowengine.protocol.versions import ApiVersion

Send = Callable[[Request], Flow[Reply]]
"""Sends a request and returns the good answer."""


def locate(send: Send, engine_key: str) -> Flow[str]:
    """
    01: return ``engineUrl``, an engine's path below the gateway.

    :param send: sends a request.
    :param engine_key: the engine.
    :raises EngineNotFoundError: if FlowEngine knows no engine of this key.
    :raises EngineNotRunningError: if the gateway has no way to what manages engines: a wrong host, or it is restarting.
    """
    request = endpoints.engine_info(engine_key)
    try:
        reply = yield from send(request)
    except AccessDeniedError:
        raise
    except RequestRejectedError as error:
        text = (
            f"{str(error).removesuffix('.')}. Is there an engine of key {engine_key!r}, and does the connection's host "
            "lead to FlowEngine's gateway?"
        )
        if error.http_status == 404 and error.status is None:
            # Not FlowEngine's own answer: a gateway says so too while what is behind it restarts.
            raise EngineNotRunningError(
                text, request=request, may_have_been_processed=False, http_status=404
            ) from error
        raise EngineNotFoundError(text) from error
    url = reply.engine_url()
    if url is None:
        raise EngineNotFoundError(
            f"FlowEngine knows no engine of key {engine_key!r}: its answer names no url "
            f"({reply.unexpected('a url', reply.payload).excerpt})"
        )
    return url


def identify(send: Send, settings: Settings, engine_key: str, url: str) -> Flow[Engine]:
    """
    02: return the engine at an address, by the first dialect of the connection's that it answers.

    :param send: sends a request.
    :param settings: the connection.
    :param engine_key: the engine.
    :param url: its ``engineUrl``.
    :raises ConfigurationError: if it answers under another ``api_root`` than the connection's.
    :raises EngineNotRunningError: if no engine answers.
    """
    failures: list[RequestRejectedError | EngineNotRunningError] = []
    for version in settings.versions:
        try:
            return (yield from _identify_as(version, send, engine_key, url))
        except (RequestRejectedError, EngineNotRunningError) as error:
            if error.http_status not in MISSING_CALL_STATUSES:
                raise
            failures.append(error)
    yield from _suggest_another_root(send, settings, engine_key, url)
    # The engine may have returned between two of these calls: after one page of the gateway the next handshake decides.
    raise next((error for error in failures if isinstance(error, EngineNotRunningError)), failures[0])


def _identify_as(version: ApiVersion, send: Send, engine_key: str, url: str) -> Flow[Engine]:
    reply = yield from send(endpoints.engine_param(engine_key, url, version))
    return Engine(engine_key, url, reply.engine_id(), version)


def _suggest_another_root(send: Send, settings: Settings, engine_key: str, url: str) -> Flow[None]:
    tried = settings.versions
    for version in (version for versions in API_VERSIONS.values() for version in versions if version not in tried):
        try:
            engine = yield from _identify_as(version, send, engine_key, url)
        except FlowEngineError:
            continue
        raise ConfigurationError(
            f"api_root: set it to {version.root} in {settings.source}: engine {engine.id} ({engine_key!r}) answers "
            f"there ({version.name}), and not under {tried[0].root}"
        )
