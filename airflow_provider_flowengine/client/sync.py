"""Drives flows over requests: one pooled session a client, kept alive between calls."""

from __future__ import annotations

import io
import secrets
import time
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Self

import requests
import urllib3

from airflow_provider_flowengine.protocol.envelope import Answer, no_answer
from airflow_provider_flowengine.protocol.errors import CannotReachError, ConfigurationError
from airflow_provider_flowengine.protocol.flows import Finished, Request, Sleep, T, advance
from airflow_provider_flowengine.protocol.settings import LONGEST_CONNECT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_flowengine.protocol.flows import Flow
    from airflow_provider_flowengine.protocol.settings import Settings


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

    def _take(self, step: Request | Sleep) -> Answer | CannotReachError | None:
        if isinstance(step, Sleep):
            self._sleep(step.seconds)
            return None
        try:
            return self._send(step)
        except CannotReachError as error:
            return error

    def _send(self, request: Request) -> Answer:
        call = request.call
        headers = dict(request.headers)
        upload = _Upload(call.file) if call.file else None
        if upload:
            headers["Content-Type"] = upload.content_type
        try:
            response = self._session.request(
                call.method,
                request.url,
                headers=headers,
                json=call.body,
                data=upload,
                auth=_no_netrc,
                timeout=(min(request.timeout, LONGEST_CONNECT), request.timeout),
                allow_redirects=False,
                # Given with each request, since requests lets an environment's CA bundle win over the session's value.
                verify=self._verify,
            )
        except requests.RequestException as error:
            raise no_answer(call, _reason(error), taken=_taken(error)) from error
        except OSError as error:
            raise ConfigurationError(f"verify: {error}") from error
        finally:
            if upload:
                upload.close()
        return Answer(
            response.status_code,
            response.content,
            {name.lower(): value for name, value in response.headers.items()},
        )


def _taken(error: requests.RequestException) -> bool | None:
    """False when no connection came about, so nothing can have been taken."""
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return False
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    return False if isinstance(reason, urllib3.exceptions.NewConnectionError) else None


def _reason(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else error
    return f"{type(error).__name__}: {getattr(cause, 'reason', None) or cause}"


def _no_netrc(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep requests from adding what a .netrc says of the host: credentials come from the connection alone."""
    return request


class _Upload(io.RawIOBase):
    """A file as the one part of a multipart body, read piece by piece: requests' own would hold it in memory."""

    def __init__(self, path: Path) -> None:
        boundary = secrets.token_hex(16)
        name = path.name.replace("\\", "%5C").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self.content_type = f"multipart/form-data; boundary={boundary}"
        file = path.open("rb")
        self._parts: list[io.BufferedReader | io.BytesIO] = [
            io.BytesIO(head.encode()),
            file,
            io.BytesIO(f"\r\n--{boundary}--\r\n".encode()),
        ]
        self._length = sum(part.seek(0, io.SEEK_END) for part in self._parts)
        for part in self._parts:
            part.seek(0)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        while self._parts:
            piece = self._parts[0].read(size)
            if piece:
                return piece
            self._parts.pop(0).close()
        return b""

    def close(self) -> None:
        for part in self._parts:
            part.close()
        super().close()
