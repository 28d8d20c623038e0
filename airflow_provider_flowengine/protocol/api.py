"""
One connection's API client of one engine: the handshake, the retries, and the calls.

The procedures that are built of them are in :mod:`.creating` (created at most once), :mod:`.history` (finding runs),
:mod:`.starting` (started exactly once), :mod:`.stopping` and :mod:`.waiting`.
"""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from airflow_provider_flowengine.protocol import endpoints, handshake
from airflow_provider_flowengine.protocol.arguments import check_file
from airflow_provider_flowengine.protocol.envelope import parse_envelope
from airflow_provider_flowengine.protocol.errors import (
    AccessDeniedError,
    ConfigurationError,
    EngineNotRunningError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY, Flow, Retry, Sleep
from airflow_provider_flowengine.protocol.http import MISSING_CALL_STATUSES, Request, Response, redirect_target
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import Engine, HistoryPage, Pipeline, PipelineRun
from airflow_provider_flowengine.protocol.pipeline_pages import Kind, Listing, read_pages
from airflow_provider_flowengine.protocol.pipelines import choose, not_found
from airflow_provider_flowengine.protocol.reply import Reply
from airflow_provider_flowengine.protocol.resending import is_engine_absent, may_have_moved, may_resend

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime, timezone
    from pathlib import Path

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

_MAX_REDIRECTS = 3
_MAX_MOVES = 3
_ENGINE_PAUSES = Retry(first_delay=0.5, max_delay=5.0)


@dataclass
class Api:
    """
    One connection's API client of one engine.

    :param settings: the connection.
    :param engine_key: the engine; default the connection's.
    :param engine: the engine, if it is resolved already.
    :param address: its ``url`` and ``id``, if another process has resolved it.
    :param retry: how requests are sent again.
    :param now: tells the time, in seconds since the epoch.
    :param offset: the offset of times without a zone, if it has been found out.
    :param server_time: what the server's clock said in its last answer; None if it didn't say.
    :raises ConfigurationError: if no engine key is given anywhere.
    """

    settings: Settings
    engine_key: str = ""
    engine: Engine | None = None
    address: tuple[str, Identifier] | None = None
    retry: Retry = field(default_factory=Retry)
    now: Callable[[], float] = time.time
    offset: timezone | None = None
    server_time: datetime | None = None

    def __post_init__(self) -> None:
        self.engine_key = self.engine_key or self.settings.engine_key
        if not self.engine_key:
            raise ConfigurationError(
                f"No engine_key: set it in the extra of {self.settings.source}, or give engine_key to the hook, "
                "operator or sensor"
            )

    def without_retries(self, timeout: float) -> Api:
        """Return the same client with requests that are sent once and may take ``timeout`` seconds at most."""
        settings = replace(self.settings, timeout=min(timeout, self.settings.timeout))
        return replace(self, settings=settings, retry=NO_RETRY)

    # --- one request ----------------------------------------------------------------------------------------------

    def send_once(self, request: Request) -> Flow[Response]:
        """Send a prepared request once; redirects are followed for reads, and on the same host only."""
        for redirects in range(_MAX_REDIRECTS + 1):
            response = cast("Response", (yield request))
            may_follow = request.method == "GET" and redirects < _MAX_REDIRECTS
            target = redirect_target(request.url, response) if may_follow else None
            if target is None:
                break
            request = replace(request, url=target)
        self.server_time = response.server_time
        return response

    def send(self, request: Request, sending: Callable[[], AbstractContextManager[None]] = nullcontext) -> Flow[Reply]:
        """
        Send a request, again if that does no harm, and return the good answer.

        A request that is not idempotent is sent again only if the server surely did not process it.

        :param request: the request.
        :param sending: returns the context in which it is sent each time: what entering it raises prevents that, and it
            sees the error that comes of it.
        :raises EngineNotRunningError: at once if the engine isn't there; :meth:`call` waits for it.
        """
        request = self.settings.prepare(request)
        attempt = 1
        while True:
            try:
                with sending():
                    response = yield from self.send_once(request)
                    return self._parse(request, response)
            except EngineNotRunningError:
                raise
            except ServiceUnavailableError as error:
                if attempt >= self.retry.attempts or not may_resend(request, error):
                    raise
                delay = self.retry.delay(attempt, error.retry_after)
                log.warning("%s Trying again in %.1f s.", error, delay)
            yield Sleep(delay)
            attempt += 1

    def _parse(self, request: Request, response: Response) -> Reply:
        if is_engine_absent(request, response):
            raise EngineNotRunningError(
                f"Engine {self.engine_key!r} isn't there (stopped or restarting?): could not {request.name}; it was "
                "not processed. Start the engine in FlowEngine, or raise engine_patience "
                f"({self.settings.engine_patience:g} s) in {self.settings.source}. The gateway answered "
                f"{request.method} {request.path} in its place, by HTTP {response.status} and a page",
                request=request,
                may_have_been_processed=False,
                http_status=response.status,
            )
        return Reply(request, self.settings, parse_envelope(request, response), response.server_time, self.offset)

    # --- the engine -----------------------------------------------------------------------------------------------

    def resolve(self) -> Flow[Engine]:
        """
        Return the engine: its url, id and dialect, asked for once and remembered; wait for it while it isn't there.

        :raises EngineNotFoundError: if the gateway knows no engine of this key.
        :raises EngineNotRunningError: if it isn't there for longer than the connection's ``engine_patience``.
        :raises ConfigurationError: if it speaks another generation's API than the connection says.
        """
        since, attempt = self.now(), 0
        while self.engine is None:
            attempt += 1
            try:
                self.engine = yield from self._handshake()
            except EngineNotRunningError as error:
                yield from self._wait_for_engine(error, attempt, since)
        return self.engine

    def _handshake(self) -> Flow[Engine]:
        if self.address is None:
            url = yield from handshake.locate(self.send, self.engine_key)
        elif len(self.settings.versions) == 1:
            return Engine(self.engine_key, *self.address, self.settings.versions[0])
        else:
            url = self.address[0]
        return (yield from handshake.identify(self.send, self.settings, self.engine_key, url))

    def _resolve_again(self, engine: Engine) -> Flow[Engine]:
        """Return where the engine is now; if that can't be learned, where it was."""
        self.address = None
        try:
            self.engine = yield from self._handshake()
        except FlowEngineError as reason:
            log.debug("The engine could not be resolved again: %s", reason)
            return engine
        if self.engine != engine:
            log.warning("Engine %s has moved from %s to %s.", engine.key, engine.url, self.engine.url)
        return self.engine

    def _wait_for_engine(self, error: EngineNotRunningError, attempt: int, since: float) -> Flow[None]:
        """Let some time pass; raise the error if the engine's time is over, or if it is the gateway that is missing."""
        pause = _ENGINE_PAUSES.delay(attempt, error.retry_after)
        left = since + (self.settings.engine_patience if self.retry.attempts > 1 else 0.0) - self.now()
        is_wrong_host = error.request is not None and not error.request.is_for_engine
        if is_wrong_host or pause > left:
            raise error
        level = logging.WARNING if attempt == 1 else logging.DEBUG
        log.log(level, "Engine %s isn't there; waiting up to %.0f s for it.", self.engine_key, left)
        yield Sleep(pause)

    def call(
        self,
        build: Callable[[Engine], Request],
        sending: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Flow[Reply]:
        """
        Send a request to the engine: to its new address if it has moved, and again once it is there if it was away.

        :param build: builds the request for an engine.
        :param sending: as for :meth:`send`.
        :raises EngineNotRunningError: if the engine isn't there for longer than the connection's ``engine_patience``;
            the request was not processed.
        """
        engine = yield from self.resolve()
        since, attempt = 0.0, 0
        while True:
            request = build(engine)
            try:
                return (yield from self.send(request, sending))
            except ServiceUnavailableError as error:
                if not may_have_moved(request, error):
                    raise
                since, attempt = since or self.now(), attempt + 1
                previous, engine = engine, (yield from self._resolve_again(engine))
                if engine != previous and attempt <= _MAX_MOVES:
                    continue
                if not isinstance(error, EngineNotRunningError):
                    raise
                yield from self._wait_for_engine(error, attempt, since)

    # --- pipelines ------------------------------------------------------------------------------------------------

    def list_pipelines(self) -> Flow[list[Pipeline]]:
        """05: return the engine's pipelines, all pages of them."""
        listing = yield from self.read_listing()
        if listing.problem:
            log.warning(
                "Engine %s: only %d pipelines could be listed, and %s.",
                self.engine_key,
                len(listing.pipelines),
                listing.problem,
            )
        return list(listing.pipelines.values())

    def read_listing(self, key: str = "") -> Flow[Listing]:
        """
        05: return the engine's list of pipelines, with what is known of it.

        :param key: the ``pipelineKey`` that is looked for: the first page that shows it is enough; default none.
        """

        def fetch(page: int, size: int) -> Flow[Reply]:
            return self.call(lambda engine: endpoints.list_pipelines(engine, page, size))

        return (yield from read_pages(fetch, key))

    def get_pipeline(self, pipeline_id: Identifier) -> Flow[Pipeline]:
        """
        06: return one whole pipeline.

        :raises PipelineNotFoundError: if the engine has none of this id.
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
        raise not_found(pipelines, self.engine_key, pipeline_id) from reason

    def find_pipeline(self, *, key: str | None = None, name: str | None = None) -> Flow[Pipeline]:
        """
        Return the pipeline of this key or name; by key, the first page that shows one decides.

        :raises PipelineNotFoundError: if there is none, or if several have this name.
        :raises UnexpectedResponseError: if it cannot be determined, since the list is not whole.
        """
        kind: Kind = "key" if key else "name"
        listing = yield from self.read_listing(key or "")
        return choose(listing, self.engine_key, kind, str(key or name))

    def create_pipeline(self, pipeline: JsonObject) -> Flow[Pipeline]:
        """03: create a pipeline and return it as FlowEngine made it."""
        reply = yield from self.call(lambda engine: endpoints.create_pipeline(engine, pipeline))
        created = identifier(reply.data)  # text may also be a word such as "success"
        return Pipeline(created) if isinstance(created, int) else reply.pipeline(reply.data)

    def update_pipeline(self, pipeline: JsonObject) -> Flow[None]:
        """07: write a whole pipeline object back."""
        yield from self.call(lambda engine: endpoints.update_pipeline(engine, pipeline))

    def set_schedule(self, pipeline_id: Identifier, enabled: bool) -> Flow[None]:
        """08: turn the pipeline's own schedule on or off; by the root's other dialect if one has no such call."""
        engine = yield from self.resolve()
        versions = sorted(self.settings.versions, key=lambda version: version != engine.version)
        for version in versions:
            build = partial(endpoints.set_schedule, pipeline_id=pipeline_id, enabled=enabled, version=version)
            try:
                yield from self.call(build)
                return
            except RequestRejectedError as error:
                if error.http_status not in MISSING_CALL_STATUSES or version is versions[-1]:
                    raise

    def upload_file(self, path: Path, target: Identifier = 1) -> Flow[Json]:
        """
        04: upload a file, and return what the server answers in ``data``.

        :raises ConfigurationError: if there is no such file, before anything is sent.
        """
        check_file("path", path)
        return (yield from self.call(lambda engine: endpoints.upload_file(engine, path, target))).data

    # --- runs -----------------------------------------------------------------------------------------------------

    def list_runs(
        self,
        pipeline_id: Identifier,
        page: int = 1,
        size: int = 20,
        *,
        seen: Mapping[Identifier, PipelineRun] | None = None,
        wanted: Collection[Identifier] = (),
    ) -> Flow[HistoryPage]:
        """
        10: return one page of a pipeline's run history, in the server's order.

        :param pipeline_id: the pipeline.
        :param page: which page, counted from 1.
        :param size: how many runs a page holds.
        :param seen: runs of an earlier poll, by id: a row that is as it was then needn't be read again.
        :param wanted: runs that are enough: if the page shows them all, a row that can't be parsed is left out.
        :raises UnexpectedResponseError: if a row can't be parsed, which may be any run.
        """
        reply = yield from self.call(lambda engine: endpoints.list_runs(engine, pipeline_id, page, size))
        return HistoryPage(reply.runs(pipeline_id, seen=seen, wanted=wanted), reply.total(), reply.server_time)

    def read_run(self, pipeline_id: Identifier, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run with its nodes by the one-run call, best effort: None if the call is missing or odd."""
        engine = yield from self.resolve()
        try:
            run = (yield from self.send(endpoints.get_run(engine, run_id))).only_run(pipeline_id)
        except (RequestRejectedError, UnexpectedResponseError, EngineNotRunningError) as error:
            log.debug("No details of run %s: %s", run_id, error)
            return None
        return run if run and run.id == run_id else None
