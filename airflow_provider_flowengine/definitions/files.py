"""
How a pipeline is kept in files for review; :mod:`..definition_files` reads them.

One JSON file a pipeline, ``churn.json``: sorted keys, no null, none of FlowEngine's own fields. A script of more than
one line stands in a file beside it, ``churn/train.py``, and in its place ``{"$file": "churn/train.py"}``. Reading the
files gives the same pipeline, each script to the byte. This module makes texts; who calls it writes them.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import (
    as_object,
    is_object,
    nodes_of,
    without_server_fields,
)
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject

REFERENCE = "$file"
"""The only field of an object that stands for a file's text."""

HOOKS = ("onPreStart", "onComplete", "onTimeout", "onError", "onCondition")
_EXTENSIONS = {"SHELL": "sh", "PYTHON3": "py", "NODEJS": "js", "JAVA": "java"}
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
