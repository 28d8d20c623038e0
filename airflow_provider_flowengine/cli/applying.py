"""The commands ``plan`` and ``apply``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_flowengine.cli import exit_codes, output
from airflow_provider_flowengine.cli.engine import connect
from airflow_provider_flowengine.cli.workspace import read_definitions
from airflow_provider_flowengine.definition_files import read_text
from airflow_provider_flowengine.definitions.check import file_params, missing_files
from airflow_provider_flowengine.definitions.content import fingerprint, key_and_name
from airflow_provider_flowengine.definitions.diff import diff
from airflow_provider_flowengine.definitions.files import parse_object, to_json
from airflow_provider_flowengine.definitions.plan import plan_step
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
    from airflow_provider_flowengine.definitions.plan import Step
    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier


class PipelineInUseError(FlowEngineError):
    """The pipeline is not as it was when it was planned, or a run of it is active; it was not written."""


_ABOUT_ONE = (PipelineExistsError, PipelineInUseError, RequestRejectedError)
"""Errors that are about one pipeline: those after it can be applied all the same."""

FAILED, INTERRUPTED, NOT_DONE = "failed", "interrupted", "not done"
"""States of a step, beside what was done."""

NO_VERSIONS = (
    "FlowEngine's API has no version of a pipeline: what somebody saves at this very moment can still be overwritten."
)


def plan(arguments: argparse.Namespace) -> int:
    """Say what ``apply`` would do."""
    _refuse_to_overwrite(arguments.plan_file)
    definitions = read_definitions(arguments.files, arguments.overlay, arguments.plan_file)
    uploads = read_uploads(arguments.uploads, definitions)
    engine = connect(arguments)
    steps = make_plan(engine, definitions, uploads)
    if arguments.plan_file:
        planned: JsonObject = {"engine": engine.label, "steps": [_planned(step) for step in steps]}
        Path(arguments.plan_file).write_text(to_json(planned), encoding="utf-8")
    return show_plan(arguments.output, steps)


def apply(arguments: argparse.Namespace) -> int:
    """Create and change pipelines as their files say."""
    definitions = read_definitions(arguments.files, arguments.overlay, arguments.plan_file)
    uploads = read_uploads(arguments.uploads, definitions)
    engine = connect(arguments)
    planned = _read_plan(arguments.plan_file, engine) if arguments.plan_file else None
    steps = make_plan(engine, definitions, uploads)
    if planned is not None:
        _check_plan(steps, planned)
    return apply_steps(engine, steps, arguments.output, force=arguments.force)


def make_plan(engine: Engine, definitions: Sequence[Definition], uploads: Mapping[str, str]) -> list[Step]:
    """
    Return what is to be done to an engine.

    :param engine: the engine, which is only read.
    :param definitions: the pipelines as they should be.
    :param uploads: the files to upload, by ``node.key``; with one definition only.
    :raises ConfigurationError: if a FILE param has no file.
    """
    steps = []
    existing_ones = engine.existing(key_and_name(definition.content) for definition in definitions)
    for definition, existing in zip(definitions, existing_ones, strict=True):
        current = engine.pipeline(existing.id) if existing else None
        without_file = [name for name in missing_files(definition.content) if name not in uploads]
        if without_file:
            raise ConfigurationError(
                f"{definition.source}: FILE param {without_file[0]} has no file; give --file {without_file[0]}=PATH. "
                "Nothing was sent"
            )
        steps.append(plan_step(definition.content, current, source=definition.source, uploads=uploads))
    return steps


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


def _planned(step: Step) -> JsonObject:
    return {name: value for name, value in step.as_dict().items() if name != "changes"}


def _refuse_to_overwrite(plan_file: str | None) -> None:
    """Refuse to write a plan over a file that is none, such as a definition."""
    if plan_file and Path(plan_file).exists():
        try:
            _parse_plan(plan_file)
        except ConfigurationError:
            raise ConfigurationError(f"--plan-file {plan_file}: this file is no plan, and is not overwritten") from None


def _parse_plan(path: str) -> tuple[JsonObject, list[JsonObject]]:
    """Return what a plan's file holds, and its steps."""
    plan = parse_object(read_text(Path(path)), path)
    steps = plan.get("steps")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ConfigurationError(f"{path}: this is no plan; make one with flowengine plan … --plan-file NEW_FILE")
    return plan, objects(steps)


def _read_plan(path: str, engine: Engine) -> dict[Json, JsonObject]:
    plan, steps = _parse_plan(path)
    if plan.get("engine") != engine.label:
        raise ConfigurationError(f"{path} is a plan for {plan.get('engine')}, not for {engine.label}; plan again")
    return {step["pipeline"]: step for step in steps if "pipeline" in step}


def _check_plan(steps: Iterable[Step], planned: Mapping[Json, JsonObject]) -> None:
    """Refuse what isn't as it was planned, before anything is written."""
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
    states, errors = _apply_each(engine, steps, force=force)
    done = list(zip(steps, states, strict=True))
    results: list[JsonObject] = [
        {"pipeline": step.label, "state": state, "source": step.source} for step, state in done
    ]
    output.rows(form, results, ("pipeline", "state", "source"))
    for error in errors:
        output.note(f"Error: {error}", style="red")
    left = [step.label for step, state in done if state in (FAILED, INTERRUPTED, NOT_DONE)]
    if left:
        output.note(
            f"Not applied: {', '.join(left)}. Run apply again to continue; what is done already stays as it is."
        )
    return _exit_code(errors)


def _exit_code(errors: Sequence[BaseException]) -> int:
    if any(isinstance(error, KeyboardInterrupt) for error in errors):
        return exit_codes.INTERRUPTED
    return exit_codes.ERROR if errors else exit_codes.OK


def _apply_each(engine: Engine, steps: Iterable[Step], *, force: bool) -> tuple[list[str], list[BaseException]]:
    """Do what each step says, up to an error that isn't about one pipeline; return the states, and the errors."""
    states: list[str] = []
    errors: list[BaseException] = []
    for step in steps:
        state = NOT_DONE
        if all(_concerns_one_pipeline(error) for error in errors):
            try:
                state = _apply_step(engine, step, force=force)
            except (FlowEngineError, OSError) as raised:
                errors.append(raised)
                state = FAILED
            except KeyboardInterrupt:
                errors.append(KeyboardInterrupt(f"interrupted; plan says whether {step.label!r} was written"))
                state = INTERRUPTED
        states.append(state)
    return states, errors


def _concerns_one_pipeline(error: BaseException) -> bool:
    return isinstance(error, _ABOUT_ONE) and not isinstance(error, AccessDeniedError)


def _apply_step(engine: Engine, step: Step, *, force: bool) -> str:
    if step.action == "none":
        return "unchanged"
    if step.pipeline_id is not None and not force:
        _refuse_while_running(engine, step)
    content = _with_uploads(engine, step)
    if step.action == "create":
        pipeline_id = _create(engine, step, content)
    else:
        pipeline_id = step.pipeline_id if step.pipeline_id is not None else ""
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


def _refuse_while_running(engine: Engine, step: Step) -> None:
    active = engine.run(active_runs(engine.api, step.pipeline_id)) if step.pipeline_id is not None else []
    if active:
        ids = ", ".join(str(run.id) for run in active[:10])
        raise PipelineInUseError(
            f"Pipeline {step.label!r} has an active run ({ids}), and is not written; wait, or give --force"
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
