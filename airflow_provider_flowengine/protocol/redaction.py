"""
Secrets are hidden in whatever text leaves a client, in each form that a server, a proxy or Python can echo them in.

Each character of a secret is looked for as itself and as JSON, HTML, URLs, Python's ``repr`` and quoted-printable
escape it, once or several times; the whole secret also as base64 (as in Basic authentication) and in hexadecimal.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from html.entities import html5
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.content import storable

if TYPE_CHECKING:
    from collections.abc import Iterable

MASKED = "***"
MAX_TEXT = 4000
"""Characters of a text of the server's that are passed on at most: to an error, a log line, an event, XCom."""

MIN_SECRET = 3
"""Characters of the shortest secret that is hidden: hiding a shorter one would hide most of each text."""

MAX_LEARNED = 32
"""How many secrets that were learned while the client works are kept; older ones are no longer valid."""

_MIN_CUT = 4
"""Characters of a secret's beginning that are hidden if the text ends there, since it may have been cut."""

_MIN_BASE64 = 6
"""Base64 digits that identify a secret within longer base64 text."""

_MIN_HEX = 4
"""Bytes of the shortest secret that is looked for in hexadecimal."""

_MAX_UNITS = 64
"""Characters of a secret that are looked for one by one: a token may have thousands."""

_MAX_ESCAPE = 12
"""Characters that an escaped character of a secret has at most, where its beginning is looked for."""

_AMPERSAND = "&(?:amp;){0,3}"
_ENCODED_BACKSLASH = (
    r"(?:%(?:25){0,3}|\\{1,16}(?:x|u00|U000000)|=)5[cC]|\\134"
    rf"|{_AMPERSAND}(?:bsol;|#0{{0,6}}92(?!\d);?|#[xX]0{{0,6}}5[cC];)"
)
_ESCAPE = r"(?:\\{1,16}|(?:%(?:25){0,3}5[cC]){1,8})"
"""What escapes the next character: backslashes, also within a URL."""

_NAMED_ESCAPES = {"\n": "n", "\r": "r", "\t": "t"}
_WINDOW = 8 * MAX_TEXT
_WORD = 32
_LINE_BREAK = r"\\{1,8}r\\{1,8}n|\\{1,8}n|\r?\n"
_BASE64 = re.compile(rf"(?:[A-Za-z0-9+/_-]|%2[BbFf]|\\{{1,8}}/|{_LINE_BREAK})+(?:=|%3[Dd])*")
_BROKEN_ESCAPE = re.compile(
    r"(?:(?:\\+|(?:%(?:25){0,3}5[cC]){1,8})[uUx]?\{?[0-9a-fA-F]{0,8}|[%=][0-9a-fA-F]{0,8}|&[#\w;]{0,16}|[\x80-\xff]){0,12}\Z"
)


class Redactor:
    """
    Hides secrets, and shortens what is too long to be shown.

    :param secrets: what must never be seen.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._fixed = tuple(secret for secret in secrets if len(secret) >= MIN_SECRET)
        self._learned: tuple[str, ...] = ()
        self._secrets = self._longest_first()

    def _longest_first(self) -> tuple[str, ...]:
        return tuple(sorted({*self._fixed, *self._learned}, key=lambda secret: (-len(secret), secret)))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets, the longest first, so that no part of one is left when another is within it."""
        return self._secrets

    def learn(self, *secrets: str) -> None:
        """Hide more secrets from now on: a session's token, a proxy's password."""
        fresh = [secret for secret in secrets if len(secret) >= MIN_SECRET and secret not in self.secrets]
        self._learned = (*self._learned, *fresh)[-MAX_LEARNED:]
        self._secrets = self._longest_first()

    def __call__(self, text: str, limit: int = MAX_TEXT) -> str:
        """
        Return text as it may be shown.

        :param text: what a server, a proxy or a library said.
        :param limit: the characters that are kept at most, default 4,000.
        """
        shown = storable(text[:_WINDOW])
        secrets = self.secrets
        if secrets and shown:
            shown = (_hide_in_word if len(shown) <= _WORD else _hide)(secrets, shown)
        return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _hide(secrets: tuple[str, ...], text: str) -> str:
    return _hide_beginning(secrets, _pattern(secrets).sub(MASKED, _hide_base64(secrets, text)))


_hide_in_word = lru_cache(maxsize=4096)(_hide)
"""Statuses and trigger kinds are the same few words in each row of a history."""


@lru_cache(maxsize=64)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[str]:
    """Return what matches any of the secrets, each character in any form, or in hexadecimal."""
    forms = [_form(_characters(secret)) for secret in secrets]
    octets = [_encode(secret).hex("_").replace("_", "[: -]?") for secret in secrets if len(_encode(secret)) >= _MIN_HEX]
    return re.compile("|".join([*forms, *(f"(?i:{each})" for each in octets)]))


def _form(characters: str) -> str:
    """Return what matches a secret; of a long one the beginning, and what follows it up to a space or a quote."""
    beginning = "".join(map(_unit, characters[:_MAX_UNITS]))
    return beginning if len(characters) <= _MAX_UNITS else rf"{beginning}[^\s\"'<>]*"


def _characters(secret: str) -> str:
    """Return a secret's characters, of several backslashes only one: each is escaped by any number of them."""
    return re.sub(r"\\+", r"\\", secret)


@lru_cache(maxsize=1024)
def _unit(character: str) -> str:
    """Return what matches one character, however it is written. All repetitions are bounded, and so is the time."""
    if character == "\\":
        return rf"(?:(?:{_ENCODED_BACKSLASH}){{1,8}}|\\{{1,64}})"
    code, octets = ord(character), _encode(character)
    forms = [
        re.escape(character),
        rf"{_AMPERSAND}#0{{0,6}}{code}(?!\d);?",
        rf"{_AMPERSAND}#[xX]0{{0,6}}(?i:{code:x});",
    ]
    forms += [f"{_AMPERSAND}{name}" for name in _entity_names().get(character, ())]
    forms += [
        rf"{_ESCAPE}u(?i:{code:04x})",
        rf"\\{{1,8}}u\{{0{{0,4}}(?i:{code:x})\}}",
        rf"\\{{1,8}}U(?i:{code:08x})",
        rf"\\{{1,8}}x(?i:{code:02x})",
    ]
    forms += ["".join(rf"(?:%(?:25){{0,3}}|\\{{1,8}}x|=)(?i:{octet:02x})" for octet in octets)]
    forms += ["".join(rf"\\{{1,8}}{octet:03o}" for octet in octets)]
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        forms.append(rf"{_ESCAPE}u(?i:{0xD800 + high:04x}){_ESCAPE}u(?i:{0xDC00 + low:04x})")
    if code > 0x7F:
        forms += [re.escape("".join(map(chr, octets))), r"[?\ufffd]{1,4}"]  # in another charset, or lost
    if character in _NAMED_ESCAPES:
        forms.append(rf"\\{{1,8}}{_NAMED_ESCAPES[character]}")
    if character == " ":
        forms.append(r"\+")
    return _quoted(character, f"(?:{'|'.join(sorted(forms, key=len, reverse=True))})")


def _quoted(character: str, either: str) -> str:
    """Return what matches a character within a quoted text too: doubled, or after an escape."""
    if character in "\"'":  # doubled, as SQL, CSV and YAML escape them
        either = f"{either}{{1,2}}"
    if character == "'":  # as a shell does, whose quotes end for it
        either = rf"(?:'\\{{1,16}}''|'\\{{0,16}}\"'\\{{0,16}}\"'|{either})"
    return rf"(?:{_ESCAPE}{either}|{either})" if character in "\"'/`" else either


@lru_cache(maxsize=1024)
def _compiled_unit(character: str) -> re.Pattern[str]:
    return re.compile(_unit(character))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _entity_names() -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, character in html5.items():
        if name.endswith(";"):
            names.setdefault(character, []).append(name)
    return names


def _hide_base64(secrets: tuple[str, ...], text: str) -> str:
    """Hide base64 that holds a secret, with what surrounds it: ``user:password`` is one such text."""
    cores, wholes = _base64_forms(secrets)

    def hide(match: re.Match[str]) -> str:
        digits = _plain_base64(match[0])
        return MASKED if digits in wholes or any(core in digits for core in cores) else match[0]

    return _BASE64.sub(hide, text)


@lru_cache(maxsize=64)
def _base64_forms(secrets: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the digits that a secret has within longer base64, at each alignment, and those that it has alone."""
    cores, wholes = set(), set()
    for octets in map(_encode, secrets):
        wholes.add(base64.b64encode(octets).decode().rstrip("="))
        for offset in range(3):
            digits = base64.b64encode(bytes(offset) + octets).decode()
            # The digits at both ends hold bits of the text around the secret too.
            core = digits[-(-offset * 8 // 6) : (offset + len(octets)) * 8 // 6]
            cores.update([core] if len(core) >= _MIN_BASE64 else [])
    return tuple(sorted(cores)), frozenset(wholes)


def _plain_base64(text: str) -> str:
    text = re.sub(r"%2[Bb]|-", "+", re.sub(_LINE_BREAK, "", text))
    return re.sub(r"%2[Ff]|\\+/|_", "/", text).partition("=")[0].partition("%")[0]


def _hide_beginning(secrets: tuple[str, ...], text: str) -> str:
    """Hide the beginning of a secret with which a text ends: the rest was cut off."""
    start = min((_cut_at(secret, text) for secret in secrets), default=len(text))
    return f"{text[:start]}{MASKED}" if start < len(text) else text


def _cut_at(secret: str, text: str) -> int:
    """Return where the beginning of a secret begins with which a text ends; its length if it ends with none."""
    units = [_compiled_unit(character) for character in _characters(secret)]
    for start in range(max(0, len(text) - _MAX_ESCAPE * len(secret)), len(text)):
        ends = [start]
        while len(ends) <= len(units) and (match := units[len(ends) - 1].match(text, ends[-1])):
            ends.append(match.end())
        if len(ends) > _MIN_CUT and any(_BROKEN_ESCAPE.match(text, end) for end in ends[-3:]):
            return start
    return len(text)
