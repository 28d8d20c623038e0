"""DAGs whose tasks the browser looks at in Airflow's page."""

from datetime import datetime, timedelta

from airflow.sdk import DAG, task

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

COMMON = {"pipeline_key": "churn-model", "deferrable": True, "poll_interval": 1}
RETRIES = {
    "flowengine_tab": {"retries": 1, "retry_delay": timedelta(seconds=30), "retry_mode": "resume"},
    "flowengine_tab_once": {"retries": 0},
}

for name, retries in RETRIES.items():
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1)):
        FlowEngineStartPipelineOperator(
            task_id="train_model",
            job_params={"fetch": {"day": "2026-11-26"}, "train": {"trees": "500"}},
            **retries,
            **COMMON,
        )

with DAG("flowengine_tab_mapped", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def foreign() -> None:
        """Do nothing with FlowEngine."""

    foreign()
    FlowEngineStartPipelineOperator.partial(task_id="train_region", **COMMON).expand(
        job_params=[{"train": {"trees": trees}} for trees in ("100", "200")]
    )
