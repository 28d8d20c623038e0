"""Times without a zone are in Airflow's own: ``[core] default_timezone``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pendulum
from airflow.providers.common.compat.sdk import conf

from airflow_provider_flowengine.protocol.arguments import parse_datetime

if TYPE_CHECKING:
    from datetime import datetime, tzinfo


def default_timezone() -> tzinfo:
    """Return Airflow's default time zone."""
    name = conf.get("core", "default_timezone", fallback="utc")
    if name == "system":
        return pendulum.tz.get_local_timezone()
    return pendulum.UTC if name.lower() == "utc" else pendulum.Timezone(name)


def parse_local_datetime(name: str, value: object, verb: str = "is") -> datetime:
    """
    Return a moment, in Airflow's default time zone if it names none.

    :param name: the argument's name, for the error.
    :param value: a datetime or its ISO 8601 text.
    :param verb: for the error: the value ``is``, or ``has rendered to``.
    :raises ConfigurationError: when it is neither.
    """
    return parse_datetime(name, value, verb, default_timezone())
