"""Whether a request may be sent again, and what a gateway says of an engine that isn't there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import EngineNotRunningError
from airflow_provider_flowengine.protocol.http import (
    ENGINE_ABSENT_STATUSES,
    ENGINE_RELOCATED_STATUSES,
    RETRYABLE_STATUSES,
)

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.errors import ServiceUnavailableError
    from airflow_provider_flowengine.protocol.http import Request, Response


def is_engine_absent(request: Request, response: Response) -> bool:
    """Whether a gateway has answered for an engine that isn't there: by a page, since an engine's refusal is JSON."""
    return (
        request.is_for_engine
        and response.status in ENGINE_ABSENT_STATUSES
        and response.body.strip()[:1] not in (b"", b"{", b"[")
    )


def may_have_moved(request: Request, error: ServiceUnavailableError) -> bool:
    """Whether asking again where the engine is may help, and sending the request again does no harm."""
    is_relocated = request.idempotent and error.http_status in ENGINE_RELOCATED_STATUSES
    return is_relocated or isinstance(error, EngineNotRunningError)


def may_resend(request: Request, error: ServiceUnavailableError) -> bool:
    """Whether sending a request again to the same place may help, and does no harm."""
    if not error.may_have_been_processed:
        return True
    return request.idempotent and (error.http_status is None or error.http_status in RETRYABLE_STATUSES)
