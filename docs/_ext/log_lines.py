"""The log lines of a module, read from its code."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("error", "warning", "info")
PLACEHOLDER = re.compile(r"%(?:%|[-#0-9.]*[sdrgf])")


def log_lines(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the level and the text of each log line of a module, with names for what varies."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        values = {
            target.id: each.value
            for each in ast.walk(function)
            if isinstance(each, ast.Assign)
            for target in each.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and _is_log(call.func):
                yield from _log_call(call.func.attr, call.args, values)


def _is_log(function: ast.Attribute) -> bool:
    return ast.unparse(function.value) in ("log", "logger", "self.log", "operator.log")


def _log_call(method: str, arguments: list[ast.expr], values: dict[str, ast.expr]) -> Iterator[tuple[str, str]]:
    if method == "log":
        level, *arguments = arguments
        named = re.findall(r"logging\.([A-Z]+)", ast.unparse(values.get(getattr(level, "id", ""), level)))
        levels = [name.lower() for name in named]
    else:
        levels = [{"exception": "error"}.get(method, method)]
    levels = [level for level in LEVELS if level in levels]
    text = values.get(getattr(arguments[0], "id", ""), arguments[0]) if arguments else None
    if not levels or text is None:
        return
    for choice in (text.body, text.orelse) if isinstance(text, ast.IfExp) else (text,):
        if isinstance(choice, ast.Constant) and isinstance(choice.value, str):
            names = iter(arguments[1:])
            line = PLACEHOLDER.sub(
                lambda found, names=names: "%" if found[0] == "%%" else f"{{{_name(next(names))}}}", choice.value
            )
            if re.sub(r"\{[^}]*\}", "", line).strip():
                yield ", ".join(levels), " ".join(line.split())


NAMES = {"__name__": "kind", "link": "url", "len": "number"}
"""What a reader of the log would call what these give."""


def _name(value: ast.expr) -> str:
    """Name what a log line is filled in with, as a reader of the log would."""
    match value:
        case ast.Call():
            return _name_of_call(value)
        case ast.Attribute(value=owner, attr="id" | "key" | "url" | "name" as attribute) if _name(owner) != "self":
            return f"{_name(owner)}_{attribute}"
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(slice=ast.Name(id=name)):
            return NAMES.get(name, name.strip("_").lower())
        case ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))) if one and other:
            return f"{one} or {other}"
        case (
            ast.BoolOp(values=[first, *_]) | ast.IfExp(body=first) | ast.BinOp(left=first) | ast.Subscript(value=first)
        ):
            return _name(first)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else "…"


def _name_of_call(call: ast.Call) -> str:
    """Name what a call returns: mostly by what it is given."""
    function = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    given = [argument for argument in call.args if not isinstance(argument, ast.Constant)]
    if function in NAMES or not given:
        return NAMES.get(function) or _name(call.func)
    return _name(given[-1])
