"""The params of a definition that can be set when a run starts, as a DAG's trigger form offers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import as_object, nodes_of, params_of
from airflow_provider_flowengine.protocol.errors import ConfigurationError, known
from airflow_provider_flowengine.protocol.http import objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject


@dataclass(frozen=True)
class JobParam:
    """
    One param of a node.

    :param node: the node's id.
    :param node_name: the name that users gave the node.
    :param key: the param's key.
    :param value: its value in the definition.
    :param description: what the definition says about it.
    """

    node: str
    node_name: str
    key: str
    value: str
    description: str = ""

    @property
    def name(self) -> str:
        """Its name in the DAG's params."""
        return f"{self.node}.{self.key}"

    @property
    def template(self) -> str:
        """What the start operator's ``job_params`` renders to the value that was given in the form."""
        return f"{{{{ params[{self.name!r}] }}}}"


def settable_params(pipeline: Mapping[str, Json], only: Iterable[str] | None = None) -> list[JobParam]:
    """
    Return the params that can be set when a run starts.

    Left out are FILE params, which take an uploaded file's path, params that an edge feeds (by the vendor's
    documentation, those can't be set), and params marked ``startParam: false`` (inference).

    :param pipeline: the whole pipeline object.
    :param only: the ones that are wanted, as ``node.key``; default all.
    :raises ConfigurationError: if one that is wanted can't be set, with those that can.
    """
    found = {param.name: param for param in _settable(pipeline)}
    wanted = list(found if only is None else dict.fromkeys(only))
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise ConfigurationError(
            f"The pipeline has no param {unknown[0]!r} that a start can set; "
            f"{known('params', found, wanted=unknown[0])}"
        )
    return [found[name] for name in wanted]


def job_params(params: Iterable[JobParam]) -> dict[str, dict[str, str]]:
    """Return the start operator's ``job_params`` for a DAG's params: templates by node and key."""
    result: dict[str, dict[str, str]] = {}
    for param in params:
        result.setdefault(param.node, {})[param.key] = param.template
    return result


def _settable(pipeline: Mapping[str, Json]) -> Iterator[JobParam]:
    edges = objects(as_object(pipeline.get("data")).get("edges"))
    fed = {edge.get("destSlotId") for edge in edges} - {None, ""}
    for node in nodes_of(pipeline):
        for param in params_of(node):
            if param.get("id") not in fed and _is_settable(param):
                yield _job_param(node, param)


def _is_settable(param: JsonObject) -> bool:
    is_text = (param.get("type") or "TEXT") == "TEXT"
    return bool(param.get("key")) and is_text and param.get("startParam") is not False


def _job_param(node: JsonObject, param: JsonObject) -> JobParam:
    node_id, value = str(node.get("nodeId")), param.get("value")
    return JobParam(
        node=node_id,
        node_name=str(node.get("title") or node.get("name") or node_id),
        key=str(param["key"]),
        value="" if value is None else str(value),
        description=str(param.get("describe") or ""),
    )
