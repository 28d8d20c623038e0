"""Airflow's page, as a person uses it with FlowEngine."""

import json
import re

import pytest
from playwright.sync_api import expect

from .conftest import keep_screenshot, until

RUN_PAGE = "{fl_url}{engine_url}/#/offline-pipeline/{pipeline_id}/{run_id}"


@pytest.fixture
def flowengine(flowengine_emulator):
    """An emulator that goes on by itself, with something in it."""
    flowengine_emulator.engine.create_pipeline({"data": {"name": "nightly", "nodes": []}, "pipelineKey": "nightly"})
    return flowengine_emulator


@pytest.fixture
def open_airflow(open_page, airflow):
    """Open Airflow's page at a path."""
    return lambda path, **context: open_page(f"{airflow.api.url}{path}", forgives="Warning|404", **context)


def field(form, label):
    """A field of the form, by the label beside it."""
    return form.get_by_role("group").filter(has=form.page.get_by_text(label, exact=True)).get_by_role("textbox")


def test_a_connection_is_filled_in_saved_and_tested(airflow, flowengine, open_airflow):
    page = open_airflow("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_role("combobox", name="Connection Type").fill("FlowEngine")
    form.get_by_role("option", name="FlowEngine").click()
    form.get_by_label("Connection ID").fill("flowengine_by_form")
    form.get_by_label("Gateway").fill(flowengine.host)
    form.get_by_label("Port").fill(str(flowengine.port))
    form.get_by_label("User id").fill("1")
    keep_screenshot(page, "connection-form", dark=True)
    form.get_by_role("button", name="Extra Fields").first.click()
    field(form, "Engine key").fill(flowengine.engine_key)
    field(form, "Page of a run").fill(RUN_PAGE)
    form.get_by_role("button", name="Extra Fields").first.evaluate("button => button.scrollIntoView()")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()

    saved = airflow.api.call("GET", "/connections/flowengine_by_form")
    assert (saved["conn_type"], saved["host"], saved["port"]) == ("flowengine", flowengine.host, flowengine.port)
    assert json.loads(saved["extra"])["engine_key"] == "demo"
    assert json.loads(saved["extra"])["ui_url"] == RUN_PAGE

    row = page.get_by_role("row").filter(has_text="flowengine_by_form")
    with page.expect_response("**/api/v2/connections/test") as tested:
        row.get_by_role("button", name="Test Connection").click()
    result = tested.value.json()
    assert result["status"] is True
    assert re.search(r"engine 6 at /engine/15/cess-data-3 \(.*\), 1 pipeline\b", result["message"]), result["message"]


def test_the_end_of_a_run_is_an_event_of_the_asset_that_is_watched(airflow, flowengine, connected, open_airflow):
    pipeline = flowengine.engine.create_pipeline({"data": {"name": "churn", "nodes": []}, "pipelineKey": "churn_model"})
    until(
        lambda: airflow.sql("SELECT 1 FROM asset_state_store"), 120, lambda: f"No watcher has begun: {airflow.logs()}"
    )
    run = flowengine.engine.start(pipeline.id)
    until(lambda: airflow.sql("SELECT 1 FROM asset_event"), 90, "There is no event")

    page = open_airflow("/assets")
    page.get_by_role("link", name="churn_model").first.click()
    expect(page.get_by_text("flowengine_asset_watcher").first).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1000)  # until its graph stands still
    keep_screenshot(page, "asset", dark=True)
    (extra,) = airflow.sql("SELECT extra FROM asset_event")[0]
    assert json.loads(extra)["payload"]["run_id"] == run.id


@pytest.mark.usefixtures("connected")
def test_an_example_dag_is_run_and_its_link_opens_the_run_in_flowengine(flowengine, open_airflow):
    page = open_airflow("/dags/flowengine_quickstart")

    page.get_by_role("button", name="Trigger Dag").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger").last.click()
    page.get_by_role("table").get_by_role("link", name="train_model").click()
    page.get_by_role("link", name="Details", exact=True).click()
    link = page.get_by_role("link", name="FlowEngine run")
    expect(link).to_be_visible(timeout=60_000)
    keep_screenshot(page, "task-link", dark=True)
    with page.expect_popup() as opened:
        link.click()
    run = opened.value
    (begun,) = flowengine.engine.runs(2)[0]
    expect(run.get_by_role("heading", level=1)).to_contain_text(f"Run {begun.id}")
    assert run.url == flowengine.run_url(2, begun.id)
    expect(run.locator(".graph .node")).to_have_count(6)

    expect(page.get_by_text("success", exact=True).first).to_be_visible(timeout=90_000)
    expect(run.get_by_role("heading", level=1)).to_contain_text("Succeeded")
    assert begun.params == {"train": {"trees": "200"}}
    page.get_by_role("link", name="Logs", exact=True).click()
    expect(page.get_by_text("succeeded after").first).to_be_visible(timeout=30_000)
    keep_screenshot(page, "task-log", dark=True)
