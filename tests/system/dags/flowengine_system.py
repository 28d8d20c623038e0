"""One DAG for each set of arguments that can't be templated, each of one task; the rest comes with the DAG run."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

VARIANTS = {
    "start": {},
    "one_try": {"retries": 0},
    "resume": {"retry_mode": "resume"},
    "keep": {"cancel_on_kill": False, "retries": 0},
    "timeout": {"timeout": 25, "retries": 0},
    "execution_timeout": {"execution_timeout": timedelta(seconds=25), "retries": 0},
    "long_timeout": {"timeout": 50},
}

for variant, arguments in VARIANTS.items():
    for mode in ("sync", "deferrable"):
        with DAG(f"{variant}_{mode}", schedule=None, catchup=False):
            FlowEngineStartPipelineOperator(
                task_id="run",
                flowengine_conn_id="{{ dag_run.conf['connection'] }}",
                pipeline_id="{{ dag_run.conf['pipeline'] }}",
                deferrable=mode == "deferrable",
                poll_interval=2,
                retry_delay=timedelta(seconds=1),
                **{"retries": 4, **arguments},
            )
