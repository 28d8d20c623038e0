"""
The emulator's page, ``{engineUrl}/#/offline-pipeline``, and its requests for which FlowEngine has no call.

The page is plain HTML, CSS and ES modules in the folder ``page``, and in ``web`` what the tab in Airflow's page draws
with too. It uses FlowEngine's own calls (list, history, start, stop, resume, …), and the requests here only for what
no known call returns: the facts about the engine, the latest runs of many pipelines at once, the
definition that a run was started with, and nodes' logs.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from fastapi.responses import PlainTextResponse
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from . import serialization
from .control import TheEngine
from .engine import Engine
from .files import Files
from .generations import COMMERCIAL
from .models import NodeRun, Run
from .options import NODE_STATES, RUN_STATES


def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


TheFiles = Annotated[Files, Depends(_files)]

FILES = Path(__file__).parent / "page"
# What the page shares with the tab in Airflow's page: files, no code of the package.
SHARED_FILES = Path(__file__).parent.parent / "web"
LATEST = 6  # runs that the list of pipelines shows of each

# Nothing is loaded from anywhere else, and always anew: a browser must not mix the files of two versions.
_HEADERS = {"Content-Security-Policy": "default-src 'self'; img-src 'self' data:", "Cache-Control": "no-cache"}

router = APIRouter(prefix="/__control__", tags=["page"])


@router.get("/engine", response_model=None)
async def read_engine(engine: TheEngine) -> dict[str, Any]:
    """Return what the page needs to make FlowEngine's calls and to read their answers."""
    options = engine.options
    return {
        "engineKey": options.engine_key,
        "engineId": options.engine_id,
        "engineUrl": options.engine_url,
        "apiRoot": "automl/v1" if options.generation == "automl" else "kernel/v1",
        "authentication": "access_key" if options.access_key else options.authentication,
        "words": {state: options.word(state) for state in dict.fromkeys((*RUN_STATES, *NODE_STATES))},
        "timezone": options.timezone,
        "executes": engine.executor is not None,
        "older": options.dialect("automl/v1") == COMMERCIAL,
        "now": int((engine.clock.now() + options.clock_skew) * 1000),
    }


@router.get("/latest", response_model=None)
async def read_latest(engine: TheEngine, pipeline: Annotated[list[str], Query(max_length=100)]) -> list[dict[str, Any]]:
    """Return the schedule and the latest runs of some pipelines, newest first."""
    now = engine.clock.now()
    with engine.lock:
        return [_latest(engine, pipeline_id, now) for pipeline_id in pipeline]


def _latest(engine: Engine, pipeline_id: str, now: float) -> dict[str, Any]:
    pipeline = engine.pipeline(pipeline_id)
    runs, total = engine.runs(pipeline.id, size=LATEST)
    return {
        "id": pipeline.id,
        "scheduled": pipeline.scheduled,
        "nextFire": pipeline.next_fire and int(pipeline.next_fire * 1000),
        "total": total,
        "runs": [serialization.run_row(engine.options, run, now) for run in runs],
    }


@router.get("/runs/{run_id}/definition", response_model=None)
async def read_definition(engine: TheEngine, run_id: str) -> dict[str, Any]:
    """Return the pipeline's object as it was when the run started."""
    run = engine.run(run_id)
    with engine.lock:
        return engine.store.version(run.version)


class _Text(PlainTextResponse):
    """Text that may hold halves of surrogate pairs, as JSON may."""

    def render(self, content: Any) -> bytes:
        return str(content).encode(errors="replace")


@router.get("/runs/{run_id}/log", response_class=_Text)
async def read_log(engine: TheEngine, files: TheFiles, run_id: str, node: str) -> str:
    """Return a node's log in a run; if it was simulated, a description."""
    run = engine.run(run_id)
    for number, each in enumerate(run.nodes):
        if each.node_id == node:
            return files.log(run.id, number, node) if run.executed else _simulated_log(engine, run, each)
    raise HTTPException(404, f"pipeline run {run_id} has no node {node}")


def _simulated_log(engine: Engine, run: Run, node: NodeRun) -> str:
    now = engine.clock.now()
    state = node.state(now, run_has_ended=run.has_ended(now))
    if node.start is None or state in ("waiting", "unreached"):
        return ""
    lines = [f"{_stamp(engine, node.start)} {node.job_type} node {node.node_id} is simulated: nothing runs."]
    lines += [f"{_stamp(engine, node.start)} {key}={value}" for key, value in node.params.items()]
    if state != "running":
        outcome = f"{state}: {node.message}" if node.message else state
        lines.append(f"{_stamp(engine, node.end or now)} {outcome}")
    return "\n".join(lines) + "\n"


def _stamp(engine: Engine, at: float) -> str:
    moment = datetime.fromtimestamp(at, ZoneInfo(engine.options.timezone))
    return moment.isoformat(sep=" ", timespec="milliseconds")


class _Index(Route):
    """The page itself, at ``{engineUrl}/``: an option that may change while the emulator runs, so no fixed path."""

    def __init__(self, engine: Engine) -> None:
        super().__init__("/", self._answer, include_in_schema=False)
        self._options = engine.options

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match the engine's own address, with or without its slash, and the gateway's."""
        at = self._options.engine_url
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in ("/", at, f"{at}/"):
            return Match.FULL, {"endpoint": self.endpoint}
        return Match.NONE, {}

    async def _answer(self, request: Request) -> Response:
        at = f"{self._options.engine_url}/"
        return FileResponse(FILES / "index.html", headers=_HEADERS) if request.url.path == at else RedirectResponse(at)


class _Files(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_HEADERS)
        return response


def mount(app: FastAPI, engine: Engine) -> None:
    """
    Serve the page and its requests.

    :param app: the emulator's application; what it serves at every other path is added after this.
    :param engine: the engine.
    """
    app.include_router(router)
    app.mount("/__control__/page", _Files(directory=FILES))
    app.mount("/__control__/web", _Files(directory=SHARED_FILES))
    app.router.routes.append(_Index(engine))
