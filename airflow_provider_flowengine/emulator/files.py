"""Files that the emulator keeps: what was uploaded, and what jobs read and write."""

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


class Files:
    """
    A folder for uploads and one for each job of each run.

    :param root: the folder; None makes one, for as long as the emulator lives, when it is needed.
    """

    def __init__(self, root: Path | None = None) -> None:
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

        :param parts: its path, one name each; those that there are stay as they are.
        """
        folder = self.root
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts:
            folder /= part
            folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def save_upload(self, slot: str, name: str, content: BinaryIO) -> Path:
        """
        Keep an uploaded file in a folder of its own.

        :param slot: the number in the upload call's path: the job template's id, as paths on the vendor's page have it.
        :param name: the file's name.
        :param content: what is in it.
        :return: where it is: the value of a FILE param.
        :raises RequestRejected: when the name isn't a plain one: with a path in it, a file could land anywhere.
        """
        check_name(name)
        if not slot.isalnum():
            raise RequestRejected(f"job template {slot!r} does not exist")
        path = self.make("solution_template", f"job_template_{slot}", uuid.uuid4().hex[:8]) / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            shutil.copyfileobj(content, target)
        return path

    def job(self, run_id: int, number: int, node_id: str) -> Path:
        """
        Return the work folder of a node in a run; not made by this.

        :param run_id: the run.
        :param number: the node's place in the pipeline.
        :param node_id: the node: no part of a path, whatever is in it.
        """
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", node_id)[:60]
        return self._run(run_id) / f"{number:03d}-{readable}"

    def log(self, run_id: int, number: int, node_id: str) -> str:
        """
        Return what a node wrote in a run whose jobs really ran.

        :param run_id: the run.
        :param number: the node's place in the pipeline.
        :param node_id: the node.
        """
        try:
            with open_regular(self.job(run_id, number, node_id) / "log.txt") as file:
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def forget_run(self, run_id: int) -> None:
        """Remove the work folders of a run: another one had its id, in a database that is gone."""
        shutil.rmtree(self._run(run_id), ignore_errors=True)

    def _run(self, run_id: int) -> Path:
        return self.root / "runs" / str(run_id)

    def close(self) -> None:
        """Remove the folder, if this made it."""
        if self._made:
            shutil.rmtree(self._made, ignore_errors=True)
            self._root = self._made = None


def open_regular(path: Path) -> BinaryIO:
    """
    Open a file of a job's for reading.

    :param path: where it is.
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
