"""What a try does about what an earlier one left: the whole of :func:`decide`, as a table."""

import re

import pytest

from airflow_provider_flowengine.operators.checkpoint import Checkpoint, Next, Phase, decide
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState

TABLE = """
    phase      cleared  gone   running  stopping  unknown  succeeded  failed        stopped
    none       no       start
    intended   no       look
    intended   yes      look
    watched    no       go on  go on    start     go on    take       start/resume  start
    watched    yes      go on  go on    start     go on    take       start/resume  start
    deferred   no       go on  go on    start     go on    take       start/resume  start
    deferred   yes      start  replace  replace   replace  start      start         start
    vanished   no       start  go on    start     go on    take       start/resume  start
    vanished   yes      start  go on    start     go on    take       start/resume  start
    handed on  no       take   take     take      take     take       take          take
    handed on  yes      start  start    start     start    start      start         start
"""
"""
What the record says, and whether a person has cleared the task since; then, for each state of the run, what is done.

Of "start/resume" the first goes for ``retry_mode="restart"``, the second for ``"resume"``. "gone" is a run that the
history doesn't show. A start whose run isn't known yet has no state.
"""

RUNS = {
    "gone": None,
    "running": PipelineRun(7, 1, "running", RunState.RUNNING),
    "stopping": PipelineRun(7, 1, "停止中", RunState.RUNNING),
    "unknown": PipelineRun(7, 1, "flourishing", RunState.UNKNOWN),
    "succeeded": PipelineRun(7, 1, "succeeded", RunState.SUCCEEDED),
    "failed": PipelineRun(7, 1, "failed", RunState.FAILED),
    "stopped": PipelineRun(7, 1, "stopped", RunState.STOPPED),
}


def rows():
    header, *lines = (re.split(r"\s{2,}", line.strip()) for line in TABLE.strip().splitlines())
    for phase, cleared, *decisions in lines:
        for state, decision in zip(header[2:], decisions, strict=False):
            yield pytest.param(phase, cleared == "yes", state, decision, id=f"{phase}, cleared {cleared}, {state}")


@pytest.mark.parametrize("mode", ["restart", "resume"])
@pytest.mark.parametrize(("phase", "cleared", "state", "decision"), rows())
def test_what_is_found_decides(phase, cleared, state, decision, mode):
    run_id = None if phase == "intended" else 7
    record = None if phase == "none" else Checkpoint(Phase(phase), pipeline_id=1, max_tries=2, run_id=run_id)
    restart, _, resume = decision.partition("/")

    found = decide(record, RUNS[state], cleared=cleared, resume=mode == "resume")

    assert found is Next(resume if resume and mode == "resume" else restart)
