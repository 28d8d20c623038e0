"""
What goes over the wire: envelopes, times, ids and words, in the shape that the options choose.

Written by hand from what is known of FlowEngine's answers. Field names that no source names (``triggerType``,
``params``, ``nodes`` of the one-run call, ``total``) are inference.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from .models import NodeRun, Pipeline, Run
    from .options import Options

OK = "后台处理正常"  # Source: the vendor's API page
FAILURE = 1  # the status of a refusal; the sources say only that it isn't 0

# What triggered a run, as FlowEngine's page says it. 手动触发 is the vendor's; the others are inference.
# Its page of one run says 手动启动 (Source: a screenshot of the vendor's documentation).
TRIGGERS = {"manual": "手动触发", "interval": "周期触发", "cron": "定时触发", "message": "消息触发"}

_BARE = ("id", "status")  # Source: clients in the wild, which read no more
_TIMES = (*_BARE, "pipelineId", "startTime", "endTime")
_RUN_FIELDS = {"all": (*_TIMES, "triggerType", "params"), "times": _TIMES, "bare": _BARE}

Json = Any  # what json.dumps takes; its shape is what the options say


def envelope(options: Options, data: Json, status: int = 0, msg: str = OK) -> dict[str, Json]:
    """Wrap an answer as FlowEngine does; ``status`` as a number or as text."""
    return {"status": status if options.envelope_status == "number" else str(status), "msg": msg, "data": data}


def handshake(options: Options, name: str, value: Json) -> dict[str, Json]:
    """Return an answer to one of the two handshake calls, with its value in the place that the options name."""
    fact = {name: value}
    if options.handshake == "top":
        return envelope(options, None) | fact
    return envelope(options, fact if options.handshake == "data" else {"data": fact})


def under(name: str, items: list[Json], **more: Json) -> Json:
    """Return a list as it stands, or under a name with more beside it."""
    return {**more, name: items} if name else items


def page(options: Options, name: str, items: list[Json], total: int) -> Json:
    """Return a page of a list under a name, with the total that the options say."""
    if options.totals == "none":
        return under(name, items)
    shown = {"right": total, "zero": 0, "huge": 10**12}
    return under(name, items, total=shown[options.totals])


def identifier(options: Options, value: int) -> int | str:
    """Return an id as a number or as text."""
    return value if options.ids == "number" else str(value)


def moment(options: Options, at: float | None) -> int | str | None:
    """Return a time as epoch milliseconds, or as text without a zone; None stays None."""
    if at is None:
        return None
    at += options.clock_skew
    if options.times == "ms":
        return int(at * 1000)
    return datetime.fromtimestamp(at, ZoneInfo(options.timezone)).strftime("%Y-%m-%d %H:%M:%S")


def pipeline_object(options: Options, pipeline: Pipeline) -> dict[str, Json]:
    """
    Return the pipeline object: what was sent at its creation, with the fields that FlowEngine sets itself.

    Clients in the wild read ``data.status``, which the vendor's own client doesn't send: so a server adds it.
    """
    return {
        "engineTemplateId": None,
        **pipeline.body,
        "data": {"status": "init", **pipeline.body["data"]},
        "id": identifier(options, pipeline.id),
        "jobKey": pipeline.body.get("jobKey"),
        "tiggerKey": pipeline.body.get("tiggerKey"),  # the API's own spelling
        "historyList": None,
        "createTime": int(pipeline.created * 1000),
        "pipelineKey": pipeline.body.get("pipelineKey"),
    }


def run_row(options: Options, run: Run, now: float) -> dict[str, Json]:
    """Return a run as the history shows it."""
    row = {
        "id": identifier(options, run.id),
        "pipelineId": identifier(options, run.pipeline_id),
        "status": options.word(run.state(now)),
        "startTime": moment(options, run.started),
        "endTime": moment(options, run.ended_at(now)),
        "triggerType": options.trigger_words.get(run.trigger, TRIGGERS[run.trigger]),
        "params": run.params,
    }
    return {name: value for name, value in row.items() if name in _RUN_FIELDS[options.run_fields]}


def run_object(options: Options, run: Run, now: float) -> dict[str, Json]:
    """Return a run as the one-run call answers it: the row of the history and its nodes."""
    nodes = [_node_row(options, node, now, run_has_ended=run.has_ended(now)) for node in run.nodes]
    return run_row(options, run, now) | {"nodes": nodes}


def _node_row(options: Options, node: NodeRun, now: float, *, run_has_ended: bool) -> dict[str, Json]:
    state = node.state(now, run_has_ended=run_has_ended)
    reached = state not in ("waiting", "unreached")
    done = reached and state != "running"
    return {
        "nodeId": node.node_id,
        "name": node.name,
        "title": node.title,
        "type": node.type,
        "indexType": node.job_type,
        "status": options.word(state),
        "startTime": moment(options, node.start) if reached else None,
        "endTime": moment(options, node.end) if done else None,
        "message": node.message if done else "",
        "attempts": node.attempts if reached else 0,
        "params": node.params,
        "output": node.output if done else "",
    }


def in_order(options: Options, rows: list[Json], page: int) -> list[Json]:
    """Return a page in the order that the options say: pages go from newest to oldest, shuffled only within each."""
    if options.history_order == "shuffled":
        random.Random(page).shuffle(rows)
    return rows
