"""
A story from end to end: Airflow fetches data, FlowEngine trains a model on it, Airflow decides what becomes of it.

The model is judged by FlowEngine's pipeline itself, which writes its accuracy to a folder that both sides see. Is it
good enough, Airflow publishes it; if not, the pipeline runs again with more rounds, and the model is judged again: one
that is still too poor isn't published, and the DAG run fails.

Needs jobs that really run: FlowEngine itself, or the emulator with ``--execute``.
"""

from __future__ import annotations

import csv
import json
import random
import tempfile
from datetime import datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineStartPipelineOperator,
    FlowEngineUploadFileOperator,
)

SHARED = Path(tempfile.gettempdir()) / "flowengine-churn-story"  # what FlowEngine's jobs and Airflow's workers both see
SCRIPTS = Path(__file__).parent / "churn_story"
GOOD_ENOUGH = 0.85

# START pipeline
PIPELINE = {
    "name": "Churn, trained for real",
    "nodes": [
        {"nodeId": "start_node", "name": "start", "title": "开始", "type": "START", "indexType": "DAG"},
        {
            "nodeId": "train",
            "name": "train",
            "title": "Train model",
            "type": "TASK",
            "indexType": "PYTHON3",
            "indexSource": (SCRIPTS / "train.py").read_text(encoding="utf-8"),
            "params": {
                "values": [
                    {"key": "customers", "value": "", "type": "FILE"},
                    {"key": "rounds", "value": "1", "type": "TEXT"},
                ]
            },
            "outputSlots": [{"id": "train.model", "elementType": "TEXT"}],
        },
        {
            "nodeId": "evaluate",
            "name": "evaluate",
            "title": "Judge model",
            "type": "TASK",
            "indexType": "PYTHON3",
            "indexSource": (SCRIPTS / "evaluate.py").read_text(encoding="utf-8"),
            "params": {
                "values": [
                    {"key": "customers", "value": "", "type": "FILE"},
                    {"key": "report", "value": "", "type": "TEXT"},
                    {"id": "evaluate.model", "key": "model", "value": "", "type": "TEXT"},  # wired by the second edge
                ]
            },
        },
    ],
    "edges": [
        {"id": "1", "srcNodeId": "start_node", "destNodeId": "train"},
        {
            "id": "2",
            "srcNodeId": "train",
            "srcSlotId": "train.model",
            "destNodeId": "evaluate",
            "destSlotId": "evaluate.model",
        },
    ],
}
# END pipeline


def job_params(rounds: int) -> dict[str, dict[str, str]]:
    """What the two nodes are given at a start."""
    customers = "{{ ti.xcom_pull(task_ids='upload')['path'] }}"
    report = f"{SHARED}/report-{{{{ run_id | replace(':', '') | replace('+', '') }}}}.json"
    return {
        "train": {"customers": customers, "rounds": str(rounds)},
        "evaluate": {"customers": customers, "report": report},
    }


def read_report(run_id: str) -> dict[str, float]:
    """What FlowEngine last found out about this DAG run's model."""
    name = run_id.replace(":", "").replace("+", "")
    report: dict[str, float] = json.loads((SHARED / f"report-{name}.json").read_text())
    print(f"accuracy {report['accuracy']}, wanted {GOOD_ENOUGH}")
    return report


with DAG(
    "flowengine_churn_story",
    description="Fetch, train, judge, and publish or train again",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:

    @task
    def fetch() -> str:
        """Fetch the customers; here they are made up, the same ones every time."""
        chance = random.Random(7)
        SHARED.mkdir(exist_ok=True)
        path = SHARED / "customers.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["part", "months", "calls", "left"])
            for number in range(600):
                months, calls = chance.randint(1, 60), chance.randint(0, 10)
                left = calls * 6 - months + chance.gauss(0, 6) > 5  # many calls soon after joining: they leave
                rows.writerow(["test" if number % 4 == 0 else "train", months, calls, int(left)])
        return str(path)

    @task.branch
    def judge(**context: object) -> str:
        """Publish a good model; train a poor one longer."""
        return "publish" if read_report(str(context["run_id"]))["accuracy"] >= GOOD_ENOUGH else "train_longer"

    @task
    def judge_again(**context: object) -> None:
        """Let a model that was trained longer pass if it is good now."""
        accuracy = read_report(str(context["run_id"]))["accuracy"]
        if accuracy < GOOD_ENOUGH:
            raise AirflowFailException(
                f"The model isn't published: its accuracy after longer training is {accuracy}, wanted {GOOD_ENOUGH}"
            )

    @task(trigger_rule="none_failed_min_one_success")
    def publish(**context: object) -> float:
        """Put the model where others find it, and say how good it is."""
        report = read_report(str(context["run_id"]))
        (SHARED / "model.json").write_text(json.dumps(report))
        return report["accuracy"]

    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline", pipeline=PIPELINE, pipeline_key="churn_for_real", if_exists="update"
    )
    upload = FlowEngineUploadFileOperator(task_id="upload", path=fetch())
    train = FlowEngineStartPipelineOperator(
        task_id="train", pipeline_id=create.output, job_params=job_params(rounds=1), poll_interval=2
    )
    train_longer = FlowEngineStartPipelineOperator(
        task_id="train_longer", pipeline_id=create.output, job_params=job_params(rounds=400), poll_interval=2
    )

    judged, published = judge(), publish()
    [create, upload] >> train >> judged
    judged >> [train_longer, published]
    train_longer >> judge_again() >> published
