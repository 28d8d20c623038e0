"""
How a pipeline differs from how it should be: field by field, nodes, edges and params by name.

Differences are values, and text for users: terminals, logs, a pull request's comments.
"""

from __future__ import annotations

import copy
import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.definitions.content import (
    ANY,
    PIPELINE,
    as_object,
    by_name,
    canonical,
    definition_of,
    is_empty,
    is_object,
    pipeline_object,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_flowengine.definitions.content import Shape
    from airflow_provider_flowengine.protocol.http import Json, JsonObject

Unnamed = Literal["remove", "keep"]


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


@dataclass(frozen=True)
class Change:
    """
    One difference.

    :param path: where it is, e.g. ``("data", "nodes", "train", "params", "values", "trees", "value")``.
    :param before: what is there now, None for nothing.
    :param after: what should be there, None for nothing.
    """

    path: tuple[str, ...]
    before: Json
    after: Json

    @property
    def kind(self) -> Literal["add", "remove", "change"]:
        """What is done to it."""
        return "add" if self.before is None else "remove" if self.after is None else "change"

    def lines(self) -> list[str]:
        """Return it as text: a line, a script's as a unified diff."""
        return _describe(self.path, self.before, self.after)

    def as_dict(self) -> JsonObject:
        """Return it as plain JSON values, those of secrets hidden."""
        before, after = (_without_secrets(self.path, value) for value in (self.before, self.after))
        return {"path": list(self.path), "kind": self.kind, "before": before, "after": after}


@dataclass(frozen=True)
class Diff:
    """
    What turns a pipeline into what it should be.

    :param changes: the differences, in order of their paths.
    :param content: the whole object to write (call 07), with all that FlowEngine keeps of its own.
    """

    changes: tuple[Change, ...]
    content: JsonObject

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, so that there is nothing to write."""
        return not self.changes

    def lines(self) -> list[str]:
        """Return the differences as text: a line each, scripts as unified diffs."""
        return [line for change in self.changes for line in change.lines()]


def diff(current: Mapping[str, Json], wanted: Mapping[str, Json], *, unnamed: Unnamed = "remove") -> Diff:
    """
    Compare a pipeline with how it should be.

    :param current: the whole object that FlowEngine has (call 06).
    :param wanted: a whole pipeline object, or only the definition in its ``data``.
    :param unnamed: what becomes of a field that ``wanted`` doesn't name: ``"remove"`` (default), or ``"keep"`` it as
        it is. A node, edge or param that ``wanted`` doesn't have is removed in both cases.
    :return: the differences; writing their ``content`` leaves none.
    """
    content = combine(current, pipeline_object(wanted), PIPELINE, unnamed)
    return Diff(tuple(_changes((), definition_of(current), definition_of(content))), content)


def combine(current: Mapping[str, Json], wanted: Mapping[str, Json], shape: Shape, unnamed: Unnamed) -> JsonObject:
    """
    Return an object as it should be written: what is wanted, with the server's own fields as they are.

    :param current: the object as it is.
    :param wanted: the object as it should be.
    :param shape: what kind of object it is.
    :param unnamed: what becomes of fields that ``wanted`` doesn't name.
    """
    own = shape.server | (shape.incidental & current.keys())
    combined: JsonObject = {}
    for name, value in current.items():
        if name in own:
            combined[name] = copy.deepcopy(value)
        elif name not in wanted:
            kept = unnamed == "keep" or name not in definition_of({name: value}, shape)
            combined[name] = copy.deepcopy(value) if kept else None
    for name, value in wanted.items():
        if name not in own:
            combined[name] = _combine_field(current.get(name), value, name, shape, unnamed)
    return combined


def _combine_field(current: Json, wanted: Json, name: str, shape: Shape, unnamed: Unnamed) -> Json:
    if not is_empty(current) and same(canonical(current, name, shape), canonical(wanted, name, shape)):
        return copy.deepcopy(current)
    if name in shape.lists:
        named, item_shape = shape.lists[name]
        now, then = by_name(current, named), by_name(wanted, named)
        if then is not None:
            return [combine((now or {}).get(key, {}), item, item_shape, unnamed) for key, item in then.items()]
    if is_object(wanted):
        return combine(as_object(current), wanted, shape.objects.get(name, ANY), unnamed)
    return copy.deepcopy(wanted)


_PARTS = ("data", "nodes", "edges", "params", "pipelineParams", "values")
"""Fields whose parts are shown one by one, also if there were none before, or are none after."""


def _changes(path: tuple[str, ...], before: JsonObject, after: JsonObject) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        now, then = before.get(name), after.get(name)
        if name in _PARTS:
            now, then = ({} if one is None and is_object(other) else one for one, other in ((now, then), (then, now)))
        if is_object(now) and is_object(then):
            yield from _changes((*path, name), now, then)
        elif not same(now, then):
            yield Change((*path, name), now, then)


# --- as text ----------------------------------------------------------------------------------------------------------


def _describe(path: tuple[str, ...], before: Json, after: Json) -> list[str]:
    """
    Return one difference as lines: its place and values, or a unified diff of texts of more than a line.

    :param path: where it is.
    :param before: what is there now, None for nothing.
    :param after: what should be there, None for nothing.
    """
    where = _place(path)
    before, after = (_without_secrets(path, value) for value in (before, after))
    if before is None:
        return _describe_one("+", path, after)
    if after is None:
        return _describe_one("-", path, before)
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        return [f"~ {where}:", *(f"    {line}" for line in _unified(before, after))]
    return [f"~ {where}: {_show(before)} → {_show(after)}"]


def _describe_one(sign: str, path: tuple[str, ...], value: Json) -> list[str]:
    """Return what is there on one side alone as lines."""
    where = _place(path)
    if isinstance(value, dict) and path[-2:-1] == ("values",):
        value = value.get("value")
    if isinstance(value, str) and "\n" in value:
        return [f"{sign} {where}:", *(f"    {sign}{_cut(line)}" for line in value.splitlines())]
    return [f"{sign} {where}" if _is_item(path) else f"{sign} {where}: {_show(value)}"]


def one_line(text: str) -> str:
    """Return a name on one line: a key that holds line ends must not look like further lines."""
    return " ".join(text.splitlines())


def _place(path: tuple[str, ...]) -> str:
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


def _show(value: Json) -> str:
    """Return a value as JSON, cut where it is long."""
    shown = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return shown if len(shown) <= MAX_VALUE_LENGTH else f"{shown[:MAX_VALUE_LENGTH]}…"


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…"


def _is_item(path: tuple[str, ...]) -> bool:
    return path[-2:-1] in (("nodes",), ("edges",))


def _holds_secret(path: tuple[str, ...]) -> bool:
    return "values" in path[:-1] and bool(_SECRET_NAME.search(path[path.index("values") + 1]))


def _without_secrets(path: tuple[str, ...], value: Json) -> Json:
    """
    Return a value with the values of secret params hidden.

    :param path: where it is.
    :param value: a value in its canonical form, in which params are named by their keys.
    """
    if value is not None and _holds_secret(path):
        return HIDDEN
    if isinstance(value, dict):
        return {name: _without_secrets((*path, name), item) for name, item in value.items()}
    return value


def _unified(before: str, after: str) -> list[str]:
    """Return a unified diff without its file names; what differs only in line ends is said."""
    lines = list(map(_cut, difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)))[2:]
    return lines or ["(only line ends or the end of the last line differ)"]
