"""Pipelines to look at."""

from itertools import pairwise


def node(node_id, title="", *, type="TASK", job="PYTHON3", values=(), **params):
    values = [
        *values,
        *({"id": f"{node_id}.{key}", "key": key, "value": str(value), "type": "TEXT"} for key, value in params.items()),
    ]
    return {
        "nodeId": node_id,
        "name": node_id,
        "title": title or node_id,
        "type": type,
        "indexType": job,
        "params": {"values": values},
    }


def pipeline(name, nodes, paths=(), **execution):
    """A pipeline object; a path is "a b c": b runs after a, and c after b."""
    pairs = [pair for path in paths for pair in pairwise(path.split())]
    edges = [{"id": f"{a} {b}", "srcNodeId": a, "destNodeId": b} for a, b in pairs]
    data = {"name": name, "nodes": list(nodes), "edges": edges, "executionConfig": {"runMode": "SINGLE", **execution}}
    return {"data": data, "pipelineKey": name}


def churn():
    """Six nodes, two of them side by side; the evaluation fails at its first try."""
    return pipeline(
        "churn-model",
        [
            node("start_node", "开始", type="START", job="DAG"),
            node("fetch", "Fetch customers", job="SHELL", day="2020-06-29", duration=5),
            node("features", "Make features", duration=20),
            node("labels", "Make labels", duration=12),
            node("train", "Train the model", trees=200, duration=60),
            node("evaluate", "Evaluate", duration=10, outcome="failed_once", message="AUC 0.61 is below 0.70"),
            node("publish", "Publish", job="SHELL", duration=5),
        ],
        ["start_node fetch features train evaluate publish", "fetch labels train"],
    )
