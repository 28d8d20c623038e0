"""Choosing one pipeline of an engine's list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.protocol.errors import PipelineNotFoundError, known

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline
    from airflow_provider_flowengine.protocol.pipeline_pages import Listing

Kind = Literal["key", "name"]


def pipelines_of(listing: Listing) -> list[Pipeline]:
    """Return the pipelines that a list holds, as far as it has been read."""
    return [reply.pipeline(row) for reply, row in listing.rows.values()]


def matches(listing: Listing, kind: Kind, wanted: str) -> list[Pipeline]:
    """
    Return the pipelines of a key or name.

    :param listing: the list of pipelines, as far as it has been read.
    :param kind: ``key`` or ``name``.
    :param wanted: the key or the name.
    """
    return [pipeline for pipeline in pipelines_of(listing) if getattr(pipeline, kind) == wanted]


def all_matches(listing: Listing, kind: Kind, wanted: str) -> list[Pipeline]:
    """
    Return the pipelines of a key or name, of a list that was read far enough.

    :param listing: the list of pipelines.
    :param kind: ``key`` or ``name``.
    :param wanted: the key or the name.
    :raises UnexpectedResponseError: if there is none, and the list is not whole.
    """
    found = matches(listing, kind, wanted)
    if listing.problem and not found:
        reply = next(reply for reply, _ in listing.rows.values())
        shown = f"{len(listing.rows)} pipelines"
        raise reply.unexpected(f"a pipeline of {kind} {wanted!r}, or a list with an end ({listing.problem})", shown)
    return found


def choose(listing: Listing, engine_key: str, kind: Kind, wanted: str) -> Pipeline:
    """
    Return the only pipeline of a key or name.

    :param listing: the list of pipelines, read far enough.
    :param engine_key: the engine, for errors.
    :param kind: ``key`` or ``name``.
    :param wanted: the key or the name.
    :raises PipelineNotFoundError: if there is none, or several.
    :raises UnexpectedResponseError: if it cannot be determined, since the list is not whole.
    """
    found = all_matches(listing, kind, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise PipelineNotFoundError(
            f"{len(found)} pipelines of engine {engine_key!r} have the {kind} {wanted!r}: "
            f"{', '.join(map(describe, found))}. Name it by pipeline_id"
        )
    names = [getattr(pipeline, kind) for pipeline in pipelines_of(listing) if getattr(pipeline, kind)]
    raise PipelineNotFoundError(
        f"Engine {engine_key!r} has no pipeline of {kind} {wanted!r}; {known(f'{kind}s', names, wanted=wanted)}"
    )


def not_found(pipelines: list[Pipeline], engine_key: str, pipeline_id: Identifier) -> PipelineNotFoundError:
    """Build the error about an id that no pipeline has, with those there are."""
    return PipelineNotFoundError(
        f"Engine {engine_key!r} has no pipeline {pipeline_id}; {known('pipelines', map(describe, pipelines))}"
    )


def describe(pipeline: Pipeline) -> str:
    """Return a pipeline's id and name, for errors."""
    return f"{pipeline.id} ({pipeline.name or pipeline.key or 'no name'})"
