"""The pipeline to begin with: the one of the README's DAG, and of the example DAGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEY = "churn_model"


def read_sample() -> dict[str, Any]:
    """Return the sample pipeline, as the create call takes it."""
    definition = json.loads(Path(__file__).with_name(f"{KEY}.json").read_text(encoding="utf-8"))
    return {"data": definition, "pipelineKey": KEY}
