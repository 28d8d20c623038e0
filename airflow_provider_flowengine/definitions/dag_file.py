"""A DAG file that runs a pipeline on the schedule that it had in FlowEngine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.files import file_stem
from airflow_provider_flowengine.definitions.job_params import job_params
from airflow_provider_flowengine.definitions.schedule import Cron, Every, Manual, Message, changes_clocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from airflow_provider_flowengine.definitions.job_params import JobParam
    from airflow_provider_flowengine.definitions.schedule import Schedule
    from airflow_provider_flowengine.protocol.identifiers import Identifier


@dataclass(frozen=True)
class DagFile:
    """
    What a DAG file is written for.

    :param key: the pipeline's key; empty to name it by its id.
    :param pipeline_id: the pipeline's id.
    :param schedule: when it runs.
    :param zone: the zone of the schedule's clock.
    :param written: when the file is written, aware; the DAG starts nothing that was due before.
    :param conn_id: the Airflow connection.
    :param params: the params that the DAG's trigger form offers.
    :param engine_key: the engine, if it isn't the connection's; else empty.
    """

    key: str
    pipeline_id: Identifier
    schedule: Schedule
    zone: str
    written: datetime
    conn_id: str
    params: Sequence[JobParam] = ()
    engine_key: str = ""

    @property
    def dag_id(self) -> str:
        """The DAG's id, of the letters that Airflow takes; no two keys give the same."""
        return f"flowengine_{file_stem(self.key or str(self.pipeline_id))}"

    def text(self) -> str:
        """Return the file's text."""
        if isinstance(self.schedule, Message):
            return _watcher(self, self.schedule.topics)
        return _starter(self)

    def notes(self) -> list[str]:
        """Return what the user should know of the translation."""
        schedule = self.schedule
        if isinstance(schedule, Every):
            return [
                "FlowEngine counts the period from when its schedule was turned on; Airflow, from when the DAG is "
                "unpaused, when it starts at once."
            ]
        if isinstance(schedule, Message):
            return [
                "Airflow can't listen to FlowEngine's topics, so FlowEngine's schedule has to stay on: the DAG runs "
                "after each run of the pipeline. It needs Airflow 3."
            ]
        if isinstance(schedule, Cron) and changes_clocks(self.zone):
            return [
                f"The clocks of {self.zone} are changed twice a year; in those two nights, FlowEngine and Airflow may "
                "start at different moments."
            ]
        return []

    @property
    def pipeline(self) -> dict[str, object]:
        """The arguments that name the pipeline, for an operator or trigger."""
        name: dict[str, object] = {"pipeline_key": self.key} if self.key else {"pipeline_id": self.pipeline_id}
        engine = {"engine_key": self.engine_key} if self.engine_key else {}
        return name | {"flowengine_conn_id": self.conn_id} | engine


def _starter(file: DagFile) -> str:
    schedule, imports = _schedule(file.schedule, file.zone)
    names = "DAG, Param" if file.params else "DAG"
    arguments = {"task_id": "run_pipeline", **file.pipeline}
    if file.params:
        arguments["job_params"] = job_params(file.params)
    return f'''"""{_docstring(file)}"""

{imports}import pendulum
from airflow.providers.common.compat.sdk import {names}
{"from airflow.timetables.trigger import " + schedule.partition("(")[0] + chr(10) if "Timetable(" in schedule else ""}
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

with DAG(
    {_literal(file.dag_id)},
    schedule={schedule},
    start_date={_moment(file)},
    catchup=False,
    is_paused_upon_creation=True,
{_params(file.params)}    tags=["flowengine"],
    doc_md=__doc__,
) as dag:
    FlowEngineStartPipelineOperator(
{_arguments(arguments, 8)}    )
'''


def _watcher(file: DagFile, topics: Sequence[str]) -> str:
    return f'''"""{_docstring(file, topics)}"""

import pendulum
from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunEventTrigger

run_ended = Asset(
    {_literal(file.dag_id)},
    watchers=[
        AssetWatcher(
            name="run ended",
            trigger=FlowEnginePipelineRunEventTrigger(
{_arguments(file.pipeline, 16)}            ),
        )
    ],
)

with DAG(
    {_literal(file.dag_id)},
    schedule=[run_ended],
    start_date={_moment(file)},
    catchup=False,
    is_paused_upon_creation=True,
    tags=["flowengine"],
    doc_md=__doc__,
) as dag:

    @task
    def report(triggering_asset_events=None):
        """Put in its place what is to follow the pipeline."""
        for events in triggering_asset_events.values():
            for event in events:
                print(event.extra["payload"])

    report()
'''


def _docstring(file: DagFile, topics: Sequence[str] = ()) -> str:
    name = f"pipeline {file.key or file.pipeline_id}"
    if topics:
        first = f"Follows FlowEngine's {name}, which starts when a message comes on {', '.join(topics)}."
    else:
        first = f"Runs FlowEngine's {name}{_was(file)}."
    return "\n\n".join(fill(_safe(text), 110) for text in (first, *file.notes())) + ("" if topics else _cut_over(file))


def _was(file: DagFile) -> str:
    match file.schedule:
        case Cron(quartz=quartz) if quartz:
            return f" on the schedule that it had there: {quartz} ({file.zone})"
        case Every(amount, unit):
            return f" on the schedule that it had there: every {amount:g} {unit}"
        case _:
            return ""


def _cut_over(file: DagFile) -> str:
    if isinstance(file.schedule, Manual):
        return ""
    return f"""

To move the schedule so that no run is doubled or missed, at a time when no start is due soon:

1. Deploy this file. The DAG is paused.
2. Turn FlowEngine's own schedule off, on its page or by
   FlowEngineHook({_safe(file.conn_id)!r}).set_schedule({file.pipeline_id!r}, enabled=False).
3. If a start was due since {file.written:%Y-%m-%d %H:%M} ({file.zone}), when this file was written, FlowEngine has made
   it: set start_date to now, or Airflow will make it again.
4. Unpause the DAG, before the next start is due.
"""


def _safe(text: str) -> str:
    """Return text that can't end a docstring, nor mean anything else in it."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown.replace("\\", "/").replace('"', "'")


def _moment(file: DagFile) -> str:
    at = file.written
    parts = ", ".join(str(part) for part in (at.year, at.month, at.day, at.hour, at.minute, at.second))
    return f"pendulum.datetime({parts}, tz={_literal(file.zone)})"


def _schedule(schedule: Schedule, zone: str) -> tuple[str, str]:
    """Return a schedule's expression, and the import that it needs."""
    match schedule:
        case Cron(expression):
            # Not the expression alone: on Airflow 2.11 that means intervals, whose first run comes one start late.
            return f"CronTriggerTimetable({_literal(expression)}, timezone={_literal(zone)})", ""
        case Every(amount, unit):
            return f"DeltaTriggerTimetable(timedelta({unit}={amount!r}))", "from datetime import timedelta\n\n"
        case _:
            return "None", ""


def _params(params: Sequence[JobParam]) -> str:
    if not params:
        return ""
    lines = ""
    for param in params:
        described: dict[str, object] = {"description": param.description} if param.description else {}
        form = described | {"section": param.node_name, "title": param.key, "type": "string"}
        lines += (
            f"        {_literal(param.name)}: Param(\n"
            f"            {_literal(param.value)},\n"
            f"{_arguments(form, 12)}"
            "        ),\n"
        )
    return f"    params={{\n{lines}    }},\n"


def _arguments(arguments: dict[str, object], indent: int) -> str:
    return "".join(f"{' ' * indent}{name}={_literal(value)},\n" for name, value in arguments.items())


def _literal(value: object) -> str:
    """Return text, numbers, and dicts of them as Python, which JSON is but for letters that can't be seen."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in json.dumps(value, ensure_ascii=False)
    )
