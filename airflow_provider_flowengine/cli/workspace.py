"""Definitions in files: read with their scripts, and written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import output
from airflow_provider_flowengine.definition_files import is_inside, read_definition, read_object
from airflow_provider_flowengine.definitions.check import problems
from airflow_provider_flowengine.definitions.content import as_object, label_of, pipeline_object
from airflow_provider_flowengine.definitions.overlay import FOR_ALL, overlaid
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject


@dataclass(frozen=True)
class Definition:
    """
    A pipeline as it should be.

    :param source: where it is from, for messages: a file, or a pipeline of another engine.
    :param content: the whole pipeline object.
    """

    source: str
    content: JsonObject

    @property
    def label(self) -> str:
        """What identifies it on an engine."""
        return label_of(self.content)


def read_definitions(
    files: Iterable[str], overlay: str | None = None, plan_file: str | None = None
) -> list[Definition]:
    """
    Return the definitions of files, checked as an engine would, and no two of one key.

    :param files: ``.json`` files, or folders whose ``.json`` files are meant.
    :param overlay: the file of what differs in this environment, if any; in a folder, it is no definition.
    :param plan_file: the file of the plan, if any; in a folder, it is no definition either.
    :raises ConfigurationError: with all that is wrong with all of them.
    """
    changes = read_overlay(overlay)
    definitions, wrong = [], []
    for path in _paths(files, [Path(other) for other in (overlay, plan_file) if other]):
        try:
            definitions.append(Definition(str(path), overlaid(read_definition(path), changes)))
        except ConfigurationError as error:
            wrong.append(str(error))
    check_definitions(definitions, wrong)
    note_unused(changes, definitions)
    return definitions


def note_unused(overlay: Mapping[str, Json], definitions: Iterable[Definition]) -> None:
    """Say which keys of an overlay are no pipeline's here: one may be misspelt."""
    unused = overlay.keys() - {FOR_ALL} - {definition.label for definition in definitions}
    if unused:
        output.note(f"The overlay's {', '.join(sorted(unused))}: no pipeline here has this key.")


def check_definitions(definitions: Iterable[Definition], wrong: Iterable[str] = ()) -> None:
    """
    Check definitions as an engine would, before anything is sent.

    :param definitions: the definitions.
    :param wrong: what is known to be wrong already.
    :raises ConfigurationError: with all that is wrong.
    """
    reasons, sources = list(wrong), dict[str, str]()
    for definition in definitions:
        reasons += [f"{definition.source}: {problem}" for problem in problems(definition.content)]
        if problem := _problem_of_names(definition, sources):
            reasons.append(f"{definition.source}: {problem}")
        sources.setdefault(definition.label, definition.source)
    if reasons:
        raise ConfigurationError("Nothing was sent:\n" + "\n".join(f"  {reason}" for reason in reasons))


def _problem_of_names(definition: Definition, sources: Mapping[str, str]) -> str:
    """Say what is wrong with a definition's key or name; empty if nothing is."""
    content = definition.content
    named = {"pipelineKey": content.get("pipelineKey"), "name": as_object(content.get("data")).get("name")}
    not_text = [name for name, value in named.items() if not (value is None or isinstance(value, str))]
    if not_text:
        return f"{not_text[0]} must be text"
    if not definition.label:
        return "it has neither a pipelineKey nor a name"
    if definition.label in sources:
        return f"{sources[definition.label]} has the key {definition.label!r} too"
    return ""


def _paths(files: Iterable[str], others: Iterable[Path]) -> list[Path]:
    """Return the files of definitions: those that are named, and of a folder all but the ``others``."""
    known = {other.resolve() for other in others}
    paths: dict[Path, None] = {}
    for name in files:
        path = Path(name)
        found = [one for one in sorted(path.glob("*.json")) if one.resolve() not in known] if path.is_dir() else [path]
        if not found:
            raise ConfigurationError(f"{name}: this folder has no .json file of a pipeline")
        paths.update(dict.fromkeys(found))
    return list(paths)


def read_overlay(path: str | None) -> JsonObject:
    """Return what an overlay file holds; nothing if there is none."""
    return read_object(path) if path else {}


def files_by_label(folder: Path) -> dict[str, str]:
    """Return which file of a folder holds which pipeline: the names of files by the pipelines' keys, or names."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        try:
            label = label_of(pipeline_object(read_object(path)))
        except ConfigurationError:
            continue
        found.setdefault(label, path.name)
    return found


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """
    Write files' texts to the byte, the folders that they need included.

    :param folder: the folder that holds them.
    :param files: their texts, by their paths in the folder.
    :raises ConfigurationError: if a link leads out of the folder, before anything is written.
    """
    for name in files:
        if not is_inside(folder, name):
            raise ConfigurationError(f"{folder / name} is a link that leads out of {folder}; nothing was written")
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
