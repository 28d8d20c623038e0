"""What all FlowEngine operators and the sensor share: the connection, and naming a pipeline."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.operators.arguments import (
    Id,
    Text,
    rendered_id,
    rendered_text,
    require_exactly_one,
    validate_arguments,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
    from airflow_provider_flowengine.protocol.models import Pipeline

CONNECTION_FIELDS = ("flowengine_conn_id", "engine_key")
PIPELINE_FIELDS = ("pipeline_id", "pipeline_key", "pipeline_name")


class FlowEngineMixin:
    """
    A task with a connection to FlowEngine.

    Operators and the sensor are both, so this stands beside Airflow's own base classes.
    """

    flowengine_conn_id: Text
    engine_key: Text | None

    @cached_property
    def hook(self) -> FlowEngineHook:
        """The hook, built when first needed: an operator at parse time needs none."""
        from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook

        engine_key = rendered_text("engine_key", self.engine_key) if self.engine_key is not None else None
        return FlowEngineHook(rendered_text("flowengine_conn_id", self.flowengine_conn_id), engine_key)


class PipelineMixin(FlowEngineMixin):
    """A task about one pipeline, named by its id, its key or its name."""

    pipeline_id: Id | None
    pipeline_key: Text | None
    pipeline_name: Text | None

    def find_pipeline(self) -> Pipeline:
        """
        Return the pipeline: read from FlowEngine if it is named by key or name, else with its id alone.

        :raises ConfigurationError: when the argument has rendered to nothing.
        :raises PipelineNotFoundError: when there is no such pipeline, or several of this name.
        """
        from airflow_provider_flowengine.protocol.models import Pipeline

        if self.pipeline_id is not None:
            return Pipeline(rendered_id("pipeline_id", self.pipeline_id))
        if self.pipeline_key is not None:
            return self.hook.find_pipeline(key=rendered_text("pipeline_key", self.pipeline_key))
        if self.pipeline_name is not None:
            return self.hook.find_pipeline(name=rendered_text("pipeline_name", self.pipeline_name))
        raise ConfigurationError(f"None of {', '.join(PIPELINE_FIELDS)} is left after rendering; one must be")


class FlowEngineOperator(FlowEngineMixin, BaseOperator):
    """
    The base of the operators.

    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    """

    template_fields: Sequence[str] = CONNECTION_FIELDS
    ui_color = "#e3edfb"

    def __init__(
        self, *, flowengine_conn_id: Text = DEFAULT_CONN_ID, engine_key: Text | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        validate_arguments(self, flowengine_conn_id=flowengine_conn_id, engine_key=engine_key)
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key


class FlowEnginePipelineOperator(PipelineMixin, FlowEngineOperator):
    """
    The base of the operators about one pipeline, named by one of three arguments.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :raises ConfigurationError: at parse time, when not exactly one of the first three is given.
    """

    template_fields: Sequence[str] = (*PIPELINE_FIELDS, *CONNECTION_FIELDS)

    def __init__(
        self,
        *,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_exactly_one(self, pipeline_id=pipeline_id, pipeline_key=pipeline_key, pipeline_name=pipeline_name)
        self.pipeline_id = pipeline_id
        self.pipeline_key = pipeline_key
        self.pipeline_name = pipeline_name
