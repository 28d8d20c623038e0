"""What people give as arguments, checked where it comes in: lengths of time and ids."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.models import identifier

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.models import Identifier

Seconds = float | int | timedelta
"""A length of time: seconds, or a timedelta."""

NOTHING = ("", "None")
"""What a template renders to when what it names isn't there."""


def seconds(name: str, value: Seconds | None, *, at_least: float = 0.0) -> float | None:
    """
    Return a length of time in seconds.

    :param name: the argument's name, for the error.
    :param value: seconds or a timedelta; None stays None.
    :param at_least: it must be more than this, default 0.
    :raises ConfigurationError: when it is neither, or too little.
    """
    if value is None:
        return None
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not at_least < number < math.inf:
        raise ConfigurationError(f"{name}: {value!r} must be seconds or a timedelta, more than {at_least:g}")
    return float(number)


def given_id(name: str, value: object, said: str = "is") -> Identifier:
    """
    Return an id: an int when it is written in digits.

    :param name: the argument's name, for the error.
    :param value: a number or text.
    :param said: how the value came about, for the error, default ``is``.
    :raises ConfigurationError: when it is nothing, or something that is no id.
    """
    found = None if isinstance(value, str) and value.strip() in NOTHING else identifier(value)
    if found is None:
        raise ConfigurationError(f"{name} {said} {value!r}; it must be an id: digits or text")
    return found
