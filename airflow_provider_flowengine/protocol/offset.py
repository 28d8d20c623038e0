"""
Finds out the zone of times that name none, from a run that was started just now.

Its start lies between two moments of the server's own clock, which is in the ``Date`` headers of its answers: when the
start was sent, and when the run was seen first. Nothing else tells the zone surely.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.reply import Reply, local_start
from airflow_provider_flowengine.protocol.zone import MAX_OFFSET, MIN_OFFSET

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

_STEP = timedelta(minutes=15)
"""All offsets that are in use are whole quarters of an hour."""
_TOLERANCE = timedelta(minutes=2)
_DATE_RESOLUTION = timedelta(seconds=2)
"""``Date`` is in whole seconds: what comes later may seem to come so much earlier."""
_MAX_WAIT = timedelta(minutes=9)
_ONE_HOUR = timedelta(hours=1)


def learn_offset(api: Api, run: PipelineRun, sent: datetime | None, seen: datetime | None) -> PipelineRun:
    """
    Find out the offset of times without a zone, keep it in the client, and return the run in it.

    If the connection names a zone, that is kept; if it is hours off, the log says so.

    :param api: the engine's API client.
    :param run: a run that was surely started by a request of ours.
    :param sent: what the server's clock said just before the request was sent, aware.
    :param seen: what it said when the history showed the run, aware.
    """
    settings = api.settings
    local = local_start(run.content)
    offset = offset_of(local, sent, seen) if local and sent and seen else None
    if offset is None or local is None or api.offset:
        return run
    if settings.timezone:
        import pendulum  # loaded where it is first used: the command line starts sooner

        named = pendulum.instance(local, tz=settings.timezone).utcoffset() or timedelta(0)
        if abs(named - offset.utcoffset(None)) >= _ONE_HOUR:
            log.warning(
                "FlowEngine gives times at %s, but %s names the time zone %s: set timezone to FlowEngine's.",
                offset.tzname(None),
                settings.source,
                settings.timezone,
            )
        return run
    api.offset = offset
    log.info("FlowEngine gives its times at %s, which the start of %s shows.", offset.tzname(None), run)
    return Reply(endpoints.engine_info(api.engine_key), settings, offset=offset).run(run.content, run.pipeline_id)


def offset_of(local: datetime, earliest: datetime, latest: datetime) -> timezone | None:
    """
    Return the offset at which a local time lies between two moments.

    :param local: a wall clock's time, naive.
    :param earliest: when it was at the earliest, aware.
    :param latest: when it was at the latest, aware.
    :return: the offset, in whole quarters of an hour; None if there is none, or the moments are too far apart.
    """
    if not -_DATE_RESOLUTION <= latest - earliest <= _MAX_WAIT:
        return None
    ahead = local - earliest.astimezone(UTC).replace(tzinfo=None) + _TOLERANCE
    offset = ahead // _STEP * _STEP
    fits = ahead - offset <= latest - earliest + 2 * _TOLERANCE
    return timezone(offset) if fits and MIN_OFFSET <= offset <= MAX_OFFSET else None
