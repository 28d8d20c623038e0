"""What a try does about what an earlier one left: the whole of :func:`decide`, as a table."""

import re

import pytest

from airflow_provider_flowengine.operators.checkpoint import Checkpoint, Decision, Phase, decide
from airflow_provider_flowengine.protocol.models import PipelineRun
from airflow_provider_flowengine.protocol.status import RunState

TABLE = """
    phase      cleared  gone       running    stopping          unknown    succeeded          failed         stopped
    none       no       submit
    starting   no       recover
    starting   yes      recover
    polling    no       reconnect  reconnect  reconnect/submit  reconnect  already_succeeded  submit/resume  reconnect/submit
    polling    yes      reconnect  reconnect  submit            reconnect  already_succeeded  submit/resume  submit
    deferred   no       reconnect  reconnect  reconnect/submit  reconnect  already_succeeded  submit/resume  reconnect/submit
    deferred   yes      submit     replace    replace           replace    already_succeeded  submit/resume  submit
    lost       no       submit     reconnect  reconnect/submit  reconnect  already_succeeded  submit/resume  reconnect/submit
    lost       yes      submit     reconnect  submit            reconnect  already_succeeded  submit/resume  submit
    cancelled  no       submit     replace    submit            replace    already_succeeded  submit/resume  submit
    cancelled  yes      submit     replace    submit            replace    already_succeeded  submit/resume  submit
    delivered  no       already_succeeded  already_succeeded  already_succeeded  already_succeeded  already_succeeded  already_succeeded  already_succeeded
    delivered  yes      submit     submit     submit            submit     submit             submit         submit
"""  # noqa: E501
"""
What the checkpoint says, and whether the user has cleared the task since; then, for each state of the run, what is
done.

Of "submit/resume" the second goes for ``retry_mode="resume"``, of "reconnect/submit" for ``retry_stopped=True``. "gone"
is a run that the history doesn't show. A start whose run isn't known yet has no state.
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


@pytest.mark.parametrize("otherwise", [False, True], ids=["by default", "otherwise"])
@pytest.mark.parametrize(("phase", "cleared", "state", "decision"), rows())
def test_what_is_found_decides(phase, cleared, state, decision, otherwise):
    run_id = None if phase == "starting" else 7
    checkpoint = None if phase == "none" else Checkpoint(Phase(phase), pipeline_id=1, max_tries=2, run_id=run_id)
    by_default, _, by_choice = decision.partition("/")

    found = decide(checkpoint, RUNS[state], cleared=cleared, resume_failed=otherwise, retry_stopped=otherwise)

    assert found is Decision(by_choice if by_choice and otherwise else by_default)
