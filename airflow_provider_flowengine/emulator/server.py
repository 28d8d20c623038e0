"""The emulator as one object, served from a thread or from the main program."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import uvicorn

from .api import known_call
from .app import build_app
from .clock import Clock
from .connection import RUN_PAGE, connection
from .engine import Engine
from .faults import Fault, Faults, RandomFaults
from .files import Files
from .job_executor import JobExecutor
from .options import Options
from .sample import add_sample
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


_MAX_SHUTDOWN = 15.0  # seconds: jobs get three to end by themselves


class _Server(uvicorn.Server):
    """
    Shuts down at SIGINT and SIGTERM, so that jobs can be ended too, or leaves the signals to its program.

    uvicorn itself, once it has shut down, lets the signal kill the process.
    """

    def __init__(self, config: uvicorn.Config, handle_signals: bool) -> None:
        super().__init__(config)
        self._signals = (signal.SIGINT, signal.SIGTERM) if handle_signals else ()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Shut down in order; after a while, exit anyway."""
        super().handle_exit(sig, frame)
        last_resort = threading.Timer(_MAX_SHUTDOWN, os._exit, (128 + sig,))
        last_resort.daemon = True
        last_resort.start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {each: signal.signal(each, self.handle_exit) for each in self._signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _names(host: str) -> list[str]:
    """Return the hosts that requests may name to an emulator on the loopback address; none if others can reach it."""
    return ["127.0.0.1", "localhost", "[::1]", host] if _is_loopback(host) else []


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_key(options: Options, needed: bool) -> None:
    if needed and not options.access_key:
        raise ValueError("jobs that really run, open to others, need an access_key that they must know")


class Emulator:
    """
    A FlowEngine on a port of this machine.

    As a context manager it serves from a thread of this process, ready when the block begins::

        with Emulator(node_seconds=0) as emulator:
            pipeline = emulator.engine.create_pipeline({...})

    :param db: SQLite file that keeps the state; memory by default.
    :param host: address to listen on.
    :param port: port to listen on; 0 takes a free one, kept through :meth:`stop` and :meth:`start`.
    :param clock: its time; the machine's by default.
    :param execute: whether SHELL and PYTHON3 jobs really run, with the rights of this process.
    :param work_dir: folder for uploads and for what jobs read and write; by default one beside ``db``, or a
        temporary one.
    :param like: a preset of a generation: ``2020``, ``0.0.3.2`` or ``0.0.3.4``.
    :param options: fields of :class:`.options.Options`.
    """

    def __init__(
        self,
        *,
        db: str = ":memory:",
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        execute: bool = False,
        work_dir: str | None = None,
        like: str = "",
        **options: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.options = Options.like(like, **options)
        self._access_key = self.options.access_key
        key_needed = execute and not _is_loopback(host)
        _check_key(self.options, key_needed)
        self._socket = self._bind(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self.engine = Engine(Store(db), self.clock, self.options)
        self.engine.key_needed = key_needed
        self.engine.restart()
        self.faults = Faults()
        if work_dir is None and db != ":memory:":
            work_dir = f"{db}.files"
        self.files = Files(Path(work_dir).absolute() if work_dir else None)
        self._job_executor = JobExecutor(self.engine, self.files) if execute else None
        self.engine.executor = self._job_executor
        self._app, self._gateway = build_app(self.engine, self.faults, self.files, _names(host))
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @staticmethod
    def _bind(host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except TypeError as error:
            bound.close()
            raise ValueError(f"{host!r} is no address to listen on") from error
        except OSError as error:
            bound.close()
            elsewhere = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            advice = "give a --host of this machine" if elsewhere else "give another --port (0 takes a free one)"
            raise OSError(f"can't listen on {_address(host, port)}: {error.strerror}; {advice}") from error
        return bound

    @property
    def url(self) -> str:
        """The gateway's address, ``fl_url``."""
        return f"http://{_address(self.host, self.port)}"

    @property
    def engine_key(self) -> str:
        """The engine's key."""
        return self.options.engine_key

    @property
    def executes(self) -> bool:
        """Whether jobs really run."""
        return self._job_executor is not None

    def connection(self, **extra: Any) -> str:
        """
        Return an Airflow connection to this emulator, as JSON for ``AIRFLOW_CONN_FLOWENGINE_DEFAULT``.

        :param extra: more fields of the connection's extra.
        """
        return connection(self.options, self.host, self.port, **extra)

    def add_sample(self) -> int:
        """Create the sample pipeline ``churn_model``, unless there is one of that key, and return its id."""
        return add_sample(self.engine)

    def reset(self, like: str = "", **options: Any) -> None:
        """
        Reset everything: no pipelines, runs, calls, sessions and faults, the machine's clock, and these options.

        :param like: a preset: ``2020``, ``0.0.3.2`` or ``0.0.3.4``; by default, the options' own defaults.
        :param options: fields of :class:`.options.Options`; others get their default, ``access_key`` the one
            that the emulator was made with.
        :raises ValueError: when it takes away the access key that jobs open to others need.
        """
        fresh = Options.like(like, **{"access_key": self._access_key, **options})
        _check_key(fresh, self.engine.key_needed)
        self.engine.clear()
        self.faults.clear()
        self.end_sessions()
        with self.engine.lock:
            self.clock.reset()
            self._gateway.away_until = 0.0
            for name in Options.model_fields:
                setattr(self.options, name, getattr(fresh, name))

    def end_sessions(self) -> None:
        """End all sessions of the session call at once."""
        self._gateway.sessions.end_all()

    def take_away(self, seconds: float) -> None:
        """
        Take the engine away for a while, as a restart does: its gateway answers in its place.

        :param seconds: for how long, by the emulator's clock.
        """
        self._gateway.take_away(seconds)

    # Serving

    def start(self) -> None:
        """Serve from a thread; return when requests are accepted."""
        if self._thread:
            return
        if self._socket.fileno() == -1:
            self._socket = self._bind(self.host, self.port)
        # The listening socket queues connections from now on, even if the thread needs a moment to accept them.
        self._socket.listen(2048)
        self._server = self._make_server(handle_signals=False)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="flowengine-emulator", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving: connections are refused from now on. The state stays, and :meth:`start` continues with it."""
        if self._thread and self._server:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join()
            self._thread = self._server = None
        self._socket.close()

    def close(self) -> None:
        """Stop serving, end all jobs, and close the database."""
        self.stop()
        if self._job_executor:
            self._job_executor.close()
        self.files.close()
        with self.engine.lock:
            self.engine.store.close()

    def serve(self, ready: Callable[[], None] = lambda: None) -> None:
        """
        Serve from the main thread until the process is told to end.

        :param ready: called once connections are accepted.
        """
        self._socket.listen(2048)
        ready()
        self._make_server(handle_signals=True).run(sockets=[self._socket])

    def _make_server(self, *, handle_signals: bool) -> _Server:
        config = uvicorn.Config(
            # uvicorn's other parser, which it prefers if it is installed, accepts headers without end.
            self._app,
            http="h11",
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        return _Server(config, handle_signals)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # For tests

    def fail(self, *calls: str, kind: str = "status", **fault: Any) -> None:
        """
        Script a fault.

        :param calls: names of the calls that fail, none for all.
        :param kind: the kind of :class:`.faults.Fault`; the other arguments are its fields.
        :raises ValueError: when no call has such a name, or the fault is wrong.
        """
        self.faults.add(Fault.model_validate({"kind": kind, "calls": list(calls), **fault}))

    def fail_at_random(self, rate: float, seed: int, *faults: Fault) -> None:
        """Let random calls fail; a rate of 0 ends it."""
        self.faults.set_random(RandomFaults(rate=rate, seed=seed, faults=list(faults)))

    def calls(self, name: str = "") -> list[dict[str, Any]]:
        """
        Return the requests, oldest first; only those of one call if it is named.

        :raises ValueError: when no call has this name.
        """
        with self.engine.lock:
            return self.engine.store.calls(known_call(name) if name else "")

    def count(self, name: str) -> int:
        """
        Return how often a call was made.

        :raises ValueError: when no call has this name.
        """
        with self.engine.lock:
            return self.engine.store.call_counts().get(known_call(name), 0)

    def forget_calls(self) -> None:
        """Clear the log of requests."""
        with self.engine.lock:
            self.engine.store.forget_calls()

    def run_url(self, pipeline_id: int, run_id: int) -> str:
        """Return the address of a run's page."""
        return self.url + RUN_PAGE.format(engine_url=self.options.engine_url, pipeline_id=pipeline_id, run_id=run_id)
