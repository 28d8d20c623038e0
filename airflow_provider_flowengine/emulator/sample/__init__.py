"""The pipeline to begin with: the one of the README's DAG, and of the example DAGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_flowengine.emulator.engine import Engine

KEY = "churn_model"


def read_sample() -> dict[str, Any]:
    """Return the sample pipeline, as the create call takes it."""
    definition = json.loads(Path(__file__).with_name(f"{KEY}.json").read_text(encoding="utf-8"))
    return {"data": definition, "pipelineKey": KEY}


def add_sample(engine: Engine) -> int:
    """Create the sample pipeline, unless there is one of its key, and return its id."""
    with engine.lock:
        found = next((each.id for each in engine.pipelines() if each.key == KEY), None)
        return found or engine.create_pipeline(read_sample()).id
