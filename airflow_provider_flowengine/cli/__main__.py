"""The console script ``flowengine``."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from airflow_provider_flowengine import __version__
from airflow_provider_flowengine.cli import exit_codes
from airflow_provider_flowengine.cli.commands import COMMANDS
from airflow_provider_flowengine.cli.dispatch import run_command
from airflow_provider_flowengine.cli.output import prepare_streams


class _Parser(argparse.ArgumentParser):
    """Exits with 1 for wrong arguments, since 2 says that something differs."""

    def error(self, message: str) -> NoReturn:
        """Show the usage, and what is wrong."""
        self.print_usage(sys.stderr)
        self.exit(exit_codes.ERROR, f"{self.prog}: {message}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="flowengine", description="FlowEngine's pipelines from the command line.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.help,
            description=f"{command.help[:1].upper()}{command.help[1:]}. {command.description}",
        )
        for argument in command.arguments:
            subparser.add_argument(*argument.flags, **argument.options)
    return parser


def main(argv: list[str] | None = None) -> int:
    """
    Run a command.

    :param argv: its arguments, default the process's.
    :return: the exit code.
    """
    prepare_streams()  # before --help, whose letters a terminal may lack
    parser = build_parser()
    _complete(parser)
    arguments = parser.parse_args(argv)
    command = next(command for command in COMMANDS if command.name == arguments.command)
    return run_command(command, arguments)


def _complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks what may follow: ``eval "$(register-python-argcomplete flowengine)"``."""
    import os

    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


if __name__ == "__main__":
    sys.exit(main())
