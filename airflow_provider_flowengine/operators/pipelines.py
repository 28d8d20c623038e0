"""Pipelines: created, changed, scheduled, and the files that they take."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_flowengine.operators.base import (
    FlowEngineOperator,
    FlowEnginePipelineOperator,
    check,
    is_template,
    rendered_flag,
    rendered_mapping,
    rendered_text,
    require_exactly_one,
)
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    PipelineExistsError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline

IfExists = Literal["fail", "skip", "update"]

Transform = Callable[[dict[str, Any]], dict[str, Any]]


class FlowEngineCreatePipelineOperator(FlowEngineOperator):
    """
    Create a pipeline.

    :param pipeline: the pipeline object, or only its definition (``{"nodes": [...], "edges": [...]}``): a dict, its
        JSON text, or the path of a ``.json`` file beside the DAG; templated in each case.
    :param name: its name; default what the object says (templated).
    :param description: its description; default what the object says (templated).
    :param pipeline_key: its ``pipelineKey``; default what the object says (templated).
    :param if_exists: what to do when the engine has a pipeline of this key (of this name, where it has no key):
        ``"fail"`` (default), ``"skip"`` and return that one, or ``"update"`` that one.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :return: the pipeline's id.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "name",
        "description",
        "pipeline_key",
        *FlowEngineOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"pipeline": "json"}

    def __init__(
        self,
        *,
        pipeline: Mapping[str, Any] | str,
        name: str | None = None,
        description: str | None = None,
        pipeline_key: str | None = None,
        if_exists: IfExists = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if if_exists not in get_args(IfExists):
            raise ConfigurationError(f"Task {self.task_id}: if_exists {if_exists!r} must be fail, skip or update")
        self.pipeline = pipeline
        self.name = name
        self.description = description
        self.pipeline_key = pipeline_key
        self.if_exists = if_exists

    def resolve_template_files(self) -> None:
        """
        Read the pipeline's ``.json`` file, as Airflow does for ``template_ext``.

        Not by ``template_ext``, since Airflow would take every text in the object that ends so for a file. A path that
        is a template itself is read when the task runs.
        """
        super().resolve_template_files()
        if isinstance(self.pipeline, str) and self.pipeline.endswith(".json") and not is_template(self.pipeline):
            self.pipeline = self._read_file(self.pipeline)

    def _read_file(self, path: str) -> str:
        environment = self.get_template_env()
        if environment.loader is None:
            return Path(path).read_text(encoding="utf-8")
        try:
            return environment.loader.get_source(environment, path)[0]
        except LookupError:
            found = Path(path)
            if not found.is_file():
                raise ConfigurationError(
                    f"Task {self.task_id}: pipeline: no file {path!r} beside the DAG or in its template_searchpath"
                ) from None
            return found.read_text(encoding="utf-8")

    def execute(self, context: Context) -> Identifier:
        """Create the pipeline, or what ``if_exists`` says."""
        if isinstance(self.pipeline, str) and self.pipeline.endswith(".json"):
            self.pipeline = self.render_template(self._read_file(self.pipeline), context)
        pipeline = self._whole()
        existing = self._existing(pipeline)
        if existing is None:
            made = self._create(pipeline)
            self.log.info("Created pipeline %s.", made.id)
            return made.id
        if self.if_exists == "fail":
            raise PipelineExistsError(
                f"Engine {self.hook.api.engine_key!r} has pipeline {existing.id} of key {existing.key!r} and name "
                f"{existing.name!r} already; choose another pipeline_key, or set if_exists to skip or update"
            )
        if self.if_exists == "update":
            whole = self.hook.get_pipeline(existing.id).content
            self.hook.update_pipeline(merge(whole, {**pipeline, "id": existing.id}))
        self.log.info(
            "Pipeline %s is there already: %s.", existing.id, "updated" if self.if_exists == "update" else "kept"
        )
        return existing.id

    def _whole(self) -> JsonObject:
        pipeline = rendered_mapping("pipeline", self.pipeline)
        if "data" not in pipeline and "nodes" in pipeline:
            pipeline = {"data": pipeline}
        if not isinstance(pipeline.get("data"), Mapping):
            raise ConfigurationError("pipeline: it must be a pipeline object with data, or a definition with nodes")
        data = dict(pipeline["data"])
        if self.name is not None:
            data["name"] = rendered_text("name", self.name)
        if self.description is not None:
            data["describe"] = self.description
        whole = {**pipeline, "data": data}
        if self.pipeline_key is not None:
            whole["pipelineKey"] = rendered_text("pipeline_key", self.pipeline_key)
        return whole

    def _existing(self, pipeline: JsonObject) -> Pipeline | None:
        data = pipeline["data"]
        key, name = pipeline.get("pipelineKey"), data.get("name") if isinstance(data, dict) else None
        field, wanted = ("key", key) if key else ("name", name)
        found = [one for one in self.hook.list_pipelines() if wanted and getattr(one, field) == wanted]
        if len(found) > 1:
            raise PipelineExistsError(
                f"{len(found)} pipelines of engine {self.hook.api.engine_key!r} have the {field} {wanted!r} already: "
                f"{', '.join(str(one.id) for one in found)}; nothing tells which is meant. Give a pipeline_key"
            )
        return found[0] if found else None

    def _create(self, pipeline: JsonObject) -> Pipeline:
        try:
            return self.hook.create_pipeline(pipeline)
        except (ServiceUnavailableError, UnexpectedResponseError) as error:
            # Whether it was taken isn't known: the list says.
            made = self._existing(pipeline)
            if made is None:
                raise
            self.log.warning("%s But pipeline %s is there now.", error, made.id)
            return made


class FlowEngineUpdatePipelineOperator(FlowEnginePipelineOperator):
    """
    Change a pipeline: read it whole, change it, write it back; what isn't named stays as it is.

    :param changes: what is merged into the pipeline's object, dicts deeply and lists whole, e.g.
        ``{"data": {"describe": "v2"}}`` (templated).
    :param transform: instead, a function from the whole object to the whole object.
    :param pipeline_id: the pipeline, by its id; or by ``pipeline_key`` or ``pipeline_name``.
    :return: the pipeline's id.
    """

    template_fields: Sequence[str] = ("changes", *FlowEnginePipelineOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"changes": "json"}

    def __init__(
        self, *, changes: Mapping[str, Any] | str | None = None, transform: Transform | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require_exactly_one(self, changes=changes, transform=transform)
        self.changes = changes
        self.transform = transform

    def execute(self, context: Context) -> Identifier:
        """Read, change and write back."""
        pipeline = self.hook.get_pipeline(self.find_pipeline_id())
        if self.transform:
            changed = self.transform(copy.deepcopy(pipeline.content))
            if not isinstance(changed, dict):
                raise ConfigurationError(f"transform must return the changed pipeline object, not {changed!r}")
        else:
            changed = merge(pipeline.content, rendered_mapping("changes", self.changes))
        if changed == pipeline.content:
            self.log.info("Pipeline %s is as it should be; nothing is written.", pipeline.id)
            return pipeline.id
        self.hook.update_pipeline(changed)
        self.log.info("Updated pipeline %s.", pipeline.id)
        return pipeline.id


class FlowEngineSetPipelineScheduleOperator(FlowEnginePipelineOperator):
    """
    Turn a pipeline's own schedule (its crontab, loop or message trigger) on or off.

    :param enabled: whether it is on (templated).
    :param pipeline_id: the pipeline, by its id; or by ``pipeline_key`` or ``pipeline_name``.
    """

    template_fields: Sequence[str] = ("enabled", *FlowEnginePipelineOperator.template_fields)

    def __init__(self, *, enabled: bool | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check(self, enabled=enabled)
        self.enabled = enabled

    def execute(self, context: Context) -> None:
        """Set the schedule."""
        enabled, pipeline_id = rendered_flag("enabled", self.enabled), self.find_pipeline_id()
        self.hook.set_schedule(pipeline_id, enabled)
        self.log.info("The schedule of pipeline %s is %s.", pipeline_id, "on" if enabled else "off")


class FlowEngineUploadFileOperator(FlowEngineOperator):
    """
    Upload a file for a FILE parameter, streamed; the file is read where the task runs.

    :param path: the file (templated).
    :param target: the number at the end of the call's path, default 1; what it means isn't said anywhere.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :return: what the server answers in ``data``.
    """

    template_fields: Sequence[str] = ("path", "target", *FlowEngineOperator.template_fields)

    def __init__(self, *, path: str | Path, target: int | str = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check(self, path=path)
        self.path = path
        self.target = target

    def execute(self, context: Context) -> Json:
        """Upload the file."""
        path = rendered_text("path", self.path)
        answer = self.hook.upload_file(path, rendered_text("target", self.target))
        self.log.info("Uploaded %s.", path)
        return answer


def merge(whole: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with changes merged into it: dicts deeply, everything else whole."""
    merged = dict(whole)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
