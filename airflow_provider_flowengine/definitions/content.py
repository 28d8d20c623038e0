"""
What of a pipeline's object is its definition, and when two objects say the same.

The object of calls 03, 06 and 07 mixes what users define with what FlowEngine keeps of its own: ids, the time of
creation, the state of its scheduler. Which fields are the server's is taken from the vendor's API page, where they
differ between two pipelines or are null, and from the vendor's older client, which doesn't send them.

Three things make no difference: a field that is null or empty instead of missing; the order of nodes, edges and
params, which are named by their ids and keys; and a number instead of text as a param's value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.http import objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.http import Json, JsonObject


@dataclass(frozen=True)
class Shape:
    """
    How one kind of object in a definition is read.

    :param server: the fields that FlowEngine makes.
    :param incidental: the fields that are kept and sent, and make no difference.
    :param defaults: what a field means when it is missing.
    :param text: the fields whose numbers mean their digits.
    :param objects: the shapes of objects in it, by field.
    :param lists: the lists in it whose order says nothing, by field: what names an item, and the item's shape.
    """

    server: frozenset[str] = frozenset()
    incidental: frozenset[str] = frozenset()
    defaults: Mapping[str, Json] = field(default_factory=dict)
    text: frozenset[str] = frozenset()
    objects: Mapping[str, Shape] = field(default_factory=dict)
    lists: Mapping[str, tuple[Callable[[JsonObject], str], Shape]] = field(default_factory=dict)


def _edge_name(edge: JsonObject) -> str:
    """Name an edge by its ends; its id says nothing more."""
    ends = [(edge.get(f"{end}NodeId"), edge.get(f"{end}SlotId")) for end in ("src", "dest")]
    if not all(isinstance(node, str) and node for node, _ in ends):
        return ""
    return " → ".join(f"{node}:{slot}" if slot else str(node) for node, slot in ends)


def _text_of(name: str) -> Callable[[JsonObject], str]:
    def text(item: JsonObject) -> str:
        value = item.get(name)
        return value if isinstance(value, str) else ""

    return text


ANY = Shape()
_PARAM = Shape(defaults={"type": "TEXT"}, text=frozenset({"value"}))
_PARAMS = Shape(lists={"values": (_text_of("key"), _PARAM)})
_NODE = Shape(
    server=frozenset({"id", "runId", "engineTemplateId", "status"}),
    defaults={"isStartNode": False},
    objects={"params": _PARAMS},
)
_EXECUTION = Shape(defaults={"runMode": "SINGLE", "interval": 0, "intervalUnit": "MINUTE"})
_DATA = Shape(
    server=frozenset({"id", "status"}),
    objects={"executionConfig": _EXECUTION, "pipelineParams": _PARAMS},
    lists={"nodes": (_text_of("nodeId"), _NODE), "edges": (_edge_name, Shape(incidental=frozenset({"id"})))},
)
PIPELINE = Shape(
    server=frozenset("id engineTemplateId jobKey tiggerKey historyList createTime updateTime status".split()),
    objects={"data": _DATA},
)
"""A pipeline's whole object."""


def pipeline_object(content: Mapping[str, Json]) -> JsonObject:
    """
    Return a whole pipeline object for one, or for only the definition that belongs in its ``data``.

    :param content: ``{"pipelineKey": ..., "data": {...}}``, or ``{"name": ..., "nodes": [...]}``.
    :raises ConfigurationError: when it is no object.
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"pipeline: {content!r:.200} must be an object with data, or with nodes")
    if "data" in content or "nodes" not in content:
        return dict(content)
    data = {name: value for name, value in content.items() if name != "pipelineKey"}
    return {"data": data} | ({"pipelineKey": content["pipelineKey"]} if "pipelineKey" in content else {})


def is_object(value: Json) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def as_object(value: Json) -> JsonObject:
    """Return a JSON object; empty for what is none."""
    return value if is_object(value) else {}


def nodes_of(content: Mapping[str, Json]) -> list[JsonObject]:
    """Return the nodes of a whole pipeline object, which may be changed in place."""
    return objects(as_object(content.get("data")).get("nodes"))


def params_of(node: JsonObject) -> list[JsonObject]:
    """Return a node's params, which may be changed in place."""
    return objects(as_object(node.get("params")).get("values"))


def execution_config(content: Mapping[str, Json]) -> JsonObject:
    """Return what a whole pipeline object says of its schedule; empty where it says nothing."""
    return as_object(as_object(content.get("data")).get("executionConfig"))


def by_name(value: Json, name: Callable[[JsonObject], str]) -> dict[str, JsonObject] | None:
    """Return a list's objects by what names them; None where that isn't one name each."""
    if not isinstance(value, list) or not all(map(is_object, value)):
        return None
    named = {name(item): item for item in value if is_object(item)}
    return named if "" not in named and len(named) == len(value) else None


def definition_of(content: Mapping[str, Json], shape: Shape = PIPELINE) -> JsonObject:
    """
    Return what an object defines, in the one form that equal definitions share.

    :param content: the object.
    :param shape: what kind of object it is, default a whole pipeline.
    :return: the object without the server's fields, empty ones and defaults; nodes, edges and params by name.
    """
    fields = {
        name: canonical(value, name, shape)
        for name, value in content.items()
        if name not in shape.server | shape.incidental
    }
    return {
        name: value
        for name, value in fields.items()
        if not is_empty(value) and not (name in shape.defaults and same(shape.defaults[name], value))
    }


def canonical(value: Json, name: str, shape: Shape) -> Json:
    """
    Return a field's value in the one form that equal values share.

    :param value: the value.
    :param name: the field.
    :param shape: the shape of the object that it stands in.
    """
    if name in shape.lists:
        named = by_name(value, shape.lists[name][0])
        if named is not None:
            return {key: definition_of(item, shape.lists[name][1]) for key, item in named.items()}
    if name in shape.text and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if is_object(value):
        return definition_of(value, shape.objects.get(name, ANY))
    if isinstance(value, list):
        return [canonical(item, "", ANY) for item in value]
    return value


def is_empty(value: Json) -> bool:
    """Whether a value says no more than a missing one: null, empty text, an empty object or list."""
    return value is None or value == "" or value == {} or value == []


def same(one: Json, other: Json) -> bool:
    """Whether two canonical values are equal as JSON: ``true`` isn't 1, as Python has it."""
    return encode(one) == encode(other)


def encode(value: Json) -> str:
    """Return a value as JSON text, the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True)


def fingerprint(content: Mapping[str, Json]) -> str:
    """Return a digest that two pipeline objects share where they define the same."""
    return hashlib.sha256(encode(definition_of(content)).encode()).hexdigest()


def without_server_fields(
    content: Mapping[str, Json], shape: Shape = PIPELINE, *, keep_nulls: bool = False
) -> JsonObject:
    """
    Return an object as it would be sent to create it anew: without what FlowEngine makes, and without nulls.

    :param content: the object.
    :param shape: what kind of object it is, default a whole pipeline.
    :param keep_nulls: whether fields that are null stay.
    """
    return {
        name: _without(value, name, shape, keep_nulls)
        for name, value in content.items()
        if name not in shape.server and (keep_nulls or value is not None)
    }


def _without(value: Json, name: str, shape: Shape, keep_nulls: bool) -> Json:
    if name in shape.lists and isinstance(value, list):
        item_shape = shape.lists[name][1]
        return [
            without_server_fields(item, item_shape, keep_nulls=keep_nulls) if is_object(item) else item
            for item in value
        ]
    if is_object(value):
        return without_server_fields(value, shape.objects.get(name, ANY), keep_nulls=keep_nulls)
    return value


def label_of(content: Mapping[str, Json]) -> str:
    """Return what identifies a pipeline object on an engine: its key, or else its name."""
    key, name = key_and_name(content)
    return key or name


def key_and_name(content: Mapping[str, Json]) -> tuple[str, str]:
    """Return a pipeline object's ``pipelineKey`` and name, empty where it has none."""
    key, name = content.get("pipelineKey"), as_object(content.get("data")).get("name")
    return (key if isinstance(key, str) else ""), (name if isinstance(name, str) else "")
