"""What differs between the generations of FlowEngine's API, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_flowengine.protocol.http import Json


@dataclass(frozen=True)
class ApiVersion:
    """
    What differs between the generations of FlowEngine's API.

    :param root: the path between ``engineUrl`` and a call.
    :param param_path: the handshake's second call.
    :param start_query: what tells a single start from turning the schedule on.
    :param schedule_off_method: the HTTP method that turns the schedule off.
    :param schedule_off_body: the body that goes with it.
    :param empty_body: the body of a stop or resume, which say everything in their path.
    """

    root: str
    param_path: str
    start_query: Mapping[str, str]
    schedule_off_method: str
    schedule_off_body: Json
    empty_body: Json


KERNEL = ApiVersion(
    root="kernel/v1",
    param_path="system/getParam",
    start_query={},
    schedule_off_method="POST",
    schedule_off_body={"data": " "},
    empty_body=None,
)
"""The newest generation. Source: the vendor's API page."""

AUTOML = ApiVersion(
    root="automl/v1",
    param_path="system/getParamWithoutTemplate",
    start_query={"once": "true"},
    schedule_off_method="DELETE",
    schedule_off_body={},
    empty_body={},
)
"""The older generation. Sources: the vendor's older client, clients in the wild."""

API_VERSIONS = {generation.root: generation for generation in (KERNEL, AUTOML)}
