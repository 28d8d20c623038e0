"""Resume a failed or stopped run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_flowengine.operators.arguments import rendered_id
from airflow_provider_flowengine.operators.execution.task import RunTask
from airflow_provider_flowengine.protocol.errors import RunLostError
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.protocol.stopping import resume

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun


@dataclass(eq=False, repr=False, kw_only=True)
class ResumeTask(RunTask):
    """
    One try of a task that resumes a run.

    :param operator: what the DAG declares, its templates rendered.
    :param context: the task's context.
    :param options: how the task waits for its run, and whether it stops it.
    :param run_id: the run.
    """

    run_id: object

    @property
    def reconnects(self) -> bool:
        """Whether a later try reconnects to the run: always, since it is named."""
        return True

    def acquire(self, pipeline_id: Identifier) -> PipelineRun:
        """Return the run, resumed if it isn't running."""
        run_id = rendered_id("run_id", self.run_id)
        checkpoint = self.store.checkpoint
        if checkpoint and (checkpoint.pipeline_id, checkpoint.run_id) != (pipeline_id, run_id):
            checkpoint = self.owned_run = None
        if checkpoint and not self.store.was_cleared:
            # An earlier try has resumed it; how it has ended since is this try's result, unless it failed again.
            found = self._find(pipeline_id, run_id)
            if found and found.state in (RunState.SUCCEEDED, RunState.RUNNING):
                return found
        run = self._run(resume(self.hook.api, pipeline_id, run_id))
        if run is None:
            raise RunLostError(f"Run {run_id} of pipeline {pipeline_id} cannot be found")
        if run.state.is_final:
            self.pre_resume_run = run
            self.log.info("Resumed %s. %s", self.report.name(run), self.report.link(run))
        return run
