"""
How a pipeline is kept in files for review.

One JSON file a pipeline, ``churn.json``: sorted keys, no null, none of FlowEngine's own fields. A script of more than
one line stands in a file beside it, ``churn/train.py``, and in its place ``{"$file": "churn/train.py"}``. Reading the
files gives the same pipeline, each script to the byte. This module makes and reads texts; who calls it does the I/O.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import (
    as_object,
    is_object,
    nodes_of,
    pipeline_object,
    without_server_fields,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject

REFERENCE = "$file"
"""The only field of an object that stands for a file's text."""

HOOKS = ("onPreStart", "onComplete", "onTimeout", "onError", "onCondition")
_EXTENSIONS = {"SHELL": "sh", "PYTHON3": "py", "NODEJS": "js", "JAVA": "java"}
MAX_DEPTH = 100
"""Levels of objects and lists in a file: far more than a pipeline has."""

_MAX_STEM_LENGTH = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # Windows' devices


def to_files(content: Mapping[str, Json], stem: str, *, inline: bool = False) -> dict[str, str]:
    """
    Return a pipeline as the texts of its files, by their names.

    :param content: the whole pipeline object.
    :param stem: the JSON file's name without ``.json``, and the folder of its scripts.
    :param inline: whether scripts stay in the JSON, so that there is one file; default false.
    :raises ConfigurationError: if the pipeline holds what stands for a file here.
    """
    pipeline = without_server_fields(content)
    if any(REFERENCE in item for item in _all_objects(pipeline)):
        raise ConfigurationError(f"A field of the pipeline is called {REFERENCE!r}, which stands for a file here")
    scripts = {} if inline else _take_scripts_out(pipeline, stem)
    return {f"{stem}.json": to_json(pipeline), **scripts}


def to_json(value: Json) -> str:
    """Return a JSON text fit for review: sorted, indented, characters as they are, a line end at its end."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return (text if _is_utf8(text) else json.dumps(value, indent=2, sort_keys=True)) + "\n"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can hold and a file can't
        return False
    return True


def _all_objects(value: Json) -> Iterator[JsonObject]:
    if is_object(value):
        yield value
    for item in value.values() if is_object(value) else value if isinstance(value, list) else ():
        yield from _all_objects(item)


def _take_scripts_out(pipeline: JsonObject, stem: str) -> dict[str, str]:
    scripts: dict[str, str] = {}
    for holder, field, name, kind in _scripts(pipeline):
        text = holder[field]
        if isinstance(text, str) and "\n" in text and _is_utf8(text):
            path = f"{stem}/{file_stem(name, scripts, f'{stem}/')}.{_EXTENSIONS.get(kind, 'txt')}"
            scripts[path] = text
            holder[field] = {REFERENCE: path}
    return scripts


def _scripts(pipeline: JsonObject) -> Iterator[tuple[JsonObject, str, str, str]]:
    """Yield each place of a script: the object, its field, what its file is called, and the language."""
    yield from _hooks(as_object(pipeline.get("data")), "")
    for node in nodes_of(pipeline):
        name = str(node.get("nodeId") or node.get("name") or "node")
        if "indexSource" in node:
            yield node, "indexSource", name, str(node.get("indexType"))
        yield from _hooks(node, f"{name}.")


def _hooks(holder: JsonObject, prefix: str) -> Iterator[tuple[JsonObject, str, str, str]]:
    for name in HOOKS:
        hook = holder.get(name)
        if is_object(hook) and "indexSource" in hook:
            yield hook, "indexSource", f"{prefix}{name}", str(hook.get("indexType") or "SHELL")
        elif isinstance(hook, str):
            yield holder, name, f"{prefix}{name}", "SHELL"


def file_stem(name: str, taken: Iterable[str] = (), folder: str = "") -> str:
    """
    Return a name as a file's, the same each time: what no file system takes is replaced, and then a digest added.

    :param name: the name.
    :param taken: names of files that there are already, in any case of letters.
    :param folder: what they begin with.
    """
    stem = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", name)).lstrip(".-")[:_MAX_STEM_LENGTH].rstrip(".")
    others = {path.removeprefix(folder).rpartition(".")[0].casefold() for path in taken}
    if stem != name or not stem or _RESERVED.fullmatch(stem) or stem.casefold() in others:
        stem = f"{stem or 'pipeline'}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return stem


def from_text(text: str, path: str, read: Callable[[str], str]) -> JsonObject:
    """
    Return the pipeline object that a file holds, with the texts of the files that it names.

    :param text: the JSON file's text.
    :param path: its path, for errors.
    :param read: returns the text of a file that it names, by its path below the JSON file's folder.
    :raises ConfigurationError: naming the file, if it is no JSON, no pipeline, or names a file elsewhere.
    """
    return pipeline_object(with_texts(parse_object(text, path), path, read))


def parse_object(text: str, path: str) -> JsonObject:
    """
    Return the JSON object that a file holds.

    :param text: the file's text.
    :param path: its path, for errors.
    :raises ConfigurationError: naming the file, and the line, if it is no JSON object or says a key twice.
    """
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


def with_texts(content: JsonObject, path: str, read: Callable[[str], str]) -> JsonObject:
    """
    Return an object with each reference replaced by the text of the file that it names.

    :param content: the object.
    :param path: the path of its file, for errors.
    :param read: returns the text of a file, by its path below the JSON file's folder.
    :raises ConfigurationError: if a reference leads out of that folder.
    """

    def resolve(value: Json) -> Json:
        if is_object(value):
            if set(value) == {REFERENCE}:
                return read(_inside(value[REFERENCE], path))
            return {name: resolve(item) for name, item in value.items()}
        return [resolve(item) for item in value] if isinstance(value, list) else value

    return {name: resolve(value) for name, value in content.items()}


def _inside(reference: Json, path: str) -> str:
    """Return a reference that stays in its folder: a definition under review must not read the reviewer's files."""
    parts = reference.split("/") if isinstance(reference, str) else []
    if not parts or not all(parts) or {".", ".."} & set(parts) or re.search(r"[\\:\0]", str(reference)):
        raise ConfigurationError(f"{path}: {REFERENCE} {reference!r} must be the path of a file below {path}'s folder")
    return str(reference)
