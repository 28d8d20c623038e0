"""What Airflow discovers of this package; imports no Airflow."""

from __future__ import annotations

from airflow_provider_flowengine import __version__


def get_provider_info() -> dict[str, object]:
    """Return the provider's description for Airflow's ``apache_airflow_provider`` entry point."""
    return {
        "package-name": "airflow-provider-flowengine",
        "name": "FlowEngine",
        "description": "FlowEngine pipelines as steps of Airflow DAGs.",
        "versions": [__version__],
    }
