"""
One connection's API client of one engine: the handshake, the retries, and the calls.

The procedures that are built of them are in :mod:`.history` (finding runs), :mod:`.starting` (started exactly once),
:mod:`.stopping` and :mod:`.waiting`.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.envelope import parse_envelope
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    EngineNotFoundError,
    EngineNotRunningError,
    FlowEngineError,
    PipelineNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    known,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY, Flow, Retry, Sleep
from airflow_provider_flowengine.protocol.http import (
    ENGINE_RELOCATED_STATUSES,
    REDIRECT_STATUSES,
    RETRYABLE_STATUSES,
    Request,
    Response,
)
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import Engine, HistoryPage, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

_MAX_REDIRECTS = 3


@dataclass
class Api:
    """
    One connection's API client of one engine.

    :param settings: the connection.
    :param engine_key: the engine; default the connection's.
    :param engine: the engine, where it is resolved already.
    :param retry: how calls are sent again.
    :param now: tells the time, in seconds since the epoch.
    :raises ConfigurationError: when no engine key is given anywhere.
    """

    settings: Settings
    engine_key: str = ""
    engine: Engine | None = None
    retry: Retry = field(default_factory=Retry)
    now: Callable[[], float] = time.time
    _server_time: datetime | None = None

    def __post_init__(self) -> None:
        self.engine_key = self.engine_key or self.settings.engine_key
        if not self.engine_key:
            raise ConfigurationError(
                "No engine_key: set it in the connection's extra, or give engine_key to the hook, operator or sensor"
            )

    def without_retries(self, timeout: float) -> Api:
        """Return the same view with requests that are sent once and may take ``timeout`` seconds at most."""
        settings = replace(self.settings, timeout=min(timeout, self.settings.timeout))
        return replace(self, settings=settings, retry=NO_RETRY)

    @property
    def server_time(self) -> datetime | None:
        """What the server's clock said in its last answer; None where it didn't say."""
        return self._server_time

    # --- one request ----------------------------------------------------------------------------------------------

    def prepare(self, request: Request) -> Request:
        """Make a request ready for the wire; no secret of the connection is quoted in an error about it."""
        return replace(
            request,
            url=_address(self.settings.fl_url, request.path, tuple(request.query.items())),
            headers=self.settings.headers,
            timeout=self.settings.timeout,
            redact=self.settings.redact,
        )

    def send_once(self, request: Request) -> Flow[Response]:
        """Send a prepared request once; redirects are followed for reads, and on the same host only."""
        for _ in range(_MAX_REDIRECTS):
            response = cast("Response", (yield request))
            target = _redirected(request.url, response) if request.method == "GET" else None
            if target is None:
                break
            request = replace(request, url=target)
        else:
            response = cast("Response", (yield request))
        self._server_time = response.server_time
        return response

    def send(
        self,
        request: Request,
        on_attempt: Callable[[], None] = lambda: None,
        on_not_processed: Callable[[], None] = lambda: None,
    ) -> Flow[Reply]:
        """
        Send a request, again if that does no harm, and return the good answer.

        A request that is not idempotent is sent again only if the server surely did not process it.

        :param request: the request.
        :param on_attempt: is called each time before it is sent; what it raises prevents that.
        :param on_not_processed: is called each time the server surely did not process it, before a retry or an error.
        """
        request = self.prepare(request)
        attempt = 1
        while True:
            on_attempt()
            try:
                response = yield from self.send_once(request)
                return Reply(request, self.settings, parse_envelope(request, response), response.server_time)
            except RequestRejectedError:
                on_not_processed()
                raise
            except ServiceUnavailableError as error:
                if error.taken is False:
                    on_not_processed()
                if attempt >= self.retry.attempts or not _may_resend(request, error):
                    raise
                delay = self.retry.delay(attempt, error.retry_after)
                log.warning("%s Trying again in %.1f s.", error, delay)
            yield Sleep(delay)
            attempt += 1

    # --- the engine -----------------------------------------------------------------------------------------------

    def resolve(self) -> Flow[Engine]:
        """
        Return the engine: its url and id, asked for once and remembered.

        :raises EngineNotFoundError: when the gateway knows no engine of this key.
        """
        if self.engine is None:
            self.engine = yield from self._handshake()
        return self.engine

    def _handshake(self) -> Flow[Engine]:
        request = endpoints.engine_info(self.engine_key)
        try:
            reply = yield from self.send(request)
        except AccessDeniedError:
            raise
        except RequestRejectedError as error:
            text = (
                f"{str(error).removesuffix('.')}. Is there an engine of key {self.engine_key!r}, and does the "
                "connection's host lead to FlowEngine's gateway?"
            )
            if error.http_status == 404 and error.status is None:
                # Not FlowEngine's own answer: a gateway says so too while what stands behind it restarts.
                raise EngineNotRunningError(text, request=request, taken=False, http_status=404) from error
            raise EngineNotFoundError(text) from error
        url = reply.engine_url()
        if url is None:
            raise EngineNotFoundError(
                f"FlowEngine knows no engine of key {self.engine_key!r}: its answer names no url "
                f"({reply.unexpected('a url', reply.payload).excerpt})"
            )
        generation = self.settings.generation
        reply = yield from self.send(endpoints.engine_param(self.engine_key, url, generation))
        return Engine(self.engine_key, url, reply.engine_id(), generation)

    def call(self, build: Callable[[Engine], Request]) -> Flow[Reply]:
        """
        Send a request to the engine; if the engine has moved meanwhile, to its new address.

        :param build: builds the request for an engine.
        :return: the answer.
        """
        engine = yield from self.resolve()
        request = build(engine)
        try:
            return (yield from self.send(request))
        except (RequestRejectedError, ServiceUnavailableError) as error:
            harmless = request.idempotent or error.http_status == 404  # which was surely not processed
            if error.http_status not in ENGINE_RELOCATED_STATUSES or not harmless:
                raise
            try:
                self.engine = yield from self._handshake()
            except FlowEngineError as reason:
                log.info("The engine could not be resolved again: %s", reason)
                raise error from None
            if self.engine == engine:
                raise
            log.warning("Engine %s has moved from %s to %s.", engine.key, engine.url, self.engine.url)
            return (yield from self.send(build(self.engine)))

    # --- pipelines ------------------------------------------------------------------------------------------------

    def list_pipelines(self) -> Flow[list[Pipeline]]:
        """05: return the engine's pipelines."""
        reply = yield from self.call(endpoints.list_pipelines)
        return [reply.pipeline(row) for row in reply.rows()]

    def get_pipeline(self, pipeline_id: Identifier) -> Flow[Pipeline]:
        """
        06: return one whole pipeline.

        :raises PipelineNotFoundError: when the engine has none of this id.
        """
        reason: FlowEngineError
        try:
            reply = yield from self.call(lambda engine: endpoints.get_pipeline(engine, pipeline_id))
            if isinstance(reply.data, dict):
                return reply.pipeline(reply.data)
            reason = reply.unexpected("a pipeline's object in data", reply.payload)
        except AccessDeniedError:
            raise
        except RequestRejectedError as error:
            reason = error
        pipelines = yield from self.list_pipelines()
        if any(pipeline.id == pipeline_id for pipeline in pipelines):
            raise reason
        raise PipelineNotFoundError(
            f"Engine {self.engine_key!r} has no pipeline {pipeline_id}; "
            f"{known('pipelines', map(_name_pipeline, pipelines))}"
        ) from reason

    def find_pipeline(self, *, key: str | None = None, name: str | None = None) -> Flow[Pipeline]:
        """
        Return the pipeline of this key or name.

        :raises PipelineNotFoundError: when there is none, or when several have this name.
        """
        field, wanted = ("key", key) if key else ("name", name)
        pipelines = yield from self.list_pipelines()
        found = [pipeline for pipeline in pipelines if getattr(pipeline, field) == wanted]
        if len(found) == 1:
            return found[0]
        if found:
            raise PipelineNotFoundError(
                f"{len(found)} pipelines of engine {self.engine_key!r} have the {field} {wanted!r}: "
                f"{', '.join(map(_name_pipeline, found))}. Name it by pipeline_id"
            )
        raise PipelineNotFoundError(
            f"Engine {self.engine_key!r} has no pipeline of {field} {wanted!r}; "
            f"{known('pipelines', map(_name_pipeline, pipelines))}"
        )

    def create_pipeline(self, pipeline: JsonObject) -> Flow[Pipeline]:
        """03: create a pipeline and return it as FlowEngine made it."""
        reply = yield from self.call(lambda engine: endpoints.create_pipeline(engine, pipeline))
        created = identifier(reply.data)  # text may also be a word such as "success"
        return Pipeline(created) if isinstance(created, int) else reply.pipeline(reply.data)

    def update_pipeline(self, pipeline: JsonObject) -> Flow[None]:
        """07: write a whole pipeline object back."""
        yield from self.call(lambda engine: endpoints.update_pipeline(engine, pipeline))

    def set_schedule(self, pipeline_id: Identifier, enabled: bool) -> Flow[None]:
        """08: turn the pipeline's own schedule on or off."""
        yield from self.call(lambda engine: endpoints.set_schedule(engine, pipeline_id, enabled))

    def upload_file(self, path: Path, target: Identifier = 1) -> Flow[Json]:
        """
        04: upload a file, and return what the server answers in ``data``.

        :raises ConfigurationError: when there is no such file, before anything is sent.
        """
        if not path.is_file():
            kind = "is a directory" if path.is_dir() else "does not exist" if not path.exists() else "is no plain file"
            raise ConfigurationError(f"path: {str(path)!r} {kind}; name one file to upload")
        try:
            path.open("rb").close()
        except OSError as error:
            raise ConfigurationError(f"path: {str(path)!r} can't be read: {error.strerror}") from error
        return (yield from self.call(lambda engine: endpoints.upload_file(engine, path, target))).data

    # --- runs -----------------------------------------------------------------------------------------------------

    def list_runs(
        self,
        pipeline_id: Identifier,
        page: int = 1,
        size: int = 20,
        *,
        seen: Mapping[Identifier, PipelineRun] | None = None,
    ) -> Flow[HistoryPage]:
        """
        10: return one page of a pipeline's run history, in the server's order.

        :param pipeline_id: the pipeline.
        :param page: which page, counted from 1.
        :param size: how many runs a page holds.
        :param seen: runs of an earlier look, by id: a row that is as it was then needn't be read again.
        """
        reply = yield from self.call(lambda engine: endpoints.list_runs(engine, pipeline_id, page, size))

        def parse(row: JsonObject) -> PipelineRun:
            run_id = identifier(row.get("id"))
            before = seen.get(run_id) if seen and run_id is not None else None
            return before if before and before.content == row else reply.run(row, pipeline_id)

        return HistoryPage(tuple(map(parse, reply.rows())), reply.total(), reply.server_time)

    def read_run(self, pipeline_id: Identifier, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run with its nodes by the one-run call, best effort: None where the call is missing or odd."""
        engine = yield from self.resolve()
        try:
            reply = yield from self.send(endpoints.get_run(engine, run_id))
            data = reply.data
            if not isinstance(data, dict):
                return None
            owner = identifier(data.get("pipelineId"))
            if pipeline_id and owner not in (None, pipeline_id):
                return None  # another pipeline's
            run = reply.run(data, pipeline_id or owner or "")
        except ServiceUnavailableError:
            raise
        except FlowEngineError as error:
            log.debug("No details of run %s: %s", run_id, error)
            return None
        # Without a status it isn't a run: where the call is missing, its path may be that of a pipeline.
        return run if run.id == run_id and run.status else None


def _may_resend(request: Request, error: ServiceUnavailableError) -> bool:
    no_answer_came = error.http_status is None
    return error.taken is False or (request.idempotent and (no_answer_came or error.http_status in RETRYABLE_STATUSES))


@lru_cache(maxsize=4096)
def _address(gateway: str, path: str, query: tuple[tuple[str, str | int], ...]) -> str:
    """Put an address together; remembered, since polls ask for the same ones again and again."""
    return _ascii(f"{gateway}{path}?{urlencode(query)}" if query else f"{gateway}{path}")


def _ascii(url: str) -> str:
    """Escape what no address may hold, and leave what is escaped already: transports would each do so in their way."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~")


def _redirected(url: str, response: Response) -> str | None:
    """Return where an answer leads to, where that is on the same host and no less safe: credentials go there too."""
    if response.status not in REDIRECT_STATUSES or not response.headers.get("location"):
        return None
    try:
        target = _ascii(urljoin(url, response.headers["location"]))
        here, there = urlsplit(url), urlsplit(target)
    except ValueError:
        return None
    safe = there.hostname == here.hostname and there.scheme in (here.scheme, "https") and "@" not in there.netloc
    return target if safe and target != url else None


def _name_pipeline(pipeline: Pipeline) -> str:
    return f"{pipeline.id} ({pipeline.name or pipeline.key or 'no name'})"
