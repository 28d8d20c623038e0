"""What Airflow discovers of this package. Imports no Airflow: discovery runs before Airflow is set up."""

from __future__ import annotations

from airflow_provider_flowengine import __version__
from airflow_provider_flowengine.connection_form import CONNECTION_TYPE, HOOK_NAME, conn_fields, ui_field_behaviour

_PACKAGE = "airflow_provider_flowengine"
_INTEGRATION = "FlowEngine"


def get_provider_info() -> dict[str, object]:
    """
    Return the provider's description, for Airflow's entry point group ``apache_airflow_provider``.

    Airflow checks it against ``airflow/provider_info.schema.json``.
    """
    asset_uris = [
        {
            "schemes": ["flowengine"],
            "handler": f"{_PACKAGE}.assets.sanitize_uri",
            "factory": f"{_PACKAGE}.assets.create_asset",
            "to_openlineage_converter": f"{_PACKAGE}.assets.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "airflow-provider-flowengine",
        "name": _INTEGRATION,
        "description": "FlowEngine pipelines as steps of Airflow DAGs, each started exactly once.",
        "versions": [__version__],
        "integrations": [{"integration-name": _INTEGRATION, "tags": ["service"]}],
        "operators": _modules("operators.flowengine"),
        "sensors": _modules("sensors.flowengine"),
        "hooks": _modules("hooks.flowengine"),
        "triggers": _modules("triggers.flowengine"),
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{_PACKAGE}.hooks.flowengine.FlowEngineHook",
                "hook-name": HOOK_NAME,
                "conn-fields": conn_fields(),
                "ui-field-behaviour": ui_field_behaviour(),
            }
        ],
        "cli": [f"{_PACKAGE}.cli.airflow.get_commands"],  # from Airflow 3.2 on
        "extra-links": [f"{_PACKAGE}.links.FlowEngineRunLink"],
        "config": {
            "flowengine": {
                "description": "How the triggerer asks FlowEngine for the nodes of deferred runs.",
                "options": {
                    "node_requests_per_second": {
                        "description": "Requests a second for each connection and triggerer, taken in turn by its "
                        "deferred runs, if the run history holds no nodes. 0 requests none.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "2",
                    },
                    "node_request_interval": {
                        "description": "Seconds between two such requests for the same run at least.",
                        "version_added": "0.1.0",
                        "type": "float",
                        "example": None,
                        "default": "15",
                    },
                },
            }
        },
        "asset-uris": asset_uris,
        "dataset-uris": asset_uris,  # Airflow 2.11's name for it
    }


def _modules(name: str) -> list[dict[str, object]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}"]}]
