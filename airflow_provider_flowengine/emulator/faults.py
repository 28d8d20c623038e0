"""Faults on demand: a queue of scripted ones, and random ones from a seed."""

from __future__ import annotations

import random
import threading
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .api import known_call
from .definition import MAX_SECONDS

Kind = Literal["status", "html", "redirect", "reset", "hang", "slow", "truncated", "broken_json", "envelope", "away"]


HeaderText = Annotated[str, Field(pattern=r"^[ -~\x80-\xff]*$")]  # other characters are not allowed in a header


class Fault(BaseModel):
    """What goes wrong, at which calls, and how often."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: Kind = Field(
        "status",
        description="status: an HTTP status with HTML; html: HTML with status 200; redirect: 302; "
        "reset: the connection is reset; hang: no answer, then a reset; slow: the right answer, late; "
        "truncated: less than Content-Length says; broken_json: JSON cut in the middle; envelope: a refusal; "
        "away: the engine is away for so many seconds",
    )
    calls: list[Annotated[str, AfterValidator(known_call)]] = Field(
        default_factory=list, description="names of the calls that fail; empty: all"
    )
    where: Literal["before", "after"] = Field("before", description="before the work is done, or after")
    times: Annotated[int, Field(ge=1)] = Field(1, description="how many calls fail")
    skip: Annotated[int, Field(ge=0)] = Field(0, description="how many matching calls pass first")
    status: Annotated[int, Field(ge=400, le=599)] = Field(500, description="HTTP status, for kind status")
    retry_after: HeaderText = Field("", description="header Retry-After, for kind status")
    location: HeaderText = Field("http://example.invalid/", description="where to, for kind redirect")
    seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)] = Field(60, description="for kinds hang, slow and away")
    msg: str = Field("系统异常", description="the refusal's msg, for kind envelope")


class RandomFaults(BaseModel):
    """Faults at a rate; the same for the same seed and order of calls."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    rate: Annotated[float, Field(ge=0, le=1)] = Field(default=0, description="share of calls that fail")
    seed: int = Field(default=0, description="seed of the choice")
    faults: list[Fault] = Field(default_factory=list, description="what is chosen from; `times` and `skip` don't count")


class Faults:
    """The faults that are still to come. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[Fault] = []
        self._random = RandomFaults()
        self._choice = random.Random(0)

    def add(self, fault: Fault) -> None:
        """Put a fault at the end of the queue."""
        with self._lock:
            self._queue.append(fault.model_copy())

    def set_random(self, faults: RandomFaults) -> None:
        """Set the random faults; a rate of 0 ends them."""
        with self._lock:
            self._random = faults
            self._choice = random.Random(faults.seed)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._queue.clear()
            self._random = RandomFaults()

    def pending(self) -> list[Fault]:
        """Return the scripted faults that are still to come."""
        with self._lock:
            return [fault.model_copy() for fault in self._queue]

    def next_fault(self, call: str) -> Fault | None:
        """
        Return this call's fault, if any: the first match in the queue, else a random one.

        :param call: the call's name.
        """
        with self._lock:
            return self._scripted(call) or self._by_chance(call)

    def _scripted(self, call: str) -> Fault | None:
        for fault in self._queue:
            if fault.calls and call not in fault.calls:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if not fault.times:
                self._queue.remove(fault)
            return fault
        return None

    def _by_chance(self, call: str) -> Fault | None:
        if not self._random.rate or self._choice.random() >= self._random.rate:
            return None
        matching = [fault for fault in self._random.faults if not fault.calls or call in fault.calls]
        return self._choice.choice(matching) if matching else None
