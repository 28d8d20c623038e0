"""Pipelines of every form that an engine takes, and what people may do to them."""

from hypothesis import strategies as st

words = st.text("aAbc é中-_.", min_size=1, max_size=6)
texts = st.text("ab\n\r\t\"'${}é中\u2028", max_size=20)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=4
)
SCRIPTS = ("indexSource", "onPreStart", "onComplete", "onTimeout", "onError")
unknown = st.dictionaries(st.sampled_from(["sensorJobConfig", "outputConfig", "x", "nodes_", "viewConfig"]), values)


@st.composite
def params(draw):
    """A node's or a pipeline's params."""
    keys = draw(st.lists(words, unique=True, max_size=3))
    kinds = st.sampled_from(["TEXT", "FILE"])
    return {"values": [{"key": key, "value": draw(scalars), "type": draw(kinds), **draw(unknown)} for key in keys]}


@st.composite
def nodes(draw, node_id):
    """One node, with the server's own fields or without."""
    node = {"nodeId": node_id, "type": "TASK", "indexType": draw(st.sampled_from(["SHELL", "PYTHON3"]))}
    node |= draw(st.dictionaries(st.sampled_from(SCRIPTS), texts | st.none(), max_size=2)) | draw(unknown)
    if draw(st.booleans()):
        node["params"] = draw(params())
    if draw(st.booleans()):
        node |= {"id": draw(st.integers()), "status": draw(words), "runId": None}
    return node


@st.composite
def pipelines(draw, whole=None):
    """A whole pipeline object; as a server has it where ``whole``, as somebody wrote it where not."""
    ids = draw(st.lists(words, unique=True, max_size=4))
    data = {"name": draw(words), "nodes": [draw(nodes(node_id)) for node_id in ids], **draw(unknown)}
    pairs = st.tuples(st.sampled_from(ids or [""]), st.sampled_from(ids or [""]))
    data["edges"] = [
        {"id": draw(words), "srcNodeId": source, "destNodeId": dest}
        for source, dest in (draw(st.lists(pairs, unique=True, max_size=3)) if ids else ())
    ]
    if draw(st.booleans()):
        data["executionConfig"] = draw(st.dictionaries(st.sampled_from(["runMode", "interval", "y"]), scalars))
    pipeline = {"pipelineKey": draw(words), "data": data, **draw(unknown)}
    if draw(st.booleans()) if whole is None else whole:
        data |= {"id": draw(words), "status": "init"}
        pipeline |= {"id": draw(st.integers(1)), "engineTemplateId": 3, "historyList": None, "createTime": 5}
    return pipeline
