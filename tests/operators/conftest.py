"""What the tests of operators share."""

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator


@pytest.fixture
def start(run_task):
    """Run the start operator, which polls often so that the tests are short."""

    def start(**arguments):
        return run_task(FlowEngineStartPipelineOperator, **{"poll_interval": 0.05, **arguments})

    return start
