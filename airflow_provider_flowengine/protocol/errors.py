"""
Everything that can go wrong with FlowEngine, as one tree that a retry policy can choose by.

::

    FlowEngineError
    ├── ConfigurationError            the connection or an argument is wrong; nothing was sent       (a mistake)
    ├── ServiceUnavailableError       no usable answer: network, TLS, time-out, gateway              (transient)
    ├── UnexpectedResponseError       an answer that cannot be parsed                      (transient, or a mistake)
    ├── RequestRejectedError          FlowEngine rejected it, by its envelope or 4xx                 (a mistake)
    │   └── AccessDeniedError         ... because of who asks: user id, access key
    ├── NotFoundError                 what was asked for does not exist                              (a mistake)
    │   ├── EngineNotFoundError
    │   │   └── EngineNotRunningError ... also a ServiceUnavailableError: it may be restarting
    │   ├── PipelineNotFoundError
    │   ├── NodeNotFoundError
    │   └── RunNotFoundError
    ├── StartUnconfirmedError         it cannot be known yet whether a start was taken      (poll, then start)
    ├── PipelineExistsError           a pipeline of this key or name exists already                  (a mistake)
    ├── TaskInterruptedError          the task ended before its run; the log says what became of it (reconnect)
    ├── AmbiguousRunError             several runs could be the one that was started            (the user decides)
    └── RunError                      the run itself
        ├── RunFailedError            it ended in failure
        ├── RunStoppedError           it was stopped
        ├── RunLostError              it cannot be followed any more: vanished, or an unrecognized status
        └── RunTimeoutError           it took longer than it may
            └── StatusUnavailableError  no usable answer about it for longer than ``unreachable_timeout``

Each carries its data as attributes, so code never has to read a message. Messages say what happened, to which
call, pipeline and run, what FlowEngine said (as it wrote it), and what to do.
"""

from __future__ import annotations

import difflib
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_flowengine.protocol.http import Request
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun


class FlowEngineError(Exception):
    """The root of all errors of this package."""

    may_have_been_processed: bool = True
    """Whether the server may have processed the request that failed; False if it surely did not."""

    retry_after: float | None = None
    """Seconds that the server asked to wait before the next try, or None."""


class ConfigurationError(FlowEngineError, ValueError):
    """The connection or an argument can't be right; nothing was sent."""


@dataclass(eq=False, repr=False)
class ServiceUnavailableError(FlowEngineError):
    """
    FlowEngine gave no usable answer.

    :param message: what happened.
    :param request: the request that had no answer.
    :param may_have_been_processed: False if the server surely did not process the request: no connection was made, or
        what answered was not FlowEngine. Default True.
    :param retry_after: seconds that the server asked to wait before the next try, or None.
    :param http_status: the HTTP status, where there was an answer at all.
    """

    message: str
    _: KW_ONLY
    request: Request | None = None
    may_have_been_processed: bool = True
    retry_after: float | None = None
    http_status: int | None = None


@dataclass(eq=False, repr=False)
class UnexpectedResponseError(FlowEngineError):
    """
    FlowEngine, or something in front of it, gave an answer that was not expected.

    :param message: what was expected and what came.
    :param request: the request that was answered so.
    :param http_status: the HTTP status of the answer.
    :param excerpt: the first 500 characters of the answer, secrets masked.
    """

    message: str
    _: KW_ONLY
    request: Request | None = None
    http_status: int | None = None
    excerpt: str = ""


@dataclass(eq=False, repr=False)
class RequestRejectedError(FlowEngineError):
    """
    FlowEngine read the request and rejected it.

    :param message: the call, and FlowEngine's reason as it wrote it.
    :param request: the request that was refused.
    :param status: the envelope's ``status``, or None when the refusal was HTTP's own.
    :param msg: the envelope's ``msg``, as FlowEngine wrote it.
    :param http_status: the HTTP status of the answer.
    :param may_have_been_processed: True if the answer is no JSON: it may be a proxy's own, after FlowEngine has
        processed the request. Default False.
    """

    message: str
    _: KW_ONLY
    request: Request | None = None
    status: int | str | None = None
    msg: str = ""
    http_status: int | None = None
    may_have_been_processed: bool = False


class AccessDeniedError(RequestRejectedError):
    """FlowEngine, or the gateway, refuses this user or access key (HTTP 401 or 403)."""


class NotFoundError(FlowEngineError):
    """What was asked for isn't there."""


class EngineNotFoundError(NotFoundError):
    """No engine has this key."""


class EngineNotRunningError(ServiceUnavailableError, EngineNotFoundError):
    """The gateway knows no way to the engine: there is none of this key, or it is restarting; worth another try."""


class PipelineNotFoundError(NotFoundError):
    """The engine has no such pipeline, or more than one of this name."""


class NodeNotFoundError(NotFoundError):
    """Job params name a node, or a key of a node, that the pipeline doesn't have."""


class RunNotFoundError(NotFoundError):
    """The pipeline's history has no such run."""


class PipelineExistsError(FlowEngineError):
    """The engine has a pipeline of this key or name already."""


class PipelineBusyError(FlowEngineError):
    """
    A run of the pipeline is already running, and the task says to fail then.

    :param message: which run, and why that fails the task.
    :param runs: the running ones, newest first.
    """

    def __init__(self, message: str, *, runs: Sequence[PipelineRun]) -> None:
        super().__init__(message)
        self.runs = tuple(runs)


class TaskInterruptedError(FlowEngineError):
    """The task was ended before its run: by the user, and then the run was stopped, or by its worker's shutdown."""


class StartUnconfirmedError(FlowEngineError):
    """
    A start was sent, and it cannot be determined yet whether FlowEngine processed it.

    The pipeline is not started again for that: a slow server may still do it. The task's next try searches for its run
    first, if Airflow keeps the task's state (3.3 and later, ``durable`` on).

    :param message: what happened and what to do.
    :param pipeline_id: the pipeline that was started.
    """

    def __init__(self, message: str, *, pipeline_id: Identifier) -> None:
        super().__init__(message)
        self.pipeline_id = pipeline_id


class AmbiguousRunError(FlowEngineError):
    """
    Several runs could be the one that was started, and a guess could stop or follow another user's.

    :param message: what happened and what to do.
    :param pipeline_id: the pipeline.
    :param candidates: the runs that it could be.
    """

    def __init__(self, message: str, *, pipeline_id: Identifier, candidates: Sequence[PipelineRun]) -> None:
        super().__init__(message)
        self.pipeline_id = pipeline_id
        self.candidates = tuple(candidates)


class RunError(FlowEngineError):
    """
    A run didn't come to a good end.

    Its text is the message, then what became of the run, then the address of the run's page.

    :param message: what happened to which run, and what FlowEngine tells of it.
    :param run: the run as it was last seen, or None when it never was.
    :param run_url: the address of the run's page, or empty.
    """

    def __init__(self, message: str, *, run: PipelineRun | None = None, run_url: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.run = run
        self.run_url = run_url
        self.aftermath = ""
        """What the task did about the run thereafter, as a sentence."""

    def __str__(self) -> str:
        """Return the whole text."""
        return with_page(self.message, self.run_url, self.aftermath)


class RunFailedError(RunError):
    """The run ended in failure."""


class RunStoppedError(RunError):
    """The run was stopped, by whomever."""


class RunLostError(RunError):
    """
    The run can't be followed any more: it vanished from the history, or its status says nothing known.

    :param gone: whether the history doesn't hold it, so that there is nothing to reconnect to.
    """

    def __init__(self, message: str, *, run: PipelineRun | None = None, run_url: str = "", gone: bool = False) -> None:
        super().__init__(message, run=run, run_url=run_url)
        self.gone = gone


class RunTimeoutError(RunError):
    """The run took longer than the task allows."""


class StatusUnavailableError(RunTimeoutError):
    """FlowEngine gave no usable answer for longer than ``unreachable_timeout``; the run may still be running."""


def run_not_found(pipeline_id: Identifier, run_id: Identifier) -> RunNotFoundError:
    """Return the error about a run that its pipeline's history doesn't show."""
    return RunNotFoundError(
        f"The history of pipeline {pipeline_id} has no run {run_id}: it was pruned, or belongs to another pipeline"
    )


def with_page(message: str, run_url: str, aftermath: str = "") -> str:
    """
    Return the text of an error about a run.

    :param message: what happened.
    :param run_url: the address of the run's page, or empty.
    :param aftermath: what the task did about the run, as a sentence, or empty.
    """
    return " ".join(part for part in (message, aftermath, f"See {run_url}" if run_url else "") if part)


def sentence(text: object) -> str:
    """Begin a sentence with a text, whose other letters stay as they are: ids are among them."""
    return str(text)[:1].upper() + str(text)[1:]


def known(kind: str, names: Iterable[object], limit: int = 20, *, wanted: object = None) -> str:
    """
    Say which names there are, for an error about one that there isn't.

    :param kind: what they name, in the plural, e.g. ``"nodes"``.
    :param names: the names.
    :param limit: how many are listed at most, default 20.
    :param wanted: the name that there isn't, to suggest the one that was likely meant.
    :return: e.g. ``"did you mean 'train'? nodes there are: start_node, train"``.
    """
    listed = [str(name) for name in names]
    if not listed:
        return f"there are no {kind}"
    more = f", and {len(listed) - limit} more" if len(listed) > limit else ""
    likely = "" if wanted is None else closest(wanted, listed)
    return f"{likely}{kind} there are: {', '.join(listed[:limit])}{more}"


def closest(wanted: object, names: Iterable[object]) -> str:
    """
    Suggest the name that was likely meant, for an error about one that there isn't.

    :param wanted: the name that there isn't.
    :param names: the names that there are.
    :return: e.g. ``"did you mean 'train'? "``; empty if none is close.
    """
    likely = difflib.get_close_matches(str(wanted), map(str, names), n=1)
    return f"did you mean {likely[0]!r}? " if likely else ""
