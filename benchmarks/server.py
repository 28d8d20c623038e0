"""
One small HTTPS server that stands for every remote system: whoever asks for a run is told that it is running.

It runs in a process of its own, so its cost isn't measured, and counts what it is asked.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from functools import lru_cache
from pathlib import Path

from aiohttp import web

STARTED = int(time.time() * 1000)


@lru_cache(maxsize=4096)
def history(pipeline: int, size: int) -> bytes:
    """A FlowEngine history page: the newest runs, all of them running."""
    newest = 1_000_000
    rows = [
        {"id": newest - place, "pipelineId": pipeline, "status": "running", "startTime": STARTED, "endTime": None}
        for place in range(size)
    ]
    return json.dumps({"status": 0, "msg": "ok", "data": {"list": rows, "total": 100_000}}).encode()


def answer(path: str, query: dict[str, str]) -> bytes | None:
    """What each system says of a run that is running; None is a 404, which the HTTP sensor waits on."""
    if path.endswith("/historyList"):
        return history(int(path.split("/")[-2]), int(query["size"]))
    if "/api/v2/accounts/" in path:
        return b'{"data": {"id": 1, "status": 3}}'
    if path.endswith("/jobs/runs/get"):
        return b'{"state": {"life_cycle_state": "RUNNING", "result_state": "", "state_message": ""}}'
    if "/jobs/" in path:
        return (
            b'{"jobId": 1, "status": "running", "jobType": "sync", "startTime": "2026-01-01T00:00:00Z",'
            b' "connectionId": "c"}'
        )
    return None


def main(port: int, cert: Path) -> None:
    """Serve until the process is ended."""
    asked = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal asked
        if request.path == "/asked":
            return web.json_response(asked)
        asked += 1
        body = answer(request.path, dict(request.query))
        return web.Response(status=404) if body is None else web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
