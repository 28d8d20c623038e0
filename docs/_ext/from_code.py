"""Tables of the reference that are made from the code, so that they are always those of the code: see ``TABLES``."""

from __future__ import annotations

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from docutils.nodes import TextElement
from log_lines import log_lines
from sphinx.util.docutils import SphinxDirective

import airflow_provider_flowengine
from airflow_provider_flowengine import retry
from airflow_provider_flowengine.cli import exit_codes
from airflow_provider_flowengine.cli.commands import COMMANDS
from airflow_provider_flowengine.get_provider_info import get_provider_info
from airflow_provider_flowengine.protocol import endpoints, errors, status, versions
from airflow_provider_flowengine.protocol.models import Engine
from airflow_provider_flowengine.protocol.session import COOKIE, SIGN_IN_PATH
from airflow_provider_flowengine.protocol.versions import API_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from docutils.nodes import Element, Node
    from sphinx.application import Sphinx

    from airflow_provider_flowengine.protocol.http import Request
    from airflow_provider_flowengine.protocol.versions import ApiVersion

PACKAGE = Path(airflow_provider_flowengine.__file__).parent


def table(widths: Sequence[int], header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table whose columns have these widths, in parts of a hundred."""
    dense = [":class: dense"] if len(widths) > 4 else []
    yield from (":::{list-table}", ":header-rows: 1", *dense, f":widths: {' '.join(map(str, widths))}", "")
    for row in (header, *rows):
        for number, cell in enumerate(row):
            yield f"{'  -' if number else '* -'} {cell}".rstrip()
    yield ":::"


# --- calls --------------------------------------------------------------------------------------------------

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
CALL_COLUMNS = ("call", "method, path", "query", "body", "answer", "source")
CALL_WIDTHS = (16, 29, 14, 13, 15, 13)
_FIELD = re.compile(r"^:(\w+): (.*(?:\n(?!:).*)*)", re.MULTILINE)


def calls(version: ApiVersion) -> Iterator[tuple[dict[str, str], Request]]:
    """Yield what is said of each call (``call``, ``answer``, ``source``), and the call with placeholders."""
    engine = Engine("{engineKey}", ENGINE_URL, "{engineId}", version)
    given = {**PLACEHOLDERS, "engine": engine, "version": version}
    functions = [each for _, each in inspect.getmembers(endpoints, inspect.isfunction) if _is_call(each)]
    for function in sorted(functions, key=lambda each: each.__code__.co_firstlineno):
        names = inspect.signature(function).parameters
        for enabled in (True, False) if "enabled" in names else (None,):
            arguments = {name: given[name] for name in names if name in given}
            request = function(**arguments) if enabled is None else function(**arguments, enabled=enabled)
            yield about_call(function, request), request


def _is_call(function: Callable[..., object]) -> bool:
    return inspect.signature(function).return_annotation == "Request" and not function.__name__.startswith("_")


def about_call(function: Callable[..., object], request: Request) -> dict[str, str]:
    """Return a call's number and name, what its answer holds, and which source tells of it, from its docstring."""
    purpose, _, fields = (inspect.getdoc(function) or "").partition("\n\n")
    number = purpose[:2] if purpose[:2].isdigit() else "–"
    said = {name: " ".join(text.split()).rstrip(".") for name, text in _FIELD.findall(fields)}
    return {
        "call": f"{number}: {request.name.replace(chr(39), '')}",
        "answer": said["answer"],
        "source": said["source"],
    }


def sources(version: ApiVersion) -> str:
    """Return where a generation is known from: what stands below its constant."""
    code = inspect.getsource(versions)
    found = re.search(rf'name="{re.escape(version.name)}".*?Sources: (.*?)\.', code, re.DOTALL)
    assert found, f"no sources of {version.name}"
    return found[1]


def calls_table() -> Iterator[str]:
    """Yield the table of calls: the newest generation's, then what the others do otherwise."""
    newest, *others = (version for dialects in API_VERSIONS.values() for version in dialects)
    sign_in = (
        "–: sign in, with `authentication: session`",
        f"`POST {SIGN_IN_PATH}`",
        "",
        '`{"username": "…", "password": "…"}`',
        f"the cookie `{COOKIE}`",
        "clients in the wild, the vendor's release files",
    )
    rows = [_call_row(newest, about, request) for about, request in calls(newest)]
    yield from table(CALL_WIDTHS, CALL_COLUMNS, [*rows, sign_in])
    known = {_shape(request, newest) for _, request in calls(newest)}
    for other in others:
        told = {"source": sources(other)}
        different = [({**about, **told}, each) for about, each in calls(other) if _shape(each, other) not in known]
        if different:
            yield from ("", f"What the generation “{other.name}” (`{other.root}`) does otherwise:", "")
            yield from table(CALL_WIDTHS, CALL_COLUMNS, [_call_row(other, *each) for each in different])


def _call_row(version: ApiVersion, about: dict[str, str], request: Request) -> Sequence[str]:
    call, answer, source = (about[name].replace("``", "`") for name in ("call", "answer", "source"))
    path = unquote(request.path).replace(f"{ENGINE_URL}/{version.root}/", "")
    return call, f"`{request.method} {path}`", _query(request), _body(request), answer, source


def _shape(request: Request, version: ApiVersion) -> tuple[str, ...]:
    return request.method, request.path.replace(version.root, ""), _query(request), _body(request)


def _query(request: Request) -> str:
    return " ".join(f"`{name}={value}`" for name, value in request.query.items() if name != "engineKey")


def _body(request: Request) -> str:
    if request.file:
        return "multipart, the field `file`"
    return f"`{request.body}`".replace("'", '"') if request.body is not None else ""


# --- errors -------------------------------------------------------------------------------------------------


IN_EACH_ERROR = {"self", "args", "kwargs", "message"}


def errors_table() -> Iterator[str]:
    """Yield the table of errors: what each means, which data it carries, and whether it is retried."""
    kinds = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]
    rows = [(f"`{kind.__name__}`", _meaning(kind), _attributes(kind), _retried(kind)) for kind in kinds]
    yield from table((28, 36, 20, 16), ("error", "what it means", "data", "a retry"), rows)


def _meaning(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")


def _attributes(kind: type) -> str:
    names = [name for name in inspect.signature(kind.__init__).parameters if name not in IN_EACH_ERROR]
    return ", ".join(f"`{name}`" for name in names)


def _retried(kind: type) -> str:
    rule = next((rule for rule in retry.RULES if issubclass(kind, rule.error)), None)
    if rule is None:
        return "as its kinds"
    if rule.at_once:
        return "never: fails at once" if kind is not errors.RunStoppedError else "only with `retry_stopped`"
    return {"retry": "yes", "fail": "yes; no with the policy", None: "yes; with the policy as `failed_runs` says"}[
        rule.decision
    ]


# --- log lines ----------------------------------------------------------------------------------------------------

LOGGED_BY = {
    "operators": "operators",
    "sensors": "the sensor",
    "triggers": "triggers",
    "assets.py": "operators",
    "links.py": "operators, the sensor",
    "hooks": "any of them",
    "client": "any of them",
    "protocol": "any of them",
}


def log_table() -> Iterator[str]:
    """Yield the table of what the provider logs, at level info and above."""
    rows: dict[tuple[str, str, str], None] = {}
    for part, who in LOGGED_BY.items():
        path = PACKAGE / part
        for module in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            for level, line in log_lines(ast.parse(module.read_text(encoding="utf-8"))):
                rows.setdefault((level, f"`{line}`", who))
    ordered = sorted(rows, key=lambda row: ([*dict.fromkeys(LOGGED_BY.values())].index(row[2]), row[1]))
    yield from table((12, 68, 20), ("level", "line", "logged by"), ordered)


# --- the command, options, status words ---------------------------------------------------------------------------


def commands_table() -> Iterator[str]:
    """Yield the table of the command's commands."""
    yield from table((20, 80), ("command", "what it does"), [(f"`{each.name}`", each.help) for each in COMMANDS])


def exit_codes_table() -> Iterator[str]:
    """Yield the table of the command's exit codes, from the constants and what stands below each."""
    body = ast.parse(inspect.getsource(exit_codes)).body
    rows = [
        (f"`{constant.value.value}`", " ".join(text.value.value.replace("``", "`").split()))
        for constant, text in pairwise(body)
        if isinstance(constant, ast.Assign) and isinstance(text, ast.Expr)
    ]
    yield from table((15, 85), ("exit code", "meaning"), rows)


def status_words_table() -> Iterator[str]:
    """Yield the table of the status words that are known."""
    words = [(f"`{state}`", ", ".join(f"`{word}`" for word in known.split())) for state, known in status._WORDS.items()]
    yield from table((20, 80), ("state", "words"), words)


def options_table() -> Iterator[str]:
    """Yield the table of the options in Airflow's configuration."""
    sections = get_provider_info()["config"]
    rows = [
        (f"`[{section}] {name}`", " ".join(str(option["description"]).split()), f"`{option['default']}`")
        for section, content in sections.items()
        for name, option in content["options"].items()
    ]
    yield from table((36, 52, 12), ("option", "meaning", "default"), rows)


class FromCode(SphinxDirective):
    """Insert a table, by its name."""

    required_arguments = 1
    TABLES = {  # noqa: RUF012 - a table of functions
        "calls": calls_table,
        "commands": commands_table,
        "errors": errors_table,
        "exit-codes": exit_codes_table,
        "log-lines": log_table,
        "options": options_table,
        "status-words": status_words_table,
    }

    def run(self) -> list[Node]:
        """Return the table's nodes."""
        found = self.parse_text_to_nodes("\n".join(self.TABLES[self.arguments[0]]()))
        for node in found:
            stay_english(node.findall(TextElement))
        return found


def stay_english(texts: Iterable[Element]) -> None:
    """Keep texts out of the catalogues: what is made from the code is English in both languages."""
    for text in texts:
        text["translatable"] = False


def on_doctree_read(app: Sphinx, doctree: Element) -> None:
    """Keep docstrings out of the catalogues."""
    stay_english(text for text in doctree.findall(TextElement) if "docstring of" in (text.source or ""))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive ``from-code``, and leave docstrings English."""
    app.add_directive("from-code", FromCode)
    app.connect("doctree-read", on_doctree_read)
    return {"parallel_read_safe": True}
