"""The emulator's files: uploads, and what jobs read and write."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import uuid
from pathlib import Path
from typing import BinaryIO

from .definition import RequestRejected

_MAX_NAME = 255  # bytes, as file systems have it
_MAX_SLOT = 30  # letters of a job template's id
_MAX_LOG = 4 * 2**20  # bytes


class Files:
    """
    A folder for uploads and one for each job of each run.

    :param root: the folder; None makes one, for as long as the emulator lives, when it is needed.
    :raises OSError: when there is something else in its place.
    """

    def __init__(self, root: Path | None = None) -> None:
        if root and root.exists() and not root.is_dir():
            raise NotADirectoryError(f"uploads and what jobs write can't be kept in {root}: it is no folder")
        self._root = root
        self._made: Path | None = None

    @property
    def root(self) -> Path:
        """The folder that everything is in."""
        if self._root is None:
            self._root = self._made = Path(tempfile.mkdtemp(prefix="flowengine-emulator-"))
        return self._root

    def make(self, *parts: str) -> Path:
        """
        Make a folder below the root, which its user alone can read, and return it.

        :param parts: its path, one name each; existing folders are kept.
        """
        folder = self.root
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o700)
        for part in parts:
            folder /= part
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)  # whatever the umask is
        return folder

    def save_upload(self, slot: str, name: str, content: BinaryIO) -> Path:
        """
        Save an uploaded file in a folder of its own.

        :param slot: the number in the upload call's path: the job template's id, as paths on the vendor's page have it.
        :param name: the file's name.
        :param content: its content.
        :return: its path: the value of a FILE param.
        :raises RequestRejected: when the name isn't a plain one: with a path in it, a file could land anywhere; or the
            file can't be written.
        """
        check_name(name)
        if not slot.isalnum() or len(slot) > _MAX_SLOT:
            raise RequestRejected(f"job template {slot!r} does not exist")
        try:
            path = self.make("solution_template", f"job_template_{slot}", uuid.uuid4().hex[:8]) / name
            with open(path, "xb", opener=privately) as target:
                shutil.copyfileobj(content, target)
        except OSError as error:
            raise RequestRejected(f"{name} can't be kept: {error.strerror}") from error
        return path

    def job(self, run_id: int, number: int, node_id: str) -> Path:
        """
        Return the path of a node's work folder in a run; it may not exist yet.

        :param run_id: the run.
        :param number: the node's place in the pipeline.
        :param node_id: the node; it may hold any characters.
        """
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", node_id)[:60]
        return self._run(run_id) / f"{number:03d}-{readable}"

    def log(self, run_id: int, number: int, node_id: str) -> str:
        """
        Return a node's log in a run whose jobs really ran; only the end of a long one.

        :param run_id: the run.
        :param number: the node's place in the pipeline.
        :param node_id: the node.
        """
        try:
            with open_regular(self.job(run_id, number, node_id) / "log.txt") as file:
                left_out = max(0, file.seek(0, os.SEEK_END) - _MAX_LOG)
                file.seek(left_out)
                text = file.read(_MAX_LOG).decode(errors="replace")
                return f"… {left_out} bytes are left out\n{text}" if left_out else text
        except OSError:
            return ""

    def forget_run(self, run_id: int) -> None:
        """Remove the work folders of an earlier run with this id, whose database was deleted."""
        shutil.rmtree(self._run(run_id), ignore_errors=True)

    def _run(self, run_id: int) -> Path:
        return self.root / "runs" / str(run_id)

    def close(self) -> None:
        """Remove the folder, if it is a temporary one."""
        if self._made:
            shutil.rmtree(self._made, ignore_errors=True)
            self._root = self._made = None


def privately(path: str, flags: int) -> int:
    """Open a file that its user alone can read, whatever the umask is: an ``opener`` for :func:`open`."""
    descriptor = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):  # a device such as /dev/null belongs to everybody
        os.fchmod(descriptor, 0o600)
    return descriptor


def open_regular(path: Path) -> BinaryIO:
    """
    Open a file of a job's for reading.

    :param path: its path.
    :raises OSError: when it isn't there, or no regular file: reading a FIFO that nobody writes to would never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is no regular file")
    return os.fdopen(descriptor, "rb")


def check_name(name: str) -> None:
    """
    Check a file's name.

    :raises RequestRejected: when it is empty, too long, or more than a name.
    """
    if not name or name in (".", "..") or re.search(r"[/\\\0]", name) or len(name.encode(errors="replace")) > _MAX_NAME:
        raise RequestRejected(f"{name!r} is not a file name")
