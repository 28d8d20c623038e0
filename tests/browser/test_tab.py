"""The tab *FlowEngine* in Airflow's page, as a person uses it."""

import re

import pytest
from playwright.sync_api import expect

from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
from airflow_provider_flowengine.protocol.progress import describe_progress
from tests.system.processes import asked

from .conftest import keep_screenshot, until
from .pipelines import churn

ROUTE = "/plugin/flowengine"
MINUTE = 60_000  # ms
TALL = {"width": 1400, "height": 1160}  # px; shows a whole run
ENDED = ("success", "failed")


@pytest.fixture
def flowengine(flowengine_emulator, connected, monkeypatch):
    """An emulator with the churn model, which Airflow knows."""
    flowengine_emulator.engine.create_pipeline(churn())
    monkeypatch.setenv("AIRFLOW_CONN_FLOWENGINE_DEFAULT", flowengine_emulator.connection())
    return flowengine_emulator


@pytest.fixture
def trigger(airflow, flowengine):
    """Trigger a DAG and return its run's path, in the API and in the page alike but for two words."""

    def trigger(dag_id):
        run = airflow.api.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": {}})
        return DagRun(airflow, dag_id, run["dag_run_id"])

    runs = []
    yield lambda dag_id: runs.append(trigger(dag_id)) or runs[-1]
    for run in runs:
        run.end()
    # The next test's runs have the same ids, so none of these may be on its way then. Triggers stop them, unless a task
    # was ended in the instant in which it was handed to the triggerer: a known limitation.
    asked(lambda: not going_on(flowengine), 20)
    for run_id in going_on(flowengine):
        flowengine.engine.finish(run_id, "stopped")


def going_on(flowengine):
    """The ids of the runs that have not ended."""
    now = flowengine.clock.now()
    return [run.id for run in flowengine.engine.runs(1)[0] if not run.has_ended(now)]


class DagRun:
    """A DAG run, in Airflow's API and in its page."""

    def __init__(self, airflow, dag_id, run_id):
        self._call = airflow.api.call
        self._api = f"/dags/{dag_id}/dagRuns/{run_id}"
        self.page = f"/dags/{dag_id}/runs/{run_id}"

    def task(self, task_id, map_index=-1):
        """The path of a task's tab."""
        return f"{self.page}/tasks/{task_id}{f'/mapped/{map_index}' if map_index >= 0 else ''}{ROUTE}"

    def state(self, task_id):
        """A task's state."""
        return self._call("GET", f"{self._api}/taskInstances/{task_id}")["state"]

    def xcom(self, task_id, key, value):
        """Write an XCom over what there is."""
        path = f"{self._api}/taskInstances/{task_id}/xcomEntries"
        content = {"value": value, "map_index": -1}
        if self._call("GET", f"{path}?xcom_key={key}")["total_entries"]:
            self._call("PATCH", f"{path}/{key}", json=content)
        else:
            self._call("POST", path, json={"key": key, **content})

    def report(self, task_id, run):
        """Write the XCom of a task as the provider does, out of what FlowEngine tells."""
        hook = FlowEngineHook()
        progress = describe_progress(hook.get_run(run.pipeline_id, run.id), hook.get_pipeline(run.pipeline_id))
        self.xcom(task_id, "flowengine_run", progress)

    def mark(self, task_id, state):
        """Mark a task failed or success."""
        self._call("PATCH", f"{self._api}/taskInstances/{task_id}", json={"new_state": state})

    def end(self):
        """Leave nothing under way."""
        if self._call("GET", self._api)["state"] not in ENDED:
            self._call("PATCH", self._api, json={"state": "failed"})


@pytest.fixture
def open_airflow(open_page, airflow):
    """Open Airflow's page at a path."""

    def open_airflow(path, *, forgives="Warning|404", **context):
        return open_page(f"{airflow.api.url}{path}", forgives=forgives, **context)

    return open_airflow


def started(flowengine, number=1):
    """Wait until so many runs have been started, and return them, the newest first. Then the clock stands still.

    Before, it must not: a run that began long before its start was sent would be taken for somebody else's.
    """

    def runs():
        rows = flowengine.engine.runs(1)[0]
        return rows if len(rows) >= number else None

    found = until(runs, 60, "No run was started")
    flowengine.clock.reset(flowengine.clock.now())
    return found


def node(page, name):
    """A node of the graph: its state is an attribute, and told by its text."""
    return page.locator(".graph .node", has_text=name)


def row(page, name):
    """A node's row in the time line."""
    return page.locator(".timeline tbody tr", has_text=name)


def heading(page):
    return page.locator(".heading")


def tries(page):
    """The rows of the task's tries, the first one first."""
    return page.locator(".tries tbody tr")


def test_a_deferred_run_is_watched_from_start_to_failure_and_through_a_resume(flowengine, trigger, open_airflow):
    dag_run = trigger("flowengine_tab")
    page = open_airflow(dag_run.task("train_model"), viewport=TALL)
    (run,) = started(flowengine)
    expect(heading(page)).to_contain_text(f"Run {run.id}", timeout=MINUTE)
    expect(page.get_by_role("link", name="Open in FlowEngine")).to_have_attribute("href", flowengine.run_url(1, run.id))
    expect(page.get_by_role("definition").filter(has_text="500")).to_be_visible()

    flowengine.clock.advance(8)
    expect(node(page, "Make features")).to_contain_text("Running", timeout=MINUTE)
    expect(row(page, "Make features")).to_contain_text("Running")
    expect(node(page, "Fetch customers")).to_contain_text("Succeeded")
    expect(node(page, "Publish")).to_contain_text("Waiting")
    expect(heading(page)).to_contain_text("Running")
    expect(tries(page)).to_contain_text(["Deferred"])

    flowengine.clock.advance(100)
    expect(node(page, "Evaluate")).to_contain_text("Failed", timeout=MINUTE)
    expect(node(page, "Publish")).to_contain_text("Not reached")
    expect(page.locator(".message")).to_have_text("Evaluate: AUC 0.61 is below 0.70")

    # The retry resumes the run.
    expect(node(page, "Evaluate")).to_contain_text("Running", timeout=2 * MINUTE)
    expect(tries(page)).to_contain_text(["Failed", "Deferred"], timeout=MINUTE)
    flowengine.clock.advance(100)
    expect(heading(page)).to_contain_text("Succeeded", timeout=MINUTE)
    expect(tries(page)).to_contain_text(["Failed", "Success"], timeout=MINUTE)
    for name in ("Evaluate", "Publish"):
        expect(node(page, name)).to_contain_text("Succeeded")
    expect(tries(page)).to_contain_text([f"Run {run.id}", f"Run {run.id}"])
    assert (flowengine.count("start"), flowengine.count("resume"), flowengine.count("stop")) == (1, 1, 0)
    keep_screenshot(page, "tab-resumed", dark=True)

    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if "xcomEntries" in sent.url else None)
    page.wait_for_timeout(8000)
    assert asked == [], "The task has ended, and the tab is still read"


def test_the_tab_says_that_a_task_ended_before_its_run(flowengine, trigger, open_airflow):
    dag_run = trigger("flowengine_tab")
    page = open_airflow(dag_run.task("train_model"))
    started(flowengine)
    # What only the trigger tells: before it begins, Airflow tells nobody that the task is marked, and the run goes on.
    expect(node(page, "Fetch customers")).to_contain_text("Running", timeout=MINUTE)

    dag_run.mark("train_model", "failed")
    expect(page.locator(".notice")).to_contain_text("The task ended before its run did.", timeout=MINUTE)
    elapsed = page.get_by_text("Elapsed").locator("..").inner_text()
    page.reload()
    expect(page.locator(".notice")).to_be_visible(timeout=MINUTE)
    assert page.get_by_text("Elapsed").locator("..").inner_text() == elapsed


def test_a_page_that_nobody_sees_asks_for_nothing(flowengine, trigger, open_airflow):
    dag_run = trigger("flowengine_tab")
    page = open_airflow(dag_run.task("train_model"))
    started(flowengine)
    expect(heading(page)).to_contain_text("Run 1", timeout=MINUTE)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.wait_for_timeout(4000)

    asked = []
    page.on("request", lambda sent: asked.append(sent.url) if "xcomEntries" in sent.url else None)
    page.wait_for_timeout(7000)
    assert asked == []
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(2000)
    assert asked


def test_each_mapped_task_shows_its_own_run_and_the_dag_run_shows_them_all(flowengine, trigger, open_airflow):
    dag_run = trigger("flowengine_tab_mapped")
    runs = {run.params["train"]["trees"]: run for run in started(flowengine, 2)}
    page = open_airflow(dag_run.task("train_region", 1))
    expect(heading(page)).to_contain_text(f"Run {runs['200'].id}", timeout=MINUTE)
    expect(page.get_by_role("definition").filter(has_text="200")).to_be_visible()

    page = open_airflow(f"{dag_run.page}{ROUTE}-runs")
    rows = page.get_by_role("row").filter(has_text="train_region")
    expect(rows).to_have_count(2, timeout=MINUTE)
    expect(rows.filter(has_text=f"Run {runs['100'].id}")).to_contain_text("[0]")
    keep_screenshot(page, "tab-dag-run", dark=True)
    rows.get_by_role("link", name="train_region [0]").click()
    expect(heading(page)).to_contain_text(f"Run {runs['100'].id}", timeout=MINUTE)


def test_a_task_without_a_run_says_so_in_one_line(flowengine, trigger, open_airflow):
    page = open_airflow(trigger("flowengine_tab_mapped").task("foreign"))

    expect(page.get_by_text("This task has no FlowEngine run.")).to_be_visible(timeout=MINUTE)
    expect(page.locator(".panel")).to_have_count(0)


# --- a task that has ended, with an XCom as a test wants it -----------------------------------------------------------


@pytest.fixture
def ended(flowengine, trigger):
    """The DAG run of a task that has ended, whose XCom tells of a failed run."""
    dag_run = trigger("flowengine_tab_mapped")
    until(lambda: dag_run.state("foreign") == "success", 60, "The task has not ended")  # a start deletes XComs
    run = flowengine.engine.start(1, {"train": {"trees": "500"}})
    flowengine.clock.advance(100)
    dag_run.report("foreign", run)
    return dag_run


@pytest.fixture
def failed(flowengine, trigger):
    """The DAG run of a task whose run has failed."""
    dag_run = trigger("flowengine_tab_once")
    until(lambda: dag_run.state("train_model") == "deferred", 60, "The task is not deferred")
    flowengine.clock.advance(100)
    until(lambda: dag_run.state("train_model") == "failed", 60, "The task has not failed")
    return dag_run


def test_the_tab_speaks_the_pages_language(failed, open_airflow):
    page = open_airflow(failed.task("train_model"), locale="zh-CN", viewport=TALL)

    expect(heading(page)).to_contain_text("运行失败", timeout=MINUTE)
    expect(node(page, "Publish")).to_contain_text("未运行")
    expect(page.get_by_role("heading", name="启动参数")).to_be_visible()
    keep_screenshot(page, "tab-failed-zh", dark=True)


def test_the_tab_is_as_dark_as_the_page(failed, open_airflow):
    page = open_airflow(failed.task("train_model"), viewport=TALL)
    expect(heading(page)).to_contain_text("Failed", timeout=MINUTE)
    keep_screenshot(page, "tab-failed", dark=True)
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class(re.compile(r"\bdark\b"))

    panel, airflow = page.locator(".panel").first.evaluate(
        """panel => [getComputedStyle(panel).backgroundColor,
                     getComputedStyle(document.documentElement).getPropertyValue("--chakra-colors-bg")]"""
    )
    assert panel == airflow


def test_a_narrow_tab_needs_no_scrolling_sideways(ended, open_airflow):
    page = open_airflow(ended.task("foreign"), viewport={"width": 1400, "height": 1800})
    expect(heading(page)).to_contain_text("Failed", timeout=MINUTE)
    page.locator("main").last.evaluate("main => { main.getRootNode().host.style.width = '375px'; }")

    evaluate = page.get_by_role("row").filter(has_text="Evaluate")
    expect(evaluate).to_contain_text("Failed")
    sizes = page.locator("main").last.evaluate(
        "main => [...main.querySelectorAll('*')].map((each) => each.getBoundingClientRect().right)"
        ".concat(main.getBoundingClientRect().right)"
    )
    assert max(sizes) <= sizes[-1] + 1
    expect(node(page, "Fetch customers")).to_be_visible()


def test_what_can_be_scrolled_or_followed_is_reached_by_keyboard(ended, open_airflow):
    ended.xcom("foreign", "flowengine_run_url", "http://127.0.0.1:1/run")
    page = open_airflow(ended.task("foreign"))
    link = page.get_by_role("link", name="Open in FlowEngine")
    expect(link).to_be_visible(timeout=MINUTE)

    link.focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("group", name="Graph")).to_be_focused()


@pytest.mark.parametrize(
    "value",
    [
        {"run_id": 17},
        {"run_id": 17, "state": "odd", "nodes": None, "edges": None, "started": "yesterday"},
        {"run_id": 17, "nodes": [{"id": "a"}, None, {}], "edges": [["a", "b"], None, ["a", "a"]]},
    ],
    ids=["nothing but the id", "odd values", "odd nodes"],
)
def test_a_run_of_which_little_is_known_is_shown_as_far_as_it_is(ended, open_airflow, value):
    ended.xcom("foreign", "flowengine_run", value)
    page = open_airflow(ended.task("foreign"))

    expect(heading(page)).to_contain_text("Run 17", timeout=MINUTE)


def test_what_is_no_run_is_called_unreadable(ended, open_airflow):
    ended.xcom("foreign", "flowengine_run", "s3://bucket/xcom/1")
    page = open_airflow(ended.task("foreign"))

    expect(page.get_by_text("keeps XComs in a store of its own")).to_be_visible(timeout=MINUTE)


def test_an_xcom_is_shown_as_text_and_only_a_web_address_is_linked_to(ended, open_airflow):
    ended.xcom("foreign", "flowengine_run", {"run_id": "<b>17</b>", "pipeline_name": "<img src=x onerror=alert(1)>"})
    ended.xcom("foreign", "flowengine_run_url", "javascript:alert(1)")
    page = open_airflow(ended.task("foreign"))

    expect(heading(page)).to_contain_text("Run <b>17</b>", timeout=MINUTE)
    expect(page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible()
    expect(page.get_by_role("link", name="Open in FlowEngine")).to_have_count(0)


def test_a_user_without_the_right_to_read_xcoms_is_told_so(ended, open_airflow, open_page, airflow):
    page = open_airflow("/dags", forgives="Warning|40[34]")
    page.route("**/xcomEntries?*", lambda route: route.fulfill(status=403, json={"detail": "Forbidden"}))
    page.goto(f"{airflow.api.url}{ended.task('foreign')}")

    expect(page.get_by_text("Your account may not read the XComs of this DAG")).to_be_visible(timeout=MINUTE)
