"""What the tests of operators share."""

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator


@pytest.fixture
def let_runs_end_at_once(emulator):
    """Change a pipeline so that its runs end at once and well."""

    def let_runs_end_at_once(pipeline_id):
        body = emulator.engine.pipeline(pipeline_id).body
        body["data"]["nodes"][0]["params"]["values"] = []
        emulator.engine.update_pipeline({**body, "id": pipeline_id})

    return let_runs_end_at_once


@pytest.fixture
def start(run_task):
    """Run the start operator, which polls often so that the tests are short."""

    def start(**arguments):
        return run_task(FlowEngineStartPipelineOperator, **{"poll_interval": 0.05, **arguments})

    return start
