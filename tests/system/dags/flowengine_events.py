"""A DAG that is started by runs which end in FlowEngine, whoever started them."""

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunEventTrigger

watched = Asset(
    "watched",
    watchers=[
        AssetWatcher(
            name="ended",
            trigger=FlowEnginePipelineRunEventTrigger(
                flowengine_conn_id="flowengine_events",
                pipeline_key="watched",
                outcomes="all",
                poll_interval=1,
            ),
        )
    ],
)

with DAG("watching", schedule=[watched], catchup=False):

    @task
    def told(triggering_asset_events=None):
        return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

    told()
