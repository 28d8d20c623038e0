"""FlowEngine pipelines as steps of Airflow DAGs."""

__version__ = "0.1.0"
