"""Choosing one pipeline of an engine's list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import PipelineNotFoundError, known

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline
    from airflow_provider_flowengine.protocol.pipeline_pages import Kind, Listing


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
    found = listing.all_matches(kind, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise PipelineNotFoundError(
            f"{len(found)} pipelines of engine {engine_key!r} have the {kind} {wanted!r}: "
            f"{', '.join(map(describe, found))}. Name it by pipeline_id"
        )
    names = [getattr(pipeline, kind) for pipeline in listing.pipelines.values() if getattr(pipeline, kind)]
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
