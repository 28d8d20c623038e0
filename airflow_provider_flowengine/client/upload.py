"""A file as the one part of a multipart body, read chunk by chunk, in the one form that both transports send."""

from __future__ import annotations

import io
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
        self._parts: list[tuple[io.BufferedReader | io.BytesIO, int]] = []
        for part in (io.BytesIO(head.encode()), path.open("rb"), io.BytesIO(f"\r\n--{boundary}--\r\n".encode())):
            self._parts.append((part, part.seek(0, io.SEEK_END)))
            part.seek(0)
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self)),
        }

    def __len__(self) -> int:
        return sum(left for _, left in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK_SIZE):
            yield chunk

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, at most so many bytes; nothing at the end."""
        while self._parts:
            part, left = self._parts[0]
            chunk = part.read(left if size < 0 else min(size, left))
            if chunk:
                self._parts[0] = (part, left - len(chunk))
                return chunk
            part.close()
            del self._parts[0]
        return b""

    def close(self) -> None:
        """Close the file."""
        for part, _ in self._parts:
            part.close()
