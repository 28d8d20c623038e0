"""The emulator's page, as a person uses it."""

import json
import random
import re
import shlex
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import ROOT, keep_screenshot
from .pipelines import churn, node, pipeline


def create(flowengine, body):
    return flowengine.engine.create_pipeline(body).id


@pytest.fixture
def churn_model(flowengine):
    return create(flowengine, churn())


@pytest.fixture
def running(flowengine, churn_model):
    """A run of the churn model whose two middle nodes are running."""
    run = flowengine.engine.start(churn_model, {"train": {"trees": "500"}})
    flowengine.clock.advance(8)
    return run.id


def state_of(page, title):
    """The graph's node with this title; its state is an attribute, and told by its name."""
    return page.locator(".graph .node", has_text=title)


# --- pipelines and history --------------------------------------------------------------------------------------------


def test_the_pipelines_are_listed_with_their_schedules_and_latest_runs(flowengine, open_flowengine, churn_model):
    nightly = create(flowengine, pipeline("nightly", [node("a")], runMode="CRONTAB", cronExpression="0 0 2 * * ?"))
    flowengine.engine.add_history(nightly, [flowengine.clock.now() - 86400 * day for day in (4, 3, 2, 1)])
    flowengine.engine.start(churn_model)
    flowengine.clock.advance(200)
    for _ in range(2):
        flowengine.engine.start(churn_model)
    flowengine.clock.advance(30)
    flowengine.engine.stop(7)
    page = open_flowengine()

    row = page.get_by_role("row").filter(has_text="churn-model")
    expect(row.get_by_role("link", name="Run 5: Failed")).to_be_visible()
    expect(row.get_by_role("link", name="Run 6: Running")).to_be_visible()
    expect(row.get_by_role("cell", name="Stopping", exact=True)).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="nightly")).to_contain_text("Cron 0 0 2 * * ?")

    page.get_by_role("searchbox").fill("NIGHT")
    expect(row).to_be_hidden()
    page.get_by_role("link", name="nightly").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("nightly")


def test_the_history_is_paged(flowengine, open_flowengine, churn_model):
    flowengine.engine.add_history(churn_model, [float(moment) for moment in range(45)])
    page = open_flowengine(f"/{churn_model}")

    runs = page.locator("table.history tbody tr")
    expect(runs).to_have_count(20)
    expect(runs.first).to_contain_text("Run 45")
    page.get_by_role("link", name="Older").click()
    expect(runs.first).to_contain_text("Run 25")
    page.get_by_role("link", name="Older").click()
    expect(runs).to_have_count(5)
    expect(page.get_by_text("Page 3 of 3")).to_be_visible()


def test_a_page_of_the_history_that_there_isnt_is_the_last_one(flowengine, open_flowengine, churn_model):
    flowengine.engine.add_history(churn_model, [float(moment) for moment in range(45)])
    page = open_flowengine(f"/{churn_model}?page=9000")

    expect(page.get_by_text("Page 3 of 3")).to_be_visible()
    expect(page.locator("table.history tbody tr")).to_have_count(5)


def test_a_pipeline_is_created_from_its_definition_and_a_wrong_one_is_refused_with_the_reason(
    flowengine, open_flowengine
):
    page = open_flowengine()
    expect(page.get_by_text("No pipelines yet")).to_be_visible()
    page.get_by_role("button", name="New pipeline").click()

    definition = page.get_by_role("textbox", name="Definition")
    example = definition.input_value()
    definition.fill(json.dumps(pipeline("loop", [node("a"), node("b")], ["a b a"])))
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the pipeline has a cycle")

    definition.fill(example)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Churn model")
    assert [each.key for each in flowengine.engine.pipelines()] == ["churn_model"]


def test_a_pipeline_is_created_from_the_definition_alone_as_it_stands_in_a_file(flowengine, open_flowengine):
    page = open_flowengine()
    page.get_by_role("button", name="New pipeline").click()
    text = (ROOT / "example_dags" / "churn_model.json").read_text(encoding="utf-8")
    page.get_by_role("textbox", name="Definition").fill(text)
    page.get_by_role("dialog").get_by_role("button", name="Create").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Churn model")
    (pipeline,) = flowengine.engine.pipelines()
    assert pipeline.body["data"] == json.loads(text)


def test_a_pipeline_is_edited_with_the_checks_of_its_creation(flowengine, open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}")
    page.get_by_role("button", name="Edit…").click()
    definition = page.get_by_role("textbox", name="Definition")
    body = json.loads(definition.input_value())
    assert "historyList" not in body

    definition.fill(
        json.dumps({**body, "data": {**body["data"], "edges": [{"srcNodeId": "fetch", "destNodeId": "x"}]}})
    )
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("leads to the unknown node 'x'")
    definition.fill(json.dumps({**body, "data": {**body["data"], "name": "churn, edited"}}))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("churn, edited")
    (pipeline,) = flowengine.engine.pipelines()
    assert (pipeline.name, pipeline.key) == ("churn, edited", "churn-model")


def test_a_pipeline_is_copied_under_another_name_and_key(flowengine, open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}")
    page.get_by_role("button", name="Copy…").click()
    page.get_by_role("dialog").get_by_role("button", name="Create").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("churn-model, copy")
    first, second = flowengine.engine.pipelines()
    assert (second.key, second.body["data"]["nodes"]) == ("churn-model_copy", first.body["data"]["nodes"])


def test_a_pipeline_is_deleted_once_that_is_confirmed(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}")
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert len(flowengine.engine.pipelines()) == 1

    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No pipelines yet")).to_be_visible()
    assert flowengine.engine.pipelines() == []


@pytest.mark.parametrize(
    ("locale", "create"), [("en-US", "Create the sample"), ("zh-CN", "创建示例")], ids=["English", "Chinese"]
)
def test_an_empty_page_offers_the_sample(flowengine, open_flowengine, locale, create):
    page = open_flowengine(locale=locale)
    expect(page.get_by_role("searchbox")).to_have_count(0)
    page.get_by_role("button", name=create).click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Churn model")
    expect(page.locator(".graph .node")).to_have_count(6)


@pytest.mark.parametrize(
    ("locale", "connect", "jobs"),
    [("en-US", "Connect Airflow…", "Jobs are simulated here"), ("zh-CN", "连接 Airflow…", "作业在此仅为模拟")],
    ids=["English", "Chinese"],
)
@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_shows_how_to_point_an_airflow_here_and_whether_jobs_run(
    flowengine, open_flowengine, churn_model, locale, connect, jobs, width
):
    page = open_flowengine(locale=locale, viewport={"width": width, "height": 740})
    page.get_by_role("button", name=connect).click()
    dialog = page.get_by_role("dialog")

    expect(dialog).to_contain_text(jobs)
    line = dialog.locator("pre").first.inner_text()
    assert shlex.split(line) == ["export", f"AIRFLOW_CONN_FLOWENGINE_DEFAULT={flowengine.connection()}"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1400 and locale == "en-US":
        keep_screenshot(page, "emulator-connect", dark=True)


def test_what_the_emulator_refuses_is_said_in_the_pages_language(flowengine, open_flowengine):
    page = open_flowengine(locale="zh-CN")
    page.get_by_role("button", name="新建 Pipeline").click()
    definition = page.get_by_role("textbox", name="Pipeline 定义")
    definition.fill(json.dumps(pipeline("loop", [node("a"), node("b")], ["a b a"])))
    page.get_by_role("button", name="创建", exact=True).click()

    expect(page.get_by_role("alert")).to_contain_text("Pipeline 存在环：a → b → a")


def test_a_schedule_is_turned_on_and_off(flowengine, open_flowengine):
    nightly = create(flowengine, pipeline("nightly", [node("a")], runMode="CRONTAB", cronExpression="0 0 2 * * ?"))
    page = open_flowengine(f"/{nightly}")

    switch = page.get_by_role("switch", name="Schedule")
    switch.click()
    expect(switch).to_be_checked()
    assert flowengine.engine.pipeline(nightly).scheduled
    switch.click()
    expect(switch).not_to_be_checked()


# --- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_is_started_with_params_and_its_graph_changes_as_it_goes(flowengine, open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}")
    page.get_by_role("button", name="Start…").click()
    page.get_by_role("group", name="Train the model").get_by_label("trees").fill("500")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Run 1 Running")
    assert page.url.endswith(f"/#/offline-pipeline/{churn_model}/1")
    assert flowengine.engine.run(1).params == {"train": {"trees": "500"}}
    expect(state_of(page, "Fetch customers")).to_have_attribute("data-state", "running")
    expect(state_of(page, "Train the model")).to_have_attribute("data-state", "waiting")

    flowengine.clock.advance(20)
    expect(state_of(page, "Fetch customers")).to_have_attribute("data-state", "succeeded")
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "succeeded")
    expect(state_of(page, "Make features")).to_have_attribute("data-state", "running")
    expect(state_of(page, "Make features")).to_contain_text("15 s")

    flowengine.clock.advance(100)
    expect(page.get_by_role("heading", level=1)).to_have_text("Run 1 Failed")
    expect(state_of(page, "Evaluate")).to_have_accessible_name(re.compile("Evaluate Failed"))
    expect(state_of(page, "Publish")).to_have_attribute("data-state", "unreached")
    expect(page.get_by_role("region", name="Run")).to_contain_text("Evaluate: AUC 0.61 is below 0.70")


def test_a_run_is_stopped_and_resumed(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}")
    stop, resume = page.get_by_role("button", name="Stop"), page.get_by_role("button", name="Resume")
    expect(resume).to_be_disabled()

    stop.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Stopping")
    expect(stop).to_be_disabled()
    flowengine.clock.advance(2)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Stopped")
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "stopped")

    resume.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Running")
    expect(page.get_by_role("status")).to_contain_text("goes on")
    expect(state_of(page, "Fetch customers")).to_have_attribute("data-state", "succeeded")
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "running")


def test_a_node_shows_its_params_its_times_and_its_log_as_it_grows(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}")
    state_of(page, "Train the model").click()
    details, log = page.get_by_role("region", name="Run"), page.locator(".log")
    expect(log).to_have_text("Nothing yet")

    flowengine.clock.advance(30)
    expect(details.get_by_role("heading", level=2)).to_have_text("Train the model Running")
    expect(details.locator(".values")).to_contain_text("trees500")
    expect(details).to_contain_text("2020-06-30 12:00:25")
    expect(log).to_contain_text("trees=500")
    keep_screenshot(page, "emulator-run")

    flowengine.clock.advance(60)
    expect(log).to_contain_text("succeeded")
    with page.expect_popup() as opened:
        details.get_by_role("button", name="Open as text").click()
    expect(opened.value.locator("body")).to_contain_text("trees=500")


def test_a_run_keeps_the_graph_that_it_was_started_with(flowengine, open_flowengine, churn_model, running):
    flowengine.engine.update_pipeline({"id": churn_model, **pipeline("churn-model", [node("other")])})

    expect(state_of(open_flowengine(f"/{churn_model}/{running}"), "Make labels")).to_be_visible()
    expect(state_of(open_flowengine(f"/{churn_model}"), "other")).to_be_visible()


def test_of_a_long_run_the_node_that_failed_is_seen_first(flowengine, open_flowengine):
    names = [f"n{number}" for number in range(60)]
    nodes = [node(name, duration=0, **({"outcome": "failed"} if name == "n41" else {})) for name in names]
    long_one = create(flowengine, pipeline("long", nodes, [" ".join(names)]))
    page = open_flowengine(f"/{long_one}/{flowengine.engine.start(long_one).id}")

    expect(page.locator(".graph .node[data-state=failed]")).to_be_in_viewport(ratio=1)


def test_the_details_of_a_picked_node_are_scrolled_to_where_they_are_below(
    flowengine, open_flowengine, churn_model, running
):
    page = open_flowengine(f"/{churn_model}/{running}", viewport={"width": 1000, "height": 600})
    details = page.get_by_role("region", name="Run").get_by_role("heading", level=2)
    expect(page.get_by_text("Pick a node")).not_to_be_in_viewport()

    page.get_by_role("table").get_by_role("link", name="Fetch customers").click()
    expect(details).to_have_text("Fetch customers Succeeded")
    expect(details).to_be_in_viewport()


def test_the_name_of_the_start_node_is_seen_in_full(flowengine, open_flowengine):
    pipeline_id = create(flowengine, pipeline("named", [node("start_node", type="START"), node("a")], ["start_node a"]))
    page = open_flowengine(f"/{pipeline_id}/{flowengine.engine.start(pipeline_id).id}")

    label = page.locator(".graph .label", has_text="start_node")
    expect(label).to_be_visible()
    assert label.evaluate("label => label.scrollWidth <= label.clientWidth")


def test_a_run_is_started_again_with_the_same_params(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}")
    page.get_by_role("button", name="Start again").click()
    expect(page.get_by_role("group", name="Train the model").get_by_label("trees")).to_have_value("500")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 2")
    assert flowengine.engine.run(2).params == {"train": {"trees": "500"}}


def test_params_that_take_no_effect_at_start_cannot_be_set(flowengine, open_flowengine):
    wired = {"id": "slot", "key": "table", "value": "", "type": "TEXT"}
    fixed = {"key": "owner", "value": "ops", "type": "TEXT", "startParam": False}
    body = pipeline("wired", [node("a"), node("b", values=[wired, fixed], size=1)], ["a b"])
    body["data"]["edges"][0]["destSlotId"] = "slot"
    page = open_flowengine(f"/{create(flowengine, body)}")
    page.get_by_role("button", name="Start…").click()

    expect(page.get_by_label("table comes from another node")).to_be_disabled()
    expect(page.get_by_label("owner can't be set at start")).to_be_disabled()
    expect(page.get_by_label("size")).to_be_enabled()


def test_a_file_chosen_for_a_param_is_uploaded(flowengine, open_flowengine, tmp_path):
    (tmp_path / "customers.csv").write_text("id,churned\n1,0\n")
    data = {"key": "data", "value": "", "type": "FILE"}
    page = open_flowengine(f"/{create(flowengine, pipeline('train', [node('train', values=[data])]))}")
    page.get_by_role("button", name="Start…").click()
    page.get_by_label("A file for data").set_input_files(tmp_path / "customers.csv")
    expect(page.get_by_label("data", exact=True)).to_have_value(re.compile(r"/customers\.csv$"))
    page.get_by_role("dialog").get_by_role("button", name="Start").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Run 1")
    kept = Path(flowengine.engine.run(1).params["train"]["data"])
    assert kept.read_text() == "id,churned\n1,0\n"


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_refused_start_says_why_and_keeps_what_was_typed(flowengine, open_flowengine, churn_model):
    flowengine.options.refuse_start = "资源不足"
    page = open_flowengine(f"/{churn_model}")
    page.get_by_role("button", name="Start…").click()
    page.get_by_label("trees").fill("500")
    page.get_by_role("dialog").get_by_role("button", name="Start").click()

    expect(page.get_by_role("alert")).to_have_text("资源不足")
    expect(page.get_by_label("trees")).to_have_value("500")


def test_a_refused_stop_says_why(flowengine, open_flowengine, churn_model, running):
    flowengine.options.refuse_stop = "任务不允许停止"
    page = open_flowengine(f"/{churn_model}/{running}")
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("status")).to_have_text("任务不允许停止")


def test_the_page_says_when_nothing_answers_and_goes_on_by_itself(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}", forgives="net::ERR")
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "running")

    flowengine.stop()
    expect(page.get_by_role("status")).to_contain_text("FlowEngine can't be reached")
    expect(state_of(page, "Make labels")).to_be_visible()
    flowengine.clock.advance(20)
    flowengine.start()
    expect(page.get_by_role("status")).to_be_hidden()
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "succeeded")


def test_a_run_that_does_not_exist_is_said_to_be_unknown(open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}/99", forgives="404")

    expect(page.get_by_text("pipeline run 99 does not exist")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Offline pipelines").click()
    expect(page.get_by_role("link", name="churn-model")).to_be_visible()


def test_a_run_of_another_pipeline_is_not_shown_as_one_of_this(flowengine, open_flowengine, churn_model, running):
    other = create(flowengine, pipeline("other", [node("a")]))
    page = open_flowengine(f"/{other}/{running}")

    expect(
        page.get_by_text(f"Run {running} isn't a run of pipeline {other}, but of pipeline {churn_model}")
    ).to_be_visible()
    expect(page.locator(".graph")).to_have_count(0)


def test_what_people_named_is_text_and_never_markup(flowengine, open_flowengine):
    name = "<img src=x onerror=alert(1)>"
    page = open_flowengine(f"/{create(flowengine, pipeline(name, [node('<b>', title=name, message=name)]))}")

    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(state_of(page, name)).to_be_visible()
    expect(page.locator("main img")).to_have_count(0)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"authentication": "session"}, {"User name": "admin", "Password": "admin"}),
        ({"access_key": "s3cret"}, {"Access key": "s3cret"}),
    ],
    ids=["session", "access key"],
)
def test_who_must_sign_in_is_asked(flowengine, open_flowengine, churn_model, options, fields):
    for name, value in options.items():
        setattr(flowengine.options, name, value)
    page = open_flowengine(forgives="401")

    dialog = page.get_by_role("dialog")
    for label, value in fields.items():
        dialog.get_by_label(label).fill(value)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="churn-model")).to_be_visible()


@pytest.mark.parametrize(
    "options",
    [
        {"generation": "automl", "envelope_status": "text", "ids": "text"},
        {
            "generation": "automl",
            "automl_dialect": "open_source",
            "pipelines_paging": "always",
            "pipelines_page_size": 1,
        },
        {"times": "text", "timezone": "America/New_York", "vocabulary": "success"},
        {"vocabulary": "chinese", "history_under": "", "pipelines_under": "engineJobPipelineTemplateList"},
        {"history_order": "shuffled", "start_answer": "empty", "one_run_call": False},
    ],
    ids=str,
)
def test_every_shape_of_answer_is_shown_alike(flowengine, open_flowengine, churn_model, running, options):
    for name, value in options.items():
        setattr(flowengine.options, name, value)
    page = open_flowengine()
    row = page.get_by_role("row").filter(has_text="churn-model")
    expect(row).to_contain_text("Running2020-06-30 12:00:008.0 s")
    row.get_by_role("link", name="churn-model").click()
    expect(page.get_by_role("row").filter(has_text="Run 1")).to_contain_text("Running2020-06-30 12:00:00–8.0 s")
    page.get_by_role("link", name="Run 1").click()
    expect(state_of(page, "Make labels")).to_have_attribute("data-state", "running")
    expect(state_of(page, "Publish")).to_have_attribute("data-state", "waiting")
    page.get_by_role("button", name="Start again").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Run 2 Running")


# --- for everybody ----------------------------------------------------------------------------------------------------


def test_the_page_speaks_the_browsers_language_until_another_is_chosen(open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}", locale="zh-CN")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"运行 {running} 运行中")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    keep_screenshot(page, "emulator-run-zh", dark=True)

    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run {running} Running")
    page.reload()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()


def test_a_node_is_reached_by_keyboard_and_keeps_the_focus_while_the_page_refreshes(
    flowengine, open_flowengine, churn_model, running
):
    page = open_flowengine(f"/{churn_model}/{running}")
    start_again = page.get_by_role("button", name="Start again")
    start_again.focus()
    page.keyboard.press("Tab")  # the start node
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Run").get_by_role("heading", level=2)).to_contain_text("Fetch customers")

    flowengine.clock.advance(40)
    expect(state_of(page, "Train the model")).to_have_attribute("data-state", "running")
    expect(state_of(page, "Fetch customers")).to_be_focused()


def test_a_dialog_is_left_with_escape_and_gives_the_focus_back(open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}")
    start = page.get_by_role("button", name="Start…")
    start.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(start).to_be_focused()


MOVED = """async () => {
    let moved = 0;
    const watch = new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (moved += value)));
    watch.observe({ type: "layout-shift", buffered: false });
    window.moved = () => (watch.takeRecords().forEach(({ value }) => (moved += value)), moved);
}"""


def test_nothing_moves_while_a_run_goes_on(flowengine, open_flowengine, churn_model, running):
    page = open_flowengine(f"/{churn_model}/{running}")
    state_of(page, "Make labels").click()
    expect(page.get_by_role("region", name="Run").get_by_role("heading", level=2)).to_be_visible()
    page.evaluate(MOVED)

    for seconds, duration in ((1, "9.0 s"), (30, "39 s"), (40, "1 min 19 s"), (60, "1 min 35 s")):
        flowengine.clock.advance(seconds)
        expect(page.locator("main > .facts dd").nth(2)).to_have_text(duration)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Failed")
    assert page.evaluate("window.moved()") < 0.01


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_the_page_fits_a_phone(flowengine, open_flowengine, churn_model, running, locale):
    long_name = "a-pipeline-with-a-name-that-is-rather-long-and-has-no-spaces"
    long_one = create(flowengine, pipeline(long_name, [node("node-" * 20, message="x" * 400, outcome="failed")]))
    flowengine.engine.start(long_one)
    flowengine.clock.advance(30)
    page = open_flowengine(locale=locale, viewport={"width": 360, "height": 740})

    for path in ("", "/1", "/1/1", "/1/1?node=train", "/2", "/2/2"):
        page.evaluate(f"location.hash = '#/offline-pipeline{path}'")
        expect(page.locator("main .panel").first).to_be_visible()
        expect(page.locator(".breadcrumb a")).to_have_count(path.count("/"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@pytest.mark.parametrize("width", [721, 800, 900, 901, 1000, 1041])
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_is_cut_off_in_a_window_of_any_width(flowengine, open_flowengine, churn_model, width, locale):
    nightly = create(flowengine, pipeline("nightly", [node("a")], runMode="CRONTAB", cronExpression="0 0 2 * * ?"))
    flowengine.engine.set_schedule(nightly, True)
    flowengine.engine.add_history(churn_model, [float(moment) for moment in range(8)])
    flowengine.engine.stop(flowengine.engine.start(churn_model).id)
    page = open_flowengine(viewport={"width": width, "height": 800}, locale=locale)

    for path in ("", f"/{churn_model}"):
        page.evaluate(f"location.hash = '#/offline-pipeline{path}'")
        expect(page.locator(".breadcrumb a")).to_have_count(path.count("/"))
        panels = page.locator("main .panel")
        expect(panels.first).to_be_visible()
        assert panels.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length") == 0


def test_when_a_schedule_fires_next_is_told_in_one_line_where_there_is_room(flowengine, open_flowengine):
    name = "a pipeline whose name takes all the room that it gets, as names do"
    body = pipeline(name, [node("a")], runMode="CRONTAB", cronExpression="0 0 2 * * ?")
    flowengine.engine.set_schedule(create(flowengine, body), True)
    page = open_flowengine(viewport={"width": 1100, "height": 800})

    following = page.get_by_text(re.compile("^next 2020"))
    expect(following).to_be_visible()
    assert following.evaluate("small => small.clientHeight < 30")


FAINT = """() => {
    const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const paint = (colours) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((each) => channel(each / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!text || !element.checkVisibility() || element.closest(":disabled, [aria-disabled], noscript")) continue;
        const grounds = [];
        for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
        const [ground, ink] = [paint(grounds), paint([...grounds, getComputedStyle(element).color])];
        const contrast = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
        if (contrast < 4.5) faint.push(`${element.textContent}: ${contrast.toFixed(2)}`);
    }
    return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(flowengine, open_flowengine, churn_model, running, scheme):
    flowengine.engine.stop(flowengine.engine.start(churn_model).id)
    flowengine.clock.advance(200)
    flowengine.engine.start(churn_model)
    flowengine.clock.advance(10)
    for path in ("", f"/{churn_model}", f"/{churn_model}/{running}?node=evaluate", f"/{churn_model}/3?node=train"):
        page = open_flowengine(path, color_scheme=scheme)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate(FAINT) == []
    if scheme == "dark":
        keep_screenshot(page, "emulator-run-dark")


def test_each_state_has_a_label_and_a_shape_of_its_own(open_flowengine, churn_model):
    page = open_flowengine(f"/{churn_model}")
    states = ["running", "stopping", "succeeded", "failed", "stopped", "waiting", "unreached"]
    shown = page.evaluate(
        """async (states) => {
            const { badge } = await import("/__control__/web/states.js");
            return states.map((state) => [badge(state).textContent, badge(state).querySelector("svg").innerHTML]);
        }""",
        states,
    )

    labels, shapes = zip(*shown, strict=True)
    assert len(set(labels)) == len(set(shapes)) == len(states)


LAID_OUT = """async ({ nodes, edges, vertical }) => {
    const { layout } = await import("/__control__/web/layout.js");
    const { places, width, height } = layout(nodes, edges, { vertical });
    return { places: Object.fromEntries(places), width, height };
}"""


@pytest.mark.parametrize("vertical", [False, True], ids=["across", "down"])
def test_a_graph_is_laid_out_without_overlaps_and_every_edge_leads_on(open_flowengine, vertical):
    page = open_flowengine()
    for seed in range(10):
        chance = random.Random(seed)
        nodes = [{"id": f"n{i}", "width": 100 + chance.randrange(80), "height": 50} for i in range(40)]
        pairs = {tuple(sorted(chance.sample(range(40), 2))) for _ in range(70)}
        edges = [{"from": f"n{a}", "to": f"n{b}"} for a, b in pairs]
        found = page.evaluate(LAID_OUT, {"nodes": nodes, "edges": edges, "vertical": vertical})

        boxes = [{**each, **found["places"][each["id"]]} for each in nodes]
        assert all(0 <= box["x"] <= found["width"] - box["width"] + 0.1 for box in boxes)
        assert all(0 <= box["y"] <= found["height"] - box["height"] + 0.1 for box in boxes)
        assert not [(a["id"], b["id"]) for a in boxes for b in boxes if a["id"] < b["id"] and _overlap(a, b)]
        place = {box["id"]: (box["y"] if vertical else box["x"]) for box in boxes}
        assert all(place[edge["from"]] < place[edge["to"]] for edge in edges)


def _overlap(a, b):
    return (
        a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] < b["y"] + b["height"]
        and b["y"] < a["y"] + a["height"]
    )
