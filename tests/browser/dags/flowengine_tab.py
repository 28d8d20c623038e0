"""DAGs whose tasks the browser looks at in Airflow's page."""

from datetime import datetime, timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Context, task

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

COMMON = {"pipeline_key": "churn-model", "deferrable": True, "poll_interval": 1}

with DAG("flowengine_tab", schedule=None, start_date=datetime(2026, 1, 1)):
    FlowEngineStartPipelineOperator(
        task_id="train_model",
        job_params={"fetch": {"day": "2026-11-26"}, "train": {"trees": "500"}},
        **COMMON,
    )


class DeferredOperator(BaseOperator):
    """Stays deferred until the test ends it: so the test itself decides what its XCom tells at each moment."""

    template_fields = ("job_params",)

    def __init__(self, *, job_params: dict[str, dict[str, str]], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.job_params = job_params

    def execute(self, context: Context) -> None:
        """Defer the task for an hour."""
        self.defer(trigger=TimeDeltaTrigger(timedelta(hours=1)), method_name="execute")


with DAG("flowengine_tab_deferred", schedule=None, start_date=datetime(2026, 1, 1)):
    DeferredOperator(task_id="train_model", job_params={"fetch": {"day": "2026-11-26"}, "train": {"trees": "500"}})

with DAG("flowengine_tab_mapped", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def foreign() -> None:
        """Do nothing with FlowEngine."""

    foreign()
    FlowEngineStartPipelineOperator.partial(task_id="train_region", **COMMON).expand(
        job_params=[{"train": {"trees": trees}} for trees in ("100", "200")]
    )
