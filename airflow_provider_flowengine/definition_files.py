"""Reads definitions that are kept in files, as ``flowengine export`` writes them (:mod:`.definitions.files`)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import is_object, pipeline_object
from airflow_provider_flowengine.definitions.files import REFERENCE
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import Json, JsonObject

MAX_DEPTH = 100
"""Levels of objects and lists in a file: far more than a pipeline has."""


def read_definition(path: str | Path) -> JsonObject:
    """
    Return the pipeline object that a file holds, with the scripts beside it.

    :param path: the ``.json`` file.
    :raises ConfigurationError: naming the file, if it or a script can't be read, or a script isn't below it.
    """
    file = Path(path)

    def with_scripts(value: Json) -> Json:
        if is_object(value):
            if set(value) == {REFERENCE}:
                return _read_script(file, value[REFERENCE])
            return {name: with_scripts(item) for name, item in value.items()}
        return [with_scripts(item) for item in value] if isinstance(value, list) else value

    return pipeline_object({name: with_scripts(value) for name, value in read_object(file).items()})


def _read_script(file: Path, reference: Json) -> str:
    """Return a script's text; a definition under review must not read the reviewer's other files."""
    if not isinstance(reference, str) or not is_inside(file.parent, reference):
        raise ConfigurationError(
            f"{file}: {REFERENCE} {reference!r} must be the path of a file below {file}'s folder, and no link out of it"
        )
    return _read_text(file.parent / reference, f"{file}: {REFERENCE} {reference!r}")


def is_inside(folder: Path, path: str) -> bool:
    """
    Whether a path stays in a folder, links followed.

    :param folder: the folder.
    :param path: the path, relative to it.
    """
    try:
        return (folder / path).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, NUL, half a surrogate pair
        return False


def read_object(path: str | Path) -> JsonObject:
    """
    Return the JSON object that a file holds.

    :param path: the file.
    :raises ConfigurationError: naming the file, and the line, if it is no JSON object or says a key twice.
    """
    text = _read_text(Path(path), str(path))
    try:
        content = json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_once_each, parse_constant=_finite, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: it is nested more than {MAX_DEPTH} levels deep") from None
    if _is_deeper(content, MAX_DEPTH):
        raise ConfigurationError(f"{path}: it is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: it must hold one JSON object, not a {type(content).__name__}")
    return content


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is no number that JSON has")
    return value


def _is_deeper(value: Json, depth: int) -> bool:
    """Whether a value is nested more than so many levels deep."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(item, depth - 1) for item in inner)


def _once_each(pairs: list[tuple[str, Json]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in an object")
    return fields


def _read_text(path: Path, name: str) -> str:
    """Return a file's text, to the byte; ``name`` is what an error calls it."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name}: not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(f"{name}: cannot be read: {error.strerror}") from None
