"""The Airflow connection to the emulator, ready to be pasted."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import Options

VARIABLE = "AIRFLOW_CONN_FLOWENGINE_DEFAULT"
# The path of a run's page below the gateway, for the connection's ``ui_url``.
RUN_PAGE = "{engine_url}/#/offline-pipeline/{pipeline_id}/{run_id}"


def connection(options: Options, host: str, port: int, **extra: Any) -> str:
    """
    Return an Airflow connection to an emulator, as JSON.

    It holds what a client needs: the engine's key, how to sign in, an engine that serves the older generations
    alone, and the zone of times that are sent as text.

    :param options: how the emulator answers.
    :param host: its host, as Airflow reaches it.
    :param port: its port.
    :param extra: more fields of the connection's extra.
    """
    extras = {"engine_key": options.engine_key, "ui_url": f"{{fl_url}}{RUN_PAGE}"}
    account = {"login": "1"}
    if options.access_key or options.authentication == "access_key":
        # Any key is accepted if none is set; Airflow masks those of five letters or more.
        account["password"] = options.access_key or "emulator-key"
    elif options.authentication == "session":
        extras["authentication"] = "session"
        account = {"login": options.username, "password": options.password}
    if options.generation == "automl":
        extras["api_root"] = "automl/v1"
    if options.times == "text":
        extras["timezone"] = options.timezone
    address = {"conn_type": "flowengine", "schema": "http", "host": host, "port": port}
    return json.dumps({**address, **account, "extra": {**extras, **extra}}, ensure_ascii=False)


def export_line(connection: str) -> str:
    """
    Return the line by which a shell exports the connection to Airflow.

    :param connection: the connection as JSON.
    """
    return f"export {VARIABLE}={shlex.quote(connection)}"
