"""The interface by which an engine runs jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .definition import Definition
    from .models import Run


class Executor(Protocol):
    """Really runs jobs (:mod:`.job_executor`); without one, runs are simulated."""

    def begin(self, run: Run, definition: Definition) -> None:
        """Run the nodes of a run that haven't succeeded."""

    def stop(self, run_id: int) -> None:
        """End the jobs of a run."""

    def end_all(self) -> None:
        """End all jobs and wait until they have."""
