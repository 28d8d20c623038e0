"""How a run's end is told: as the error that says why."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from airflow_provider_flowengine.protocol.errors import RunFailedError, RunLostError, RunStoppedError
from airflow_provider_flowengine.protocol.models import NodeRun, PipelineRun
from airflow_provider_flowengine.protocol.outcomes import check_success, duration, log_node
from airflow_provider_flowengine.protocol.status import RunState, StatusVocabulary

MOMENT = datetime(2026, 11, 26, tzinfo=UTC)
URL = "http://gw/engine/15/x/#/offline-pipeline"


def a_run(status, **fields):
    return PipelineRun(1, 19, status, StatusVocabulary().state_of(status), **fields)


def test_a_run_that_succeeded_is_handed_on():
    run = a_run("succeeded")

    assert check_success(run) is run


def test_an_error_about_a_failed_run_begins_with_its_failed_nodes_own_reasons():
    run = a_run(
        "failed",
        started=MOMENT,
        ended=MOMENT + timedelta(seconds=3725),
        message="内存不足",
        nodes=(
            NodeRun("start_node", "开始", "SUCCEEDED", RunState.SUCCEEDED),
            NodeRun("train", "训练", "FAILED", RunState.FAILED, message="AUC 0.61 is below 0.7"),
            NodeRun("deploy", "deploy", "TERMINATED", RunState.STOPPED),
        ),
    )

    with pytest.raises(RunFailedError) as caught:
        check_success(run, URL)

    assert str(caught.value) == (
        "Node 训练 (train) failed: AUC 0.61 is below 0.7. Node deploy was stopped (TERMINATED). "
        f"FlowEngine says: 内存不足. Run 1 of pipeline 19 failed (status failed, after 1 h 2 min). See {URL}"
    )
    assert (caught.value.run, caught.value.run_url) == (run, URL)


def test_a_stopped_run_is_an_error_of_its_own_kind():
    with pytest.raises(RunStoppedError, match="was stopped"):
        check_success(PipelineRun("Run-AB", 19, "已停止", RunState.STOPPED))


@pytest.mark.parametrize("status", ["running", "flourishing"])
def test_what_has_no_known_end_is_never_success(status):
    with pytest.raises(RunLostError):
        check_success(a_run(status))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.24, "0.2 s"), (59.4, "59.4 s"), (60, "1 min 0 s"), (303, "5 min 3 s"), (7325, "2 h 2 min")]
)
def test_a_length_of_time_is_shown_in_its_largest_units(seconds, text):
    assert duration(seconds) == text


def test_the_full_stop_of_a_nodes_own_message_is_not_doubled():
    nodes = (NodeRun("train", "train", "FAILED", RunState.FAILED, message="没有数据。"),)

    with pytest.raises(RunFailedError, match=r"^Node train failed: 没有数据。 Run 1"):
        check_success(a_run("failed", nodes=nodes))


@pytest.mark.parametrize("fields", [{}, {"started": MOMENT}, {"ended": MOMENT}])
def test_an_error_says_how_long_a_run_took_only_if_that_is_known(fields):
    with pytest.raises(RunFailedError) as caught:
        check_success(a_run("failed", **fields))

    assert str(caught.value) == "Run 1 of pipeline 19 failed (status failed)."
    assert caught.value.run_url == ""


def test_a_run_may_end_in_the_second_in_which_it_started():
    with pytest.raises(RunFailedError, match=r"\(status failed, after 0.0 s\)"):
        check_success(a_run("failed", started=MOMENT, ended=MOMENT))


def test_an_end_that_no_word_names_is_said_to_be_unrecognized():
    with pytest.raises(RunLostError, match=r"Run 1 of pipeline 19 has ended in an unrecognized status \(status odd\)"):
        check_success(a_run("odd"))


@pytest.mark.parametrize("message", ["Full.", "已满。", "Full!", "已满！"])
def test_a_message_that_ends_a_sentence_gets_no_other_full_stop(message):
    with pytest.raises(RunFailedError, match=f"^FlowEngine says: {message} Run 1"):
        check_success(a_run("failed", message=message))


def test_a_long_message_is_cut():
    with pytest.raises(RunFailedError, match=r"^FlowEngine says: x{1000}[.] Run 1"):
        check_success(a_run("failed", message="x" * 2000))


@pytest.mark.parametrize(
    ("state", "message", "level", "text"),
    [
        (RunState.FAILED, "AUC is 0.61", "ERROR", "  node 训练 (train): word, after 3.0 s: AUC is 0.61"),
        (RunState.FAILED, "", "ERROR", "  node 训练 (train): word, after 3.0 s"),
        (RunState.FAILED, "x" * 2000, "ERROR", f"  node 训练 (train): word, after 3.0 s: {'x' * 1000}"),
        (RunState.SUCCEEDED, "AUC is 0.71", "INFO", "  node 训练 (train): word, after 3.0 s"),
    ],
)
def test_a_node_that_failed_is_logged_as_an_error_with_its_message(caplog, state, message, level, text):
    caplog.set_level(logging.INFO)

    log_node(
        logging.getLogger(), NodeRun("train", "训练", "word", state, MOMENT, MOMENT + timedelta(seconds=3), message)
    )

    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, text)]


def test_a_node_whose_time_is_unknown_is_logged_without_it(caplog):
    caplog.set_level(logging.INFO)

    log_node(logging.getLogger(), NodeRun("train", "train", "stopped", RunState.STOPPED))

    assert caplog.messages == ["  node train: stopped"]
