"""FlowEngine's things as values: engines, pipelines, nodes, runs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Self, cast

from airflow_provider_flowengine.protocol.status import RunState, is_stopping
from airflow_provider_flowengine.protocol.versions import KERNEL, ApiVersion
from airflow_provider_flowengine.protocol.zone import MAX_OFFSET, MIN_OFFSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed import DataclassInstance

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier


class Returnable:
    """A dataclass that a task may return, for the next one to take: Airflow's XCom calls these methods."""

    def serialize(self) -> dict[str, object]:
        """Return the fields; Airflow serializes their values likewise."""
        return {each.name: getattr(self, each.name) for each in fields(cast("DataclassInstance", self))}

    @classmethod
    def deserialize(cls, content: Mapping[str, object], version: int) -> Self:
        """
        Return the value that :meth:`serialize` wrote.

        :param content: its fields.
        :param version: the version of the class that wrote it; there is only one.
        """
        state = {"state": RunState(str(content["state"]))} if "state" in content else {}
        return cls(**{**content, **state})


@dataclass(frozen=True)
class Engine(Returnable):
    """
    One deployed application, resolved.

    :param key: its key.
    :param url: ``engineUrl``: its path below the gateway, e.g. ``/engine/15/cess-data-3``.
    :param id: ``engineId``.
    :param version: which generation of the API it speaks.
    """

    key: str
    url: str
    id: Identifier
    version: ApiVersion = field(default=KERNEL, compare=False)


@dataclass(frozen=True)
class Param(Returnable):
    """A parameter of a node: its key, its value, and TEXT or FILE."""

    key: str
    value: Json = None
    type: str = "TEXT"


@dataclass(frozen=True)
class Node(Returnable):
    """One job of a pipeline."""

    id: str
    name: str = ""
    type: str = ""
    params: tuple[Param, ...] = ()


@dataclass(frozen=True)
class Pipeline(Returnable):
    """
    A pipeline as FlowEngine knows it.

    :param id: its id.
    :param name: its name.
    :param key: its ``pipelineKey``.
    :param nodes: its nodes.
    :param content: the whole object as it came, for what this class doesn't name.
    """

    id: Identifier
    name: str = ""
    key: str = ""
    nodes: tuple[Node, ...] = ()
    content: JsonObject = field(default_factory=dict, compare=False, repr=False)

    def as_dict(self) -> dict[str, str | int]:
        """Return the pipeline's id, key and name as plain JSON values, for XCom."""
        return {"pipeline_id": self.id, "pipeline_key": self.key, "pipeline_name": self.name}


@dataclass(frozen=True)
class NodeRun(Returnable):
    """What one node did, or does, within a run."""

    id: str
    name: str
    status: str = ""
    state: RunState = RunState.UNKNOWN
    started: datetime | None = None
    ended: datetime | None = None
    message: str = ""

    @property
    def label(self) -> str:
        """The node's name, and its id where that says more."""
        return self.name if self.name and self.name == self.id else f"{self.name or 'node'} ({self.id})"


@dataclass(frozen=True)
class PipelineRun(Returnable):
    """
    One run of a pipeline: a row of its run history.

    :param id: the run's id.
    :param pipeline_id: the pipeline's id.
    :param status: the status word as FlowEngine wrote it.
    :param state: what the word means.
    :param started: when it started, aware; None where FlowEngine doesn't say.
    :param ended: when it ended, aware; None while it runs.
    :param trigger: what started it, as FlowEngine wrote it, e.g. ``手动触发`` (by hand).
    :param message: what FlowEngine says about it.
    :param nodes: what its nodes did, where that is known.
    :param is_zone_certain: whether the zone of its times is known; if not, they are read as UTC and may be hours off.
    :param content: the whole row as it came.
    """

    id: Identifier
    pipeline_id: Identifier
    status: str
    state: RunState
    started: datetime | None = None
    ended: datetime | None = None
    trigger: str = ""
    message: str = ""
    nodes: tuple[NodeRun, ...] = ()
    is_zone_certain: bool = field(default=True, compare=False, repr=False)
    content: JsonObject = field(default_factory=dict, compare=False, repr=False)

    def serialize(self) -> dict[str, object]:
        """Return the fields but ``content``: it is as the server wrote it, and may echo a secret."""
        return super().serialize() | {"content": {}}

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has been requested and the run has not ended yet."""
        return is_stopping(self.status)

    @property
    def start_range(self) -> tuple[datetime, datetime] | None:
        """Between which moments it started: one and the same unless their zone isn't known; None without a start."""
        if self.started is None or self.is_zone_certain:
            return None if self.started is None else (self.started, self.started)
        return self.started - MAX_OFFSET, self.started - MIN_OFFSET

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the run as plain JSON values, for XCom and events; times are ISO 8601 text."""
        return {
            "run_id": self.id,
            "pipeline_id": self.pipeline_id,
            "status": self.status,
            "state": self.state.value,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "trigger": self.trigger,
        }

    def __str__(self) -> str:
        return f"run {self.id} of pipeline {self.pipeline_id}"


def run_from_dict(content: Mapping[str, Json]) -> PipelineRun:
    """
    Return the run that :meth:`PipelineRun.as_dict` wrote; what isn't in it stays unknown.

    :param content: at least ``run_id`` and ``pipeline_id``.
    """
    return PipelineRun(
        id=cast("Identifier", content["run_id"]),
        pipeline_id=cast("Identifier", content["pipeline_id"]),
        status=str(content.get("status") or ""),
        state=RunState(str(content.get("state") or RunState.UNKNOWN)),
        started=parse_moment(content.get("started")),
        ended=parse_moment(content.get("ended")),
        trigger=str(content.get("trigger") or ""),
    )


def parse_moment(text: Json) -> datetime | None:
    """Return the time that ISO 8601 text says; None for no text."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


@dataclass(frozen=True)
class HistoryPage:
    """
    One page of a run history, in the server's order.

    :param runs: the page's runs.
    :param total: how many runs there are in all, where the server says so.
    :param server_time: what the server's clock said, aware; None where it said nothing.
    """

    runs: tuple[PipelineRun, ...]
    total: int | None = None
    server_time: datetime | None = None


def newest_first(runs: Iterable[PipelineRun]) -> list[PipelineRun]:
    """Return runs with the newest first: run ids grow; where they aren't numbers, their start times do."""
    return sorted(
        runs,
        key=lambda run: (True, run.id, 0.0) if isinstance(run.id, int) else (False, 0, _epoch(run.started)),
        reverse=True,
    )


def _epoch(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


RETURNABLE = (Engine, ApiVersion, Param, Node, Pipeline, NodeRun, PipelineRun)
"""What a task may return, and what stands in it."""
