"""What no operator does, the hook does in a task of your own: here, it tells which node of a run took longest."""

from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineStartPipelineOperator,
)

with DAG(
    "flowengine_hook_in_task",
    description="Use the hook in a task",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline", pipeline="churn_model.json", pipeline_key="churn_model", if_exists="update"
    )
    start = FlowEngineStartPipelineOperator(task_id="train_model", pipeline_id=create.output)

    # START hook
    @task
    def find_slowest_node(pipeline: Any, run: Any) -> str | None:
        from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook

        nodes = FlowEngineHook().get_run(pipeline, run).nodes
        took = {node.name: node.ended - node.started for node in nodes if node.started and node.ended}
        return max(took, key=lambda name: took[name], default=None)  # not every FlowEngine tells of nodes

    # END hook
    find_slowest_node(create.output, start.output)
