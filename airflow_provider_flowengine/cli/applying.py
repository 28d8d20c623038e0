"""The commands ``plan`` and ``apply``."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.workspace import read_definitions
from airflow_provider_flowengine.definition_files import read_object
from airflow_provider_flowengine.definitions.check import file_params, missing_files
from airflow_provider_flowengine.definitions.content import fingerprint, key_and_name, without_server_fields
from airflow_provider_flowengine.definitions.diff import diff, one_line
from airflow_provider_flowengine.definitions.files import to_json
from airflow_provider_flowengine.protocol.creating import create_once
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    FlowEngineError,
    PipelineExistsError,
    RequestRejectedError,
    UnexpectedResponseError,
    known,
)
from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.stopping import active_runs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_flowengine.cli.engine import Engine
    from airflow_provider_flowengine.cli.workspace import Definition
    from airflow_provider_flowengine.definitions.diff import Change
    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline


@dataclass(frozen=True)
class Step:
    """
    What is to be done to one pipeline.

    :param label: the pipeline's key, or else its name.
    :param source: where its definition is from.
    :param action: what is done.
    :param pipeline_id: the pipeline, None to create it.
    :param before: the fingerprint of the pipeline as it was seen; empty if there was none.
    :param after: the fingerprint of the definition.
    :param changes: the differences.
    :param content: the whole object to write.
    :param uploads: the files to upload first, by ``node.key``.
    """

    label: str
    source: str
    action: Literal["create", "change", "none"]
    pipeline_id: Identifier | None
    before: str
    after: str
    changes: tuple[Change, ...]
    content: JsonObject
    uploads: Mapping[str, str]

    def as_dict(self) -> JsonObject:
        """Return it as plain JSON values, for programs."""
        return {
            "pipeline": self.label,
            "source": self.source,
            "action": self.action,
            "pipeline_id": self.pipeline_id,
            "before": self.before,
            "after": self.after,
            "changes": [change.as_dict() for change in self.changes],
            "uploads": dict(self.uploads.items()),
        }

    def lines(self) -> list[str]:
        """Return it as text."""
        signs = {"create": "+", "change": "~", "none": "="}
        words = {"create": "will be created", "change": "will be changed", "none": "nothing differs"}
        name = f"pipeline {one_line(self.label)}"
        if self.pipeline_id is not None:
            name += f" (id {self.pipeline_id})"
        return [
            f"{signs[self.action]} {name}: {words[self.action]}",
            *(f"    {line}" for change in self.changes for line in change.lines()),
            *(f"    ~ {name}: upload {path}" for name, path in self.uploads.items()),
        ]


class PipelineInUseError(FlowEngineError):
    """The pipeline is not as it was when it was planned, or a run of it is active; it was not written."""


_ABOUT_ONE = (PipelineExistsError, PipelineInUseError, RequestRejectedError)
"""Errors that are about one pipeline: those after it can be applied all the same."""

DONE = ("created", "changed", "unchanged")
"""States of a step that leave nothing to do."""

NO_VERSIONS = (
    "FlowEngine's API has no version of a pipeline: what somebody saves at this very moment can still be overwritten."
)


def plan(arguments: argparse.Namespace) -> int:
    """Say what ``apply`` would do."""
    _refuse_to_overwrite(arguments.plan_file)
    engine, steps = _plan(arguments)
    if arguments.plan_file:
        planned: JsonObject = {"engine": engine.label, "steps": [_planned(step) for step in steps]}
        Path(arguments.plan_file).write_text(to_json(planned), encoding="utf-8")
    return show_plan(arguments.output, steps)


def _planned(step: Step) -> JsonObject:
    """Return what a plan's file holds of a step: no changes, since scripts and values can hold secrets."""
    return {name: value for name, value in step.as_dict().items() if name != "changes"}


def apply(arguments: argparse.Namespace) -> int:
    """Create and change pipelines as their files say."""
    engine, steps = _plan(arguments)
    if arguments.plan_file:
        _check_plan(arguments.plan_file, engine, steps)
    return apply_steps(engine, steps, arguments.output, force=arguments.force)


def _plan(arguments: argparse.Namespace) -> tuple[Engine, list[Step]]:
    definitions = read_definitions(arguments.files, arguments.overlay, arguments.plan_file)
    uploads = read_uploads(arguments.uploads, definitions)
    engine = connect(arguments)
    return engine, make_plan(definitions, engine.current(definitions), uploads)


def make_plan(
    definitions: Iterable[Definition], current: Iterable[Pipeline | None], uploads: Mapping[str, str]
) -> list[Step]:
    """
    Return what is to be done to an engine.

    :param definitions: the pipelines as they should be.
    :param current: the whole pipeline that the engine has for each (call 06), None if it has none.
    :param uploads: the files to upload first, by ``node.key``; with one definition only.
    :raises ConfigurationError: if a FILE param has no file.
    """
    steps = []
    for definition, pipeline in zip(definitions, current, strict=True):
        without_file = [name for name in missing_files(definition.content) if name not in uploads]
        if without_file:
            raise ConfigurationError(
                f"{definition.source}: FILE param {without_file[0]} has no file; give --file {without_file[0]}=PATH. "
                "Nothing was sent"
            )
        steps.append(_plan_step(definition, pipeline, uploads))
    return steps


def _plan_step(definition: Definition, current: Pipeline | None, uploads: Mapping[str, str]) -> Step:
    wanted = definition.content
    found = diff(current.content if current else {}, wanted)
    differs = bool(uploads) or not found.is_empty
    return Step(
        label=definition.label,
        source=definition.source,
        action="create" if current is None else "change" if differs else "none",
        pipeline_id=current.id if current else None,
        before=fingerprint(current.content) if current else "",
        after=fingerprint(wanted),
        changes=found.changes,
        content=found.content if current else without_server_fields(wanted),
        uploads=uploads,
    )


def read_uploads(given: Iterable[str], definitions: Sequence[Definition]) -> dict[str, str]:
    """
    Return the files to upload, by ``node.key``, checked before anything is sent.

    :param given: the arguments ``NODE.KEY=PATH``.
    :param definitions: the definitions that they belong to.
    :raises ConfigurationError: if there is no such FILE param or no such file.
    """
    uploads = dict(argument.partition("=")[::2] for argument in given)
    if uploads and len(definitions) != 1:
        raise ConfigurationError("--file needs one pipeline at a time")
    for name, path in uploads.items():
        params = [param for param, _ in file_params(definitions[0].content)]
        if name not in params:
            raise ConfigurationError(f"--file: {name!r} is no FILE param; {known('FILE params', params, wanted=name)}")
        if not Path(path).is_file():
            raise ConfigurationError(f"--file {name}: there is no file {path!r}")
    return uploads


def show_plan(form: str, steps: Sequence[Step]) -> int:
    """Write a plan; return the exit code."""
    if form in ("json", "yaml"):
        output.value(form, [step.as_dict() for step in steps])
    else:
        for step in steps:
            for text in step.lines():
                output.difference(text)
        counts = {action: sum(step.action == action for step in steps) for action in ("create", "change", "none")}
        output.line(
            f"{counts['create']} to create, {counts['change']} to change, {counts['none']} without a difference"
        )
    return exit_codes.DIFFERENCES if any(step.action != "none" for step in steps) else exit_codes.OK


def _refuse_to_overwrite(plan_file: str | None) -> None:
    """Refuse to write a plan over a file that is none, such as a definition."""
    if plan_file and Path(plan_file).exists():
        try:
            _read_plan(plan_file)
        except ConfigurationError:
            raise ConfigurationError(f"--plan-file {plan_file}: this file is no plan, and is not overwritten") from None


def _read_plan(path: str) -> tuple[Json, list[JsonObject]]:
    """Return the engine and the steps of a plan's file."""
    plan = read_object(path)
    steps = plan.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigurationError(f"{path}: this is no plan; make one with flowengine plan … --plan-file NEW_FILE")
    return plan.get("engine"), objects(steps)


def _check_plan(path: str, engine: Engine, steps: Iterable[Step]) -> None:
    """Refuse what isn't as it was planned, before anything is written."""
    label, planned_steps = _read_plan(path)
    if label != engine.label:
        raise ConfigurationError(f"{path} is a plan for {label}, not for {engine.label}; plan again")
    planned = {step.get("pipeline"): step for step in planned_steps}
    for step in steps:
        then = planned.get(step.label)
        if then is None:
            raise ConfigurationError(f"The plan has no pipeline {step.label!r}; plan again. Nothing was written")
        if then.get("after") != step.after:
            raise ConfigurationError(f"{step.source} has changed since the plan; plan again. Nothing was written")
        if then.get("before") != step.before and step.action != "none":
            raise ConfigurationError(
                f"Pipeline {step.label!r} was changed on the engine since the plan; plan again. Nothing was written"
            )


def apply_steps(engine: Engine, steps: Sequence[Step], form: str, *, force: bool) -> int:
    """
    Do what a plan says, say of each pipeline what was done, and return the exit code.

    A pipeline that is refused keeps the others from nothing; any other error ends it. What wasn't done is said, and a
    second ``apply`` continues there.

    :param engine: the engine.
    :param steps: the plan.
    :param form: how the result is shown.
    :param force: whether to write also while a run is active.
    """
    if any(step.action == "change" for step in steps):
        output.note(NO_VERSIONS)
    states, errors, code = ["not done"] * len(steps), list[str](), exit_codes.OK
    for number, step in enumerate(steps):
        try:
            states[number] = _apply_step(engine, step, force=force)
        except KeyboardInterrupt:
            states[number], code = "interrupted", exit_codes.INTERRUPTED
            errors.append(f"interrupted; plan says whether {step.label!r} was written")
            break
        except (FlowEngineError, OSError) as error:
            states[number], code = "failed", exit_codes.ERROR
            errors.append(str(error))
            if not _concerns_one_pipeline(error):
                break
    _report(form, steps, states, errors)
    return code


def _concerns_one_pipeline(error: Exception) -> bool:
    return isinstance(error, _ABOUT_ONE) and not isinstance(error, AccessDeniedError)


def _report(form: str, steps: Sequence[Step], states: Sequence[str], errors: Iterable[str]) -> None:
    """Say what became of each step, why some failed, and what is left to do."""
    results: list[JsonObject] = [
        {"pipeline": step.label, "state": state, "source": step.source}
        for step, state in zip(steps, states, strict=True)
    ]
    output.rows(form, results, ("pipeline", "state", "source"))
    for error in errors:
        output.note(f"Error: {error}", style="red")
    left = [str(result["pipeline"]) for result in results if result["state"] not in DONE]
    if left:
        output.note(
            f"Not applied: {', '.join(left)}. Run apply again to continue; what is done already stays as it is."
        )


def _apply_step(engine: Engine, step: Step, *, force: bool) -> str:
    if step.action == "none":
        return "unchanged"
    if step.pipeline_id is not None and not force:
        _refuse_while_running(engine, step.label, step.pipeline_id)
    content = _with_uploads(engine, step)
    pipeline_id = _create(engine, step, content) if step.pipeline_id is None else step.pipeline_id
    if step.action == "change":
        current = engine.pipeline(pipeline_id).content
        if fingerprint(current) != step.before:
            raise PipelineInUseError(
                f"Pipeline {step.label!r} was changed on the engine meanwhile, and is not written; plan again"
            )
        engine.run(engine.api.update_pipeline(diff(current, content).content))
    kept = diff(engine.pipeline(pipeline_id).content, content)
    if not kept.is_empty:
        output.note(
            f"{step.label}: FlowEngine keeps this differently than it was sent; export it to take over its form:"
        )
        for text in kept.lines():
            output.note(f"    {text}")
    return "created" if step.action == "create" else "changed"


def _refuse_while_running(engine: Engine, label: str, pipeline_id: Identifier) -> None:
    if active := engine.run(active_runs(engine.api, pipeline_id)):
        ids = ", ".join(str(run.id) for run in active[:10])
        raise PipelineInUseError(
            f"Pipeline {label!r} has an active run ({ids}), and is not written; wait, or give --force"
        )


def _create(engine: Engine, step: Step, content: JsonObject) -> Identifier:
    """Create a pipeline that the engine doesn't have, and return its id."""
    key, name = key_and_name(content)
    created = engine.run(create_once(engine.api, content, key=key, name=name))
    if not created.is_new:
        raise PipelineInUseError(
            f"Pipeline {step.label!r} was created on the engine meanwhile (id {created.pipeline.id}), and is not "
            "written; plan again"
        )
    if not created.is_confirmed and not diff(engine.pipeline(created.pipeline.id).content, content).is_empty:
        raise PipelineInUseError(
            f"The answer was lost, and pipeline {step.label!r} that is on the engine now (id {created.pipeline.id}) "
            "isn't as it was sent: somebody else may have created it; plan again"
        )
    return created.pipeline.id


def _with_uploads(engine: Engine, step: Step) -> JsonObject:
    """Upload the files of a step, and return its content with the paths that FlowEngine gave them."""
    content = copy.deepcopy(step.content)
    for name, param in file_params(content):
        if path := step.uploads.get(name):
            answer = engine.run(engine.api.upload_file(Path(path)))
            value = answer.get("path") if isinstance(answer, dict) else answer
            if not isinstance(value, str) or not value:
                raise UnexpectedResponseError(f"The answer to the upload of {path} holds no path: {answer!r:.300}")
            param["value"] = value
            output.note(f"Uploaded {path} for {name}: {value}")
    return content
