"""A file as the one part of a multipart body, read chunk by chunk, in the one form that both transports send."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_SIZE = 256 * 1024


class Upload:
    """
    The body of an upload; a file that grows meanwhile is sent as long as it was at first.

    :param path: the file.
    """

    def __init__(self, path: Path) -> None:
        boundary = secrets.token_hex(16)
        name = path.name.replace("\\", "%5C").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._head, self._tail = head.encode(), f"\r\n--{boundary}--\r\n".encode()
        self._file = path.open("rb")
        self._file_size = os.fstat(self._file.fileno()).st_size
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self)),
        }

    def __len__(self) -> int:
        return len(self._head) + self._file_size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        left = self._file_size
        while left and (piece := self._file.read(min(CHUNK_SIZE, left))):
            left -= len(piece)
            yield piece
        yield self._tail

    def close(self) -> None:
        """Close the file."""
        self._file.close()
