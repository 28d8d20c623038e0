"""A DAG file that runs a pipeline on the schedule that it had in FlowEngine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.files import file_stem
from airflow_provider_flowengine.definitions.job_params import job_params

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
        return _watcher(self) if self.schedule.topics else _starter(self)

    @property
    def pipeline(self) -> dict[str, object]:
        """The arguments that name the pipeline, for an operator or trigger."""
        name: dict[str, object] = {"pipeline_key": self.key} if self.key else {"pipeline_id": self.pipeline_id}
        engine = {"engine_key": self.engine_key} if self.engine_key else {}
        return name | {"flowengine_conn_id": self.conn_id} | engine


def _starter(file: DagFile) -> str:
    timetable = file.schedule.timetable
    delta = "from datetime import timedelta\n\n" if "timedelta(" in timetable else ""
    class_of_timetable = f"from airflow.timetables.trigger import {timetable.partition('(')[0]}\n"
    arguments = {"task_id": "run_pipeline", **file.pipeline}
    if file.params:
        arguments["job_params"] = job_params(file.params)
    return f'''"""{_docstring(file)}"""

{delta}import pendulum
from airflow.providers.common.compat.sdk import {"DAG, Param" if file.params else "DAG"}
{"" if timetable == "None" else class_of_timetable}
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

{_with_dag(file, timetable, _params(file.params))}
    FlowEngineStartPipelineOperator(
{_arguments(arguments, 8)}    )
'''


def _watcher(file: DagFile) -> str:
    return f'''"""{_docstring(file)}"""

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

{_with_dag(file, "[run_ended]")}

    @task
    def report(triggering_asset_events=None):
        """Put in its place what is to follow the pipeline."""
        for events in triggering_asset_events.values():
            for event in events:
                print(event.extra["payload"])

    report()
'''


def _with_dag(file: DagFile, schedule: str, params: str = "") -> str:
    return f"""with DAG(
    {_literal(file.dag_id)},
    schedule={schedule},
    start_date={_moment(file)},
    catchup=False,
    is_paused_upon_creation=True,
{params}    tags=["flowengine"],
    doc_md=__doc__,
) as dag:"""


def _docstring(file: DagFile) -> str:
    name, schedule = f"FlowEngine's pipeline {file.key or file.pipeline_id}", file.schedule
    if schedule.topics:
        first = f"Follows {name}, which starts when a message comes on {', '.join(schedule.topics)}."
    elif schedule.original:
        first = f"Runs {name} on the schedule that it had there: {schedule.original}."
    else:
        first = f"Runs {name}."
    return "\n\n".join(fill(_safe(text), 110) for text in (first, *schedule.notes)) + _cut_over(file)


def _cut_over(file: DagFile) -> str:
    if file.schedule.timetable == "None":
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
