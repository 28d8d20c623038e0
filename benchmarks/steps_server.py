"""
What the steps talk to: a job server as the HTTP and dbt Cloud providers know one, and a proxy that counts.

Both run in a process of their own, so their cost isn't measured. The proxy stands before Airflow's execution API.
"""

from __future__ import annotations

import json
import re
import ssl
import sys
import time
from collections import Counter

import aiohttp
from aiohttp import web


def jobs(seconds: float) -> web.Application:
    """Return a server whose runs take some seconds each, and that tells when the run of each step has ended."""
    ends: dict[str, float] = {}
    steps: list[str] = []

    def start(step: str) -> int:
        steps.append(step)
        ends[step] = time.time() + seconds
        return len(steps) - 1

    async def start_run(request: web.Request) -> web.Response:
        return web.Response(text=str(start(await request.text())))

    async def get_run(request: web.Request) -> web.Response:
        done = ends[steps[int(request.match_info["run"])]] <= time.time()
        return web.json_response({"done": done}, status=200 if done else 404)

    def dbt_run(run: int) -> dict[str, object]:
        done = ends[steps[run]] <= time.time()
        return {"id": run, "account_id": 1, "href": f"/runs/{run}", "status": 10 if done else 3}

    async def start_dbt(request: web.Request) -> web.Response:
        cause = json.loads(await request.text())["cause"]
        return web.json_response({"data": dbt_run(start(cause)), "status": {"code": 200}})

    async def get_dbt(request: web.Request) -> web.Response:
        return web.json_response({"data": dbt_run(int(request.match_info["run"])), "status": {"code": 200}})

    async def get_job(request: web.Request) -> web.Response:
        return web.json_response({"data": {"id": 1, "project_id": 1, "environment_id": 1}, "status": {"code": 200}})

    async def tell_ends(request: web.Request) -> web.Response:
        return web.json_response(ends)

    app = web.Application()
    account = "/api/v2/accounts/{account}"
    app.add_routes(
        [
            web.post("/start", start_run),
            web.get("/runs/{run}", get_run),
            web.post(account + "/jobs/{job}/run/", start_dbt),
            web.get(account + "/runs/{run}/", get_dbt),
            web.get(account + "/jobs/{job}/", get_job),
            web.get("/ends", tell_ends),
        ]
    )
    return app


def proxy(target: str) -> web.Application:
    """Return a proxy that counts what it passes on, by method and kind of path."""
    counted: Counter[str] = Counter()

    async def forward(request: web.Request) -> web.Response:
        kind = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "{id}", request.path)
        counted[f"{request.method} {'/'.join(kind.split('/')[:4])}"] += 1
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with request.app["session"].request(
            request.method, target + request.path_qs, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(counted)

    async def session(app: web.Application):
        app["session"] = aiohttp.ClientSession(auto_decompress=False)
        yield
        await app["session"].close()

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.cleanup_ctx.append(session)
    app.router.add_get("/counted", tell)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}

if __name__ == "__main__":
    kind, port, argument, *certificate = sys.argv[1:]
    app = jobs(float(argument)) if kind == "jobs" else proxy(argument)
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate[0])
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, print=None, access_log=None)
