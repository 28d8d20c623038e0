"""One task that starts one pipeline, seen from both sides: Airflow's and FlowEngine's."""

import psutil

from . import results
from .emulator import FlowEngine, Seen
from .stack import Stack


class Scenario:
    """
    A DAG run under way, its task and its pipeline.

    :param stack: where it runs.
    :param flowengine: where its pipeline is.
    :param mode: ``sync`` or ``deferrable``.
    :param variant: which of the DAG file's variants.
    :param record: takes the row of the results' table.
    """

    def __init__(self, stack: Stack, flowengine: FlowEngine, mode: str, variant: str, record) -> None:
        self.stack, self.flowengine, self.mode, self._record = stack, flowengine, mode, record
        self.pipeline = flowengine.create_pipeline()
        conf = {"connection": flowengine.conn_id, "pipeline": self.pipeline}
        self.task = stack.api.trigger(f"{variant}_{mode}", conf)

    def waits(self, *, try_number: int = 1) -> int:
        """Wait until the task waits for a run that goes on, in this try or a later one; the run's id."""
        self.task.until("running" if self.mode == "sync" else "deferred", try_number=try_number)
        run_id = self.flowengine.run_of(self.pipeline)
        self.flowengine.is_polled(self.pipeline, run_id)
        return run_id

    def starts(self) -> int:
        """Wait until FlowEngine has made the run, whether the task knows it yet or not; its id."""
        return self.flowengine.run_of(self.pipeline)

    @property
    def supervisor(self) -> int:
        """The process above the task's: the executor's worker."""
        return psutil.Process(self.task.pid).ppid()

    def seen(self) -> Seen:
        return self.flowengine.seen(self.pipeline)

    def ends(self, state: str, *, starts: int, stops: int, runs: list[str]) -> None:
        """
        See how it ends, on both sides.

        :param state: the task's end state.
        :param starts: how many start calls FlowEngine has seen.
        :param stops: how many stop calls.
        :param runs: how the pipeline's runs have ended, oldest first.
        """
        ended = self.task.ends()
        for run_id, expected in zip(sorted(self.seen().runs), runs, strict=False):
            self.flowengine.until_run(self.pipeline, run_id, expected, describe=self.task.describe)
        seen = self.seen()
        self._record(results.PROPERTY, results.row(self, ended, seen))
        found = (ended, seen.starts, seen.stops, [seen.runs[run] for run in sorted(seen.runs)])
        assert found == (state, starts, stops, runs), self.task.describe()

    def clean_up(self) -> None:
        """Leave nothing going on, whatever came of the test."""
        for run_id, state in self.seen().runs.items():
            if state in ("running", "stopping"):
                self.flowengine.finish(run_id, "stopped")
