"""
What differs between the generations of FlowEngine's API, as a table.

One root may have two dialects: ``automl/v1`` was served first by the commercial generation, then by the open-source
releases up to 0.0.3.2. Which one an engine speaks is found out by the second call of the handshake, since either
answers 404 for the other's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json


@dataclass(frozen=True)
class ApiVersion:
    """
    One generation's dialect.

    :param name: the generation, for messages.
    :param root: the path between ``engineUrl`` and a call.
    :param param_path: the handshake's second call.
    :param start_query: what distinguishes a single start from turning the schedule on.
    :param schedule_off_method: the HTTP method that turns the schedule off.
    :param schedule_off_body: the body that goes with it.
    :param empty_body: the body of a stop or resume, which say everything in their path.
    :param sends_engine_key: whether every call names the engine in its query.
    :param pages_history: whether the run history comes in pages, or always whole.
    """

    name: str
    root: str
    param_path: str
    start_query: Mapping[str, str]
    schedule_off_method: str
    schedule_off_body: Json
    empty_body: Json
    sends_engine_key: bool
    pages_history: bool


KERNEL = ApiVersion(
    name="open source, 0.0.3.4 and later",
    root="kernel/v1",
    param_path="system/getParam",
    start_query={},
    schedule_off_method="POST",
    schedule_off_body={"data": " "},
    empty_body=None,
    sends_engine_key=True,
    pages_history=True,
)
"""The newest generation. Sources: the vendor's API page, the vendor's release files."""

AUTOML = replace(KERNEL, name="open source, up to 0.0.3.2", root="automl/v1")
"""The first open-source releases. Sources: the vendor's release files, earlier editions of the vendor's API page."""

COMMERCIAL = ApiVersion(
    name="commercial, 2020 to 2022",
    root="automl/v1",
    param_path="system/getParamWithoutTemplate",
    start_query={"once": "true"},
    schedule_off_method="DELETE",
    schedule_off_body={},
    empty_body={},
    sends_engine_key=False,
    pages_history=False,
)
"""The oldest generation. Sources: the vendor's older client, clients in the wild."""

API_VERSIONS = {KERNEL.root: (KERNEL,), AUTOML.root: (COMMERCIAL, AUTOML)}
"""The dialects of each root, in the order in which they are tried."""
