"""What all FlowEngine operators and the sensor share: the connection, and naming a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowengine.protocol.arguments import Seconds as Seconds
from airflow_provider_flowengine.protocol.arguments import (
    parse_datetime,
    parse_flag,
    parse_id,
    parse_mapping,
    parse_text,
)
from airflow_provider_flowengine.protocol.arguments import seconds as seconds
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
    from airflow_provider_flowengine.protocol.identifiers import Identifier

DEFAULT_CONN_ID = "flowengine_default"
CONNECTION_FIELDS = ("flowengine_conn_id", "engine_key")
PIPELINE_FIELDS = ("pipeline_id", "pipeline_key", "pipeline_name")


class FlowEngineMixin:
    """
    A task with a connection to FlowEngine.

    Operators and the sensor are both, so this stands beside Airflow's own base classes.
    """

    flowengine_conn_id: str
    engine_key: str | None

    @cached_property
    def hook(self) -> FlowEngineHook:
        """The hook, built when first needed: an operator at parse time needs none."""
        from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook

        engine_key = rendered_text("engine_key", self.engine_key) if self.engine_key is not None else None
        return FlowEngineHook(rendered_text("flowengine_conn_id", self.flowengine_conn_id), engine_key)


class PipelineMixin(FlowEngineMixin):
    """A task about one pipeline, named by its id, its key or its name."""

    pipeline_id: int | str | None
    pipeline_key: str | None
    pipeline_name: str | None

    def find_pipeline_id(self) -> Identifier:
        """
        Return the pipeline's id; asks FlowEngine where it is named by key or name.

        :raises ConfigurationError: when the argument has rendered to nothing.
        :raises PipelineNotFoundError: when there is no such pipeline, or several of this name.
        """
        if self.pipeline_id is not None:
            return rendered_id("pipeline_id", self.pipeline_id)
        if self.pipeline_key is not None:
            return self.hook.find_pipeline(key=rendered_text("pipeline_key", self.pipeline_key)).id
        if self.pipeline_name is not None:
            return self.hook.find_pipeline(name=rendered_text("pipeline_name", self.pipeline_name)).id
        raise ConfigurationError(f"None of {', '.join(PIPELINE_FIELDS)} is left after rendering; one must be")


class FlowEngineOperator(FlowEngineMixin, BaseOperator):
    """
    The base of the operators.

    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    """

    template_fields: Sequence[str] = CONNECTION_FIELDS
    ui_color = "#e3edfb"

    def __init__(
        self, *, flowengine_conn_id: str = DEFAULT_CONN_ID, engine_key: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check(self, flowengine_conn_id=flowengine_conn_id, engine_key=engine_key)
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key


class FlowEnginePipelineOperator(PipelineMixin, FlowEngineOperator):
    """
    The base of the operators about one pipeline, named by one of three arguments.

    :param pipeline_id: the pipeline's id.
    :param pipeline_key: its ``pipelineKey``.
    :param pipeline_name: its name, where only one pipeline has it.
    :raises ConfigurationError: at parse time, when not exactly one of them is given.
    """

    template_fields: Sequence[str] = (*PIPELINE_FIELDS, *CONNECTION_FIELDS)

    def __init__(
        self,
        *,
        pipeline_id: int | str | None = None,
        pipeline_key: str | None = None,
        pipeline_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_exactly_one(self, pipeline_id=pipeline_id, pipeline_key=pipeline_key, pipeline_name=pipeline_name)
        self.pipeline_id = pipeline_id
        self.pipeline_key = pipeline_key
        self.pipeline_name = pipeline_name


# --- arguments --------------------------------------------------------------------------------------------------------


RENDERED = "has rendered to"

rendered_text = partial(parse_text, said=RENDERED)
rendered_id = partial(parse_id, said=RENDERED)
rendered_mapping = partial(parse_mapping, said=RENDERED)
rendered_flag = partial(parse_flag, said=RENDERED)
rendered_time = partial(parse_datetime, said=RENDERED)


def is_template(value: object) -> bool:
    """Whether an argument is known only when the task runs: it holds Jinja, or is another task's result."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "iter_references")  # what Airflow's XComArg and its kin have in common


def _job_params(name: str, value: object) -> None:
    for node, params in parse_mapping(name, value).items():
        if not isinstance(params, Mapping) and not is_template(params):
            raise ConfigurationError(f"{name}: node {node!r} must be given an object {{key: value}}, not {params!r}")


def _text_or_none(name: str, value: object) -> None:
    if value is not None:
        parse_text(name, value)


def _bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r}; it must be True or False")


def _function(name: str, value: object) -> None:
    if not callable(value):
        raise ConfigurationError(f"{name} is {value!r}; it must be a function from a pipeline's object to another")


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "all_running": parse_flag,
    "cancel_on_kill": _bool,
    "changes": parse_mapping,
    "deferrable": _bool,
    "durable": _bool,
    "enabled": parse_flag,
    "engine_key": _text_or_none,
    "flowengine_conn_id": parse_text,
    "job_params": _job_params,
    "path": parse_text,
    "pipeline_id": parse_id,
    "pipeline_key": parse_text,
    "pipeline_name": parse_text,
    "poll_interval": seconds,
    "reuse_running_run": _bool,
    "run_id": parse_id,
    "start_confirmation_timeout": seconds,
    "started_after": parse_datetime,
    "started_within": seconds,
    "timeout": seconds,
    "transform": _function,
    "unreachable_timeout": seconds,
    "wait_for_completion": _bool,
}


def check(task: BaseOperator, **arguments: object) -> None:
    """
    Check arguments as they stand in the DAG file; templates, and other tasks' results, are checked when the task runs.

    :param task: the task, whose ``template_fields`` may be known only then.
    :raises ConfigurationError: naming the task, the first argument that can't be right, and what is allowed.
    """
    for name, value in arguments.items():
        if name in task.template_fields and is_template(value):
            continue
        try:
            _CHECKS[name](name, value)
        except ConfigurationError as error:
            raise ConfigurationError(f"Task {task.task_id}: {error}") from None


def require_exactly_one(task: BaseOperator, **arguments: object) -> None:
    """
    Check that exactly one of some arguments is given, and can be right as it stands in the DAG file.

    :raises ConfigurationError: naming them.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        got = f"got {' and '.join(given)}" if given else "got none"
        raise ConfigurationError(f"Task {task.task_id}: give exactly one of {', '.join(arguments)}; {got}")
    check(task, **given)
