"""The run history: pages, order, and runs that come late or are gone."""

import pytest

from .conftest import Caller, node


@pytest.fixture
def runs(emulator, call):
    """Seven finished runs of pipeline 1."""
    pipeline_id = call.create(node("a"))
    for _ in range(7):
        call.start(pipeline_id)
    return pipeline_id


def ids(rows):
    return [int(row["id"]) for row in rows]


def test_pages_count_from_one_and_go_from_newest_to_oldest(call, runs):
    assert [ids(call.history(runs, page, 3)) for page in (1, 2, 3, 4)] == [[7, 6, 5], [4, 3, 2], [1], []]


def test_page_0_is_page_1(call, runs):
    assert call.history(runs, 0, 3) == call.history(runs, 1, 3)


@pytest.mark.parametrize("most", [2**63, 99999999999999999999])
def test_a_page_or_size_beyond_all_numbers_is_only_a_large_one(call, runs, most):
    assert ids(call.history(runs, 1, most)) == [7, 6, 5, 4, 3, 2, 1]
    assert call.history(runs, most, 3) == call.history(runs, most, most) == []


def test_ascending_pages_begin_with_the_oldest(emulator, call, runs):
    emulator.options.history_order = "ascending"

    assert [ids(call.history(runs, page, 3)) for page in (1, 2, 3)] == [[1, 2, 3], [4, 5, 6], [7]]


def test_shuffled_pages_hold_the_same_runs_in_no_order(emulator, call, runs):
    emulator.options.history_order = "shuffled"
    page = ids(call.history(runs, 1, 7))

    assert sorted(page) == [1, 2, 3, 4, 5, 6, 7]
    assert page not in ([1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1])


def test_the_older_generation_tells_the_whole_history_whatever_page_is_asked_for(emulator, runs):
    assert len(Caller(emulator, "automl/v1").history(runs, 5, 3)) == 7


@pytest.mark.parametrize(("paging", "length"), [("always", 3), ("never", 7)])
def test_paging_can_be_chosen_whatever_the_generation(emulator, runs, paging, length):
    emulator.options.history_paging = paging

    assert {len(Caller(emulator, root).history(runs, 1, 3)) for root in ("kernel/v1", "automl/v1")} == {length}


@pytest.mark.parametrize(("under", "kind"), [("rows", dict), ("", list)])
def test_where_the_list_stands_can_be_chosen_whatever_the_generation(emulator, runs, under, kind):
    emulator.options.history_under = under

    for root in ("kernel/v1", "automl/v1"):
        data = Caller(emulator, root).data("GET", f"/pipeline/{runs}/historyList")
        assert isinstance(data, kind)
        assert len(data["rows"] if under else data) == 7


def test_a_run_may_show_in_the_history_only_after_a_while(emulator, call):
    emulator.options.history_delay = 5
    pipeline_id = call.create(node("a", duration="1"))
    run = call.start(pipeline_id)

    assert call.history(pipeline_id) == []
    assert call.run(run)["status"] == "running"
    emulator.clock.advance(5)
    assert ids(call.history(pipeline_id)) == [run]


def test_a_pruned_run_is_gone_and_its_id_isnt_used_again(emulator, call, runs):
    assert call.control("DELETE", "/runs/7").status_code == 204
    assert emulator.engine.prune(runs, 3) == 3

    assert ids(call.history(runs)) == [6, 5, 4]
    assert "does not exist" in call.refusal("GET", "/pipeline/7/get")
    assert call.start(runs) == 8


def test_pages_have_no_gaps_where_runs_were_pruned(call, runs):
    for run in (5, 1):
        call.control("DELETE", f"/runs/{run}")

    assert [ids(call.history(runs, page, 2)) for page in (1, 2, 3, 4)] == [[7, 6], [4, 3], [2], []]
    assert call.start(runs) == 8
    assert ids(call.history(runs, 1, 2)) == [8, 7]


@pytest.mark.parametrize("order", ["descending", "ascending"])
def test_a_run_that_comes_late_counts_neither_in_pages_nor_in_the_total(emulator, call, runs, order):
    emulator.options.history_delay = 5
    emulator.options.history_order = order
    call.start(runs)
    pages = [ids(call.history(runs, page, 3)) for page in (1, 2, 3)]

    assert sorted(run for page in pages for run in page) == [1, 2, 3, 4, 5, 6, 7]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert call.data("GET", f"/pipeline/{runs}/historyList")["total"] == 7


def test_times_told_are_off_by_the_clock_skew(emulator, call, runs):
    before = call.history(runs)[0]["startTime"]
    emulator.options.clock_skew = -3600

    assert call.history(runs)[0]["startTime"] == before - 3_600_000


def test_a_status_word_can_be_anything(emulator, call, runs):
    emulator.options.words = {"running": "EXECUTING"}

    assert call.history(runs)[0]["status"] == "EXECUTING"


def test_the_nodes_of_a_filled_in_run_have_succeeded_too(call):
    pipeline_id = call.create(node("a", day="1"), node("b"), edges=["a→b"])
    call.control("POST", f"/pipelines/{pipeline_id}/history", {"runs": 2, "every": 60})

    older, newer = call.run(1), call.run(2)
    assert call.states(1) == ("succeeded", {"a": "succeeded", "b": "succeeded"})
    assert [each["startTime"] for each in older["nodes"]] == [older["startTime"]] * 2
    assert [each["endTime"] for each in newer["nodes"]] == [newer["endTime"]] * 2
    assert newer["startTime"] - older["startTime"] == 60_000
    assert (newer["nodes"][0]["attempts"], newer["nodes"][0]["params"]) == (1, {"day": "1"})


def test_a_long_history_tells_its_length(emulator, call, runs):
    assert call.control("POST", f"/pipelines/{runs}/history", {"runs": 1000, "every": 60}).status_code == 204

    answer = call.data("GET", f"/pipeline/{runs}/historyList", page=100, size=10, engineId=6)
    assert (answer["total"], len(answer["list"])) == (1007, 10)
    assert call.history(runs, 1, 1)[0]["status"] == "succeeded"


def test_pages_may_wrap_or_never_end(emulator, call, runs):
    emulator.options.pages = "wrap"
    assert [ids(call.history(runs, page, 3)) for page in (3, 4, 5)] == [[1], [7, 6, 5], [4, 3, 2]]

    emulator.options.pages = "repeat"
    assert [ids(call.history(runs, page, 3)) for page in (3, 4, 99)] == [[1], [1], [1]]


@pytest.mark.parametrize(("totals", "told"), [("right", 7), ("zero", 0), ("huge", 10**12), ("none", None)])
def test_a_history_may_lie_about_its_length(emulator, call, runs, totals, told):
    emulator.options.totals = totals

    assert call.data("GET", f"/pipeline/{runs}/historyList").get("total") == told


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("bare", {"id", "status"}),
        ("times", {"id", "status", "pipelineId", "startTime", "endTime"}),
        ("all", {"id", "status", "pipelineId", "startTime", "endTime", "triggerType", "params"}),
    ],
)
def test_a_run_may_tell_little_of_itself(emulator, call, runs, fields, names):
    emulator.options.run_fields = fields

    assert set(call.history(runs)[0]) == names
    assert set(call.run(7)) == names | {"nodes"}


def test_how_a_run_came_about_may_be_said_in_other_words(emulator, call, runs):
    emulator.options.trigger_words = {"manual": "手动启动"}

    assert call.history(runs)[0]["triggerType"] == "手动启动"


# --- pages of pipelines -----------------------------------------------------------------------------------------------


@pytest.fixture
def pipelines(call):
    """Seven pipelines."""
    return [call.create(key=f"p{number}") for number in range(7)]


def listed(call, **query):
    data = call.data("GET", "/pipeline/6/list", **query)
    return ids(data if isinstance(data, list) else data["engineJobPipelineTemplateList"])


def test_the_list_of_pipelines_is_whole_unless_told_otherwise(call, pipelines):
    assert listed(call) == listed(call, page=2, size=3) == pipelines


def test_the_list_of_pipelines_may_be_paged_where_that_is_asked_for(emulator, call, pipelines):
    emulator.options.pipelines_paging = "asked"

    assert listed(call) == pipelines
    assert [listed(call, page=page, size=3) for page in (1, 2, 3, 4)] == [[1, 2, 3], [4, 5, 6], [7], []]
    assert call.data("GET", "/pipeline/6/list", page=1, size=3)["total"] == 7


def test_the_list_of_pipelines_may_be_paged_though_nobody_asks(emulator, call, pipelines):
    emulator.options.pipelines_paging = "always"
    emulator.options.pipelines_page_size = 3
    emulator.options.pipelines_under = "list"

    assert call.data("GET", "/pipeline/6/list")["total"] == 7
    assert ids(call.data("GET", "/pipeline/6/list", page=3)["list"]) == [7]
