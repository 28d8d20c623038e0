"""
What of a definition differs per environment, kept beside it in a file of its own.

::

    {"*": {"data": {"executionConfig": {"retryCount": 2}}},
     "churn": {"data": {"describe": "Production", "nodes": {"train": {"params": {"trees": "500"}}}}}}

By ``pipelineKey``, ``*`` for all of them. Objects are merged, nodes are named by their ids and params by their keys,
null removes, and everything else is put in whole.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import as_object, is_object, key_and_name
from airflow_provider_flowengine.protocol.errors import ConfigurationError, known
from airflow_provider_flowengine.protocol.http import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject

FOR_ALL = "*"

_NODES = {"nodes": "nodeId"}
"""The list of nodes, and the field that names one."""

_PARAMS = {"values": "key"}
"""The list of a node's params, and the field that names one; a param's change is that of its value."""


def overlaid(pipeline: Mapping[str, Json], overlay: Mapping[str, Json]) -> JsonObject:
    """
    Return a pipeline as an environment has it.

    :param pipeline: the whole pipeline object.
    :param overlay: the environment's overlay.
    :raises ConfigurationError: if the overlay names a node or param that the pipeline doesn't have.
    """
    result = copy.deepcopy(dict(pipeline))
    for key in (FOR_ALL, *filter(None, key_and_name(pipeline)[:1])):
        changes = overlay.get(key, {})
        if not is_object(changes):
            raise ConfigurationError(f"overlay: {key!r} must hold an object")
        result = _merge(result, changes, f"overlay: {key}", strict=key != FOR_ALL)
    return result


def _merge(
    value: JsonObject, changes: JsonObject, where: str, *, strict: bool, named_by: Mapping[str, str] = _NODES
) -> JsonObject:
    merged = dict(value)
    for name, change in changes.items():
        place, old = f"{where}, {name}", merged.get(name)
        if change is None:
            merged.pop(name, None)
        elif not is_object(change):
            merged[name] = copy.deepcopy(change)
        elif name in named_by:
            merged[name] = _merge_items(old, change, named_by[name], place, strict=strict)
        elif name == "params":
            if "values" not in change:
                change = {"values": {key: {"value": value} for key, value in change.items()}}
            merged[name] = _merge(as_object(old), change, place, strict=strict, named_by=_PARAMS)
        else:
            merged[name] = _merge(as_object(old), change, place, strict=strict)
    return merged


def _merge_items(items: Json, changes: Mapping[str, Json], named_by: str, where: str, *, strict: bool) -> list[Json]:
    """Merge changes into the items of a list by what names them; for all pipelines, into those that it has."""
    listed = items if isinstance(items, list) else []
    names = [item.get(named_by) for item in objects(items)]
    _check_items(changes, names if strict else None, where)
    merged: list[Json] = []
    for item in listed:
        change = changes.get(str(as_object(item).get(named_by)), {})
        if is_object(item) and is_object(change):
            merged.append(_merge(item, change, where, strict=strict))
        elif change is not None:
            merged.append(item)
    return merged


def _check_items(changes: Mapping[str, Json], names: list[Json] | None, where: str) -> None:
    """Check what a list's items are changed to, and that they are there, if these are all names that there are."""
    unknown = [] if names is None else [name for name in changes if name not in names]
    if unknown:
        raise ConfigurationError(
            f"{where}: the pipeline has no {unknown[0]!r}; {known('names', names or (), wanted=unknown[0])}"
        )
    wrong = [name for name, change in changes.items() if not (change is None or is_object(change))]
    if wrong:
        raise ConfigurationError(f"{where}, {wrong[0]}: it must be an object, or null to remove it")
