"""
The task's link to its run's page, from XCom alone: the web server reads no connection and sends no request.

Which page that is, the connection's ``ui_url`` says (:meth:`.protocol.settings.Settings.run_url`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

RUN_URL_KEY = "flowengine_run_url"
RUN_KEY = "flowengine_run"
"""The XCom that holds the run's progress: :func:`.protocol.progress.describe_progress`."""

log = logging.getLogger(__name__)


class FlowEngineRunLink(BaseOperatorLink):
    """The button “FlowEngine run” on a task: opens the page of the run that it started or waits for."""

    name = "FlowEngine run"

    # Airflow 3 reads the link under this key. With ours, what the operator pushed right after the start
    # is the link from then on, and not only once the task has ended.
    xcom_key = RUN_URL_KEY

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """
        Return the address of the run's page, or "" while there is none.

        :param operator: the task's operator; unused.
        :param ti_key: the task instance, map index included.
        """
        from airflow.providers.common.compat.sdk import XCom

        return str(XCom.get_value(ti_key=ti_key, key=RUN_URL_KEY) or "")


def push_run_link(context: Context, url: str) -> None:
    """
    Make the link of a task's run known, while the task is under way. To be called right after the start.

    Never raises: the run has been started, and a missing link is no reason to fail its task.

    :param context: the task's context.
    :param url: the address of the run's page.
    """
    try:
        context["ti"].xcom_push(key=RUN_URL_KEY, value=url)
    except Exception:
        log.warning("The task's link to its FlowEngine run (%s) could not be saved.", url, exc_info=True)
