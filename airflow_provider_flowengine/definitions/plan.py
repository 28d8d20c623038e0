"""What is to be done to an engine so that its pipelines are as they should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.definitions.content import fingerprint, label_of, without_server_fields
from airflow_provider_flowengine.definitions.diff import Change, diff
from airflow_provider_flowengine.definitions.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline

Action = Literal["create", "change", "none"]


@dataclass(frozen=True)
class Step:
    """
    What is to be done to one pipeline.

    :param label: the pipeline's key, or else its name.
    :param source: where its definition is from.
    :param action: what is done.
    :param pipeline_id: the pipeline, None to create it.
    :param before: the fingerprint of the pipeline as it was seen; empty if there was none.
    :param after: the fingerprint of the definition.
    :param changes: the differences.
    :param content: the whole object to write.
    :param uploads: the files to upload first, by ``node.key``.
    """

    label: str
    source: str
    action: Action
    pipeline_id: Identifier | None
    before: str
    after: str
    changes: tuple[Change, ...] = ()
    content: JsonObject = field(default_factory=dict, repr=False)
    uploads: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> JsonObject:
        """Return it as plain JSON values, for a plan's file and for programs."""
        return {
            "pipeline": self.label,
            "source": self.source,
            "action": self.action,
            "pipeline_id": self.pipeline_id,
            "before": self.before,
            "after": self.after,
            "changes": [change.as_dict() for change in self.changes],
            "uploads": dict(self.uploads.items()),
        }

    def lines(self) -> list[str]:
        """Return it as text."""
        signs = {"create": "+", "change": "~", "none": "="}
        words = {"create": "will be created", "change": "will be changed", "none": "nothing differs"}
        name = f"pipeline {one_line(self.label)}"
        if self.pipeline_id is not None:
            name += f" (id {self.pipeline_id})"
        return [
            f"{signs[self.action]} {name}: {words[self.action]}",
            *(f"    {line}" for change in self.changes for line in change.lines()),
            *(f"    ~ {name}: upload {path}" for name, path in self.uploads.items()),
        ]


def plan_step(wanted: Mapping[str, Json], current: Pipeline | None, *, source: str, uploads: Mapping[str, str]) -> Step:
    """
    Return what is to be done to one pipeline.

    :param wanted: the whole pipeline object, as it should be.
    :param current: the whole pipeline that the engine has (call 06), None if it has none.
    :param source: where the definition is from.
    :param uploads: the files to upload first, by ``node.key``.
    """
    found = diff(current.content if current else {}, wanted)
    differs = bool(uploads) or not found.is_empty
    return Step(
        label=label_of(wanted),
        source=source,
        action="create" if current is None else "change" if differs else "none",
        pipeline_id=current.id if current else None,
        before=fingerprint(current.content) if current else "",
        after=fingerprint(wanted),
        changes=found.changes,
        content=found.content if current else without_server_fields(wanted),
        uploads=uploads,
    )
