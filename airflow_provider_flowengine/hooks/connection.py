"""Read an Airflow connection, check it, and mask its secrets."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_flowengine import connection_form
from airflow_provider_flowengine.protocol.errors import ConfigurationError, closest
from airflow_provider_flowengine.protocol.redaction import Redactor
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.providers.common.compat.sdk import Connection

log = logging.getLogger(__name__)

_EXTRA_KEYS = frozenset(field.name for field in connection_form.EXTRA_FIELDS)
_OBJECTS = ("headers", "status_words")
_MAX_REASON_LENGTH = 1000  # characters: what is quoted may be a whole file that was pasted into the wrong field


def settings_of(connection: Connection) -> Settings:
    """
    Parse a connection into settings; its secrets are masked in Airflow's logs from then on.

    :param connection: the Airflow connection.
    :raises ConfigurationError: naming the connection and the field that can't be right.
    """
    settings = _parse(connection)
    _mask(settings.redact.secrets)
    return settings


async def async_settings(conn_id: str) -> Settings:
    """
    Read a connection's settings without blocking the event loop.

    :param conn_id: the connection's id.
    :raises ConfigurationError: when there is no such connection, or naming it and the field that can't be right.
    """
    from airflow.providers.common.compat.connection import get_async_connection

    with explain_missing(conn_id):
        connection = await get_async_connection(conn_id)
    settings = _parse(connection)
    await asyncio.to_thread(_mask, settings.redact.secrets)
    return settings


@contextmanager
def explain_missing(conn_id: str) -> Iterator[None]:
    """
    Say what to do if Airflow has no such connection.

    :param conn_id: the connection's id.
    """
    try:
        yield
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"flowengine_conn_id: Airflow has no connection {conn_id!r}; create it, of type flowengine, or name "
            "one that there is. If there is one, see whether it can be parsed, or its secrets backend answers: Airflow "
            "says the same then, and why in its log at level DEBUG"
        ) from None


def _mask(secrets: tuple[str, ...]) -> None:
    from airflow.providers.common.compat.sdk import mask_secret

    for secret in secrets:
        mask_secret(secret)


def _parse(connection: Connection) -> Settings:
    try:
        extra = _json_object("extra", connection.extra)
        unknown = sorted(set(extra) - _EXTRA_KEYS)
        if unknown:
            _warn_of_unknown(connection.conn_id, tuple(unknown))
        return Settings.build(
            fl_url=_gateway(connection),
            user=connection.login or "",
            access_key=connection.password or "",
            source=_source(connection, unknown),
            **{name: value for name, value in extra.items() if name in _EXTRA_KEYS and name not in _OBJECTS},
            **{name: _json_object(name, extra.get(name)) for name in _OBJECTS},
        )
    except ConfigurationError as error:
        raise ConfigurationError(_refusal(connection, str(error))) from None


def _refusal(connection: Connection, reason: str) -> str:
    kind = "" if connection.conn_type == connection_form.CONNECTION_TYPE else f" (type {connection.conn_type})"
    shown = Redactor([connection.password or ""])(reason, _MAX_REASON_LENGTH)
    return f"Connection {connection.conn_id}{kind}: {shown}"


def _source(connection: Connection, unknown: list[str]) -> str:
    """Return the connection's name for errors, with the unknown keys of its extra."""
    warning = f"; its extra has the unknown key {', '.join(unknown)}" if unknown else ""
    return f"connection {connection.conn_id} (type {connection.conn_type}{warning})"


@lru_cache
def _warn_of_unknown(conn_id: str, keys: tuple[str, ...]) -> None:
    """Warn once in a process: a triggerer reads a connection every minute."""
    for key in keys:
        log.warning(
            "Connection %s: extra has the unknown key %s; %sknown are %s",
            conn_id,
            key,
            closest(key, _EXTRA_KEYS),
            ", ".join(sorted(_EXTRA_KEYS)),
        )


def _json_object(name: str, value: Any) -> dict[str, Any]:
    """Return an object, which is stored as its JSON text: all of extra is, and an object in it if a form stores it."""
    if value is None or value == "":
        return {}
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ConfigurationError(f"{name} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{name} must be a JSON object, not a {type(found).__name__}")
    return found


def _gateway(connection: Connection) -> str:
    host = (connection.host or "").strip().rstrip("/")
    if not host or host.lower() in ("http:", "https:"):
        raise ConfigurationError("host is empty; it must be FlowEngine's gateway, e.g. gw.example.com")
    named, _, rest = host.rpartition("://")
    schema = _schema(connection)
    if (named.lower(), schema) == ("http", "https"):
        raise ConfigurationError("host begins with http://, but schema is https: remove the one that is wrong")
    address, slash, path = rest.partition("/")
    address = _bracketed(address).removesuffix(":")
    if connection.port and ":" not in address.rpartition("]")[2]:
        address = f"{address}:{connection.port}"
    return f"{named or schema or 'http'}://{address}{slash}{path}"


def _schema(connection: Connection) -> str:
    schema = (connection.schema or "").strip().lower()
    if schema not in ("", "http", "https"):
        # Airflow reads the path of a connection's URI as its schema.
        raise ConfigurationError(
            f"schema: {connection.schema!r} must be http or https; a path of the gateway belongs into host, e.g. "
            "https://gw.example.com/fl, in a connection's URI as https%3A%2F%2Fgw.example.com%2Ffl"
        )
    return schema


def _bracketed(host: str) -> str:
    """Put an IPv6 address in brackets; Airflow removes those of a connection's URI."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
