"""Plays a case: Airflow, FlowEngine and the judge, on a clock that stands still."""

from __future__ import annotations

import json
import logging
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import airflow.settings  # noqa: F401 - sets structlog up, so that it can be set up otherwise
import structlog

from .airflow import Airflow
from .clock import standing_clock
from .flowengine import CONNECTION, FlowEngine
from .oracle import Judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .case import Case

PACKAGE = logging.getLogger("airflow_provider_flowengine")


def play(case: Case, level: int = logging.ERROR) -> Airflow:
    """
    Play a case to its end, and have it judged.

    :param case: the case.
    :param level: from which level on the story holds what is logged.
    """
    random.seed(case.seed)
    with standing_clock() as clock, mock.patch.dict(os.environ, AIRFLOW_CONN_FLOWENGINE_DEFAULT=json.dumps(CONNECTION)):
        flowengine = FlowEngine(clock, case)
        judge = Judge(case, flowengine)
        airflow = judge.airflow = Airflow(case, clock, flowengine, judge)
        with _logs_to(airflow.hear, level):
            airflow.play()
            judge.close()
    return airflow


class _Ear(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__()
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(f"[{record.levelname.lower()}] {record.getMessage()}")


@contextmanager
def _logs_to(hear: Callable[[str], None], level: int) -> Iterator[None]:
    """Have heard what is logged: by the package's modules with logging, by operators and triggers with structlog."""

    def take(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
        hear(f"[{method}] {event.get('event')}")
        raise structlog.DropEvent

    before, ear = structlog.get_config(), _Ear(hear)
    structlog.configure(processors=[take], wrapper_class=structlog.make_filtering_bound_logger(level))
    PACKAGE.addHandler(ear)
    PACKAGE.setLevel(level)
    PACKAGE.propagate = False
    try:
        yield
    finally:
        PACKAGE.propagate = True
        PACKAGE.setLevel(logging.NOTSET)
        PACKAGE.removeHandler(ear)
        structlog.configure(**before)
