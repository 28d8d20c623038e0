"""The arguments that users give, checked where they come in."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.identifiers import identifier

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_provider_flowengine.protocol.identifiers import Identifier

Seconds = float | int | timedelta
"""A length of time: seconds, or a timedelta."""

NOTHING = ("", "None")
"""What a template renders to when what it names isn't there."""


def seconds(name: str, value: Seconds) -> float:
    """
    Return a length of time in seconds.

    :param name: the argument's name, for the error.
    :param value: seconds or a timedelta, more than 0.
    :raises ConfigurationError: when it is neither, or too little.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        raise ConfigurationError(f"{name}: {value!r} must be seconds or a timedelta, more than 0")
    return float(number)


def seconds_if_given(name: str, value: Seconds | None) -> float | None:
    """Return a length of time as :func:`seconds` does; None stays None, which is without end."""
    return None if value is None else seconds(name, value)


# Each of these takes the argument's name, its value, and the verb for the error: the value "is", or "has rendered to".


def parse_text(name: str, value: object, verb: str = "is") -> str:
    """
    Return a text.

    :raises ConfigurationError: when it is nothing, or the text ``None``.
    """
    text = "" if value is None else str(value).strip()
    if text in NOTHING:
        raise ConfigurationError(f"{name} {verb} {value!r}; it must not be empty")
    return text


def parse_id(name: str, value: object, verb: str = "is") -> Identifier:
    """
    Return an id: an int when it is written in digits.

    :raises ConfigurationError: when it is nothing, or something that is no id.
    """
    found = None if isinstance(value, str) and value.strip() in NOTHING else identifier(value)
    if found is None:
        raise ConfigurationError(f"{name} {verb} {value!r}; it must be an id: digits or text")
    return found


def parse_mapping(name: str, value: object, verb: str = "is") -> dict[str, Any]:
    """
    Return an object: a dict, or its text as JSON or as a Python literal; an empty one when it is nothing.

    :raises ConfigurationError: when it is none of these.
    """
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        text = value
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            try:
                value = ast.literal_eval(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                raise ConfigurationError(f"{name} {verb} text that is no object: {text[:200]!r}") from None
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be an object, not {value!r}")
    return dict(value)


def parse_flag(name: str, value: object, verb: str = "is") -> bool:
    """
    Return a yes or no, which may be written as text.

    :raises ConfigurationError: when it is neither.
    """
    if isinstance(value, bool):
        return value
    flags = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    flag = flags.get(str(value).strip().lower())
    if flag is None:
        raise ConfigurationError(f"{name} {verb} {value!r}; it must be true or false")
    return flag


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """
    Check that an argument is one of some words.

    :param name: the argument's name, for the error.
    :param value: its value.
    :param choices: the words.
    :raises ConfigurationError: when it is none of them.
    """
    if value not in choices:
        raise ConfigurationError(f"{name}: {value!r} must be one of {', '.join(choices)}")


def parse_datetime(name: str, value: object, verb: str = "is", zone: str | tzinfo = "UTC") -> datetime:
    """
    Return a moment: a datetime, or its ISO 8601 text.

    :param zone: the time zone of a value that names none.
    :raises ConfigurationError: when it is neither.
    """
    import pendulum  # loaded where it is first used: the command line starts sooner

    moment: object = value
    if not isinstance(value, datetime):
        try:
            moment = pendulum.parse(parse_text(name, value, verb), tz=zone)
        except ValueError:
            moment = None
    if not isinstance(moment, datetime):
        raise ConfigurationError(f"{name} {verb} {value!r}; it must be a time, such as 2026-01-31T06:00:00Z")
    if moment.tzinfo is not None:
        return pendulum.instance(moment)
    date, time = moment.date(), moment.time()
    return pendulum.datetime(
        date.year, date.month, date.day, time.hour, time.minute, time.second, time.microsecond, tz=zone
    )


def parse_zone(name: str, value: str) -> str:
    """
    Return a time zone's name; nothing when none is named.

    :raises ConfigurationError: when there is no such zone.
    """
    if not value:
        return ""
    import pendulum  # loaded where it is first used: the command line starts sooner

    try:
        return pendulum.timezone(value).name
    except Exception:
        raise ConfigurationError(f"{name}: {value!r} isn't known; write a name such as UTC or Asia/Shanghai") from None


def check_file(name: str, path: Path) -> None:
    """
    Check that a path names one file that can be read.

    :param name: the argument's name, for the error.
    :param path: the path.
    :raises ConfigurationError: when it doesn't.
    """
    if not path.is_file():
        kind = "is a directory" if path.is_dir() else "does not exist" if not path.exists() else "is no plain file"
        raise ConfigurationError(f"{name}: {str(path)!r} {kind}; name one file to upload")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(f"{name}: {str(path)!r} can't be read: {error.strerror}") from error
