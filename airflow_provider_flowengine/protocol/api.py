"""
Conversations with FlowEngine, as generators that yield requests and sleeps and are sent answers.

A flow is driven by :mod:`airflow_provider_flowengine.client` over requests or aiohttp, or in a test by a list of
answers and a fake clock; so it is written once, and sync and async never differ. :class:`Api` is one connection's view
of one engine: the handshake, the retries, and the calls. The procedures built of them stand in :mod:`.history`
(finding runs), :mod:`.starting` (started exactly once) and :mod:`.waiting`.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

from airflow_provider_flowengine.protocol import endpoints, envelope, models
from airflow_provider_flowengine.protocol.envelope import Response
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
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import (
    Engine,
    HistoryPage,
    JsonObject,
    Pipeline,
    PipelineRun,
)

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from airflow_provider_flowengine.protocol.endpoints import Call, Json
    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """
    A call made ready for the wire.

    :param call: the call it sends.
    :param url: the whole address, its query included.
    :param headers: the headers.
    :param timeout: seconds it may take to answer.
    """

    call: Call
    url: str
    headers: Mapping[str, str] = field(repr=False)
    timeout: float


@dataclass(frozen=True)
class Sleep:
    """Let so many seconds pass."""

    seconds: float


Flow = Generator[Request | Sleep, Response | None, T]


@dataclass(frozen=True)
class Finished(Generic[T]):
    """A flow's end, with what it returned."""

    value: T


def advance(flow: Flow[T], outcome: Response | ServiceUnavailableError | None) -> Request | Sleep | Finished[T]:
    """
    Take a flow one step further: all that a transport needs to know of flows.

    :param flow: the flow.
    :param outcome: what came of its last step: the answer to a request, the error instead of one, None for a sleep and
        for the very first step.
    :return: what to do next, or the flow's end.
    """
    try:
        return flow.throw(outcome) if isinstance(outcome, ServiceUnavailableError) else flow.send(outcome)
    except StopIteration as end:
        return Finished(end.value)


MAX_RETRY_AFTER = 300.0
"""Seconds that a server may ask to wait: what it asks beyond them is too long for a task that waits."""


@dataclass(frozen=True)
class Retry:
    """
    How often, and after which pauses, a call is sent again.

    :param attempts: how often it is sent at most, default 5.
    :param first_delay: seconds before the second time, doubled for each further one, default 0.5.
    :param longest_delay: no pause of our own is longer, in seconds, default 30; what a server asks for by
        ``Retry-After`` is obeyed up to :data:`MAX_RETRY_AFTER`.
    :param jitter: by which part a pause may be longer, so that many clients don't come back at once, default 0.25.
    """

    attempts: int = 5
    first_delay: float = 0.5
    longest_delay: float = 30.0
    jitter: float = 0.25

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to pause after so many attempts, at least what the server asked for."""
        doubled = min(self.first_delay * 2.0 ** min(attempt - 1, 32), self.longest_delay)
        return max(doubled, min(retry_after or 0.0, MAX_RETRY_AFTER)) * (1 + random.uniform(0, self.jitter))


NO_RETRY = Retry(attempts=1)
"""Send a call once and let the caller decide: while waiting, the next poll is the retry."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_MOVED = (404, 502, 503)
"""What a gateway answers for an engine that isn't there any more. Source: inference, from how traefik answers."""
_WORTH_RETRYING = (None, 408, 425, 429, 502, 503, 504)


@dataclass
class Api:
    """
    One connection's view of one engine.

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
    retry: Retry = Retry()
    now: Callable[[], float] = time.time
    _date: str = ""  # the last answer's

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
        return envelope.parse_date(self._date)

    # --- one call -------------------------------------------------------------------------------------------------

    def request(self, call: Call) -> Request:
        """Make a call ready for the wire."""
        return Request(
            call=call,
            url=_address(self.settings.fl_url, call.path, tuple(call.query.items())),
            headers=self.settings.headers,
            timeout=self.settings.timeout,
        )

    def _guarded(self, call: Call) -> Call:
        """Let no secret of the connection be quoted in an error about this call."""
        return call if call.redact == self.settings.redact else replace(call, redact=self.settings.redact)

    def answer(self, call: Call) -> Flow[Response]:
        """Send a call once; redirects are followed for reads, and on the same host only."""
        request = self.request(call)
        for _ in range(_MOST_REDIRECTS):
            answer = cast("Response", (yield request))
            target = _redirected(request.url, answer) if call.method == "GET" else None
            if target is None:
                break
            request = replace(request, url=target)
        else:
            answer = cast("Response", (yield request))
        self._date = answer.headers.get("date", "")
        return answer

    def send(
        self, call: Call, before: Callable[[], None] = lambda: None, on_not_processed: Callable[[], None] = lambda: None
    ) -> Flow[JsonObject]:
        """
        Send a call, again where that does no harm, and return the good answer's whole object.

        A call that is not repeatable is sent again only when the server surely didn't take it.

        :param call: the call.
        :param before: is called each time before it is sent; what it raises prevents that.
        :param on_not_processed: is called each time the server surely did not process it, before a retry or an error.
        """
        call = self._guarded(call)
        attempt = 1
        while True:
            before()
            try:
                answer = yield from self.answer(call)
                return envelope.read(call, answer)
            except RequestRejectedError:
                on_not_processed()
                raise
            except ServiceUnavailableError as error:
                if error.taken is False:
                    on_not_processed()
                again = error.taken is False or (call.idempotent and error.http_status in _WORTH_RETRYING)
                if not again or attempt >= self.retry.attempts:
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
        call = self._guarded(endpoints.engine_info(self.engine_key))
        try:
            whole = yield from self.send(call)
        except AccessDeniedError:
            raise
        except RequestRejectedError as error:
            text = (
                f"{str(error).removesuffix('.')}. Is there an engine of key {self.engine_key!r}, and does the "
                "connection's host lead to FlowEngine's gateway?"
            )
            if error.http_status == 404 and error.status is None:
                # Not FlowEngine's own answer: a gateway says so too while what stands behind it restarts.
                raise EngineNotRunningError(text, call=call, taken=False, http_status=404) from error
            raise EngineNotFoundError(text) from error
        url = models.parse_engine_url(call, whole, self.settings.fl_url)
        if url is None:
            raise EngineNotFoundError(
                f"FlowEngine knows no engine of key {self.engine_key!r}: its answer names no url "
                f"({envelope.unexpected_response(call, 'a url', whole).excerpt})"
            )
        generation = self.settings.generation
        call = self._guarded(endpoints.engine_param(self.engine_key, url, generation))
        whole = yield from self.send(call)
        return Engine(self.engine_key, url, models.parse_engine_id(call, whole), generation)

    def call(self, build: Callable[[Engine], Call]) -> Flow[tuple[Call, JsonObject]]:
        """
        Send a call to the engine; where the engine has moved meanwhile, to its new address.

        :param build: makes the call for an engine.
        :return: the call that was sent, and the whole object that answered it.
        """
        engine = yield from self.resolve()
        call = self._guarded(build(engine))
        try:
            return call, (yield from self.send(call))
        except (RequestRejectedError, ServiceUnavailableError) as error:
            harmless = call.idempotent or error.http_status == 404  # which nobody has taken
            if error.http_status not in _MOVED or not harmless:
                raise
            try:
                self.engine = yield from self._handshake()
            except FlowEngineError as trouble:
                log.info("The engine could not be resolved again: %s", trouble)
                raise error from None
            if self.engine == engine:
                raise
            log.warning("Engine %s has moved from %s to %s.", engine.key, engine.url, self.engine.url)
            call = self._guarded(build(self.engine))
            return call, (yield from self.send(call))

    # --- pipelines ------------------------------------------------------------------------------------------------

    def list_pipelines(self) -> Flow[list[Pipeline]]:
        """05: return the engine's pipelines."""
        call, whole = yield from self.call(endpoints.list_pipelines)
        rows, _ = models.parse_list(call, whole)
        return [models.parse_pipeline(call, row) for row in rows]

    def get_pipeline(self, pipeline_id: Identifier) -> Flow[Pipeline]:
        """
        06: return one whole pipeline.

        :raises PipelineNotFoundError: when the engine has none of this id.
        """
        trouble: FlowEngineError
        try:
            call, whole = yield from self.call(lambda engine: endpoints.get_pipeline(engine, pipeline_id))
            if isinstance(whole.get("data"), dict):
                return models.parse_pipeline(call, whole["data"])
            trouble = envelope.unexpected_response(call, "a pipeline's object in data", whole)
        except AccessDeniedError:
            raise
        except RequestRejectedError as error:
            trouble = error
        pipelines = yield from self.list_pipelines()
        if any(pipeline.id == pipeline_id for pipeline in pipelines):
            raise trouble
        raise PipelineNotFoundError(
            f"Engine {self.engine_key!r} has no pipeline {pipeline_id}; "
            f"{known('pipelines', map(_name_pipeline, pipelines))}"
        ) from trouble

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
        call, whole = yield from self.call(lambda engine: endpoints.create_pipeline(engine, pipeline))
        data = whole.get("data")
        made = identifier(data)  # text may also be a word such as "success"
        return Pipeline(made) if isinstance(made, int) else models.parse_pipeline(call, data)

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
        _, whole = yield from self.call(lambda engine: endpoints.upload_file(engine, path, target))
        return whole.get("data")

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
        call, whole = yield from self.call(lambda engine: endpoints.list_runs(engine, pipeline_id, page, size))
        rows, total = models.parse_list(call, whole)
        words, zone = self.settings.words, self.settings.timezone

        def read(row: JsonObject) -> PipelineRun:
            run_id = identifier(row.get("id"))
            before = seen.get(run_id) if seen and run_id is not None else None
            if before and before.content == row:
                return before
            return models.read_run(call, row, pipeline_id, words, zone)

        return HistoryPage(tuple(map(read, rows)), total)

    def read_run(self, pipeline_id: Identifier, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run with its nodes by the one-run call, best effort: None where the call is missing or odd."""
        engine = yield from self.resolve()
        call = self._guarded(endpoints.get_run(engine, run_id))
        try:
            whole = yield from self.send(call)
            data = whole.get("data")
            if not isinstance(data, dict):
                return None
            settings, whose = self.settings, identifier(data.get("pipelineId"))
            if pipeline_id and whose not in (None, pipeline_id):
                return None  # another pipeline's
            run = models.read_run(call, data, pipeline_id or whose or "", settings.words, settings.timezone)
        except ServiceUnavailableError:
            raise
        except FlowEngineError as error:
            log.debug("No details of run %s: %s", run_id, error)
            return None
        # Without a status it isn't a run: where the call is missing, its path may be that of a pipeline.
        return run if run.id == run_id and run.status else None


@lru_cache(maxsize=4096)
def _address(gateway: str, path: str, query: tuple[tuple[str, str | int], ...]) -> str:
    """Put an address together; remembered, since polls ask for the same ones again and again."""
    return _ascii(f"{gateway}{path}?{urlencode(query)}" if query else f"{gateway}{path}")


def _ascii(url: str) -> str:
    """Escape what no address may hold, and leave what is escaped already: transports would each do so in their way."""
    return quote(url, safe="%/:?#[]@!$&'()*+,;=~")


def _redirected(url: str, answer: Response) -> str | None:
    """Return where an answer leads to, where that is on the same host and no less safe: credentials go there too."""
    if answer.status not in _REDIRECTS or not answer.headers.get("location"):
        return None
    try:
        target = _ascii(urljoin(url, answer.headers["location"]))
        here, there = urlsplit(url), urlsplit(target)
    except ValueError:
        return None
    safe = there.hostname == here.hostname and there.scheme in (here.scheme, "https") and "@" not in there.netloc
    return target if safe and target != url else None


def _name_pipeline(pipeline: Pipeline) -> str:
    return f"{pipeline.id} ({pipeline.name or pipeline.key or 'no name'})"
