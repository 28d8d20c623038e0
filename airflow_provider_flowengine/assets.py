"""
A FlowEngine pipeline as an Airflow asset: ``flowengine://host[:port]/engine_key/pipeline``.

The pipeline is named by its key or by its id. Airflow compares assets by their text, so choose one of the two
and keep to it (the key stays the same when a pipeline is created anew).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from urllib.parse import SplitResult

    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset
    from airflow.providers.common.compat.sdk import Asset, Context
    from pydantic import JsonValue

log = logging.getLogger(__name__)

SCHEME = "flowengine"


def create_asset(
    *,
    host: str,
    engine_key: str,
    pipeline: int | str,
    port: int | None = None,
    extra: dict[str, JsonValue] | None = None,
) -> Asset:
    """
    Return the asset of a pipeline.

    :param host: the gateway's host, as in the connection.
    :param engine_key: the engine's key.
    :param pipeline: the pipeline's key or id.
    :param port: the gateway's port; none by default.
    :param extra: the asset's extra.
    """
    from airflow.providers.common.compat.sdk import Asset

    netloc = host if port is None else f"{host}:{port}"
    return Asset(uri=f"{SCHEME}://{netloc}/{_quoted(engine_key)}/{_quoted(str(pipeline))}", extra=extra)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """
    Return the one spelling of an asset's URI: host in small letters, both names quoted, nothing else.

    :param uri: the URI's parts.
    :raises ValueError: if it doesn't name a host, an engine and a pipeline, or says more than that.
    """
    names = [unquote(name) for name in uri.path.split("/")[1:]]
    if not uri.hostname or len(names) != 2 or not all(names) or uri.query or uri.fragment:
        raise ValueError(
            f"{uri.geturl()!r} is no FlowEngine pipeline: it must read flowengine://host[:port]/engine_key/pipeline"
        )
    host = f"[{uri.hostname}]" if ":" in uri.hostname else uri.hostname
    return uri._replace(
        scheme=SCHEME,
        netloc=host if uri.port is None else f"{host}:{uri.port}",
        path="".join(f"/{_quoted(name)}" for name in names),
    )


def convert_asset_to_openlineage(asset: Asset, lineage_context: object) -> OpenLineageDataset:
    """
    Return the OpenLineage dataset of an asset: the gateway is its namespace, engine and pipeline its name.

    :param asset: an asset of this scheme.
    :param lineage_context: unused.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset as OpenLineageDataset

    uri = urlsplit(asset.uri)
    return OpenLineageDataset(namespace=f"{SCHEME}://{uri.netloc}", name=unquote(uri.path.lstrip("/")))


def attach_run_to_outlet_events(context: Context, outlets: Iterable[Asset], run: Mapping[str, JsonValue]) -> None:
    """
    Put a task's run into the events of its outlets, where an event trigger's stands too: ``extra["payload"]``.

    Never raises: the run has ended well, and an event without it is no reason to fail its task.

    :param context: the task's context.
    :param outlets: the task's outlets; what is no asset among them has no event.
    :param run: the run, as plain values.
    """
    for outlet in outlets:
        try:
            context["outlet_events"][outlet].extra["payload"] = dict(run)
        except Exception:
            log.debug("The event of %r can't be given the run", outlet, exc_info=True)


def _quoted(name: str) -> str:
    return quote(name, safe="")
