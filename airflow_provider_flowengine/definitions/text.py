"""Differences between definitions as text for users: terminals, logs, a pull request's comments."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json

MAX_VALUE_LENGTH = 80
"""Characters of a value that a line shows."""

MAX_LINE_LENGTH = 500
"""Characters of a script's line that are shown."""

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"passw|secret|token|credential|access.?key|api.?key", re.IGNORECASE)
_KINDS = {"nodes": "node", "edges": "edge", "values": "param"}
"""What the items of a list are called."""
_LEFT_OUT = {"data", "params"}
"""Parts of a path that say nothing to a reader."""


def describe(path: tuple[str, ...], before: Json, after: Json) -> list[str]:
    """
    Return one difference as lines: its place and values, or a unified diff of texts of more than a line.

    :param path: where it is.
    :param before: what is there now, None for nothing.
    :param after: what should be there, None for nothing.
    """
    where = place(path)
    before, after = (without_secrets(path, value) for value in (before, after))
    if before is None:
        return _describe_one("+", path, after)
    if after is None:
        return _describe_one("-", path, before)
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        return [f"~ {where}:", *(f"    {line}" for line in _unified(before, after))]
    return [f"~ {where}: {show(before)} → {show(after)}"]


def _describe_one(sign: str, path: tuple[str, ...], value: Json) -> list[str]:
    """Return what is there on one side alone as lines."""
    where = place(path)
    if isinstance(value, dict) and path[-2:-1] == ("values",):
        value = value.get("value")
    if isinstance(value, str) and "\n" in value:
        return [f"{sign} {where}:", *(f"    {sign}{_cut(line)}" for line in value.splitlines())]
    return [f"{sign} {where}" if _is_item(path) else f"{sign} {where}: {show(value)}"]


def one_line(text: str) -> str:
    """Return a name on one line: a key that holds line ends must not look like further lines."""
    return " ".join(text.splitlines())


def place(path: tuple[str, ...]) -> str:
    """Return where something is, e.g. ``node train, param trees`` for its ``value``."""
    words: list[str] = []
    names = iter(path)
    for name in names:
        item = next(names, None) if name in _KINDS else None
        if item is not None:
            words.append(f"{_KINDS[name]} {one_line(item)}")
        elif name not in _LEFT_OUT and not (name == "value" and words and words[-1].startswith("param ")):
            words.append(one_line(name))
    return ", ".join(words)


def show(value: Json) -> str:
    """Return a value as JSON, cut where it is long."""
    shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return shown if len(shown) <= MAX_VALUE_LENGTH else f"{shown[:MAX_VALUE_LENGTH]}…"


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…"


def _is_item(path: tuple[str, ...]) -> bool:
    return path[-2:-1] in (("nodes",), ("edges",))


def _holds_secret(path: tuple[str, ...]) -> bool:
    return "values" in path[:-1] and bool(_SECRET_NAME.search(path[path.index("values") + 1]))


def without_secrets(path: tuple[str, ...], value: Json) -> Json:
    """
    Return a value with the values of secret params hidden.

    :param path: where it is.
    :param value: a value in its canonical form, in which params are named by their keys.
    """
    if value is not None and _holds_secret(path):
        return HIDDEN
    if isinstance(value, dict):
        return {name: without_secrets((*path, name), item) for name, item in value.items()}
    return value


def _unified(before: str, after: str) -> list[str]:
    """Return a unified diff without its file names; what differs only in line ends is said."""
    lines = list(map(_cut, difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)))[2:]
    return lines or ["(only line ends or the end of the last line differ)"]
