"""
The task's link to its run's page, from XCom alone: the web server reads no connection and sends no request.

Which page that is, the connection's ``ui_url`` says (:meth:`.protocol.settings.Settings.run_url`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_flowengine import compat

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

RUN_URL_KEY = "flowengine_run_url"
RUN_KEY = "flowengine_run"
"""The XCom that holds the run's progress: :func:`.protocol.progress.describe_progress`."""

log = logging.getLogger(__name__)


class FlowEngineRunLink(BaseOperatorLink):
    """The button “FlowEngine run” on a task: opens the page of the run that it started or waits for."""

    name = "FlowEngine run"

    @property
    def xcom_key(self) -> str:
        """
        The XCom that Airflow 3's page reads the link from.

        It is the one that tasks push right after the start, so that the link is there while they wait. What a custom
        XCom backend has put there, the page cannot read: so there it is one of Airflow's own, which Airflow writes past
        the backend when the task is deferred or ends.
        """
        return "_link_FlowEngineRunLink" if compat.has_custom_xcom_backend() else RUN_URL_KEY

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
