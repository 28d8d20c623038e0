"""The commands as Airflow's command line takes them, ``airflow flowengine …``, from Airflow 3.2 on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand
from airflow.utils.cli import suppress_logs_and_warning

from airflow_provider_flowengine.cli.commands import COMMANDS
from airflow_provider_flowengine.cli.dispatch import run_command

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from airflow_provider_flowengine.cli.commands import Command


def get_commands() -> list[GroupCommand]:
    """Return the group ``flowengine``, for the provider info's ``cli``."""
    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description or None,
            func=_function(command),
            args=[Arg(argument.flags, **argument.options) for argument in command.arguments],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="flowengine", help="FlowEngine's pipelines", subcommands=commands)]


def _function(command: Command) -> Callable[[argparse.Namespace], NoReturn]:
    """Return what runs a command; Airflow ignores what it returns, so it exits."""

    @suppress_logs_and_warning  # which Airflow writes to standard output, amid the result
    def quietly(arguments: argparse.Namespace) -> NoReturn:
        raise SystemExit(run_command(command, arguments))

    def function(arguments: argparse.Namespace) -> NoReturn:
        arguments.verbose = False  # as Airflow's own commands have it, which that decorator asks
        quietly(arguments)

    function.__name__ = command.name
    return function
