"""The content of a response: decompressed within a limit as it arrives, and decoded as its charset says."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ACCEPT_ENCODING = "gzip, deflate"
"""How a response may be compressed: what :class:`Content` can decompress."""

MAX_RESPONSE_SIZE = 32 * 1024 * 1024
"""Bytes of a response that are read at most by default, counted after decompression."""

_NO_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")
"""Codecs of Python's that no document is written in."""


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class ContentError(Exception):
    """The content of a response is too large, or cannot be decompressed."""


class Content:
    """
    Collects the content of a response, chunk by chunk.

    :param headers: the response's headers, their names in lower case.
    :param limit: the bytes that it may have at most, counted after decompression.
    """

    def __init__(self, headers: Mapping[str, str], limit: int = MAX_RESPONSE_SIZE) -> None:
        names = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
        encodings = [name for name in names if name not in ("", "identity")]
        if len(encodings) > 1:
            raise ContentError(f"its content is compressed {len(encodings)} times: {', '.join(names)}")
        self._encoding = "".join(encodings)
        if self._encoding not in ("", "gzip", "x-gzip", "deflate"):
            raise ContentError(f"its content is compressed as {self._encoding!r}, which was not asked for")
        self._stream: zlib._Decompress | None = None
        self._limit = limit
        self._body = bytearray()

    def add(self, chunk: bytes) -> None:
        """
        Take the next chunk.

        :raises ContentError: when there is more than the limit allows, or it cannot be decompressed.
        """
        if self._encoding:
            chunk = self._decompress(chunk, self._limit - len(self._body) + 1)
        if len(self._body) + len(chunk) > self._limit:
            raise ContentError(
                f"the answer is larger than {self._limit / 2**20:g} MiB; max_response_size in the connection's extra "
                "is what is read at most"
            )
        self._body += chunk

    def finish(self) -> bytes:
        """
        Return the whole content.

        :raises ContentError: when compressed content ends too early.
        """
        if self._stream and not self._stream.eof:
            raise ContentError("its compressed content ends too early")
        return bytes(self._body)

    def _decompress(self, chunk: bytes, limit: int) -> bytes:
        """Return what a chunk of gzip, of one part or several, or of deflate holds, at most so many bytes."""
        is_gzip = self._encoding != "deflate"
        plain = bytearray()
        try:
            while chunk and len(plain) < limit:
                if self._stream is None or (self._stream.eof and is_gzip):
                    self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16 if is_gzip else _deflate_bits(chunk[0]))
                plain += self._stream.decompress(chunk, limit - len(plain))
                chunk = self._stream.unused_data if is_gzip else b""
        except zlib.error as error:
            raise ContentError(f"its content cannot be decompressed: {error}") from None
        return bytes(plain)


def _deflate_bits(first: int) -> int:
    """Return how deflate is to be read, by its first byte: with zlib's header or without."""
    return zlib.MAX_WBITS if first & 0x0F == 8 else -zlib.MAX_WBITS


def decode(body: bytes, content_type: str = "", limit: int | None = None) -> str:
    """
    Return a response's text: in the charset that it names, else UTF-8, else GB18030 (which GBK and GB2312 are part of).

    :param body: the response's content.
    :param content_type: its ``Content-Type``.
    :param limit: the bytes that are decoded at most; default all of them.
    """
    part, is_whole = (body, True) if limit is None else (body[:limit], len(body) <= limit)
    for charset in _charsets(part, content_type):
        try:
            return codecs.getincrementaldecoder(charset)().decode(part, is_whole).removeprefix("\ufeff")
        except UnicodeError:
            continue
    return part.decode("utf-8", "replace")


def storable(text: str) -> str:
    """
    Replace NUL and each half of a surrogate pair by U+FFFD: not every log, database and message can hold them.

    :param text: what a server or a library said.
    """
    return _UNSTORABLE.sub("\ufffd", text) if not text.isascii() or "\0" in text else text


def _charsets(body: bytes, content_type: str) -> Iterable[str]:
    """Yield the charsets to try, the likeliest first. Latin-1 is what many servers name for whatever they send."""
    match = re.search(r"""charset\s*=\s*["']?([\w.:-]+)""", content_type, re.IGNORECASE)
    named = _charset(match[1]) if match else ""
    guesses = (json.detect_encoding(body), "utf-8", "gb18030")
    return (*guesses[:2], named, "gb18030") if named == "iso8859-1" else (*([named] if named else []), *guesses)


def _charset(name: str) -> str:
    """Return the codec of a charset that a response names; empty for what is none."""
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)  # not a codec from text to text, or from bytes to bytes
    except (LookupError, ValueError):
        return ""
    if codec.name in _NO_CHARSETS:
        return ""
    return "gb18030" if codec.name in ("gb2312", "gbk") else codec.name
