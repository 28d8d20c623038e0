"""What all FlowEngine operators and the sensor share: the connection, and naming a pipeline."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_flowengine.protocol.arguments import NOTHING, given_id
from airflow_provider_flowengine.protocol.arguments import Seconds as Seconds
from airflow_provider_flowengine.protocol.arguments import seconds as seconds
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
    from airflow_provider_flowengine.protocol.models import Identifier

DEFAULT_CONN_ID = "flowengine_default"
CONNECTION_FIELDS = ("flowengine_conn_id", "engine_key")
PIPELINE_FIELDS = ("pipeline_id", "pipeline_key", "pipeline_name")


class UsesFlowEngine:
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


class UsesPipeline(UsesFlowEngine):
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


class FlowEngineOperator(UsesFlowEngine, BaseOperator):
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
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key


class FlowEnginePipelineOperator(UsesPipeline, FlowEngineOperator):
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
        one_of(self.task_id, pipeline_id=pipeline_id, pipeline_key=pipeline_key, pipeline_name=pipeline_name)
        self.pipeline_id = pipeline_id
        self.pipeline_key = pipeline_key
        self.pipeline_name = pipeline_name


# --- arguments --------------------------------------------------------------------------------------------------------


def one_of(task_id: str, **arguments: object) -> None:
    """
    Check that exactly one of some arguments is given, and isn't empty as it stands in the DAG file.

    :raises ConfigurationError: naming them.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        got = f"got {' and '.join(given)}" if given else "got none"
        raise ConfigurationError(f"Task {task_id}: give exactly one of {', '.join(arguments)}; {got}")
    for name, value in given.items():
        if isinstance(value, str) and value.strip() in NOTHING:
            raise ConfigurationError(f"Task {task_id}: {name} is {value!r}; it must name something")


def is_template(value: object) -> bool:
    """Whether an argument is known only when the task runs: it holds Jinja, or is another task's result."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "iter_references")  # what Airflow's XComArg and its kin have in common


def rendered_text(name: str, value: object) -> str:
    """
    Return a text argument after rendering.

    :raises ConfigurationError: when it has rendered to nothing, or to the text ``None``.
    """
    text = str(value).strip()
    if text in NOTHING:
        raise ConfigurationError(f"{name} has rendered to {value!r}; it must name something")
    return text


def rendered_id(name: str, value: object) -> Identifier:
    """
    Return an id argument after rendering: an int when it is written in digits.

    :raises ConfigurationError: when it has rendered to nothing, or to something that is no id.
    """
    return given_id(name, value, "has rendered to")


def rendered_mapping(name: str, value: object) -> dict[str, Any]:
    """
    Return an object argument after rendering: a dict, or its text as JSON or as a Python literal.

    :raises ConfigurationError: when it is none of these.
    """
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        text = value
        try:
            value = json.loads(text)
        except ValueError:
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                raise ConfigurationError(f"{name} has rendered to text that is no object: {text[:200]!r}") from None
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be an object, not {value!r}")
    return dict(value)


def rendered_flag(name: str, value: object) -> bool:
    """
    Return a yes-or-no argument after rendering.

    :raises ConfigurationError: when it is neither.
    """
    if isinstance(value, bool):
        return value
    flags = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    flag = flags.get(str(value).strip().lower())
    if flag is None:
        raise ConfigurationError(f"{name} has rendered to {value!r}; it must be true or false")
    return flag
