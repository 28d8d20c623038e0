"""
Endpoints beside FlowEngine's own, for tests and demos: ``/__control__/…``.

They read and set the options, script faults, read the log of calls, move the clock, and change runs as
FlowEngine itself or a user in its database does.
"""

import asyncio
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from . import serialization
from .api import known_call
from .connection import connection, export_line
from .definition import MAX_SECONDS, RequestRejected
from .engine import Engine
from .faults import Fault, Faults, RandomFaults
from .options import Options
from .sample import add_sample as create_sample


class Ending(BaseModel):
    """How a run under way is to end."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["succeeded", "failed", "stopped"] = "succeeded"
    message: str = ""


class History(BaseModel):
    """Runs that succeeded in the past."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    runs: Annotated[int, Field(ge=1, le=1_000_000)]
    every: Annotated[float, Field(gt=0, le=1_000)] = 60


_MAX_HISTORY = 2**30  # bytes, about: of the runs that a pipeline is given at once
_BYTES_AT_ONCE = 2**20  # after so many, other requests get their turn

router = APIRouter(prefix="/__control__")


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _faults(request: Request) -> Faults:
    faults: Faults = request.app.state.faults
    return faults


TheEngine = Annotated[Engine, Depends(_engine)]
TheFaults = Annotated[Faults, Depends(_faults)]


@router.get("/options")
async def read_options(engine: TheEngine) -> Options:
    """Return the emulator's options."""
    return engine.options


@router.patch("/options")
async def set_options(engine: TheEngine, changes: Annotated[dict[str, Any], Body()]) -> Options:
    """Set some options; all or none."""
    try:
        changed = Options.model_validate(engine.options.model_dump() | changes)
    except ValidationError as error:
        raise HTTPException(422, error.errors(include_url=False, include_context=False, include_input=False)) from error
    if engine.key_needed and not changed.access_key:
        raise HTTPException(422, "jobs that really run, open to others, need an access_key: give another, or keep it")
    for name, value in changes.items():
        setattr(engine.options, name, value)
    return engine.options


@router.get("/faults")
async def read_faults(faults: TheFaults) -> list[Fault]:
    """Return the scripted faults that are still to come."""
    return faults.pending()


@router.post("/faults", status_code=201)
async def add_fault(faults: TheFaults, fault: Fault) -> list[Fault]:
    """Script a fault."""
    faults.add(fault)
    return faults.pending()


@router.put("/faults/random")
async def set_random_faults(faults: TheFaults, random_faults: RandomFaults) -> RandomFaults:
    """Set the random faults."""
    faults.set_random(random_faults)
    return random_faults


@router.delete("/faults", status_code=204)
async def clear_faults(faults: TheFaults) -> None:
    """Remove all faults."""
    faults.clear()


@router.get("/calls", response_model=None)
async def read_calls(
    engine: TheEngine,
    name: Annotated[str, AfterValidator(known_call)] | None = None,
    limit: Annotated[int, Query(ge=1, lt=2**31)] = 1000,
) -> list[dict[str, Any]]:
    """Return the newest requests, newest last."""
    with engine.lock:
        return engine.store.calls(name or "", limit)


@router.get("/calls/counts")
async def count_calls(engine: TheEngine) -> dict[str, int]:
    """Return how often each call was made."""
    with engine.lock:
        return engine.store.call_counts()


@router.delete("/calls", status_code=204)
async def forget_calls(engine: TheEngine) -> None:
    """Forget the requests noted so far."""
    with engine.lock:
        engine.store.forget_calls()


@router.get("/clock")
async def read_clock(engine: TheEngine) -> dict[str, float]:
    """Return the emulator's time, in seconds since the epoch."""
    return {"now": engine.clock.now()}


@router.post("/clock/advance")
async def advance_clock(
    engine: TheEngine, seconds: Annotated[float, Body(embed=True, ge=0, allow_inf_nan=False)]
) -> dict[str, float]:
    """Let time pass at once."""
    try:
        engine.clock.advance(seconds)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return {"now": engine.clock.now()}


@router.post("/engine/away")
async def take_engine_away(
    engine: TheEngine,
    request: Request,
    seconds: Annotated[float, Body(embed=True, ge=0, le=MAX_SECONDS, allow_inf_nan=False)],
) -> dict[str, float]:
    """Take the engine away for a while, as a restart does."""
    request.app.state.take_away(seconds)
    return {"until": engine.clock.now() + seconds}


@router.get("/runs/{run_id}", response_model=None)
async def read_run(engine: TheEngine, run_id: int) -> dict[str, Any]:
    """Return one run, whether it shows in the history or not."""
    run: dict[str, Any] = serialization.run_object(engine.options, engine.run(run_id), engine.clock.now())
    return run


@router.post("/runs/{run_id}/finish", status_code=204)
async def finish_run(engine: TheEngine, run_id: int, ending: Ending) -> None:
    """End a run that is under way at once."""
    engine.run(run_id)  # 404 if there is none, 409 if it has ended
    try:
        engine.finish(run_id, ending.outcome, ending.message)
    except RequestRejected as refusal:
        raise HTTPException(409, str(refusal)) from refusal


@router.delete("/runs/{run_id}", status_code=204)
async def prune_run(engine: TheEngine, run_id: int) -> None:
    """Delete a run, as if it had been pruned."""
    engine.forget(run_id)


@router.post("/pipelines/{pipeline_id}/history", status_code=204)
async def add_history(engine: TheEngine, pipeline_id: int, history: History) -> None:
    """Give a pipeline runs that succeeded in the past, the last one just now."""
    now = engine.clock.now()
    nodes = engine.pipeline(pipeline_id).body["data"].get("nodes") or []
    size = len(json.dumps(nodes)) + 500 * (1 + len(nodes))  # of one run, about
    if size * history.runs > _MAX_HISTORY:
        raise HTTPException(422, f"so many runs of this pipeline are too large; at most {_MAX_HISTORY // size} fit")
    moments = [now - history.every * number for number in range(history.runs, 0, -1)]
    step = max(1, _BYTES_AT_ONCE // size)
    for first in range(0, history.runs, step):
        engine.add_history(pipeline_id, moments[first : first + step])
        await asyncio.sleep(0)


@router.delete("/pipelines/{pipeline_id}", status_code=204)
async def delete_pipeline(engine: TheEngine, pipeline_id: int) -> None:
    """Delete a pipeline with its runs, as a user in FlowEngine's database does: no source names a call for it."""
    engine.delete_pipeline(pipeline_id)


@router.post("/sample", status_code=201)
async def add_sample(engine: TheEngine) -> dict[str, int]:
    """Create the sample pipeline, unless it is there."""
    return {"id": create_sample(engine)}


@router.get("/connection")
async def read_connection(engine: TheEngine, request: Request) -> dict[str, str]:
    """Return the Airflow connection to the emulator, with the host that the request names."""
    host, port = request.url.hostname or "127.0.0.1", request.url.port or 80
    found = connection(engine.options, host, port)
    return {"connection": found, "export": export_line(found)}


@router.post("/topics/{topic}")
async def publish(engine: TheEngine, topic: str) -> dict[str, list[int]]:
    """Send a message, as a job or another program does; return the runs that it started."""
    return {"runs": [run.id for run in engine.publish(topic)]}
