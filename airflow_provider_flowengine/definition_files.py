"""Reads definitions that are kept in files, as ``flowengine export`` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.files import from_text
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import JsonObject


def read_definition(path: str | Path) -> JsonObject:
    """
    Return the pipeline object that a file holds, with the scripts beside it.

    :param path: the ``.json`` file.
    :raises ConfigurationError: naming the file, if it or a script can't be read.
    """
    file = Path(path)

    def read_script(reference: str) -> str:
        script = file.parent / reference
        if not script.resolve().is_relative_to(file.parent.resolve()):
            raise ConfigurationError(f"{file}: $file {reference!r} leads out of {file.parent}")
        return read_text(script, f"{file}: $file {reference!r}")

    return from_text(read_text(file), str(file), read_script)


def read_text(path: Path, name: str = "") -> str:
    """
    Return a file's text, to the byte.

    :param path: the file.
    :param name: what names it in an error, default its path.
    :raises ConfigurationError: if it can't be read, or isn't UTF-8.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name or path}: not UTF-8 text: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise ConfigurationError(f"{name or path}: cannot be read: {error.strerror}") from None
