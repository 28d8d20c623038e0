"""An Airflow connection becomes a FlowEngine client."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_flowengine import connection_form
from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.definitions.content import pipeline_object, without_server_fields
from airflow_provider_flowengine.hooks.connection import explain_missing, settings_of
from airflow_provider_flowengine.hooks.diagnosis import describe_connection
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.arguments import Seconds, parse_id, seconds, seconds_if_given
from airflow_provider_flowengine.protocol.errors import ConfigurationError, FlowEngineError, run_not_found
from airflow_provider_flowengine.protocol.flow import Client
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.http import Json, JsonObject
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.job_params import JobParams, resolve_job_params
from airflow_provider_flowengine.protocol.models import Engine, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.outcomes import check_success, log_node
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.starting import start_once
from airflow_provider_flowengine.protocol.stopping import resume, stop
from airflow_provider_flowengine.protocol.waiting import poll_until_done
from airflow_provider_flowengine.protocol.zone import offset_from

log = logging.getLogger(__name__)

_TEST_TIMEOUT = 10.0
"""Seconds that a request of the connection form's "Test" may take."""


class FlowEngineHook(BaseHook):
    """
    Talks to FlowEngine with what an Airflow connection says.

    Building one does no I/O; the connection is read and the engine resolved when first needed, once.

    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's ``engine_key``.
    """

    conn_name_attr = "flowengine_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = connection_form.CONNECTION_TYPE
    hook_name = connection_form.HOOK_NAME

    def __init__(self, flowengine_conn_id: str = DEFAULT_CONN_ID, engine_key: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key
        self._found_pipelines: dict[tuple[str | None, str | None], Pipeline] = {}

    @staticmethod
    def get_connection_form_widgets() -> dict[str, Any]:
        """Return the form's own fields, for Airflow before 3.2."""
        return connection_form.form_widgets()

    @staticmethod
    def get_ui_field_behaviour() -> dict[str, Any]:
        """Return how the form shows Airflow's fields, for Airflow before 3.2."""
        return connection_form.form_behaviour()

    # --- connection and client ------------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """
        What the connection says, checked.

        :raises ConfigurationError: when there is no such connection, or naming the field that can't be right.
        """
        with explain_missing(self.flowengine_conn_id):
            connection = self.get_connection(self.flowengine_conn_id)
        return settings_of(connection)

    @cached_property
    def api(self) -> Api:
        """The engine's API client, which makes the requests that :attr:`client` sends."""
        return Api(self.settings, self.engine_key or "")

    @cached_property
    def client(self) -> Client:
        """The pooled HTTP client."""
        from airflow_provider_flowengine.client import sync

        return sync.Client(self.settings)

    def get_conn(self) -> Client:
        """Return the HTTP client."""
        return self.client

    @property
    def engine(self) -> Engine:
        """The engine, with its ``url`` and ``id``; resolved once."""
        return self.client.run(self.api.resolve())

    def use_engine(self, url: str, engine_id: Identifier, utc_offset: float | None = None) -> None:
        """
        Use the engine as another process has resolved it: the handshake isn't repeated.

        :param url: its ``url``.
        :param engine_id: its ``id``.
        :param utc_offset: how many seconds its times that name no zone are ahead of UTC, if that was found out.
        """
        self.api = replace(self.api, address=(url, engine_id), offset=offset_from(utc_offset))

    def run_url(self, pipeline_id: Identifier, run_id: Identifier) -> str:
        """Return the address of a run's page, by the connection's ``ui_url``."""
        return self.settings.run_url(self.engine, pipeline_id, run_id)

    # --- pipelines ------------------------------------------------------------------------------------------------

    def create_pipeline(self, pipeline: JsonObject) -> Pipeline:
        """
        Create a pipeline (call 03).

        :param pipeline: a whole pipeline object, also one that FlowEngine shows for another pipeline: ids and other
            fields that FlowEngine sets are left out; or only a definition, with ``nodes``.
        :return: the pipeline as FlowEngine made it.
        """
        self._found_pipelines.clear()
        content = without_server_fields(pipeline_object(pipeline), keep_nulls=True)
        return self.client.run(self.api.create_pipeline(content))

    def update_pipeline(self, pipeline: JsonObject) -> None:
        """
        Write a whole pipeline back (call 07).

        :param pipeline: the object that :meth:`get_pipeline` returned in ``content``, changed.
        :raises ConfigurationError: when it has no id.
        """
        self._found_pipelines.clear()
        if identifier(pipeline.get("id")) is None:
            raise ConfigurationError("pipeline: it has no id; give the object that get_pipeline returns in content")
        self.client.run(self.api.update_pipeline(pipeline))

    def list_pipelines(self) -> list[Pipeline]:
        """Return the engine's pipelines (call 05)."""
        return self.client.run(self.api.list_pipelines())

    def get_pipeline(self, pipeline_id: Identifier) -> Pipeline:
        """
        Return one whole pipeline, its nodes included (call 06).

        :raises PipelineNotFoundError: when the engine has none of this id.
        """
        return self.client.run(self.api.get_pipeline(parse_id("pipeline_id", pipeline_id)))

    def find_pipeline(self, *, key: str | None = None, name: str | None = None) -> Pipeline:
        """
        Return the pipeline of this key or name; it is searched for once, and cached.

        :raises PipelineNotFoundError: when there is none, or when several have it.
        """
        if bool(key) == bool(name):
            raise ConfigurationError("find_pipeline takes one of key and name")
        if (key, name) not in self._found_pipelines:
            self._found_pipelines[key, name] = self.client.run(self.api.find_pipeline(key=key, name=name))
        return self._found_pipelines[key, name]

    def set_schedule(self, pipeline_id: Identifier, enabled: bool) -> None:
        """Turn the pipeline's own schedule on or off (call 08)."""
        self.client.run(self.api.set_schedule(parse_id("pipeline_id", pipeline_id), enabled))

    def upload_file(self, path: str | Path, target: Identifier = 1) -> Json:
        """
        Upload a file for a FILE parameter (call 04), streamed.

        :param path: the file.
        :param target: the number at the end of the call's path, default 1; what it means isn't said anywhere.
        :return: what the server answers in ``data``.
        :raises ConfigurationError: when there is no such file, before anything is sent.
        """
        return self.client.run(self.api.upload_file(Path(path), target))

    # --- runs -----------------------------------------------------------------------------------------------------

    def start_pipeline(self, pipeline_id: Identifier, job_params: JobParams | None = None) -> PipelineRun:
        """
        Start a pipeline once (call 09) and return its run.

        :param pipeline_id: the pipeline.
        :param job_params: ``{node: {key: value}}``, a node named by its id or, if that is unambiguous, its name.
        :raises NodeNotFoundError: when the pipeline has no such node or key; nothing was started.
        :raises StartUnconfirmedError: when it is unknown whether the start was processed; it isn't sent again.
        :raises AmbiguousRunError: when several runs could be the one.
        """
        pipeline_id = parse_id("pipeline_id", pipeline_id)
        checked = resolve_job_params(self.get_pipeline(pipeline_id), job_params) if job_params else {}
        return self.client.run(start_once(self.api, pipeline_id, checked))

    def list_runs(self, pipeline_id: Identifier, page: int = 1, size: int = 20) -> list[PipelineRun]:
        """Return one page of a pipeline's run history (call 10), in the server's order; pages count from 1."""
        return list(self.client.run(self.api.list_runs(parse_id("pipeline_id", pipeline_id), page, size)).runs)

    def get_run(self, pipeline_id: Identifier, run_id: Identifier) -> PipelineRun:
        """
        Return one run, with its nodes if the server reports them.

        :raises RunNotFoundError: when the pipeline's history doesn't hold it.
        """
        pipeline_id, run_id = parse_id("pipeline_id", pipeline_id), parse_id("run_id", run_id)
        run = self.client.run(History(self.api, pipeline_id).find(run_id))
        if run is None:
            raise run_not_found(pipeline_id, run_id)
        return self.fetch_node_details(run)

    def fetch_node_details(self, run: PipelineRun) -> PipelineRun:
        """
        Return a run with its nodes as they are now, if the one-run call reports them; best effort, it never fails.

        Nodes that were read before the run ended may be out of date. So they are read again if one hasn't ended.
        """
        if run.nodes and (not run.state.is_final or all(node.state.is_final for node in run.nodes)):
            return run
        try:
            detailed = self.client.run(self.api.without_retries(10).read_run(run.pipeline_id, run.id))
        except FlowEngineError as error:
            self.log.debug("No details of %s: %s", run, error)
            return run
        return detailed if detailed and detailed.nodes and detailed.state == run.state else run

    def fetch_final_nodes(self, run: PipelineRun) -> PipelineRun:
        """Return a run that has ended with its nodes, and log those that have ended since the last poll."""
        detailed = self.fetch_node_details(run)
        shown = {node.id for node in run.nodes if node.state.is_final}
        for node in detailed.nodes:
            if node.state.is_final and node.id not in shown:
                log_node(log, node)
        return detailed

    def stop_run(self, run_id: Identifier, pipeline_id: Identifier | None = None) -> bool:
        """
        Stop a run (call 11), unless it has ended or is stopping already.

        :param run_id: the run.
        :param pipeline_id: its pipeline, whose history shows the run's state; without it the one-run call is used.
        :return: whether this call stopped it.
        :raises RequestRejectedError: when FlowEngine refuses while the run is active.
        """
        return self.client.run(stop(self.api, _optional_id(pipeline_id), parse_id("run_id", run_id)))

    def resume_run(self, run_id: Identifier, pipeline_id: Identifier | None = None) -> None:
        """
        Resume a failed or stopped run from where it ended (call 12); it keeps its id.

        :param run_id: the run.
        :param pipeline_id: its pipeline, whose history shows the run's state; without it the one-run call is used.
        :raises RequestRejectedError: when FlowEngine refuses.
        """
        self.client.run(resume(self.api, _optional_id(pipeline_id), parse_id("run_id", run_id)))

    def wait_for_run(
        self,
        pipeline_id: Identifier,
        run_id: Identifier,
        *,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = None,
        unreachable_timeout: Seconds = 900,
    ) -> PipelineRun:
        """
        Wait until a run has succeeded, and return it.

        :param pipeline_id: the pipeline.
        :param run_id: the run.
        :param poll_interval: seconds (or a timedelta) between two polls at most, default 30.
        :param timeout: seconds (or a timedelta) to wait at most; default without end.
        :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer, default 900.
        :raises RunFailedError: when the run failed.
        :raises RunStoppedError: when it was stopped.
        :raises RunTimeoutError: when it took longer than ``timeout``; it is not stopped.
        """
        pipeline_id, run_id = parse_id("pipeline_id", pipeline_id), parse_id("run_id", run_id)
        options = PollOptions(
            seconds("poll_interval", poll_interval),
            unreachable_timeout=seconds("unreachable_timeout", unreachable_timeout),
        )
        now, limit = self.api.now(), seconds_if_given("timeout", timeout)
        url = self.run_url(pipeline_id, run_id)
        options = options.limited("timeout", limit, now)
        monitor = RunMonitor(run_id, pipeline_id, options, started_at=now, run_url=url, fetch_nodes=True)
        run = self.client.run(poll_until_done(self.api, monitor))
        return check_success(run if run.state == "succeeded" else self.fetch_node_details(run), url)

    # --- the connection form's "Test" -----------------------------------------------------------------------------

    def test_connection(self) -> tuple[bool, str]:
        """
        Resolve the engine; return its key facts, or what is wrong and what to check.

        :return: whether it works, and a sentence for the user.
        """
        try:
            api = self.api.without_retries(_TEST_TIMEOUT)  # the user waits for the answer
            return True, self.client.run(describe_connection(api))
        except FlowEngineError as error:
            return False, str(error)
        except Exception as error:
            return False, f"{type(error).__name__}: {error}"


def _optional_id(pipeline_id: Identifier | None) -> Identifier | None:
    return None if pipeline_id is None else parse_id("pipeline_id", pipeline_id)
