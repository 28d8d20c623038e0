"""Endpoints beside FlowEngine's own, for tests and demos: ``/__control__/…``.

They read and set the options, script faults, read the log of calls, move the clock, and do to runs what FlowEngine does
by itself or by hand in its database.
"""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from . import wire
from .api import known_call
from .definition import Refused
from .faults import Fault, Faults, RandomFaults
from .options import Options
from .records import Run
from .world import World


class Ending(BaseModel):
    """How a run under way is to end."""

    model_config = ConfigDict(extra="forbid")

    outcome: Literal["succeeded", "failed", "stopped"] = "succeeded"
    message: str = ""


class History(BaseModel):
    """Runs that succeeded in the past."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    runs: Annotated[int, Field(ge=1, le=1_000_000)]
    every: Annotated[float, Field(gt=0)] = 60


def _own_page(request: Request) -> None:
    """Refuse what a web page from elsewhere asks for: any page open in a browser could start jobs here otherwise."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        raise HTTPException(403, f"only the emulator's own page may ask for this, not one from {origin}")


router = APIRouter(prefix="/__control__", dependencies=[Depends(_own_page)])


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


def _faults(request: Request) -> Faults:
    faults: Faults = request.app.state.faults
    return faults


TheWorld = Annotated[World, Depends(_world)]
TheFaults = Annotated[Faults, Depends(_faults)]


def _known(world: World, run_id: int) -> Run:
    try:
        return world.run(run_id)
    except Refused as refusal:
        raise HTTPException(404, str(refusal)) from refusal


@router.get("/options")
async def read_options(world: TheWorld) -> Options:
    """How the emulator behaves."""
    return world.options


@router.patch("/options")
async def set_options(world: TheWorld, changes: Annotated[dict[str, Any], Body()]) -> Options:
    """Set some options; all or none."""
    try:
        changed = Options.model_validate(world.options.model_dump() | changes)
    except ValidationError as error:
        raise HTTPException(422, error.errors(include_url=False, include_context=False, include_input=False)) from error
    if world.key_needed and not changed.access_key:
        raise HTTPException(422, "jobs that really run, open to others, need an access_key: give another, or keep it")
    for name, value in changes.items():
        setattr(world.options, name, value)
    return world.options


@router.get("/faults")
async def read_faults(faults: TheFaults) -> list[Fault]:
    """The scripted faults that haven't struck yet."""
    return faults.pending()


@router.post("/faults", status_code=201)
async def add_fault(faults: TheFaults, fault: Fault) -> list[Fault]:
    """Script a fault."""
    faults.add(fault)
    return faults.pending()


@router.put("/faults/random")
async def set_random_faults(faults: TheFaults, random_faults: RandomFaults) -> RandomFaults:
    """Let faults strike at random."""
    faults.at_random(random_faults)
    return random_faults


@router.delete("/faults", status_code=204)
async def clear_faults(faults: TheFaults) -> None:
    """Let nothing go wrong any more."""
    faults.clear()


@router.get("/calls")
async def read_calls(
    world: TheWorld,
    name: Annotated[str, AfterValidator(known_call)] | None = None,
    limit: Annotated[int, Query(ge=1, lt=2**31)] = 1000,
) -> list[dict[str, Any]]:
    """The newest requests, newest last."""
    with world.lock:
        return world.store.calls(name or "", limit)


@router.get("/calls/counts")
async def count_calls(world: TheWorld) -> dict[str, int]:
    """How often each call was made."""
    with world.lock:
        return world.store.call_counts()


@router.delete("/calls", status_code=204)
async def forget_calls(world: TheWorld) -> None:
    """Forget the requests noted so far."""
    with world.lock:
        world.store.forget_calls()


@router.get("/clock")
async def read_clock(world: TheWorld) -> dict[str, float]:
    """The emulator's time, in seconds since the epoch."""
    return {"now": world.clock.now()}


@router.post("/clock/advance")
async def advance_clock(
    world: TheWorld, seconds: Annotated[float, Body(embed=True, ge=0, allow_inf_nan=False)]
) -> dict[str, float]:
    """Let time pass at once."""
    world.clock.advance(seconds)
    return {"now": world.clock.now()}


@router.get("/runs/{run_id}")
async def read_run(world: TheWorld, run_id: int) -> dict[str, Any]:
    """One run, whether it shows in the history or not."""
    run: dict[str, Any] = wire.run_object(world.options, _known(world, run_id), world.clock.now())
    return run


@router.post("/runs/{run_id}/finish", status_code=204)
async def finish_run(world: TheWorld, run_id: int, ending: Ending) -> None:
    """End a run that is under way at once."""
    _known(world, run_id)
    try:
        world.finish(run_id, ending.outcome, ending.message)
    except Refused as refusal:
        raise HTTPException(409, str(refusal)) from refusal


@router.delete("/runs/{run_id}", status_code=204)
async def prune_run(world: TheWorld, run_id: int) -> None:
    """Delete a run, as if it had been pruned."""
    world.forget(_known(world, run_id).id)


@router.post("/pipelines/{pipeline_id}/history", status_code=204)
async def add_history(world: TheWorld, pipeline_id: int, history: History) -> None:
    """Give a pipeline runs that succeeded in the past, the last one just now."""
    now = world.clock.now()
    try:
        world.add_history(pipeline_id, (now - history.every * i for i in range(history.runs, 0, -1)))
    except Refused as refusal:
        raise HTTPException(404, str(refusal)) from refusal


@router.post("/topics/{topic}")
async def publish(world: TheWorld, topic: str) -> dict[str, list[int]]:
    """Send a message, as a job or another program does; tells the runs that it started."""
    return {"runs": [run.id for run in world.publish(topic)]}
