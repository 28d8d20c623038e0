"""
Creating a pipeline at most once.

Creating is not idempotent, its answer may be lost, and no source says whether FlowEngine refuses a second pipeline of
one key. So the list is read right before the request; the request is sent once; if its answer is lost, the list says
whether it was processed; and the list is read once more, since two that create at the same time don't see each other.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import (
    PipelineExistsError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import Sleep

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline
    from airflow_provider_flowengine.protocol.pipeline_pages import Kind, Listing

log = logging.getLogger(__name__)

CONFIRMATION_DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each time that the list is read after a lost answer: a slow server may still process the request."""


@dataclass(frozen=True)
class Created:
    """
    What came of a request to create a pipeline.

    :param pipeline: the pipeline of this key or name.
    :param is_new: whether it was created now; false if it existed before, and nothing was sent.
    :param is_confirmed: whether FlowEngine's answer says so; false if the answer was lost and the list shows one.
    """

    pipeline: Pipeline
    is_new: bool
    is_confirmed: bool = True


def only_match(listing: Listing, engine_key: str, *, key: str, name: str) -> Pipeline | None:
    """
    Return the pipeline of a key, or of a name if there is no key; None if there is none.

    :param listing: the list of pipelines, read far enough.
    :param engine_key: the engine, for errors.
    :param key: the ``pipelineKey``.
    :param name: the name.
    :raises PipelineExistsError: if there are several, so that nothing tells which is meant.
    :raises UnexpectedResponseError: if it cannot be determined, since the list is not whole.
    """
    kind: Kind = "key" if key else "name"
    wanted = key or name
    matches = listing.all_matches(kind, wanted) if wanted else []
    if len(matches) > 1:
        ids = ", ".join(str(pipeline.id) for pipeline in matches)
        raise PipelineExistsError(
            f"{len(matches)} pipelines of engine {engine_key!r} have the {kind} {wanted!r} already: {ids}; nothing "
            "tells which is meant. Delete one in FlowEngine, or give another pipelineKey"
        )
    return matches[0] if matches else None


def find_existing(api: Api, *, key: str, name: str) -> Flow[Pipeline | None]:
    """
    Return the engine's pipeline of a key, or of a name if there is no key; None if there is none.

    :param api: the engine.
    :param key: the ``pipelineKey``.
    :param name: the name.
    :raises PipelineExistsError: if there are several, so that nothing tells which is meant.
    :raises UnexpectedResponseError: if it cannot be determined, since the list is not whole.
    """
    listing = yield from api.read_listing(key)
    return only_match(listing, api.engine_key, key=key, name=name)


def create_once(api: Api, content: JsonObject, *, key: str, name: str) -> Flow[Created]:
    """
    Create a pipeline unless the engine has one of its key, or of its name if it has no key.

    :param api: the engine.
    :param content: the whole pipeline object.
    :param key: its ``pipelineKey``.
    :param name: its name.
    :return: the pipeline, and whether it is new.
    :raises PipelineExistsError: if there are several of this key or name, before or after.
    :raises ServiceUnavailableError: if it was not created, or this cannot be determined. The request is not sent
        again: whoever tries again reads the list first.
    """
    existing = yield from find_existing(api, key=key, name=name)
    if existing is not None:
        return Created(existing, is_new=False)
    try:
        created = Created((yield from api.create_pipeline(content)), is_new=True)
    except (ServiceUnavailableError, UnexpectedResponseError) as error:
        if not error.may_have_been_processed:
            raise
        pipeline = yield from _find_lost(api, key=key, name=name)
        if pipeline is None:
            log.warning("It cannot be determined whether the pipeline was created: no list of the engine shows it yet.")
            raise
        log.warning("%s But pipeline %s is there now.", error, pipeline.id)
        return Created(pipeline, is_new=True, is_confirmed=False)
    yield from _check_only_one(api, key=key, name=name)
    return created


def _find_lost(api: Api, *, key: str, name: str) -> Flow[Pipeline | None]:
    """Return the pipeline that a request whose answer was lost has created, once a list shows it."""
    for delay in CONFIRMATION_DELAYS:
        try:
            found = yield from find_existing(api, key=key, name=name)
        except (ServiceUnavailableError, UnexpectedResponseError) as error:
            log.debug("The pipeline could not be looked for: %s", error)
            found = None
        if found is not None:
            return found
        yield Sleep(delay)
    return (yield from find_existing(api, key=key, name=name))


def _check_only_one(api: Api, *, key: str, name: str) -> Flow[None]:
    """Raise an error if somebody else created a pipeline of this key at the same time."""
    try:
        only_match((yield from api.read_listing()), api.engine_key, key=key, name=name)
    except (ServiceUnavailableError, UnexpectedResponseError) as error:
        log.warning("The pipeline was created; whether somebody else did the same could not be checked: %s", error)
