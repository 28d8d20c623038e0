"""The commands and their arguments, one table: :mod:`.__main__` and :mod:`.airflow` make their parsers from it."""

from __future__ import annotations

import argparse
import math
from typing import Any, NamedTuple

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID


class Argument(NamedTuple):
    """
    One argument, as :meth:`argparse.ArgumentParser.add_argument` takes it.

    :param flags: its name, or its flags.
    :param options: the rest.
    """

    flags: tuple[str, ...]
    options: dict[str, Any]


class Command:
    """
    One command.

    :param name: what the user types.
    :param about: what it does, in a sentence; then what is worth knowing before one uses it.
    :param function: ``module:function`` in this package, which takes the parsed arguments and returns an exit code.
    :param arguments: its arguments.
    """

    def __init__(self, name: str, about: str, function: str, *arguments: Argument) -> None:
        self.name = name
        self.help, _, self.description = about.partition(". ")
        self.function = function
        self.arguments = arguments


def text(given: str) -> str:
    """Return an argument's text; an empty one is a shell's variable that isn't set, and never means the default."""
    if not given.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return given


def _argument(*flags: str, **options: Any) -> Argument:
    takes_text = options.get("action", "append") == "append"
    return Argument(flags, ({"type": text} if takes_text else {}) | options)


def _repeatable(flag: str, dest: str, metavar: str, purpose: str) -> Argument:
    return _argument(flag, dest=dest, action="append", default=[], metavar=metavar, help=purpose)


def seconds(given: str) -> float:
    """Return a number of seconds above 0, as an argument has it."""
    number = float(given)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{given} must be a number of seconds above 0")
    return number


def count(given: str) -> int:
    """Return a number from 1 on, as an argument has it."""
    number = int(given)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given} must be at least 1")
    return number


CONNECTION = (
    _argument("--conn-id", help=f"Airflow connection (default: {DEFAULT_CONN_ID}, unless --url is given)"),
    _argument("--url", help="FlowEngine's gateway, instead of a connection; needs no Airflow (FLOWENGINE_URL)"),
    _argument("--engine-key", help="the engine; default the connection's, with --url FLOWENGINE_ENGINE_KEY's"),
    _argument("--user-id", help="with --url: the user id, default 1 (FLOWENGINE_USER_ID)"),
    _argument(
        "--login", help="with --url: sign in as this account; asks for its password (FLOWENGINE_LOGIN, …_PASSWORD)"
    ),
    _argument("--api-root", help="with --url: kernel/v1 (default) or automl/v1 (FLOWENGINE_API_ROOT)"),
    _argument("--timezone", help="with --url: the zone of FlowEngine's clock (FLOWENGINE_TIMEZONE)"),
    _argument("--verify", help="with --url: false, or the path of a CA bundle (FLOWENGINE_VERIFY)"),
)
OUTPUT = _argument(
    "-o",
    "--output",
    choices=("table", "json", "yaml", "plain"),
    default="table",
    help="how it is shown (default: table)",
)
ENGINE_AND_OUTPUT = (*CONNECTION, OUTPUT)
PIPELINE = _argument("pipeline", metavar="PIPELINE", help="the pipeline, by its key, id or name")
PIPELINES = _argument("pipelines", metavar="PIPELINE", nargs="*", help="pipelines, by their keys, ids or names")
ALL = _argument("--all", action="store_true", help="all pipelines of the engine")
RUN = _argument("run_id", metavar="RUN", help="the run, by its id")
OF_PIPELINE = _argument("--pipeline", help="the run's pipeline; needed if FlowEngine doesn't tell it by the run's id")
FILES = _argument("files", metavar="FILE", nargs="+", help="definitions: .json files, or folders of them")
OVERLAY = _argument("--overlay", metavar="FILE", help="what differs in this environment, by pipeline key")
UPLOADS = _repeatable(
    "--file", "uploads", "NODE.KEY=PATH", "upload a file for a FILE param; repeat for more; with one pipeline at a time"
)
FORCE = _argument("--force", action="store_true", help="write also while a run is active")
WAIT = (
    _argument("--wait", action="store_true", help="wait until the run has ended"),
    _argument("--timeout", type=seconds, help="seconds to wait at most; the run is left running (default: no limit)"),
    _argument("--poll-interval", type=seconds, default=10.0, help="seconds between two polls at most (default: 10)"),
)

COMMANDS = (
    Command("check", "check the connection step by step, and say what to do", "inspecting:check", *ENGINE_AND_OUTPUT),
    Command("pipelines", "list the engine's pipelines", "inspecting:pipelines", *ENGINE_AND_OUTPUT),
    Command(
        "runs",
        "list a pipeline's runs, newest first",
        "runs:runs",
        PIPELINE,
        _argument("--limit", type=count, default=20, help="how many (default: 20)"),
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "show",
        "show a run and its nodes",
        "runs:show",
        RUN,
        OF_PIPELINE,
        _argument("--watch", dest="wait", action="store_true", help="draw the nodes live until the run ends"),
        *WAIT[1:],
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "run",
        "start a pipeline, exactly once. "
        "The start is sent once. If its answer is lost, the run is looked for in the history; if none can be found, "
        "the exit code is 4, and it is not sent again.",
        "runs:run",
        PIPELINE,
        _repeatable("--param", "params", "NODE.KEY=VALUE", "a param's value for this run; repeat for more"),
        *WAIT,
        *ENGINE_AND_OUTPUT,
    ),
    Command("stop", "stop a run", "runs:stop", RUN, OF_PIPELINE, *ENGINE_AND_OUTPUT),
    Command(
        "resume",
        "continue a failed or stopped run from where it ended",
        "runs:resume",
        RUN,
        OF_PIPELINE,
        *WAIT,
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "export",
        "write definitions to files that are fit for review. A file whose pipeline has not changed is left as it is.",
        "exporting:export",
        PIPELINES,
        ALL,
        _argument("--dir", default=".", metavar="D", help="the folder (default: the current one)"),
        _argument("--inline", action="store_true", help="keep scripts in the JSON: one file a pipeline"),
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "plan",
        "say what apply would do; exit 2 if anything differs. "
        "Exit codes: 0 nothing differs, 1 an error, 2 something differs.",
        "applying:plan",
        FILES,
        OVERLAY,
        UPLOADS,
        _argument("--plan-file", metavar="FILE", help="write the plan here, for apply --plan-file"),
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "apply",
        "create and change pipelines as their files say. "
        "Each pipeline is read again right before it is written. FlowEngine's API has no version of a pipeline, so a "
        "change that somebody saves in that very moment can still be lost.",
        "applying:apply",
        FILES,
        OVERLAY,
        UPLOADS,
        _argument("--plan-file", metavar="FILE", help="refuse what has changed since this plan was made"),
        FORCE,
        *ENGINE_AND_OUTPUT,
    ),
    Command(
        "promote",
        "carry pipelines from one engine to another, by pipelineKey. "
        "With URLs, FLOWENGINE_FROM_… and FLOWENGINE_TO_… hold USER_ID, ACCESS_KEY and the like. Exit codes as plan's, "
        "with --apply as apply's.",
        "promoting:promote",
        PIPELINES,
        ALL,
        _argument(
            "--from", dest="source", required=True, metavar="CONN", help="the engine to read: a connection or URL"
        ),
        _argument(
            "--to", dest="target", required=True, metavar="CONN", help="the engine to write: a connection or URL"
        ),
        _argument("--from-engine-key", dest="source_engine_key", metavar="KEY", help="the engine to read"),
        _argument("--to-engine-key", dest="target_engine_key", metavar="KEY", help="the engine to write"),
        _argument("--apply", action="store_true", help="write; without it, only the plan is shown"),
        OVERLAY,
        UPLOADS,
        FORCE,
        OUTPUT,
    ),
    Command(
        "dag",
        "write a DAG that runs a pipeline on its own schedule. "
        "What can't be translated is said, and no DAG is written for it. The steps to move the schedule without a "
        "doubled or missed run are written into the DAG file.",
        "dags:dag",
        PIPELINES,
        ALL,
        _argument("--dir", metavar="D", help="the folder to write to (default: standard output, for one pipeline)"),
        _argument("--schedule", help="the DAG's schedule instead of FlowEngine's: a cron expression, or none"),
        _argument("--zone", help="the schedule's time zone (default: the connection's)"),
        _repeatable("--param", "params", "NODE.KEY", "offer this param in the DAG's trigger form; repeat for more"),
        *CONNECTION,
    ),
)
