"""What is public carries its hints at run time, as ``typing.get_type_hints`` reads them."""

from functools import cached_property
from inspect import isfunction, signature
from typing import get_type_hints

import pytest

from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.operators import flowengine as operators
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor
from airflow_provider_flowengine.triggers.flowengine import (
    FlowEnginePipelineRunEventTrigger,
    FlowEnginePipelineRunTrigger,
)

CLASSES = (
    FlowEngineHook,
    *(getattr(operators, name) for name in operators.__all__),
    FlowEnginePipelineRunSensor,
    FlowEnginePipelineRunTrigger,
    FlowEnginePipelineRunEventTrigger,
)


def function_of(member):
    """The function behind a method or a property; None if it is neither."""
    if isinstance(member, cached_property):
        return member.func
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    return function if isfunction(function) else None


CALLABLES = {
    **{f"{each.__name__}.__init__": each.__init__ for each in CLASSES},
    **{
        f"FlowEngineHook.{name}": function
        for name, member in vars(FlowEngineHook).items()
        if not name.startswith("_") and (function := function_of(member))
    },
}


@pytest.mark.parametrize("name", CALLABLES)
def test_every_argument_and_what_is_returned_has_its_hint(name):
    function = CALLABLES[name]

    assert get_type_hints(function).keys() >= {*signature(function).parameters, "return"} - {"self", "kwargs"}
