"""An HTTP server that answers byte for byte as a test says, and both clients behind one face."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field
from functools import partial

import pytest
import trustme

from airflow_provider_flowengine.client.aio import AsyncClient
from airflow_provider_flowengine.client.sync import Client
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.settings import Settings

KEPT = 64 * 1024  # bytes of a body that are kept; of a larger one only the length is


@dataclass
class Received:
    """A request as it came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytes = b""
    length: int = 0

    def header(self, name):
        """All values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


class Hangup(Exception):
    """Ends a connection."""


@dataclass
class ScriptedServer:
    """
    Listens on loopback. Each request is answered by the next of :attr:`replies`: bytes, or a function of the connection
    and the request; without one, by :attr:`otherwise`, an envelope.
    """

    context: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    replies: list = field(default_factory=list)
    otherwise: object = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    ended: int = 0

    def __post_init__(self):
        self._open = []
        self._end = threading.Event()
        self._socket = socket.create_server((self.host, 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.host}:{self.port}"

    def close(self):
        self._end.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # or the thread that accepts would go on
        self._socket.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.close()

    def await_ends(self, number):
        """Wait until so many connections have ended."""
        while self.ended < number:
            self._end.wait(0.005)

    def hang(self, connection, request):
        """Never answer."""
        self._end.wait(30)

    def _accept(self):
        while not self._end.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        with contextlib.suppress(OSError, Hangup):
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection.makefile("rb") as stream:
                if not stream.peek(1)[:1].isalpha():  # TLS, say
                    connection.sendall(http(b"this is plain HTTP", 400, "Connection: close"))
                    raise Hangup
                while request := self._read(stream, number):
                    self.requests.append(request)
                    reply = self.replies.pop(0) if self.replies else self.otherwise or http(ok())
                    answer = reply if isinstance(reply, bytes) else reply(connection, request)
                    if answer is not None:
                        connection.sendall(answer)
        with contextlib.suppress(OSError):
            connection.close()
        self.ended += 1

    def _read(self, stream, number):
        first = stream.readline().decode("latin-1").split()
        if len(first) != 3:
            return None
        headers = []
        while line := stream.readline().decode("utf-8").rstrip("\r\n"):
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        request = Received(first[0], first[1], headers, number)
        if request.header("expect") or request.header("transfer-encoding"):
            raise Hangup("this server knows no such thing, as an old one wouldn't")
        self._read_body(stream, request)
        return request

    def _read_body(self, stream, request):
        left = int((request.header("content-length") or ["0"])[0])
        buffer = bytearray(KEPT)
        while left:
            got = stream.readinto(memoryview(buffer)[: min(left, KEPT)])
            if not got:
                raise Hangup
            if request.length + got <= KEPT:
                request.body += bytes(buffer[:got])
            request.length += got
            left -= got


def ok(data=None):
    return json.dumps({"status": 0, "msg": "后台处理正常", "data": data}, ensure_ascii=False).encode()


def http(body=b"", status=200, *headers, length=None):
    """An answer's bytes."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*pieces, end=b"0\r\n\r\n"):
    """An answer's bytes in chunks."""
    body = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def zipped(body):
    return http(gzip.compress(body, mtime=0), 200, "Content-Encoding: gzip")


def hang_up(connection, request):
    """Close the connection without a word."""
    connection.shutdown(socket.SHUT_RDWR)
    raise Hangup


def reset(connection, request, *, after=b""):
    """Break the connection, after so much of an answer."""
    if after:
        connection.sendall(after)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The reading side holds the socket too, so it is closed below it.
    socket.close(connection.detach())
    raise Hangup


def cut_off(answer):
    """Send an answer, or a piece of one, and close the connection."""

    def reply(connection, request):
        connection.sendall(answer)
        hang_up(connection, request)

    return reply


# --- the clients ------------------------------------------------------------------------------------------------------


class _Sync:
    def __init__(self, settings):
        self._client = Client(settings)

    def run(self, flow):
        return self._client.run(flow)

    def hang_up(self):
        self._client.close()

    close = hang_up


class _Aio:
    def __init__(self, settings):
        self._runner = asyncio.Runner()
        self._client = AsyncClient(settings)

    def run(self, flow):
        return self._runner.run(self._client.run(flow))

    def hang_up(self):
        self._runner.run(self._client.close())

    def close(self):
        self.hang_up()
        self._runner.close()


class Clients:
    """Makes clients of one kind, as a test needs them."""

    def __init__(self, kind):
        self._make = {"sync": _Sync, "aio": _Aio}[kind]
        self._made = []

    def client(self, settings):
        client = self._make(settings)
        self._made.append(client)
        return client

    def close(self):
        for client in self._made:
            client.close()


@dataclass
class Conversation:
    """One client, one server, and the calls between them."""

    server: ScriptedServer
    client: object
    api: Api

    def send(self, method="GET", path="/x", **call):
        """Send a call and return the bare answer."""
        return self.client.run(
            self.api.send_once(self.api.settings.prepare(Request(name="try it", method=method, path=path, **call)))
        )

    def upload(self, path):
        return self.client.run(self.api.upload_file(path))


@pytest.fixture(params=["sync", "aio"])
def clients(request):
    clients = Clients(request.param)
    yield clients
    clients.close()


@pytest.fixture
def serve():
    """Make servers; they end with the test."""
    made = []

    def serve(**options):
        made.append(ScriptedServer(**options))
        return made[-1]

    yield serve
    for server in made:
        server.close()


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """The environment says nothing of proxies and certificates, unless a test makes it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def talk(clients):
    """Let a new client talk to a server."""

    def talk(server, **connection):
        settings = Settings.build(**{"fl_url": getattr(server, "url", server), "engine_key": "demo", **connection})
        return Conversation(server, clients.client(settings), Api(settings, retry=NO_RETRY))

    return talk


@pytest.fixture
def conversation(server, talk):
    return talk(server)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def bundle(authority, tmp_path_factory):
    """A CA bundle that trusts the servers of these tests."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="session")
def make_context(authority):
    def make_context(*names):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(context)
        return context

    return make_context


@pytest.fixture
def tls(serve, make_context):
    return partial(serve, context=make_context("127.0.0.1"))
