import pytest

from airflow_provider_flowengine.links import RUN_URL_KEY, push_run_link


class TaskInstance:
    """What a task instance does with an XCom, and no more."""

    def __init__(self, failure=None):
        self.xcoms = {}
        self.failure = failure

    def xcom_push(self, key, value):
        if self.failure:
            raise self.failure
        self.xcoms[key] = value


def test_the_link_is_pushed_where_the_button_looks_for_it():
    ti = TaskInstance()

    push_run_link({"ti": ti}, "http://gw/run")

    assert ti.xcoms == {RUN_URL_KEY: "http://gw/run"}


@pytest.mark.parametrize("context", [{"ti": TaskInstance(OSError("no API server"))}, {}])
def test_a_link_that_cannot_be_saved_fails_no_task(context, caplog):
    push_run_link(context, "http://gw/run")

    assert "http://gw/run" in caplog.text
