"""
Every call of FlowEngine's API, as a value.

The numbers (01 to 12) are those of the vendor's API page, which decides where sources differ; what only the older
generation does stands in :data:`AUTOML`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Engine

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True)
class Call:
    """
    One HTTP request that is yet to be sent.

    :param name: what the call does, for messages, e.g. ``"start pipeline 12"``.
    :param method: the HTTP method.
    :param path: the path below the connection's host, with its leading slash.
    :param query: the query's parameters.
    :param body: what is sent as JSON; None sends no body.
    :param file: the file that is sent as multipart instead of a body.
    :param repeatable: whether sending it twice does no harm.
    :param enveloped: whether its answer always carries the envelope's ``status``.
    :param mask: hides the connection's secrets in whatever an error quotes.
    """

    name: str
    method: str
    path: str
    query: Mapping[str, str | int] = field(default_factory=dict)
    body: Json = None
    file: Path | None = None
    idempotent: bool = False
    has_envelope: bool = True
    redact: Callable[[str], str] = field(default=str, repr=False, compare=False)


@dataclass(frozen=True)
class ApiVersion:
    """
    What differs between the generations of FlowEngine's API.

    :param root: the path between ``engineUrl`` and a call.
    :param param_path: the handshake's second call.
    :param start_query: what tells a single start from turning the schedule on.
    :param schedule_off_method: the HTTP method that turns the schedule off.
    :param schedule_off_body: the body that goes with it.
    :param empty_body: the body of a stop or resume, which say everything in their path.
    """

    root: str
    param_path: str
    start_query: Mapping[str, str]
    schedule_off_method: str
    schedule_off_body: Json
    empty_body: Json


KERNEL = ApiVersion(
    root="kernel/v1",
    param_path="system/getParam",
    start_query={},
    schedule_off_method="POST",
    schedule_off_body={"data": " "},
    empty_body=None,
)
"""The newest generation. Source: the vendor's API page."""

AUTOML = ApiVersion(
    root="automl/v1",
    param_path="system/getParamWithoutTemplate",
    start_query={"once": "true"},
    schedule_off_method="DELETE",
    schedule_off_body={},
    empty_body={},
)
"""The older generation. Sources: the vendor's older client, clients in the wild."""

API_VERSIONS = {generation.root: generation for generation in (KERNEL, AUTOML)}


def engine_info(engine_key: str) -> Call:
    """01: ask the gateway where an engine is; the slash before the query is the API's own."""
    return Call(
        name=f"resolve engine {engine_key!r}",
        method="GET",
        path="/engine-manager/v1/k8s/info/",
        query={"engineKey": engine_key},
        idempotent=True,
        has_envelope=False,
    )


def engine_param(engine_key: str, engine_url: str, generation: ApiVersion) -> Call:
    """02: ask the engine for its id."""
    return Call(
        name=f"ask engine {engine_key!r} for its id",
        method="GET",
        path=f"{engine_url}/{generation.root}/{generation.param_path}",
        query={"engineKey": engine_key},
        idempotent=True,
        has_envelope=False,
    )


def _call(
    engine: Engine,
    name: str,
    method: str,
    path: str,
    *,
    query: Mapping[str, str | int] | None = None,
    body: Json = None,
    idempotent: bool = False,
) -> Call:
    ensure_json_serializable(f"What is sent to {name}", body)
    return Call(
        name=name,
        method=method,
        path=f"{engine.url}/{engine.generation.root}/{path}",
        query={**(query or {}), "engineKey": engine.key},
        body=body,
        idempotent=idempotent,
    )


def ensure_json_serializable(what: str, value: object) -> None:
    """
    Check that a value can be sent, before anything is.

    :param what: names it, for the error.
    :param value: the value.
    :raises ConfigurationError: when it can't be JSON: a date, say, or a number that isn't finite.
    """
    if value is None:
        return
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{what} can't be sent as JSON: {error}. Give text instead, str() of it") from None


def _segment(identifier: Identifier) -> str:
    return quote(str(identifier), safe="")


def create_pipeline(engine: Engine, pipeline: dict[str, Json]) -> Call:
    """03: create a pipeline from the whole pipeline object."""
    return _call(
        engine,
        f"create a pipeline on engine {engine.key!r}",
        "POST",
        f"pipeline/template/{_segment(engine.id)}/create",
        body=pipeline,
    )


def upload_file(engine: Engine, file: Path, target: Identifier = 1) -> Call:
    """04: upload a file for a FILE parameter; it alone takes no query. What ``target`` means isn't said anywhere."""
    return Call(
        name=f"upload {file.name!r}",
        method="POST",
        path=f"{engine.url}/{engine.generation.root}/template/uploadJobFileParam/{_segment(target)}",
        file=file,
    )


def list_pipelines(engine: Engine) -> Call:
    """05: list the engine's pipelines."""
    return _call(
        engine,
        f"list pipelines of engine {engine.key!r}",
        "GET",
        f"pipeline/{_segment(engine.id)}/list",
        idempotent=True,
    )


def get_pipeline(engine: Engine, pipeline_id: Identifier) -> Call:
    """06: read one whole pipeline."""
    return _call(
        engine,
        f"read pipeline {pipeline_id}",
        "GET",
        f"pipeline/template/{_segment(engine.id)}/{_segment(pipeline_id)}/get",
        idempotent=True,
    )


def update_pipeline(engine: Engine, pipeline: dict[str, Json]) -> Call:
    """07: write a whole pipeline back; sending the same object twice leaves the same pipeline."""
    return _call(
        engine,
        f"update pipeline {pipeline.get('id')}",
        "PUT",
        f"pipeline/template/{_segment(engine.id)}/update",
        body=pipeline,
        idempotent=True,
    )


def set_schedule(engine: Engine, pipeline_id: Identifier, enabled: bool) -> Call:
    """08: turn the pipeline's own schedule on or off."""
    path = f"pipeline/{_segment(engine.id)}/{_segment(pipeline_id)}"
    if enabled:
        return _call(
            engine,
            f"turn the schedule of pipeline {pipeline_id} on",
            "POST",
            f"{path}/start",
            query={"once": "false"},
            body={"data": " "},
            idempotent=True,
        )
    return _call(
        engine,
        f"turn the schedule of pipeline {pipeline_id} off",
        engine.generation.schedule_off_method,
        f"{path}/stop",
        body=engine.generation.schedule_off_body,
        idempotent=True,
    )


def start_pipeline(engine: Engine, pipeline_id: Identifier, job_params: Mapping[str, Json]) -> Call:
    """09: start a pipeline once. Never to be sent twice: each is a run."""
    return _call(
        engine,
        f"start pipeline {pipeline_id}",
        "POST",
        f"pipeline/{_segment(engine.id)}/{_segment(pipeline_id)}/start",
        query=engine.generation.start_query,
        body=dict(job_params),
    )


def list_runs(engine: Engine, pipeline_id: Identifier, page: int, size: int) -> Call:
    """10: one page of a pipeline's run history; pages count from 1."""
    return _call(
        engine,
        f"list runs of pipeline {pipeline_id} (page {page})",
        "GET",
        f"pipeline/{_segment(pipeline_id)}/historyList",
        query={"page": page, "size": size, "engineId": engine.id},
        idempotent=True,
    )


def stop_run(engine: Engine, run_id: Identifier) -> Call:
    """11: stop a run; it passes through "stopping"."""
    return _call(
        engine,
        f"stop run {run_id}",
        "DELETE",
        f"pipeline/{_segment(run_id)}/stopHistory",
        query={"engineId": engine.id},
        body=engine.generation.empty_body,
    )


def resume_run(engine: Engine, run_id: Identifier) -> Call:
    """12: go on with a failed or stopped run from where it ended; the run keeps its id."""
    return _call(
        engine,
        f"resume run {run_id}",
        "POST",
        f"pipeline/{_segment(run_id)}/resumeHistory",
        query={"engineId": engine.id},
        body=engine.generation.empty_body,
    )


def get_run(engine: Engine, run_id: Identifier) -> Call:
    """Read one run with its nodes. Only the vendor's older client has this call: it may be missing."""
    return _call(engine, f"read run {run_id}", "GET", f"pipeline/{_segment(run_id)}/get", idempotent=True)
