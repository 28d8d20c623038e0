"""Runs a command: loads it, and turns what goes wrong into a message and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from airflow_provider_flowengine.cli.commands import Command


def run_command(command: Command, arguments: argparse.Namespace) -> int:
    """
    Run a command and return its exit code; what goes wrong is said on standard error.

    :param command: the command.
    :param arguments: its parsed arguments.
    """
    from airflow_provider_flowengine.cli.output import prepare_streams
    from airflow_provider_flowengine.protocol.errors import FlowEngineError, RunError, StartUnconfirmedError

    prepare_streams()
    module, _, name = command.function.partition(":")
    try:
        function = getattr(import_module(f"airflow_provider_flowengine.cli.{module}"), name)
        with _logs_on_stderr():
            code: int = function(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # such as `flowengine runs … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.ERROR
    except KeyboardInterrupt:
        return _fail("interrupted", exit_codes.INTERRUPTED)
    except RunError as error:
        return _fail(error, exit_codes.RUN_NOT_SUCCEEDED)
    except StartUnconfirmedError as error:
        return _fail(error, exit_codes.START_UNCONFIRMED)
    except FlowEngineError as error:
        return _fail(error, exit_codes.ERROR)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, exit_codes.ERROR)
    return code


def _fail(reason: object, code: int) -> int:
    from airflow_provider_flowengine.cli.output import note

    note(f"Error: {reason}", style="red")
    return code


class _Notes(logging.Handler):
    """Writes what is logged as the command's own notes."""

    def emit(self, record: logging.LogRecord) -> None:
        from airflow_provider_flowengine.cli.output import note

        note(self.format(record))


@contextmanager
def _logs_on_stderr() -> Iterator[None]:
    """Write warnings of this package to standard error alone: Airflow 2.11 logs to standard output."""
    logger, handler = logging.getLogger("airflow_provider_flowengine"), _Notes(logging.WARNING)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
