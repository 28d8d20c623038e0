"""What the commands write: results on standard output, all else on standard error; colours on a terminal only."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from rich.text import Text

    from airflow_provider_flowengine.protocol.http import Json

STATE_STYLES = {"running": "cyan", "succeeded": "green", "failed": "red", "stopped": "yellow", "unknown": "magenta"}
_LINE_STYLES = {"+": "green", "-": "red", "~": "yellow", "@": "cyan"}
_UTC_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")
WIDE = 10_000
"""Columns where there is no terminal: nothing is wrapped for a program that reads."""


def clean(text: str) -> str:
    """Return text without what would control a terminal; a name or a message may hold anything."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for letter in text.replace("\r\n", "\n")
    )


def prepare_streams() -> None:
    """Write letters that the terminal's encoding doesn't have as escapes, and nothing to a stream that is closed."""
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def note(text: str, style: str = "") -> None:
    """Say something on standard error: progress, a warning, an error."""
    _write(clean(text), style, stderr=True)


def line(text: str, style: str = "") -> None:
    """Write a line of the result."""
    _write(clean(text), style, stderr=False)


def ask(question: str) -> str:
    """Ask the user on standard error, and return what is typed; empty at the end of standard input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def _write(text: str, style: str, *, stderr: bool) -> None:
    stream = sys.stderr if stderr else sys.stdout
    if style and stream.isatty():
        console(stderr=stderr).print(styled(text, style), soft_wrap=True)
    else:
        stream.write(f"{text}\n")
        stream.flush()


def difference(text: str) -> None:
    """Write a line of a diff in the colour of its sign."""
    line(text, _LINE_STYLES.get(text.lstrip()[:1], ""))


def styled(text: object, style: str = "") -> Text:
    """Return text for rich, in which nothing is markup."""
    from rich.text import Text

    return Text(clean(str(text)), style=style)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; without colours if ``NO_COLOR`` is set, or there is no terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDE, no_color=bool(os.environ.get("NO_COLOR")))


def rows(form: str, items: Sequence[Mapping[str, Json]], columns: Sequence[str]) -> None:
    """
    Write a list.

    :param form: ``table``, ``plain``, ``json`` or ``yaml``.
    :param items: the list.
    :param columns: the fields that ``table`` and ``plain`` show; the other forms show all.
    """
    if form in ("json", "yaml"):
        value(form, [dict(item) for item in items])
    elif form == "plain":
        for item in items:
            line("\t".join(" ".join(_cell(item.get(column)).replace("\t", " ").splitlines()) for column in columns))
    else:
        _table(items, columns)


def value(form: str, content: Json) -> None:
    """Write a value as JSON or YAML."""
    if form == "yaml":
        import yaml

        sys.stdout.write(yaml.safe_dump(content, allow_unicode=_writes_unicode(), sort_keys=False))
    else:
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=not _writes_unicode()) + "\n")


def _writes_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _table(items: Sequence[Mapping[str, Json]], columns: Sequence[str]) -> None:
    from rich import box
    from rich.table import Column, Table

    table = Table(
        *(Column(styled(column.replace("_", " ")), overflow="fold") for column in columns),  # so nothing is cut
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for item in items:
        state = STATE_STYLES.get(str(item.get("state")), "")
        table.add_row(*(styled(_readable(item.get(column)), state if column == "state" else "") for column in columns))
    console().print(table)


def _readable(content: Json) -> str:
    """Return a time to the second, with a blank at which a narrow table can wrap it; anything else as its cell."""
    text = _cell(content)
    return _UTC_TIME.sub(r"\1 \2Z", text) if _UTC_TIME.fullmatch(text) else text


def _cell(content: Json) -> str:
    return "" if content is None else content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
