"""The emulator's command line."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from .connection import export_line
from .generations import PRESETS
from .options import Options
from .server import Emulator

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def _json_object(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    raise argparse.ArgumentTypeError('must be a JSON object, such as {"succeeded": "DONE"}')


def _option(parser: argparse._ArgumentGroup, name: str, field: FieldInfo) -> None:
    flag = f"--{name.replace('_', '-')}"
    text = f"{field.description} (default: {field.get_default(call_default_factory=True)!r})".replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
    elif get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        parser.add_argument(flag, type=type(choices[0]), choices=choices, default=argparse.SUPPRESS, help=text)
    else:
        kind: Any = _json_object if get_origin(field.annotation) is dict else str
        parser.add_argument(flag, type=kind, default=argparse.SUPPRESS, help=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flowengine-emulator",
        usage="%(prog)s [--sample] [--port PORT] [--db DB] [--execute] [OPTION ...]; --help lists all options",
        description="An emulator of FlowEngine, for tests and demos.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--port", type=int, default=31101, help="port; 0 takes a free one (default: 31101, FlowEngine's)"
    )
    parser.add_argument("--db", default=":memory:", help="SQLite file that keeps the state (default: memory)")
    parser.add_argument(
        "--execute",
        action="store_true",
        help="let SHELL and PYTHON3 jobs really run, with your rights; beyond this machine only with --access-key",
    )
    parser.add_argument("--work-dir", help="folder for uploads and for what jobs read and write (default: beside --db)")
    parser.add_argument(
        "--like", choices=PRESETS, default="", help="a preset of the options below: FlowEngine as of then"
    )
    parser.add_argument("--sample", action="store_true", help="create the pipeline churn_model, unless it is there")
    behaviour = parser.add_argument_group("how it answers")
    for name, field in Options.model_fields.items():
        _option(behaviour, name, field)
    return parser


def read_arguments(argv: list[str] | None = None) -> dict[str, Any]:
    """
    Return the arguments of :class:`.server.Emulator`, from the command line.

    :param argv: arguments; those of the process by default.
    :raises SystemExit: when an option or its value is unknown.
    """
    return vars(_parser().parse_args(argv))


def main(argv: list[str] | None = None) -> int:
    """
    Serve until the process gets SIGINT or SIGTERM.

    :param argv: arguments; those of the process by default.
    :return: the exit code: 2 for options that make no sense.
    """
    # The terminal may not be able to show the letters of a key, or of the options' list.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = read_arguments(argv)
    sample = arguments.pop("sample")
    try:
        emulator = Emulator(**arguments)
    except ValidationError as error:
        wrong = [
            f"--{str(each['loc'][0]).replace('_', '-')}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        sys.stderr.write(f"flowengine-emulator: {'; '.join(wrong)}\n")
        return 2
    except (ValueError, OSError, OverflowError) as error:
        sys.stderr.write(f"flowengine-emulator: {error}\n")
        return 2
    with contextlib.closing(emulator):
        if sample:
            emulator.add_sample()
        emulator.serve(ready=lambda: _announce(emulator))
    return 0


def _announce(emulator: Emulator) -> None:
    """Print the address: the URL alone on the first line, for programs; the rest is for users."""
    jobs = "SHELL and PYTHON3 jobs really run" if emulator.executes else "jobs are simulated, --execute runs them"
    lines = [
        emulator.url,
        f"FlowEngine emulator, engine key {emulator.engine_key}; {jobs}. Its page is there; to point Airflow at it:",
        export_line(emulator.connection()),
    ]
    if not emulator.engine.pipelines():
        lines.append("There is no pipeline yet: create one on the page, or start it with --sample.")
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
