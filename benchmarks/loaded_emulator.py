"""An emulator with a long past, served from a process of its own; prints the address of a history page."""

from __future__ import annotations

import sys
import time

from airflow_provider_flowengine.emulator.server import Emulator


def main(database: str, pipelines: int, runs: int) -> None:
    """Fill the emulator, say where the history is, and serve until the process is ended."""
    emulator = Emulator(db=database)
    definition = {"nodes": [{"nodeId": "start_node", "type": "START", "indexType": "DAG"}], "edges": []}
    made = [
        emulator.engine.create_pipeline({"pipelineKey": f"p{number}", "data": {"name": f"p{number}", **definition}})
        for number in range(pipelines)
    ]
    now = time.time()
    emulator.engine.add_history(made[0].id, (now - runs + number for number in range(runs)))
    options = emulator.options
    page = (
        f"{emulator.url}{options.engine_url}/kernel/v1/pipeline/{made[0].id}/historyList"
        f"?page=1&size=20&engineId={options.engine_id}&engineKey={options.engine_key}"
    )
    emulator.serve(ready=lambda: print(page, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
