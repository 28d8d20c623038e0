"""
The tab *FlowEngine* on the pages of tasks and DAG runs in Airflow 3.1 and later, and what tasks may return.

Airflow loads plugins in all of its processes, so importing this module loads no web framework: only the API server,
which is asked for the tab's files, does. Nobody has to sign in for these files, so nothing but them is served: the tab
reads what it shows from Airflow's REST API, with the user's own session and rights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.protocol.models import RETURNABLE

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PACKAGE = Path(__file__).parent.parent
FOLDERS = {"/tab": PACKAGE / "plugins" / "tab", "/web": PACKAGE / "web"}
"""What is served: path below :data:`URL_PREFIX` -> folder."""

URL_PREFIX = "/flowengine"
NAME = "FlowEngine"
"""The tab's label; ``tab/index.js`` registers its React component under it."""

# The files load nothing by themselves: this is for someone who opens one as a page. A browser must not mix the files of
# two versions, so it asks each time whether one has changed.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def url_of(path: str) -> str:
    """
    Return the address of one of the tab's files, without scheme and host.

    Airflow's page takes it as it is, so it has to begin with the path that Airflow itself is at.

    :param path: the file's path below :data:`URL_PREFIX`.
    """
    base_path = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{base_path}{URL_PREFIX}/{path}"


@cache
def _files() -> ASGIApp:
    from starlette.routing import Mount, Router
    from starlette.staticfiles import StaticFiles

    return Router([Mount(path, StaticFiles(directory=folder)) for path, folder in FOLDERS.items()])


async def serve_files(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the tab's files: an ASGI application that loads its web framework when it is first called."""
    from starlette.datastructures import MutableHeaders

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    await _files()(scope, receive, send_with_headers)


def _tab(destination: str, url_route: str) -> dict[str, str]:
    return {
        "name": NAME,
        "bundle_url": url_of("tab/index.js"),
        "icon": url_of("web/icon.svg"),
        "destination": destination,
        "url_route": url_route,
    }


APPS = [{"app": serve_files, "url_prefix": URL_PREFIX, "name": NAME}]
TABS = [_tab("task_instance", "flowengine"), _tab("dag_run", "flowengine-runs")]


class FlowEnginePlugin(AirflowPlugin):
    """Adds the tab to the pages of tasks and of DAG runs."""

    name = "flowengine"
    fastapi_apps = APPS
    react_apps = TABS


compat.allow_in_xcom(RETURNABLE)  # here, since each process that runs a task loads its plugins first

plugin = FlowEnginePlugin if compat.has_tabs() else None
"""What the entry point group ``airflow.plugins`` names; None, which Airflow passes over, before 3.1."""
