"""The engine that a command works on: by an Airflow connection, or by the arguments and the environment alone."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from getpass import getpass
from typing import TYPE_CHECKING

from airflow_provider_flowengine.client.sync import Client
from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.definitions.content import key_and_name
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.creating import only_match
from airflow_provider_flowengine.protocol.errors import ConfigurationError, PipelineNotFoundError, known
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from airflow_provider_flowengine.cli.workspace import Definition
    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

_INSTEAD = "name another, or give the gateway's address"
"""What to do about a connection that can't be used."""

_OF_ADDRESSES = ("user_id", "login", "api_root", "timezone", "verify")
"""Arguments that say what a connection would."""

_ARGUMENTS = ("url", "engine_key", *_OF_ADDRESSES)
"""What an argument, or ``FLOWENGINE_<NAME>``, says instead of a connection."""


@dataclass
class Engine:
    """
    One engine, as the commands use it.

    :param name: the connection or address that leads to it, for messages.
    :param api: its API client.
    :param client: what sends the requests.
    """

    name: str
    api: Api
    client: Client

    @property
    def settings(self) -> Settings:
        """What the connection says."""
        return self.api.settings

    @property
    def label(self) -> str:
        """What tells it from other engines: its key, and its gateway's address."""
        return f"{self.api.engine_key} at {self.settings.fl_url}"

    def run(self, flow: Flow[T]) -> T:
        """Carry out a procedure of the protocol."""
        return self.client.run(flow)

    def pipelines(self) -> list[Pipeline]:
        """Return the engine's pipelines (call 05)."""
        return self.run(self.api.list_pipelines())

    def pipeline(self, pipeline_id: Identifier) -> Pipeline:
        """Return one whole pipeline (call 06)."""
        return self.run(self.api.get_pipeline(pipeline_id))

    def find(self, wanted: str) -> Pipeline:
        """
        Return the pipeline that the user means.

        :param wanted: its key, or else its id, or else its name.
        :raises PipelineNotFoundError: if there is none, or more than one.
        """
        pipelines = self.pipelines()
        for field in ("key", "id", "name"):
            matches = [pipeline for pipeline in pipelines if str(getattr(pipeline, field)) == wanted]
            if len(matches) == 1:
                return matches[0]
            if matches:
                ids = ", ".join(str(pipeline.id) for pipeline in matches)
                raise PipelineNotFoundError(
                    f"{len(matches)} pipelines have the {field} {wanted!r}: name one by id, {ids}"
                )
        names = (f"{pipeline.key or pipeline.name} (id {pipeline.id})" for pipeline in pipelines)
        raise PipelineNotFoundError(
            f"Engine {self.api.engine_key!r} has no pipeline of key, id or name {wanted!r}; {known('pipelines', names)}"
        )

    def current(self, definitions: Iterable[Definition]) -> list[Pipeline | None]:
        """
        Return the whole pipeline that the engine has for each definition, None if it has none.

        :param definitions: the definitions, by whose keys, or else names, the pipelines are found.
        :raises PipelineExistsError: if several have one of them.
        :raises UnexpectedResponseError: if it cannot be determined, since the list is not whole.
        """
        listing = self.run(self.api.read_listing())
        names = (key_and_name(definition.content) for definition in definitions)
        matches = [only_match(listing, self.api.engine_key, key=key, name=name) for key, name in names]
        return [self.pipeline(match.id) if match else None for match in matches]

    def run_url(self, run: PipelineRun) -> str:
        """Return the address of a run's page."""
        return self.settings.run_url(self.run(self.api.resolve()), run.pipeline_id, run.id)


def connect(arguments: argparse.Namespace) -> Engine:
    """
    Return the engine that a command's arguments name; nothing is sent yet.

    :param arguments: the parsed arguments of the commands' table.
    :raises ConfigurationError: if they lead nowhere.
    """
    given = {name: getattr(arguments, name) or _environment(name, "FLOWENGINE") for name in _ARGUMENTS}
    if arguments.conn_id and arguments.url:
        raise ConfigurationError("Give one of --conn-id and --url")
    if given["url"] and not arguments.conn_id:
        return _by_url(given, "FLOWENGINE")
    for name in _OF_ADDRESSES:
        if getattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            raise ConfigurationError(f"{option} goes with --url; a connection says this itself: set it there")
    return _by_connection(arguments.conn_id or DEFAULT_CONN_ID, arguments.engine_key)


def connect_by_name(name: str, engine_key: str | None, side: str) -> Engine:
    """
    Return the engine that ``promote`` reads or writes.

    :param name: an Airflow connection's id, or the gateway's address.
    :param engine_key: the engine; default the connection's.
    :param side: ``FROM`` or ``TO``: of an address, ``FLOWENGINE_<SIDE>_ACCESS_KEY`` and the like say the rest. One
        side's credentials are never sent to the other.
    """
    prefix, key_option = f"FLOWENGINE_{side}", f"--{side.lower()}-engine-key"
    if "://" not in name:
        return _by_connection(name, engine_key, key_option)
    given = {argument: _environment(argument, prefix) for argument in _ARGUMENTS}
    return _by_url({**given, "url": name, "engine_key": engine_key or given["engine_key"]}, prefix, key_option)


def _environment(name: str, prefix: str) -> str:
    return os.environ.get(f"{prefix}_{name.upper()}", "")


def _by_url(given: dict[str, str], prefix: str, key_option: str = "--engine-key") -> Engine:
    login = given["login"]
    secret = _environment("access_key", prefix)
    if login:
        secret = _environment("password", prefix) or _ask_password(login, f"{prefix}_PASSWORD")
    settings = Settings.build(
        fl_url=given["url"] if "://" in given["url"] else f"http://{given['url']}",
        engine_key=given["engine_key"],
        api_root=given["api_root"],
        timezone=given["timezone"],
        verify=given["verify"],
        source=given["url"],
        authentication="session" if login else "",
        user=login or given["user_id"],
        user_id=given["user_id"] if login else "",
        access_key=secret,
    )
    return _engine(given["url"], settings, None, f"give {key_option}, or set {prefix}_ENGINE_KEY")


def _ask_password(login: str, variable: str) -> str:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"The password of {login!r} is needed: set {variable}")
    return getpass(f"Password of {login}: ")


def _by_connection(conn_id: str, engine_key: str | None, key_option: str = "--engine-key") -> Engine:
    with redirect_stdout(sys.stderr):  # where Airflow logs to from then on: standard output holds the result alone
        settings = _read_connection(conn_id)
    return _engine(conn_id, settings, engine_key, f"give {key_option}, or set engine_key in connection {conn_id}")


def _read_connection(conn_id: str) -> Settings:
    """Read a connection as Airflow's own commands do: from secrets backends, the environment, or the database."""
    try:
        from airflow.models.connection import Connection
        from airflow.providers.common.compat.sdk import AirflowNotFoundException
    except Exception as error:  # such as a database driver or a secrets backend that isn't installed
        raise ConfigurationError(f"Airflow cannot be loaded; {_INSTEAD}: {type(error).__name__}: {error}") from error

    from airflow_provider_flowengine.hooks.connection import settings_of

    try:
        return settings_of(Connection.get_connection_from_secrets(conn_id))
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Airflow has no connection {conn_id!r}; create it, {_INSTEAD}. Airflow says the same of one that it "
            "cannot parse or reach; its log at level DEBUG tells why"
        ) from None


def _engine(name: str, settings: Settings, engine_key: str | None, advice: str) -> Engine:
    if not (engine_key or settings.engine_key):
        raise ConfigurationError(f"No engine key: {advice}")
    return Engine(name, Api(settings, engine_key or ""), Client(settings))
