"""Create and change pipelines."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine import definition_files
from airflow_provider_flowengine.definitions.content import key_and_name, pipeline_object
from airflow_provider_flowengine.definitions.diff import diff
from airflow_provider_flowengine.operators.arguments import rendered_mapping, rendered_text
from airflow_provider_flowengine.protocol.creating import create_once
from airflow_provider_flowengine.protocol.errors import ConfigurationError, PipelineExistsError
from airflow_provider_flowengine.protocol.identifiers import identifier

if TYPE_CHECKING:
    from airflow_provider_flowengine.operators.arguments import IfExists
    from airflow_provider_flowengine.operators.base import FlowEngineOperator
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline

MAX_DIFF_LINES = 200
"""How many lines of a difference are logged at most."""


def read_definition(operator: FlowEngineOperator, pipeline: object) -> JsonObject:
    """
    Return the pipeline object that an operator was given.

    :param operator: what the DAG declares.
    :param pipeline: the object, its text, or the path of a ``.json`` file beside the DAG.
    :raises ConfigurationError: when it is none of these, or there is no such file.
    """
    if isinstance(pipeline, Path) or (isinstance(pipeline, str) and pipeline.endswith(".json")):
        found = definition_files.read_definition(_find_file(operator, str(pipeline)))
    else:
        found = pipeline_object(rendered_mapping("pipeline", pipeline))
    if not isinstance(found.get("data"), Mapping):
        raise ConfigurationError("pipeline: it must be a pipeline object with data, or a definition with nodes")
    return found


def _find_file(operator: FlowEngineOperator, path: str) -> str:
    """Return a file's path: beside the DAG, in its template_searchpath, or as it is given."""
    # Only the folders of Airflow's template loader: the loader itself takes no path with "..", and decodes the file.
    folders = getattr(operator.get_template_env().loader, "searchpath", ())
    for file in (Path(folder, path) for folder in (*folders, "")):
        if file.is_file():
            return str(file)
    raise ConfigurationError(f"pipeline: no file {path!r} beside the DAG or in its template_searchpath")


def create_pipeline(
    operator: FlowEngineOperator,
    definition: JsonObject,
    *,
    name: object,
    description: object,
    pipeline_key: object,
    changes: Mapping[str, Any],
    if_exists: IfExists,
) -> Identifier:
    """
    Create a pipeline, or do what ``if_exists`` says.

    :param operator: what the DAG declares.
    :param definition: the pipeline object.
    :param name: its name; None for what the object says.
    :param description: its description; None for what the object says.
    :param pipeline_key: its key; None for what the object says.
    :param changes: what is merged into the object.
    :param if_exists: what to do when there is such a pipeline.
    :return: the pipeline's id.
    """
    data: dict[str, Any] = {}
    if name is not None:
        data["name"] = rendered_text("name", name)
    if description is not None:
        data["describe"] = description
    named = {} if pipeline_key is None else {"pipelineKey": rendered_text("pipeline_key", pipeline_key)}
    wanted = merge(merge(definition, {"data": data, **named}), changes)
    key, own_name = key_and_name(wanted)
    hook = operator.hook
    created = hook.client.run(create_once(hook.api, wanted, key=key, name=own_name))
    existing = created.pipeline
    if created.is_new:
        operator.log.info("Created %s", describe_pipeline(operator, existing))
        return existing.id
    if if_exists == "fail":
        raise PipelineExistsError(
            f"Engine {hook.api.engine_key!r} has pipeline {existing.id} of key {existing.key!r} and name "
            f"{existing.name!r} already; choose another pipeline_key, or set if_exists to skip or update"
        )
    if if_exists == "skip":
        operator.log.info("Kept as it is, since if_exists is skip: %s", describe_pipeline(operator, existing))
        return existing.id
    current = hook.get_pipeline(existing.id)
    update_if_changed(operator, current, diff(current.content, wanted, unnamed="keep").content)
    return existing.id


def update_if_changed(operator: FlowEngineOperator, pipeline: Pipeline, wanted: JsonObject) -> None:
    """
    Write a pipeline back, and log what differs; send nothing if nothing does.

    :param operator: what the DAG declares.
    :param pipeline: the pipeline as FlowEngine has it.
    :param wanted: its whole object as it should be.
    :raises ConfigurationError: if it has another id: FlowEngine would write it over that pipeline.
    """
    if identifier(wanted.get("id")) != pipeline.id:
        raise ConfigurationError(
            f"The id of pipeline {pipeline.id} must stay as it is, not {wanted.get('id')!r:.100}: FlowEngine "
            "would write over the pipeline of that id. Remove id from changes, or keep it in transform"
        )
    differs = diff(pipeline.content, wanted)
    if differs.is_empty and wanted == pipeline.content:
        operator.log.info("Nothing differs, nothing is written: %s", describe_pipeline(operator, pipeline))
        return
    operator.hook.update_pipeline(wanted)
    lines = differs.lines()
    more = [f"… and {len(lines) - MAX_DIFF_LINES} lines more"] if len(lines) > MAX_DIFF_LINES else []
    shown = "\n".join([*lines[:MAX_DIFF_LINES], *more])
    operator.log.info("Updated %s\n%s", describe_pipeline(operator, pipeline), shown)


def apply_transform(content: JsonObject, transform: Callable[[dict[str, Any]], object]) -> JsonObject:
    """
    Return the pipeline's object as a function changes it.

    :raises ConfigurationError: when it returns something else.
    """
    changed = transform(copy.deepcopy(content))
    if not isinstance(changed, dict):
        raise ConfigurationError(f"transform must return the changed pipeline object, not {changed!r:.200}")
    return changed


def merge(content: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with changes merged into it: dicts deeply, everything else whole."""
    merged = dict(content)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def describe_pipeline(operator: FlowEngineOperator, pipeline: Pipeline) -> str:
    """Return how logs name a pipeline: its id, its key and name if they are known, and the address of its page."""
    known = ", ".join(word for word in (pipeline.key, pipeline.name) if word)
    url = operator.hook.run_url(pipeline.id, "")
    return f"pipeline {pipeline.id}{f' ({known})' if known else ''}: {url}"
