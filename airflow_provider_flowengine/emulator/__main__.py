"""The emulator as a program: ``python -m airflow_provider_flowengine.emulator``, or its script."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """
    Serve until the process gets SIGINT or SIGTERM; if a library is missing, say how to install it.

    :param argv: arguments; those of the process by default.
    :return: the exit code: 2 for wrong options, and if a library is missing.
    """
    try:
        from . import command_line
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"flowengine-emulator needs {error.name}: pip install 'airflow-provider-flowengine[emulator]'\n"
        )
        return 2
    return command_line.main(argv)


if __name__ == "__main__":
    sys.exit(main())
