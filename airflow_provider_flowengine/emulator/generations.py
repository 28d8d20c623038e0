"""
The generations of FlowEngine: what each wants its calls to look like, and a preset of the options for each.

Sources: the vendor's API page for the newest one, its release files for the open source one before, its older Python
client and clients in the wild for the commercial one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GATEWAY, KERNEL, OPEN_SOURCE, COMMERCIAL = "gateway", "kernel", "open source", "commercial"


@dataclass(frozen=True)
class Dialect:
    """
    How an engine of one generation wants its calls.

    :param root: the API root under ``engineUrl``.
    :param engine_key: whether each call must carry ``engineKey``.
    :param pages: whether the history is paged.
    """

    root: str
    engine_key: bool = True
    pages: bool = True


DIALECTS = {
    KERNEL: Dialect("kernel/v1"),
    OPEN_SOURCE: Dialect("automl/v1"),
    COMMERCIAL: Dialect("automl/v1", engine_key=False, pages=False),
}
ENGINE_DIALECTS = tuple(DIALECTS)

# By the year, or the release up to which (0.0.3.2) or from which (0.0.3.4) an engine is so.
PRESETS: dict[str, dict[str, Any]] = {
    "2020": {
        "generation": "automl",
        "automl_dialect": "commercial",
        "engine_url": "/automl-engine/2",
        "authentication": "access_key",
        "envelope_status": "text",
        "retry_count": 1,
    },
    "0.0.3.2": {
        "generation": "automl",
        "automl_dialect": "open_source",
        "engine_url": "/automl-engine/15",
        "timezone": "Asia/Shanghai",
        "retry_count": 1,
    },
    "0.0.3.4": {
        "generation": "kernel",
        "engine_url": "/engine/15/demo",
        "timezone": "Asia/Shanghai",
        "retry_count": 1,
    },
}
