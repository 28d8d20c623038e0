"""Processes that a test starts, strikes and ends, each by its id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from itertools import filterfalse
from pathlib import Path

import psutil


class Process:
    """
    One process, known by the file that holds its id: whoever names it can strike it down and start it again.

    :param name: its name, for its files.
    :param argv: the command.
    :param env: its environment.
    :param folder: where its output and its id are kept.
    :param user: the account that it runs under, where that isn't ours.
    """

    def __init__(self, name: str, argv: list[str], env: dict[str, str], folder: Path, user: str | None = None) -> None:
        self.name, self.argv, self.env, self.user = name, argv, env, user
        self.log, self._id = folder / f"{name}.log", folder / f"{name}.pid"

    def start(self) -> None:
        with self.log.open("ab") as log:
            begun = subprocess.Popen(
                self.argv,
                env=self.env,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
            )
        self._id.write_text(str(begun.pid))

    @property
    def pid(self) -> int:
        return int(self._id.read_text())

    def tree(self) -> list[int]:
        """The process and all below it."""
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]

    def is_alive(self) -> bool:
        return not is_gone(self.pid)

    def end(
        self,
        sign: signal.Signals = signal.SIGTERM,
        *,
        whole_tree: bool = False,
        kill_after: float | None = None,
        seconds: float = 60,
    ) -> None:
        """
        Strike the process, or it and all below it, and wait until all that was struck is gone.

        :param kill_after: the seconds after which what is left is killed, as a service manager does; ``None``: never.
        :param seconds: how long to wait before it counts as a failure.
        """
        struck = self.tree() if whole_tree else [self.pid]
        for pid in struck:
            strike(pid, sign)

        def all_gone() -> bool:
            return all(map(is_gone, struck))

        def left() -> str:
            return f"{self.name} does not end after {sign.name}: {'; '.join(map(described, struck))}"

        if kill_after is not None and not asked(all_gone, kill_after):
            for pid in filterfalse(is_gone, struck):
                strike(pid, signal.SIGKILL)
        until(all_gone, seconds, left)


def strike(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a process that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def described(pid: int) -> str:
    """Say for a failure what a process is, and what it does, where it is there still."""
    if is_gone(pid):
        return f"{pid} is gone"
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return f"{pid} ({' '.join(process.cmdline())}) is {process.status()}"
    return f"{pid} can't be looked at"


def end_all(folder: Path) -> None:
    """
    End whatever still works in a folder, orphans too, each by its id.

    What a :class:`Process` starts works in its folder, and so does what that starts. (Celery's workers write over their
    environment, so a mark in there would be lost.)
    """
    for sign, patience in ((signal.SIGTERM, 5.0), (signal.SIGCONT, 0.0), (signal.SIGKILL, 5.0)):
        left = list(_at_work_in(folder))
        for pid in left:
            strike(pid, sign)
        deadline = time.monotonic() + patience
        while any(not is_gone(pid) for pid in left) and time.monotonic() < deadline:
            time.sleep(0.1)


def _at_work_in(folder: Path) -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = f"{process.cwd()}/".startswith(f"{folder}/") and process.status() != psutil.STATUS_ZOMBIE
            if ours and process.terminal() is None:  # not the shell of somebody who has come to look
                yield process.pid


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kept_port(file: Path) -> int:
    """The port that a file holds; a free one where there is no such file yet."""
    if not file.exists():
        file.write_text(str(free_port()))
    return int(file.read_text())


def until(what, seconds: float, message: str, pause: float = 0.5):
    """Ask again and again until there is an answer, and return it."""
    answer = asked(what, seconds, pause)
    assert answer, message() if callable(message) else message
    return answer


def asked(what, seconds: float, pause: float = 0.5):
    """Ask again and again until there is an answer or the time is over, and return the last one."""
    deadline = time.monotonic() + seconds
    while not (answer := what()) and time.monotonic() < deadline:
        time.sleep(pause)
    return answer
