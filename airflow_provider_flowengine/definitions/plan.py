"""What is to be done to an engine so that its pipelines are as they should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.definitions.content import (
    fingerprint,
    key_and_name,
    pipeline_object,
    without_server_fields,
)
from airflow_provider_flowengine.definitions.diff import Change, diff
from airflow_provider_flowengine.definitions.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier

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


def plan_step(
    wanted: Mapping[str, Json],
    current: Mapping[str, Json] | None,
    *,
    source: str,
    pipeline_id: Identifier | None,
    uploads: Mapping[str, str],
) -> Step:
    """
    Return what is to be done to one pipeline.

    :param wanted: the definition.
    :param current: the whole object that the engine has (call 06), None if it has none.
    :param source: where the definition is from.
    :param pipeline_id: the pipeline's id, None if there is none.
    :param uploads: the files to upload first, by ``node.key``.
    """
    key, name = key_and_name(pipeline_object(wanted))
    content = without_server_fields(pipeline_object(wanted)) if current is None else {}
    found = diff(current or {}, wanted)
    differs = bool(uploads) or not found.is_empty
    return Step(
        label=key or name,
        source=source,
        action="create" if current is None else "change" if differs else "none",
        pipeline_id=pipeline_id,
        before="" if current is None else fingerprint(current),
        after=fingerprint(wanted),
        changes=found.changes,
        content=content or found.content,
        uploads=uploads,
    )
