"""
Every call of FlowEngine's API, as a value.

The numbers (01 to 12) are those of the vendor's API page, which decides where sources differ; what differs between the
generations stands in :mod:`.versions`. Each call says what its answer holds in ``data``, and which source tells of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.protocol.http import Request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Engine
    from airflow_provider_flowengine.protocol.versions import ApiVersion


def engine_info(engine_key: str) -> Request:
    """
    01: ask the gateway where an engine is; the slash before the query is the API's own.

    :answer: ``url``, the engine's path below the gateway: ``engineUrl``.
    :source: the vendor's API page.
    """
    return Request(
        name=f"resolve engine {engine_key!r}",
        method="GET",
        path="/engine-manager/v1/k8s/info/",
        query={"engineKey": engine_key},
        idempotent=True,
        has_envelope=False,
        is_for_engine=False,
    )


def engine_param(engine_key: str, engine_url: str, version: ApiVersion) -> Request:
    """
    02: ask the engine for its id.

    :answer: ``engineId``.
    :source: the vendor's API page.
    """
    return Request(
        name=f"ask engine {engine_key!r} for its id",
        method="GET",
        path=f"{engine_url}/{version.root}/{version.param_path}",
        query={"engineKey": engine_key},
        idempotent=True,
        has_envelope=False,
    )


def _request(
    engine: Engine,
    name: str,
    method: str,
    *path: Identifier,
    query: Mapping[str, str | int] | None = None,
    body: Json = None,
    idempotent: bool = False,
) -> Request:
    """Return a call; a read is idempotent, and so is a PUT."""
    ensure_json_serializable(f"What is sent to {name}", body)
    return Request(
        name=name,
        method=method,
        path=_path(engine, *path),
        query={**(query or {}), **({"engineKey": engine.key} if engine.version.sends_engine_key else {})},
        body=body,
        idempotent=idempotent or method in ("GET", "PUT"),
    )


def _path(engine: Engine, *segments: Identifier) -> str:
    quoted = [quote(str(segment), safe="", errors="surrogatepass") for segment in segments]
    return "/".join([engine.url, engine.version.root, *quoted])


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


def create_pipeline(engine: Engine, pipeline: dict[str, Json]) -> Request:
    """
    03: create a pipeline from the whole pipeline object.

    :answer: the pipeline, or its id.
    :source: the vendor's API page; that it may be the id is inferred.
    """
    name = f"create a pipeline on engine {engine.key!r}"
    return _request(engine, name, "POST", "pipeline", "template", engine.id, "create", body=pipeline)


def upload_file(engine: Engine, file: Path, target: Identifier = 1) -> Request:
    """
    04: upload a file for a FILE parameter; it alone takes no query. What ``target`` means isn't said anywhere.

    :answer: not documented; passed on as it is.
    :source: the vendor's API page.
    """
    return Request(
        name=f"upload {file.name!r}",
        method="POST",
        path=_path(engine, "template", "uploadJobFileParam", target),
        file=file,
    )


def list_pipelines(engine: Engine, page: int = 0, size: int = 0) -> Request:
    """
    05: list the engine's pipelines; some servers page the list (a client in the wild), 0 asks for no page.

    :answer: a list of pipelines, bare or under a name, with the total where it is paged.
    :source: the vendor's API page; its pages: a client in the wild.
    """
    query = {"page": page, "size": size} if page else {}
    return _request(
        engine, f"list pipelines of engine {engine.key!r}", "GET", "pipeline", engine.id, "list", query=query
    )


def get_pipeline(engine: Engine, pipeline_id: Identifier) -> Request:
    """
    06: read one whole pipeline.

    :answer: the pipeline.
    :source: the vendor's API page.
    """
    return _request(
        engine, f"read pipeline {pipeline_id}", "GET", "pipeline", "template", engine.id, pipeline_id, "get"
    )


def update_pipeline(engine: Engine, pipeline: dict[str, Json]) -> Request:
    """
    07: write a whole pipeline back; sending the same object twice leaves the same pipeline.

    :answer: not read.
    :source: the vendor's API page.
    """
    name = f"update pipeline {pipeline.get('id')}"
    return _request(engine, name, "PUT", "pipeline", "template", engine.id, "update", body=pipeline)


def set_schedule(engine: Engine, pipeline_id: Identifier, enabled: bool, version: ApiVersion | None = None) -> Request:
    """
    08: turn the pipeline's own schedule on or off, in the engine's dialect or another one.

    :answer: not read.
    :source: the vendor's API page.
    """
    engine = replace(engine, version=version or engine.version)
    path = ("pipeline", engine.id, pipeline_id)
    name = f"turn the schedule of pipeline {pipeline_id} {'on' if enabled else 'off'}"
    if enabled:
        query = {"once": "false"}
        return _request(engine, name, "POST", *path, "start", query=query, body={"data": " "}, idempotent=True)
    method, body = engine.version.schedule_off_method, engine.version.schedule_off_body
    return _request(engine, name, method, *path, "stop", body=body, idempotent=True)


def start_pipeline(engine: Engine, pipeline_id: Identifier, job_params: Mapping[str, Json]) -> Request:
    """
    09: start a pipeline once. Never to be sent twice: each is a run.

    :answer: ``status``, and perhaps the run's ``id``: checked against the history.
    :source: the vendor's API page; the answer: a client in the wild.
    """
    path = ("pipeline", engine.id, pipeline_id, "start")
    query = engine.version.start_query
    return _request(engine, f"start pipeline {pipeline_id}", "POST", *path, query=query, body=dict(job_params))


def list_runs(engine: Engine, pipeline_id: Identifier, page: int, size: int) -> Request:
    """
    10: one page of a pipeline's run history, or the whole of it where it isn't paged; pages count from 1.

    :answer: a list of runs in any order, bare or under a name, with the total where it is paged.
    :source: the vendor's API page; the list's order: a client in the wild.
    """
    query = {**({"page": page, "size": size} if engine.version.pages_history else {}), "engineId": engine.id}
    name = f"list runs of pipeline {pipeline_id} (page {page})"
    return _request(engine, name, "GET", "pipeline", pipeline_id, "historyList", query=query)


def stop_run(engine: Engine, run_id: Identifier) -> Request:
    """
    11: stop a run; it passes through "stopping".

    :answer: not read.
    :source: the vendor's API page.
    """
    return _about_run(engine, f"stop run {run_id}", "DELETE", run_id, "stopHistory")


def resume_run(engine: Engine, run_id: Identifier) -> Request:
    """
    12: resume a failed or stopped run from where it ended; the run keeps its id.

    :answer: not read.
    :source: the vendor's API page.
    """
    return _about_run(engine, f"resume run {run_id}", "POST", run_id, "resumeHistory")


def _about_run(engine: Engine, name: str, method: str, run_id: Identifier, action: str) -> Request:
    query, body = {"engineId": engine.id}, engine.version.empty_body
    return _request(engine, name, method, "pipeline", run_id, action, query=query, body=body)


def get_run(engine: Engine, run_id: Identifier) -> Request:
    """
    Read one run with its nodes. Only the vendor's older client has this call: it may be missing.

    :answer: the run, with its nodes if the server tells them.
    :source: the vendor's older client.
    """
    return _request(engine, f"read run {run_id}", "GET", "pipeline", run_id, "get")
