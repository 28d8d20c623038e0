"""Tables as text and as Markdown, and bar charts as SVG."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import cast

PACKAGES = (
    "airflow-provider-flowengine",
    "apache-airflow",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-databricks",
    "apache-airflow-providers-airbyte",
    "apache-airflow-providers-microsoft-azure",
    "apache-airflow-providers-http",
    "aiohttp",
)

Row = Mapping[str, object]

STEP_WAYS = (
    "EmptyOperator (the floor)",
    "HttpOperator and deferrable HttpSensor",
    "dbt Cloud, deferred",
    "FlowEngine, in the worker",
    "FlowEngine, deferred",
)


def _number(row: Row, name: str) -> float:
    return float(str(row[name]))


def waiting_line(row: Row) -> str:
    """One case of waiting, on one line."""
    early = f"  {row['ended_early']} ended early: {row['first_end']}" if row["ended_early"] else ""
    return (
        f"{row['provider']:<12} {row['runs']:>6} runs / {row['pipelines']:>5} pipelines: "
        f"{_number(row, 'requests_per_second'):7.1f} requests/s  {_number(row, 'cpu_percent'):6.2f} % CPU  "
        f"lag {_number(row, 'lag_p50_ms'):6.2f} / {_number(row, 'lag_p99_ms'):7.2f} ms  "
        f"{_number(row, 'kilobytes_per_run'):7.1f} kB/run{early}"
    )


def waiting(rows: Sequence[Row], into: Path) -> None:
    """Requests, CPU, lag and memory of waiting runs."""
    idle = min((_number(row, "cpu_percent") for row in rows if row["provider"] == "idle"), default=0.0)
    shown = [row for row in rows if row["provider"] != "idle"]
    _table(
        into / "waiting.md",
        (
            "Provider",
            "Waiting runs",
            "Pipelines",
            "Requests/s",
            "CPU, %",
            "beyond idle, %",
            "Lag p50, ms",
            "p99, ms",
            "kB a run",
        ),
        [
            (
                row["provider"],
                f"{row['runs']:,}",
                f"{row['pipelines']:,}" if row["provider"] == "FlowEngine" else "–",
                f"{_number(row, 'requests_per_second'):.1f}",
                f"{_number(row, 'cpu_percent'):.2f}",
                f"{_number(row, 'cpu_percent') - idle:.2f}",
                f"{_number(row, 'lag_p50_ms'):.2f}",
                f"{_number(row, 'lag_p99_ms'):.1f}",
                f"{_number(row, 'kilobytes_per_run'):.1f}",
            )
            for row in shown
        ],
    )
    number = max(int(str(row["runs"])) for row in shown if row["provider"] != "FlowEngine")
    compared = [row for row in shown if row["runs"] == number]
    _bars(
        into / "waiting.svg",
        f"CPU for {number:,} waiting runs, % of a core beyond an idle event loop",
        {f"{row['provider']}{_spread(row)}": max(_number(row, "cpu_percent") - idle, 0.0) for row in compared},
    )
    alone, shared = (
        next(row for row in compared if row["provider"] == "FlowEngine" and row["pipelines"] == pipelines)
        for pipelines in (number, number // 100)
    )
    best = min(_number(row, "cpu_percent") - idle for row in compared if row["provider"] != "FlowEngine")
    _goals(
        into / "waiting-goals.md",
        [
            (
                "one run a pipeline: CPU beyond idle of the best other provider, %",
                best,
                _number(alone, "cpu_percent") - idle,
            ),
            ("one run a pipeline: memory of a run, kB", MEMORY_GOAL, _number(alone, "kilobytes_per_run")),
            ("a hundred runs a pipeline: memory of a run, kB", MEMORY_GOAL, _number(shared, "kilobytes_per_run")),
        ],
    )


MEMORY_GOAL = 10.0
HALF_A_CORE = 50.0
SITES = (1_000, 10_000, 100_000)
CAPACITY = 1_000
"""Airflow's default of ``[triggerer] capacity``: how many triggers one triggerer takes."""


def limit(rows: Sequence[Row], into: Path) -> None:
    """One triggerer at its limit, how many a site needs, and where a poll's time goes."""
    idle = min((_number(row, "cpu_percent") for row in rows if row["provider"] == "idle"), default=0.0)
    shown = [row for row in rows if row["provider"] != "idle" and not row["layers"]]
    layers = next(cast("Mapping[str, float]", row["layers"]) for row in rows if row["layers"])
    _table(into / "layers.md", ("Layer", "part, %"), [(name, f"{part:.0f}") for name, part in layers.items()])

    def beyond_idle(row: Row) -> float:
        return max(_number(row, "cpu_percent") - idle, 0.01)

    def needed(row: Row) -> float:
        """Return the CPU that all polls would take that were due, if not all of them were made."""
        due = _number(row, "pipelines") / _number(row, "interval")
        return beyond_idle(row) * max(1.0, due / _number(row, "requests_per_second"))

    _table(
        into / "limit.md",
        (
            "Waiting runs",
            "Pipelines",
            "Poll interval, s",
            "Polls due/s",
            "Polls/s",
            "CPU, % of a core",
            "Lag p50, ms",
            "p99, ms",
            "Memory, MB",
        ),
        [
            (
                f"{row['runs']:,}",
                f"{row['pipelines']:,}",
                f"{_number(row, 'interval'):.0f}",
                f"{_number(row, 'pipelines') / _number(row, 'interval'):.0f}",
                f"{_number(row, 'requests_per_second'):.0f}",
                f"{beyond_idle(row):.1f}",
                f"{_number(row, 'lag_p50_ms'):.2f}",
                f"{_number(row, 'lag_p99_ms'):.1f}",
                f"{_number(row, 'megabytes'):.0f}",
            )
            for row in shown
        ],
    )
    # At the longest interval, which is the default: what costs so much for so many runs costs in proportion for others.
    longest = max(_number(row, "interval") for row in shown)
    usual = [row for row in shown if _number(row, "interval") == longest]
    spread = [f"{_number(row, 'runs') / _number(row, 'pipelines'):.0f}" for row in usual]
    _table(
        into / "triggerers.md",
        (
            "Runs of a site that wait at once",
            f"Triggerers, with Airflow's capacity of {CAPACITY:,}",
            *(f"with half a core each: {runs} runs a pipeline" for runs in spread),
        ),
        [
            (
                f"{site:,}",
                math.ceil(site / CAPACITY),
                *(math.ceil(needed(row) * site / _number(row, "runs") / HALF_A_CORE) for row in usual),
            )
            for site in SITES
        ],
    )


def _spread(row: Row) -> str:
    """Over how many pipelines our runs are spread; the others' aren't, since it makes no difference to them."""
    if row["provider"] != "FlowEngine":
        return ""
    return f", {row['pipelines']:,} pipeline{'s' if row['pipelines'] != 1 else ''}"


def parsing(rows: Sequence[Row], into: Path) -> None:
    """What an operator module costs a parse."""
    _table(
        into / "parsing.md",
        ("Operator module", "CPU, ms"),
        [(row["module"], f"{_number(row, 'milliseconds'):.1f}") for row in rows],
    )
    times = {str(row["module"]): _number(row, "milliseconds") for row in rows}
    others = [time for name, time in times.items() if not name.startswith("FlowEngine") and "(standard)" not in name]
    _goals(
        into / "parsing-goals.md",
        [
            ("CPU to import the operators, ms", 20.0, times["FlowEngine"]),
            ("a ninth of the best other provider, ms", min(others) / 9, times["FlowEngine"]),
        ],
    )
    _bars(
        into / "parsing.svg",
        "CPU to import the operators, ms beyond Airflow's own",
        {str(row["module"]): _number(row, "milliseconds") for row in rows},
    )


def noticing(rows: Sequence[Row], into: Path) -> None:
    """How late an end is noticed."""
    names = [name for name in rows[0] if name != "run"]

    def cell(value: object) -> str:
        lag, looks = value  # type: ignore[misc]  # a pair, see benchmarks.noticing
        return f"{lag:.1f} s, {looks:.0f} req."

    _table(
        into / "noticing.md",
        ("Run's length", *names),
        [(row["run"], *(cell(row[name]) for name in names)) for row in rows],
    )
    minute = next(row for row in rows if row["run"] == "1 min")
    _bars(
        into / "noticing.svg",
        "How late the end of a one-minute run is noticed, s on average",
        {name: float(minute[name][0]) for name in names},  # type: ignore[index]  # a pair, see benchmarks.noticing
    )


def calls(rows: Sequence[Row], into: Path) -> None:
    """One session or many."""
    _table(
        into / "calls.md",
        ("Way", "Median time of a call, ms"),
        [(row["way"], f"{_number(row, 'milliseconds'):.2f}") for row in rows],
    )


def load(rows: Sequence[Row], into: Path) -> None:
    """The emulator under load."""
    _table(
        into / "load.md",
        ("Requests/s", "p50, ms", "p99, ms"),
        [
            (row["requests_per_second"], f"{_number(row, 'p50_ms'):.1f}", f"{_number(row, 'p99_ms'):.1f}")
            for row in rows
        ],
    )


def steps(rows: Sequence[Row], into: Path) -> None:
    """What a step costs in a real Airflow."""

    def cell(row: Row, name: str, digits: int) -> str:
        return f"{_number(row, name):.{digits}f}" if name in row else "–"

    _table(
        into / "steps.md",
        (
            "Way",
            "Steps",
            "of these failed",
            "CPU, s",
            "Calls to the execution API",
            "Rows in Airflow's database",
            "Task ended after its run, s",
        ),
        [
            (
                row["way"],
                row["steps"],
                row["failed"],
                cell(row, "cpu_seconds", 2),
                cell(row, "calls", 1),
                cell(row, "rows", 1),
                cell(row, "late", 1),
            )
            for row in rows
        ],
    )
    _bars(
        into / "steps.svg",
        "CPU of all Airflow processes for one step, s beyond idle",
        {str(row["way"]).split(" (")[0]: _number(row, "cpu_seconds") for row in rows},
    )
    costs = {str(row["way"]): _number(row, "cpu_seconds") for row in rows}
    floor, http, dbt, sync, deferred = (costs[way] for way in STEP_WAYS)
    _goals(
        into / "steps-goals.md",
        [
            (f"{mode}: {goal}, s of CPU beyond the floor", bound, cost - floor)
            for mode, cost in (("in the worker", sync), ("deferred", deferred))
            for goal, bound in (
                ("half of `HttpOperator` and `HttpSensor`", (http - floor) / 2),
                ("dbt Cloud", dbt - floor),
            )
        ],
    )


def progress(rows: Sequence[Row], into: Path) -> None:
    """What it costs to show deferred runs in Airflow's page."""
    _table(
        into / "progress.md",
        (
            "Progress",
            "Deferred runs",
            "CPU of the triggers, %",
            "CPU with the supervisor's, %",
            "Requests/s for nodes",
            "XCom writes/s",
        ),
        [
            (
                row["progress"],
                f"{row['runs']:,}",
                f"{_number(row, 'loop_percent'):.1f}",
                f"{_number(row, 'cpu_percent'):.1f}",
                f"{_number(row, 'requests_per_second'):.1f}",
                f"{_number(row, 'writes_per_second'):.1f}",
            )
            for row in rows
        ],
    )


def machine(into: Path) -> None:
    """What was measured, where and when."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    text = (
        f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores ({model}), {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}; {versions}.\n"
    )
    wrapped = textwrap.fill(text, 100, break_on_hyphens=False) + "\n"
    # As a block, which isn't translated: it changes with each measurement.
    (into / "machine.md").write_text(f"```text\n{wrapped}```\n", encoding="utf-8")
    print(f"\n{text}")


def _goals(path: Path, goals: Sequence[tuple[str, float, float]]) -> None:
    """
    Write which goals are met.

    :param path: the table's file.
    :param goals: of each: what it is about, what it may be at most, and what it is.
    """
    _table(
        path,
        ("Goal", "at most", "measured", "met"),
        [(goal, _short(most), _short(value), "✓" if value <= most else "✗") for goal, most, value in goals],
    )


def _table(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [head, ["---", *("--:" for _ in head[1:])], *rows]
    path.write_text("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n", encoding="utf-8")
    widths = [max(len(str(line[column])) for line in (head, *rows)) for column in range(len(head))]
    print(f"\n{path.stem}")
    for line in (head, *rows):
        print("  " + "  ".join(f"{cell!s:<{width}}" for cell, width in zip(line, widths, strict=False)).rstrip())


def _bars(path: Path, title: str, values: Mapping[str, float]) -> None:
    """Write a bar chart that reads on light and on dark pages."""
    height, width = 30, 760
    label = max(140, 20 + 7 * max(map(len, values)))
    most = max(values.values()) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {50 + height * len(values)}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13" fill="#7a8594">',
        f'<text x="0" y="20" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(values.items()):
        top, length = 40 + height * place, max(2.0, (width - label - 70) * value / most)
        colour = "#2f6fde" if name.startswith("FlowEngine") else "#aab4c2"
        parts.append(
            f'<text x="{label - 10}" y="{top + 16}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{label}" y="{top + 2}" width="{length:.0f}" height="{height - 10}" rx="3" fill="{colour}"/>'
            f'<text x="{label + length + 8:.0f}" y="{top + 16}">{_short(value)}</text>'
        )
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _short(value: float) -> str:
    """Three digits, or all that stand before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
