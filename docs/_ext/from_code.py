"""Tables of the reference that are made from the code's own: the calls, and the connection's fields."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sphinx.util.docutils import SphinxDirective

from airflow_provider_flowengine import connection_form
from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.versions import API_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from docutils.nodes import Node
    from sphinx.application import Sphinx

    from airflow_provider_flowengine.protocol.http import Request
    from airflow_provider_flowengine.protocol.versions import ApiVersion

ENGINE_URL = "{engineUrl}"
PLACEHOLDERS = {
    "engine_key": "{engineKey}",
    "engine_url": ENGINE_URL,
    "file": Path("file"),
    "job_params": {"nodeId": {"key": "value"}},
    "page": "{page}",
    "pipeline": {"id": "…", "data": "…"},
    "pipeline_id": "{pipelineId}",
    "run_id": "{pipelineRunId}",
    "size": "{size}",
}


def calls(version: ApiVersion) -> Iterator[tuple[str, Request]]:
    """Yield what each call is for, and the call itself with placeholders for what varies."""
    engine = Engine("{engineKey}", ENGINE_URL, "{engineId}", version)
    given = {**PLACEHOLDERS, "engine": engine, "generation": version, "version": version}
    functions = [each for _, each in inspect.getmembers(endpoints, inspect.isfunction) if _is_call(each)]
    for function in sorted(functions, key=lambda each: each.__code__.co_firstlineno):
        names = inspect.signature(function).parameters
        for enabled in (True, False) if "enabled" in names else (None,):
            arguments = {name: given[name] for name in names if name in given}
            request = function(**arguments) if enabled is None else function(**arguments, enabled=enabled)
            yield inspect.getdoc(function).splitlines()[0], request


def _is_call(function: Callable[..., object]) -> bool:
    return inspect.signature(function).return_annotation == "Request" and not function.__name__.startswith("_")


def calls_table() -> Iterator[str]:
    """Yield the lines of the table of calls: the newest generation's, then what the others do otherwise."""
    newest, *others = (version for versions in API_VERSIONS.values() for version in versions)
    yield from _calls_table(newest, calls(newest))
    known = {_shape(request, newest) for _, request in calls(newest)}
    for other in others:
        different = [(purpose, each) for purpose, each in calls(other) if _shape(each, other) not in known]
        if different:
            yield from ("", f"What the generation “{other.name}” (`{other.root}`) does otherwise:", "")
            yield from _calls_table(other, different)


def _calls_table(version: ApiVersion, rows: Iterable[tuple[str, Request]]) -> Iterator[str]:
    yield from ("| # | call | request | body |", "|---|---|---|---|")
    for purpose, request in rows:
        number, _, what = purpose.partition(": ") if purpose[:2].isdigit() else ("–", "", purpose)
        line = _line(request).replace(f"{ENGINE_URL}/{version.root}/", "")
        yield f"| {number} | {what.replace('``', '`')} | {line} | {_body(request)} |"


def _shape(request: Request, version: ApiVersion) -> str:
    return f"{_line(request).replace(version.root, '')} {_body(request)}"


def _line(request: Request) -> str:
    query = "&".join(f"{name}={value}" for name, value in request.query.items() if name != "engineKey")
    path = unquote(request.path)
    return f"`{request.method} {path}{'?' + query if query else ''}`"


def _body(request: Request) -> str:
    if request.file:
        return "multipart, the field `file`"
    return f"`{request.body}`".replace("'", '"') if request.body is not None else ""


def connection_table() -> Iterator[str]:
    """Yield the lines of the table of a connection's fields."""
    yield "| field | in the form | what it is | default |"
    yield "|---|---|---|---|"
    for field in connection_form.STANDARD_FIELDS:
        yield f"| `{field.name}` | {field.label} | {_cell(field.placeholder)} | |"
    for extra in connection_form.EXTRA_FIELDS:
        default = f"`{extra.default}`" if extra.default is not None else ""
        yield f"| extra `{extra.name}` | {extra.label} | {_cell(extra.help)} | {default} |"


def _cell(text: str) -> str:
    text = re.sub(r"(\{[^}]*\}|[a-z]+/v1|/automl-engine/)", r"`\1`", text)
    return text.replace("|", "\\|")


class FromCode(SphinxDirective):
    """Insert a table: ``calls`` or ``connection``."""

    required_arguments = 1
    TABLES = {"calls": calls_table, "connection": connection_table}  # noqa: RUF012 - a table of functions

    def run(self) -> list[Node]:
        """Return the table's nodes."""
        return self.parse_text_to_nodes("\n".join(self.TABLES[self.arguments[0]]()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive ``from-code``."""
    app.add_directive("from-code", FromCode)
    return {"parallel_read_safe": True}
