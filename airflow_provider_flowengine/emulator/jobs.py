"""
One job that really runs: a script as a process group of its own, in a folder of its own.

From the vendor's documentation: ``${key}`` stands for a param wherever it is, params are
environment variables too, and what a script writes to ``${outputFile}`` is its output. That a script stands in
``indexSource`` is inference.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .files import open_regular, privately

if TYPE_CHECKING:
    import threading
    from pathlib import Path

COMMANDS = {"SHELL": [shutil.which("bash") or "sh"], "PYTHON3": [sys.executable]}

_POLL_INTERVAL = 0.05  # seconds
_GRACE = 3.0  # seconds between asking a process group to end and ending it
_MAX_OUTPUT = 64 * 2**10  # bytes
_MAX_MESSAGE = 500
# Variables that a param doesn't replace: without them, scripts find no programs, libraries or home.
_KEPT = ("PATH", "HOME", "USER", "SHELL", "TMPDIR", "LANG", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass(frozen=True)
class Script:
    """What a node, or a hook of it, is to run."""

    job_type: str
    source: str
    heading: str = ""  # what stands over its output in the log

    @property
    def executable(self) -> bool:
        """Whether it can be run here: other types, and nodes without a script, are simulated."""
        return self.job_type in COMMANDS and bool(self.source.strip())


@dataclass(frozen=True)
class Ended:
    """How a job ended: succeeded, failed, timed out or stopped."""

    outcome: str
    message: str = ""
    output: str = ""


def fill(text: str, values: dict[str, str]) -> str:
    """
    Replace each ``${key}`` by its param; other keys stay, since they may be the shell's own variables.

    :param text: the script.
    :param values: key to value.
    """
    return re.sub(r"\$\{([^}]*)\}", lambda match: values.get(match[1], match[0]), text)


def run_job(
    script: Script, values: dict[str, str], folder: Path, log: Path, limit: float | None, stop: threading.Event
) -> Ended:
    """
    Run a script to its end.

    :param script: what to run; it has to be executable.
    :param values: its params.
    :param folder: its work folder, created if there is none.
    :param log: the file to which its output is appended.
    :param limit: how many seconds it may take.
    :param stop: set to end it.
    """
    output = folder / "outputFile"
    try:
        _clear(folder, log)
        written = _write_heading(script, log)
        process = _begin(script, {**values, "outputFile": str(output)}, folder, log)
    except (OSError, ValueError) as error:
        return Ended("failed", f"the script can't be started: {error}")
    cut_off = _watch(process, limit, stop)
    _end_group(process)
    if cut_off:
        return cut_off
    if process.returncode:
        return Ended("failed", _last_words(log, written, process.returncode))
    try:
        return Ended("succeeded", output=_read_output(output))
    except OSError as error:
        return Ended("failed", f"its output can't be read: {error}")


def _clear(folder: Path, log: Path) -> None:
    """Remove what an earlier job left in place of its files, which may be a FIFO."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for path in (folder / "script", folder / "outputFile"):
        path.unlink(missing_ok=True)
    if not log.is_file():
        log.unlink(missing_ok=True)


def _write_heading(script: Script, log: Path) -> int:
    """Write a heading for a script's output to the log; return where the output begins."""
    with open(log, "a", encoding="utf-8", opener=privately) as target:
        if script.heading:
            target.write("\n" * bool(target.tell()) + f"--- {script.heading} ---\n")
        return target.tell()


def _begin(script: Script, values: dict[str, str], folder: Path, log: Path) -> subprocess.Popen[bytes]:
    path = folder / "script"
    with open(path, "xb", opener=privately) as target:
        target.write(fill(script.source, values).encode(errors="replace"))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **{key: value for key, value in values.items() if _fits(key)}}
    with log.open("ab") as target:
        return subprocess.Popen(
            [*COMMANDS[script.job_type], str(path)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _fits(key: str) -> bool:
    return bool(key) and "=" not in key and "\0" not in key and key not in _KEPT


def _watch(process: subprocess.Popen[bytes], limit: float | None, stop: threading.Event) -> Ended | None:
    """Wait for the process to end, for a stop, or for the time limit."""
    deadline = None if limit is None else time.monotonic() + limit
    while process.poll() is None:
        if stop.wait(_POLL_INTERVAL):
            return Ended("stopped")
        if deadline is not None and time.monotonic() > deadline:
            return Ended("timed out", f"timed out after {limit:g} s")
    return None


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started: they are one group, whose id is the process's own."""
    # An empty group can't be sent anything; on macOS neither can one of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            process.poll()  # until its exit code is read, the process itself remains in the group
            os.killpg(process.pid, 0)
            time.sleep(_POLL_INTERVAL)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path, start: int, code: int) -> str:
    words = ""
    with contextlib.suppress(OSError), open_regular(log) as file:
        file.seek(max(start, file.seek(0, os.SEEK_END) - _MAX_MESSAGE))
        words = file.read().decode(errors="replace").strip()
    how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}: {words}" if words else how


def _read_output(path: Path) -> str:
    try:
        with open_regular(path) as file:
            output = file.read(_MAX_OUTPUT + 1)
    except FileNotFoundError:
        return ""
    if len(output) > _MAX_OUTPUT:
        raise OSError(f"it is longer than {_MAX_OUTPUT} bytes; hand on a file's path instead")
    # As a shell's $(…) does, so that what `echo` wrote fits into another job's script.
    return output.decode(errors="replace").removesuffix("\n")
