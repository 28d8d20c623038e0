"""What answers hold: read tolerantly, checked strictly."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_flowengine.protocol.errors import FlowEngineError, UnexpectedResponseError
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.identifiers import identifier
from airflow_provider_flowengine.protocol.models import (
    NodeRun,
    Param,
    PipelineRun,
    newest_first,
    run_from_dict,
)
from airflow_provider_flowengine.protocol.reply import Reply
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.status import RunState

from .conftest import sample

REQUEST = Request(name="list runs of pipeline 19", method="GET", path="/engine/15/x/pipeline/19/historyList")
GATEWAY = "http://gw:31101"


def reply(payload=None, gateway=GATEWAY, zone="UTC"):
    return Reply(REQUEST, Settings.build(fl_url=gateway, timezone=zone), payload or {})


def content(name):
    return json.loads(sample(name).body)


def read_run(row, zone="UTC"):
    return reply(zone=zone).run(row, 19)


# --- the handshake ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["engine_url", "engine_url.top", "engine_url.nested"])
def test_the_engines_url_is_found_wherever_it_stands(name):
    assert reply(content(name)).engine_url() == "/engine/15/cess-data-3"


@pytest.mark.parametrize("name", ["engine_id", "engine_id.top", "engine_id.nested", "engine_id.automl"])
def test_the_engines_id_is_found_wherever_it_stands(name):
    assert reply(content(name)).engine_id() == 6


def test_a_list_may_hold_the_engines_url():
    assert reply({"data": [None, {"url": "/engine/15/x"}]}).engine_url() == "/engine/15/x"


@pytest.mark.parametrize(
    ("gateway", "url", "path"),
    [
        (GATEWAY, "/engine/15/x/", "/engine/15/x"),
        (GATEWAY, "engine/15/x", "/engine/15/x"),
        (GATEWAY, " /engine/15/x ", "/engine/15/x"),
        (GATEWAY, "http://gw:31101/engine/15/x", "/engine/15/x"),
        (GATEWAY, "https://GW/engine/15/x", "/engine/15/x"),
        (GATEWAY, "//gw/engine/15/x", "/engine/15/x"),
        ("https://gw/fl", "https://gw/fl/engine/15/x", "/engine/15/x"),
        ("https://gw/fl", "https://gw/flow/engine", "/flow/engine"),
        ("https://gw/fl", "https://gw/engine/15/x", "/engine/15/x"),
        ("https://gw/fl", "/fl/engine/15/x", "/fl/engine/15/x"),
    ],
)
def test_the_engines_url_is_a_path_below_the_gateway(gateway, url, path):
    assert reply({"data": {"url": url}}, gateway).engine_url() == path


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere/engine/15/x",
        "//elsewhere/engine",
        "/\\elsewhere/engine",
        "javascript:alert(1)",
        "http://gw@elsewhere/engine",
        "http://[gw/engine",
        "/engine/15 x",
        "/engine?x=1",
        "/engine#x",
        "/",
        "http://gw:31101/",
        15,
        ["/engine"],
        {"path": "/engine"},
    ],
)
def test_an_engine_url_that_credentials_must_not_follow_is_refused(url):
    with pytest.raises(UnexpectedResponseError, match="url"):
        reply({"data": {"url": url}}).engine_url()


@pytest.mark.parametrize(
    "whole", [{}, {"data": None}, {"data": {"url": None}}, {"data": ""}, {"data": [1]}, {"url": ""}]
)
def test_an_answer_may_name_no_engine(whole):
    assert reply(whole).engine_url() is None


@pytest.mark.parametrize("whole", [{}, {"data": {"engineId": None}}, {"data": {"engineId": {}}}, {"engineId": True}])
def test_an_answer_without_an_engine_id_is_unexpected(whole):
    with pytest.raises(UnexpectedResponseError, match="expected an engineId"):
        reply(whole).engine_id()


# --- ids and times ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (43, 43),
        ("43", 43),
        (" 43 ", 43),
        (43.0, 43),
        (0, 0),
        ("0", 0),
        ("9223372036854775807", 9223372036854775807),
        ("007", "007"),
        ("4٣", "4٣"),
        ("9" * 5000, "9" * 5000),
        (-1, -1),
        ("a-1", "a-1"),
        ("", None),
        ("  ", None),
        (None, None),
        (True, None),
        (4.5, None),
        (10**25, str(10**25)),
        (1e25, str(int(1e25))),
        (float("nan"), None),
        (float("inf"), None),
        ([43], None),
    ],
)
def test_an_id_has_one_form(value, meant):
    assert identifier(value) == meant
    assert type(identifier(value)) is type(meant)


MOMENT = datetime(2020, 6, 30, 2, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        1593483729000,
        1593483729,
        1593483729000.0,
        1593483729000_000,
        1593483729000_000_000,
        "1593483729000",
        "2020-06-30 10:22:09",
        " 2020-06-30T10:22:09 ",
        "2020-06-30 10:22:09.0",
        "2020/06/30 10:22:09",
        "2020-06-30T02:22:09Z",
        "2020-06-30T02:22:09.000+0000",
        "2020-06-30T04:22:09+02:00",
    ],
)
def test_a_time_is_epoch_milliseconds_or_text_in_the_connections_zone(value):
    moment = reply(zone="Asia/Shanghai").time(value)

    assert moment == MOMENT
    assert moment.tzinfo is not None


@pytest.mark.parametrize("value", [None, "", "-", "--", "null", "N/A", 0, "0", "00", 0.0, -1, False])
def test_a_time_may_be_missing(value):
    assert reply(zone="UTC").time(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "0000-00-00 00:00:00",
        "0001-01-01T00:00:00Z",
        "1970-01-01 08:00:00",
        "9999-12-31 23:59:59",
        -62135596800000,
        253402300799000,
    ],
)
def test_a_databases_word_for_no_time_is_none(value):
    run = read_run({"id": 1, "status": "running", "startTime": 1593483729000, "endTime": value}, zone="")

    assert (run.ended, run.is_zone_certain) == (None, True)


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2020-13-45",
        True,
        [2020, 6, 30],
        {},
        1e300,
        float("nan"),
        "9" * 5000,
        10**400,
        "²",
        "P1D",
        "2020-01-01/P1D",
        "now",
        "10:30",
        "2020-W15",
    ],
)
def test_what_is_no_time_is_quoted(value):
    with pytest.raises(UnexpectedResponseError, match="expected a time as epoch milliseconds"):
        reply(zone="UTC").time(value)


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "rows", "total"),
    [
        ([{"id": 1}], [{"id": 1}], None),
        ([], [], None),
        (None, [], None),
        ({"whatever": [{"id": 1}]}, [{"id": 1}], None),
        ({"total": "7", "list": [{"id": 1}]}, [{"id": 1}], 7),
        ({"totalElements": 7, "content": [{"id": 1}], "sort": []}, [{"id": 1}], 7),
        ({"list": [{"id": 1}], "navigatepageNums": [1], "total": 1}, [{"id": 1}], 1),
        ({"page": {"list": [{"id": 1}], "total": 7}, "code": 0}, [{"id": 1}], 7),
        ({"total": 0, "list": None}, [], 0),
        ({"total": 0}, [], 0),
        ({"list": None}, [], None),
        ({"total": "many", "rows": []}, [], None),
    ],
)
def test_a_list_stands_in_data_or_under_any_name_in_it(data, rows, total):
    listed = reply({"status": 0, "data": data})

    assert (listed.rows(), listed.total()) == (rows, total)


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"data": "none"},
        {"data": {}},
        {"data": 3},
        {"data": [1, 2]},
        {"data": {"list": [None]}},
        {"data": {"a": [], "b": []}},
        {"data": {"list": [], "rows": []}},
        {"data": {"total": 3, "list": None}},
        {"data": {"total": 3, "content": None, "pageable": {"sort": []}}},
        {"data": {"a": {"list": []}, "b": {"list": []}}},
    ],
)
def test_what_holds_no_list_or_two_is_unexpected(whole):
    with pytest.raises(UnexpectedResponseError, match="expected a list of objects in data"):
        reply(whole).rows()


@pytest.mark.parametrize("data", [{"historyList": None, "total": 2}, {"total": 2}, {}])
def test_a_page_beyond_the_end_may_have_no_list(data):
    request = replace(REQUEST, query={"page": 2, "size": 20})
    listed = replace(reply({"status": 0, "data": data}), request=request)

    assert listed.rows() == []


@pytest.mark.parametrize(
    "name", ["history.paged", "history.plain", "history.upper", "history.text_times", "history.ascending"]
)
def test_a_history_reads_the_same_in_each_of_its_shapes(name):
    rows = reply(content(name)).rows()

    older, newer = sorted((read_run(row, "Asia/Shanghai") for row in rows), key=lambda run: run.id)

    assert (newer.id, newer.state, newer.started, newer.ended) == (6, RunState.RUNNING, MOMENT, None)
    assert (older.id, older.state) == (3, RunState.SUCCEEDED)
    assert older.ended - older.started == timedelta(seconds=239)
    assert newer.trigger == "手动触发"


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_carries_its_nodes():
    run = read_run(content("run")["data"])

    assert [(node.id, node.state, node.message) for node in run.nodes] == [
        ("start_node", RunState.SUCCEEDED, ""),
        ("train", RunState.FAILED, "AUC 0.61 is below 0.7"),
        ("deploy", RunState.UNKNOWN, ""),
    ]
    assert run.nodes[1].label == "训练模型 (train)"


@pytest.mark.parametrize(
    "row",
    [
        {"nodes": [{"nodeId": "a", "status": "FAILED"}]},
        {"data": {"nodeList": [None, 3, {"id": "a", "status": "FAILED"}]}},
        {"pipeline": {"jobs": [{"name": "a", "status": "FAILED"}]}},
    ],
)
def test_nodes_stand_in_the_run_or_in_what_it_holds(row):
    assert read_run({"id": 1, **row}).nodes == (NodeRun("a", "a", "FAILED", RunState.FAILED),)


@pytest.mark.parametrize("nodes", [None, "a", 3, {}, [None], [{"nodeId": "a", "startTime": "yesterday"}]])
def test_nodes_that_cant_be_read_dont_hide_their_run(nodes):
    run = read_run({"id": 1, "status": "failed", "nodes": nodes})

    assert (run.state, run.nodes) == (RunState.FAILED, ())


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": "", "status": "running"}, {"id": []}])
def test_a_run_without_an_id_is_unexpected(row):
    with pytest.raises(UnexpectedResponseError, match="expected a run with an id"):
        read_run(row)


def test_an_odd_row_is_quoted_alone():
    """Not the whole page: it may hold a million of them."""
    page = reply({"status": 0, "data": [7, *[{"id": 1}] * 1000]})

    with pytest.raises(UnexpectedResponseError, match=r"a list of objects in data, but the answer was: 7 \("):
        page.runs(19)


def test_of_a_page_only_a_few_odd_rows_are_left_out():
    few, many = ([{"id": 1}, *[None] * number] for number in (20, 21))

    assert [run.id for run in reply({"data": few}).runs(19, wanted=[1])] == [1]
    with pytest.raises(UnexpectedResponseError):
        reply({"data": many}).runs(19, wanted=[1])


@pytest.mark.parametrize("name", ["id", "pipelineRunId", "runId"])
def test_a_runs_id_has_several_names(name):
    assert read_run({name: "43"}).id == 43


def test_a_status_that_is_missing_or_unknown_stays_visible():
    assert (read_run({"id": 1}).status, read_run({"id": 1}).state) == ("", RunState.UNKNOWN)
    assert (read_run({"id": 1, "status": "odd"}).status, read_run({"id": 1, "status": 7}).status) == ("odd", "7")


def test_a_run_goes_through_json_and_comes_back():
    run = read_run({"id": "43", "status": "running", "startTime": 1593483729000, "triggerType": "手动触发"})

    back = run_from_dict(json.loads(json.dumps(run.as_dict())))

    assert back == run
    assert back.started.tzinfo is not None


def test_a_run_of_which_little_is_known_comes_back():
    assert run_from_dict({"run_id": 43, "pipeline_id": 19}) == PipelineRun(43, 19, "", RunState.UNKNOWN)


def test_the_newest_run_is_the_one_of_the_highest_id():
    runs = [PipelineRun(run_id, 19, "", RunState.RUNNING) for run_id in (3, 100, 20, 9)]

    assert [run.id for run in newest_first(runs)] == [100, 20, 9, 3]


def test_if_ids_are_text_the_newest_run_started_last():
    runs = [
        PipelineRun(run_id, 19, "", RunState.RUNNING, started=pendulum.from_timestamp(second) if second else None)
        for run_id, second in (("a", 2), ("b", 9), ("c", None), ("d", 5))
    ]

    assert [run.id for run in newest_first(runs)] == ["b", "d", "a", "c"]


# --- pipelines --------------------------------------------------------------------------------------------------------


def test_a_pipeline_is_read_from_the_vendors_own_object():
    pipeline = reply().pipeline(content("get")["data"])

    assert (pipeline.id, pipeline.name, pipeline.key) == (19, "test1", "test1")
    assert [(node.id, node.name, node.type, node.params) for node in pipeline.nodes] == [
        ("start_node", "start", "DAG", ())
    ]
    assert pipeline.content == content("get")["data"]


def test_a_nodes_params_are_read():
    pipeline = reply().pipeline(
        {
            "id": "19",
            "data": {
                "nodes": [
                    None,
                    {"nodeId": "a", "params": {"values": [{"key": "k", "value": 1, "type": "FILE"}, {"key": ""}, 3]}},
                    {"id": "b", "title": "B", "params": [{"key": "k"}]},
                    {"nodeId": "c", "params": "none"},
                ]
            },
        },
    )

    assert [(node.id, node.name, node.params) for node in pipeline.nodes] == [
        ("a", "", (Param("k", 1, "FILE"),)),
        ("b", "B", (Param("k"),)),
        ("c", "", ()),
    ]


@pytest.mark.parametrize("content", [None, [], "19", {}, {"id": None}, {"pipelineKey": "k"}])
def test_what_has_no_id_is_no_pipeline(content):
    with pytest.raises(UnexpectedResponseError, match="expected a pipeline with an id"):
        reply().pipeline(content)


def test_a_pipeline_may_have_no_definition():
    assert reply().pipeline({"id": 1, "name": "n", "data": "gone"}).nodes == ()


# --- whatever comes ---------------------------------------------------------------------------------------------------

NAMES = (
    "id url engineId data list rows total status startTime endTime nodes nodeId params values key name pipelineKey "
    "triggerType message pipeline"
).split()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["running", "/engine/1/x", "http://gw/e", "//[", "2020-06-30 10:22:09", "1593483729000", "-"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=25,
)
OBJECT = st.dictionaries(st.sampled_from(NAMES), JSON)


@given(OBJECT)
def test_whatever_an_answer_holds_is_read_or_refused_by_our_own_error(whole):
    def read_rows():
        rows = reply(whole).rows()
        return newest_first([read_run(row) for row in rows])

    for read in (
        lambda: reply(whole).engine_url(),
        lambda: reply(whole).engine_id(),
        lambda: reply().pipeline(whole),
        lambda: read_run(whole),
        read_rows,
    ):
        with contextlib.suppress(FlowEngineError):
            read()


@given(st.text() | st.from_regex(r"(https?:)?/{0,3}\S{0,30}", fullmatch=True))
def test_whatever_url_an_engine_has_its_requests_stay_on_the_gateway(url):
    try:
        path = reply({"data": {"url": url}}).engine_url()
    except FlowEngineError:
        return
    assert path is None or (path.startswith("/") and not path.startswith("//"))


@given(st.text() | st.integers() | st.floats())
def test_a_time_is_aware_or_none_or_an_error_of_ours(value):
    try:
        moment = reply(zone="Asia/Shanghai").time(value)
    except FlowEngineError:
        return
    assert moment is None or moment.utcoffset() is not None
