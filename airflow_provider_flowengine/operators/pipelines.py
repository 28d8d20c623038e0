"""What DAGs declare about pipelines: create, change and schedule them, and upload the files that they take."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import literal

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.operators.arguments import (
    Flag,
    Id,
    IfExists,
    Object,
    Text,
    rendered_flag,
    rendered_mapping,
    rendered_text,
    require_exactly_one,
    validate_arguments,
)
from airflow_provider_flowengine.operators.base import FlowEngineOperator, FlowEnginePipelineOperator
from airflow_provider_flowengine.retry import failing_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier

Transform = Callable[[dict[str, Any]], dict[str, Any]]


class FlowEngineCreatePipelineOperator(FlowEngineOperator):
    """
    Create a pipeline.

    The definition itself is never rendered: it holds scripts, which may contain what looks like Jinja. Use the other
    arguments for what varies.

    :param pipeline: the pipeline object, or only its definition (``{"nodes": [...], "edges": [...]}``): a dict, its
        JSON text, or the path of a ``.json`` file beside the DAG, which may be a template.
    :param name: its name; default what the object says.
    :param description: its description; default what the object says.
    :param pipeline_key: its ``pipelineKey``; default what the object says.
    :param changes: what is merged into the pipeline's object, dicts deeply and lists whole, e.g.
        ``{"data": {"describe": "v2"}}``.
    :param if_exists: what to do when the engine has a pipeline of this key (of this name, if it has no key):
        ``"fail"`` (default), ``"skip"`` and return that one, or ``"update"`` that one if it differs.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: the pipeline's id.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "name",
        "description",
        "pipeline_key",
        "changes",
        *FlowEngineOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"pipeline": "json", "changes": "json"}

    def __init__(
        self,
        *,
        pipeline: Object | Path,
        name: Text | None = None,
        description: Text | None = None,
        pipeline_key: Text | None = None,
        changes: Object | None = None,
        if_exists: IfExists = "fail",
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(flowengine_conn_id=flowengine_conn_id, engine_key=engine_key, **kwargs)
        validate_arguments(self, changes=changes, if_exists=if_exists)
        self.pipeline = literal(pipeline) if _is_definition(pipeline) else pipeline
        self.name = name
        self.description = description
        self.pipeline_key = pipeline_key
        self.changes = changes
        self.if_exists = if_exists

    @failing_at_once()
    def execute(self, context: Context) -> Identifier:
        """Create the pipeline, or do what ``if_exists`` says."""
        from airflow_provider_flowengine.operators.execution.pipelines import create_pipeline, read_definition

        definition = read_definition(self, getattr(self.pipeline, "value", self.pipeline))
        return create_pipeline(
            self,
            definition,
            name=self.name,
            description=self.description,
            pipeline_key=self.pipeline_key,
            changes=rendered_mapping("changes", self.changes),
            if_exists=self.if_exists,
        )


class FlowEngineUpdatePipelineOperator(FlowEnginePipelineOperator):
    """
    Change a pipeline: read it whole, change it, write it back; other fields stay as they are.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param changes: what is merged into the pipeline's object, dicts deeply and lists whole, e.g.
        ``{"data": {"describe": "v2"}}``.
    :param transform: instead, a function from the whole object to the whole object.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: the pipeline's id.
    """

    template_fields: Sequence[str] = ("changes", *FlowEnginePipelineOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"changes": "json"}

    def __init__(
        self,
        *,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        changes: Object | None = None,
        transform: Transform | None = None,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        require_exactly_one(self, changes=changes, transform=transform)
        self.changes = changes
        self.transform = transform

    @failing_at_once()
    def execute(self, context: Context) -> Identifier:
        """Read, change and write back."""
        from airflow_provider_flowengine.operators.execution.pipelines import apply_transform, merge, update_if_changed

        pipeline = self.hook.get_pipeline(self.find_pipeline().id)
        if self.transform:
            changed = apply_transform(pipeline.content, self.transform)
        else:
            changed = merge(pipeline.content, rendered_mapping("changes", self.changes))
        update_if_changed(self, pipeline, changed)
        return pipeline.id


class FlowEngineSetPipelineScheduleOperator(FlowEnginePipelineOperator):
    """
    Turn a pipeline's own schedule (its crontab, loop or message trigger) on or off.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param enabled: whether it is on.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    """

    template_fields: Sequence[str] = ("enabled", *FlowEnginePipelineOperator.template_fields)

    def __init__(
        self,
        *,
        enabled: Flag,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        validate_arguments(self, enabled=enabled)
        self.enabled = enabled

    @failing_at_once()
    def execute(self, context: Context) -> None:
        """Set the schedule."""
        from airflow_provider_flowengine.operators.execution.pipelines import describe_pipeline

        enabled, pipeline = rendered_flag("enabled", self.enabled), self.find_pipeline()
        self.hook.set_schedule(pipeline.id, enabled)
        self.log.info("Turned the schedule %s of %s", "on" if enabled else "off", describe_pipeline(self, pipeline))


class FlowEngineUploadFileOperator(FlowEngineOperator):
    """
    Upload a file for a FILE parameter, streamed; the file is read where the task runs.

    :param path: the file.
    :param target: the number at the end of the call's path, default 1; what it means isn't said anywhere.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: what the server answers in ``data``.
    """

    template_fields: Sequence[str] = ("path", "target", *FlowEngineOperator.template_fields)

    def __init__(
        self,
        *,
        path: Text | Path,
        target: Id = 1,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(flowengine_conn_id=flowengine_conn_id, engine_key=engine_key, **kwargs)
        validate_arguments(self, path=path)
        self.path = path
        self.target = target

    @failing_at_once()
    def execute(self, context: Context) -> Json:
        """Upload the file."""
        path = rendered_text("path", self.path)
        answer = self.hook.upload_file(path, rendered_text("target", self.target))
        self.log.info("Uploaded %s to engine %s; FlowEngine answers %.500s", path, self.hook.engine.key, answer)
        return answer


def _is_definition(pipeline: object) -> bool:
    """Whether an argument is a pipeline itself, and not a path or a template."""
    if isinstance(pipeline, Mapping):
        return True
    if not isinstance(pipeline, str):
        return False
    try:
        return isinstance(json.loads(pipeline), dict)
    except ValueError:
        return False
