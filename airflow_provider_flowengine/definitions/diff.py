"""How a pipeline differs from how it should be: field by field, nodes, edges and params by name."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.definitions import text
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
        return text.describe(self.path, self.before, self.after)

    def as_dict(self) -> JsonObject:
        """Return it as plain JSON values, those of secrets hidden."""
        before, after = (text.without_secrets(self.path, value) for value in (self.before, self.after))
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
