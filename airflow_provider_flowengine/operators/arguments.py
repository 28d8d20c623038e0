"""Arguments of operators: checked when the DAG file is parsed if they are known then, else when the task runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, get_args

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_flowengine.protocol.arguments import (
    check_choice,
    parse_datetime,
    parse_flag,
    parse_id,
    parse_mapping,
    parse_text,
    seconds,
    seconds_if_given,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.retry import failing_at_once

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

TemplateFunction = Callable[..., Any]
"""A function of ``context`` and ``jinja_env`` that returns the argument's value when the task runs."""

Text = str | XComArg | TemplateFunction
"""A templated text."""

Id = int | str | XComArg | TemplateFunction
"""A templated id."""

Flag = bool | str | XComArg | TemplateFunction
"""A templated yes or no."""

Object = Mapping[str, Any] | str | XComArg | TemplateFunction
"""A templated object: a dict, or its text."""

Time = datetime | str | XComArg | TemplateFunction
"""A templated moment."""

IfExists = Literal["fail", "skip", "update"]
IfRunning = Literal["start", "reuse", "wait", "skip", "stop", "fail"]
RetryMode = Literal["restart", "resume"]


RENDERED = "has rendered to"

rendered_text = partial(parse_text, verb=RENDERED)
rendered_id = partial(parse_id, verb=RENDERED)
rendered_mapping = partial(parse_mapping, verb=RENDERED)
rendered_flag = partial(parse_flag, verb=RENDERED)


def is_template(value: object) -> bool:
    """Whether an argument is known only when the task runs: Jinja, another task's output, a function."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    # iter_references is what Airflow's XComArg and its kin have in common; a function takes context and jinja_env.
    return hasattr(value, "iter_references") or callable(value)


def _check_job_params(name: str, value: object) -> None:
    for node, params in parse_mapping(name, value).items():
        if not isinstance(params, Mapping) and not is_template(params):
            raise ConfigurationError(f"{name}: node {node!r} must be given an object {{key: value}}, not {params!r}")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r}; it must be True or False")


def _check_function(name: str, value: object) -> None:
    if not callable(value):
        raise ConfigurationError(f"{name} is {value!r}; it must be a function from a pipeline's object to another")


_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "all_running": parse_flag,
    "cancel_on_kill": _check_bool,
    "changes": parse_mapping,
    "deferrable": _check_bool,
    "durable": _check_bool,
    "enabled": parse_flag,
    "engine_key": parse_text,
    "flowengine_conn_id": parse_text,
    "job_params": _check_job_params,
    "path": parse_text,
    "pipeline_id": parse_id,
    "pipeline_key": parse_text,
    "pipeline_name": parse_text,
    "poll_interval": seconds,
    "if_exists": partial(check_choice, choices=get_args(IfExists)),
    "if_running": partial(check_choice, choices=get_args(IfRunning)),
    "retry_mode": partial(check_choice, choices=get_args(RetryMode)),
    "retry_stopped": _check_bool,
    "run_id": parse_id,
    "start_confirmation_timeout": seconds,
    "started_after": parse_datetime,
    "started_within": seconds,
    "timeout": seconds_if_given,
    "transform": _check_function,
    "unreachable_timeout": seconds,
    "wait_for_completion": _check_bool,
}


_MAY_BE_NONE = frozenset({"changes", "deferrable", "engine_key", "job_params"})
"""Arguments for which None means that they are not given."""


@failing_at_once()
def refuse(task: BaseOperator, reason: str) -> NoReturn:
    """
    Refuse a task's arguments: at parse time, or when a mapped task runs, which then fails whatever retries are left.

    :raises ConfigurationError: naming the task.
    """
    raise ConfigurationError(f"Task {task.task_id}: {reason}") from None


def validate_arguments(task: BaseOperator, **arguments: object) -> None:
    """
    Check arguments as they stand in the DAG file; templates, and other tasks' results, are checked when the task runs.

    :param task: the task, whose ``template_fields`` may be known only then.
    :raises ConfigurationError: naming the task, the first wrong argument, and what is allowed.
    """
    for name, value in arguments.items():
        if (name in task.template_fields and is_template(value)) or (value is None and name in _MAY_BE_NONE):
            continue
        try:
            _CHECKS[name](name, value)
        except ConfigurationError as error:
            refuse(task, str(error))


def require_exactly_one(task: BaseOperator, **arguments: object) -> None:
    """
    Check that exactly one of some arguments is given, and check it as it stands in the DAG file.

    :raises ConfigurationError: naming them.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    if len(given) != 1:
        got = f"got {' and '.join(given)}" if given else "got none"
        refuse(task, f"give exactly one of {', '.join(arguments)}; {got}")
    validate_arguments(task, **given)
