"""What became of every run, as a table: printed at the end, and kept for the docs."""

import re
from pathlib import Path

PROPERTY = "flowengine_result"
HEAD = ("what happens", "where", "starts", "stops", "runs", "task")


def row(scenario, state: str, seen) -> list[str]:
    """One line of the table, without what happens: the test's name says that."""
    runs = ", ".join(seen.runs[run] for run in sorted(seen.runs))
    return [f"{scenario.stack.kind} {scenario.mode}", str(seen.starts), str(seen.stops), runs, state]


def of(report) -> list[tuple[str, ...]]:
    """The lines that a test has left, with what happens in words."""
    name, parameters = re.fullmatch(r".*::test_(\w+)(?:\[(.*)\])?", report.nodeid).groups()
    details = [part for part in (parameters or "").split("-") if part not in ("local", "celery", "sync", "deferrable")]
    what = ": ".join((name.replace("_", " "), *filter(None, details)))
    return [(what, *values) for key, values in report.user_properties if key == PROPERTY]


def table(rows: list[tuple[str, ...]]) -> str:
    """The table as text, which is Markdown too; what ended alike in several places is one line."""
    places: dict[tuple[str, ...], list[str]] = {}
    for what, where, *end in sorted(rows):
        places.setdefault((what, *end), []).append(where)
    lines = [HEAD, *((what, ", ".join(where), *end) for (what, *end), where in places.items())]
    wide = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    lines.insert(1, tuple("-" * width for width in wide))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)) + " |" for line in lines
    )


def write(rows: list[tuple[str, ...]], file: Path) -> None:
    """Keep the table in a file."""
    file.parent.mkdir(exist_ok=True)
    file.write_text(table(rows) + "\n", encoding="utf-8")
