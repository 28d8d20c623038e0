"""
`make demo`: Airflow has FlowEngine train a model, judges it, and publishes it or has it trained longer.

Airflow (SQLite, in a scratch folder) and the FlowEngine emulator live in this process, on a free port of this machine,
the pipeline's jobs really run, and nothing is left behind. Exit code 0 if the DAG run succeeded.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_flowengine import __version__
from airflow_provider_flowengine.client.sync import Client
from airflow_provider_flowengine.emulator.server import Emulator
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_flowengine.protocol.models import NodeRun, Pipeline, PipelineRun

EXAMPLES = Path(__file__).parent.parent / "example_dags"
DAG_FILE, JOBS, PUBLISHED = "flowengine_churn_story.py", "churn_story", "flowengine-churn-story/model.json"

COLOURS = {"success": 32, "succeeded": 32, "running": 36, "failed": 31, "stopped": 33}
BAR = 30  # characters of the longest bar in the table


class Stage:
    """Where the demo speaks: lines with the seconds since it began, coloured on a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._coloured = out.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """Say something."""
        self._out.write(text + "\n")
        self._out.flush()

    def note(self, who: str, what: str, state: str = "") -> None:
        """Say what just happened."""
        seconds = time.monotonic() - self._began
        self.say(f"{self.dim(f'{seconds:6.1f} s')}  {who:<26}{self.state(state, 11) if state else ''}{what}".rstrip())

    def state(self, word: str, width: int = 0) -> str:
        """Return a state's word in its colour."""
        return self._colour(COLOURS.get(word, 0), f"{word:<{width}}")

    def dim(self, text: str) -> str:
        """Return text that steps back."""
        return self._colour(2, text)

    def bold(self, text: str) -> str:
        """Return text that steps forward."""
        return self._colour(1, text)

    def _colour(self, code: int, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._coloured and code else text


@contextlib.contextmanager
def quiet(log: Path) -> Iterator[TextIO]:
    """Send all that this process prints to a file; the value still reaches the terminal."""
    with open(os.dup(1), "w", encoding="utf-8") as terminal, log.open("w") as sink:
        saved = [os.dup(fd) for fd in (1, 2)]
        for fd in (1, 2):
            os.dup2(sink.fileno(), fd)
        try:
            yield terminal
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)


def set_up_airflow(home: Path, connection: str) -> None:
    """Point Airflow to the scratch folder, before anything imports it, and make its database."""
    dags = home / "dags"
    dags.mkdir()
    shutil.copy(EXAMPLES / DAG_FILE, dags)
    shutil.copytree(EXAMPLES / JOBS, dags / JOBS)
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]  # the demo is the same for all
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW_CONN_FLOWENGINE_DEFAULT": connection,
        "no_proxy": "127.0.0.1",
    }
    from airflow.utils.db import initdb

    initdb()


def tell_tasks(stage: Stage) -> None:
    """Say when Airflow's tasks start and end."""
    from airflow.providers.common.compat.sdk import get_listener_manager, hookimpl

    class Listener:
        @hookimpl
        def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
            stage.note(f"task {task_instance.task_id}", "", "running")

        @hookimpl
        def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
            stage.note(f"task {task_instance.task_id}", "", "success")

        @hookimpl
        def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
            stage.note(f"task {task_instance.task_id}", str(error), "failed")

    get_listener_manager().add_listener(Listener())


def runs(client: Client, api: Api) -> Iterator[PipelineRun]:
    """Yield each run there is, with its nodes."""
    for pipeline in client.run(api.list_pipelines()):
        for row in client.run(api.list_runs(pipeline.id, 1, 5)).runs:
            if run := client.run(api.read_run(pipeline.id, row.id)):
                yield run


def tell_nodes(stage: Stage, client: Client, api: Api, over: threading.Event) -> None:
    """Say when the nodes of FlowEngine's runs start and end, until it is over."""
    told: dict[tuple[object, str], str] = {}
    while not over.wait(0.2):
        for run in runs(client, api):
            for node in run.nodes:
                changed = told.get((run.id, node.id)) != node.state
                if changed and node.started and node.id != "start_node":
                    told[run.id, node.id] = node.state
                    stage.note(f"  node {node.name}", "", str(node.state))


def tell_result(stage: Stage, run: PipelineRun, pipeline: Pipeline) -> None:
    """Say how a run went: a table of its nodes, each with a bar from its start to its end."""
    job_types = {node["nodeId"]: node["indexType"] for node in pipeline.content["data"]["nodes"]}
    nodes = [node for node in run.nodes if node.id != "start_node"]
    width = max((len(node.name) for node in nodes), default=0) + 2
    length = seconds(run)
    stage.say()
    stage.say(f"Run {run.id} of pipeline “{pipeline.name}” {stage.state(str(run.state))} in {length:.1f} s:")
    stage.say()
    stage.say(stage.bold(f"  {'node':<{width}}{'job':<9}{'state':<11}{'seconds':>7}"))
    for node in nodes:
        bar = ""
        if run.started and node.started and length:
            before = round((node.started - run.started).total_seconds() / length * BAR)
            bar = " " * before + "━" * max(1, round(seconds(node) / length * BAR))
        state = stage.state(str(node.state), 11)
        stage.say(f"  {node.name:<{width}}{job_types[node.id]:<9}{state}{seconds(node):>7.1f}  {stage.dim(bar)}")


def seconds(what: PipelineRun | NodeRun) -> float:
    """Return how long a run or a node took."""
    return (what.ended - what.started).total_seconds() if what.started and what.ended else 0.0


def demonstrate(stage: Stage, home: Path) -> bool:
    """Run the demo, and tell whether all went well."""
    stage.say(stage.bold(f"airflow-provider-flowengine {__version__}: Airflow and FlowEngine train a model"))
    stage.say()
    tempfile.tempdir = str(home)  # where the DAG and the jobs exchange files: nothing is left outside
    with Emulator(execute=True) as emulator:
        settings = Settings.build(fl_url=emulator.url, engine_key=emulator.engine_key)
        with Client(settings) as client:
            stage.note("FlowEngine", f"an emulator stands in for it at {emulator.url}")
            stage.note("Airflow", "sets up its database (SQLite, in a scratch folder); this takes a while")
            set_up_airflow(home, emulator.connection())
            dag_run = run_dag(stage, home / "dags" / DAG_FILE, client, Api(settings))
        starts = emulator.count("start")
    stage.say()
    published = home / PUBLISHED
    if published.exists():
        accuracy = json.loads(published.read_text())["accuracy"]
        stage.say(
            f"The first model was too poor, so it was trained longer; published with an accuracy of {accuracy:.0%}."
        )
    stage.say(f"The DAG run ended in {stage.state(str(dag_run.state))}; FlowEngine saw {starts} starts.")
    stage.say(stage.dim("See it in Airflow's web page with: make standalone"))
    return str(dag_run.state) == "success"


def run_dag(stage: Stage, file: Path, client: Client, api: Api) -> Any:
    """Run the DAG to its end, tell what happens meanwhile and what came out, and return its DAG run."""
    from airflow import __version__ as airflow_version

    stage.note("Airflow", f"{airflow_version} loads, and runs {file.name}; this takes a while, too")
    tell_tasks(stage)
    over = threading.Event()
    watcher = threading.Thread(target=tell_nodes, args=(stage, client, api, over))
    watcher.start()
    try:
        dag_run = runpy.run_path(str(file))["dag"].test()
    finally:
        over.set()
        watcher.join()
    for run in sorted(runs(client, api), key=lambda run: str(run.id)):
        tell_result(stage, run, client.run(api.get_pipeline(run.pipeline_id)))
    return dag_run


def main() -> int:
    """Run the demo in a scratch folder, and return the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="flowengine-demo-") as home:
        log = Path(home, "airflow.log")
        well = False
        try:
            with quiet(log) as terminal:
                well = demonstrate(Stage(terminal), Path(home))
        except KeyboardInterrupt:
            sys.stderr.write("\nStopped.\n")
            return 130
        except Exception:
            traceback.print_exc()
        if not well:
            sys.stderr.write("\n".join(["", "The end of Airflow's log:", *log.read_text().splitlines()[-40:], ""]))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
