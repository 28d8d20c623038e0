"""The sensor, in each of its three ways to wait."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowTaskTimeout

from airflow_provider_flowengine.protocol import monitor
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    PipelineNotFoundError,
    RunFailedError,
    RunLostError,
    RunStoppedError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
MODES = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}
needs_task_state_store = pytest.mark.needs_task_state_store
in_all_modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES.keys())
# Rescheduled, each poll has its own process; they share what they know in the store.
in_modes_that_remember = pytest.mark.parametrize(
    "mode",
    [pytest.param(mode, marks=[needs_task_state_store] * (name == "reschedule")) for name, mode in MODES.items()],
    ids=MODES.keys(),
)


@pytest.fixture
def sense(run_task):
    """Run the sensor, which polls often so that the tests are short."""

    def sense(**arguments):
        return run_task(FlowEnginePipelineRunSensor, **{"poke_interval": 0.1, "timeout": 30, **arguments})

    return sense


# --- a run that is known ----------------------------------------------------------------------------------------------


@in_all_modes
def test_it_waits_for_a_run_and_returns_it(sense, emulator, pipeline, after_polls, mode):
    pipeline_id = pipeline(duration="forever")
    run_id = emulator.engine.start(pipeline_id).id
    after_polls(2, emulator.engine.finish, run_id)
    task = sense(pipeline_id=pipeline_id, run_id=run_id, **mode)

    assert task.state == "success"
    assert (task.returned["run_id"], task.returned["pipeline_id"], task.returned["state"]) == (1, 1, "succeeded")
    assert task.returned["ended"]
    assert task.link == emulator.run_url(1, 1)
    progress = task.xcoms["flowengine_run"]
    assert (progress["run_id"], progress["state"], progress["ended"]) == (1, "succeeded", task.returned["ended"])


@in_all_modes
def test_a_run_that_is_over_is_taken_at_once(sense, emulator, pipeline, log, mode):
    emulator.engine.start(pipeline())
    task = sense(pipeline_key="nightly", run_id="{{ dag_run.conf['run'] }}", conf={"run": 1}, **mode)

    assert task.returned["state"] == "succeeded"
    assert "running trigger in line" not in log.text


@in_all_modes
def test_a_failed_run_fails_it_at_once_and_not_at_its_timeout(sense, emulator, pipeline, mode):
    pipeline_id = pipeline(duration=0.2, outcome="failed", message="no data")
    emulator.engine.start(pipeline_id)
    task = sense(pipeline_id=pipeline_id, run_id=1, **mode)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], RunFailedError)
    assert "Run 1 of pipeline 1 failed" in task.error
    assert "Node train (n1) failed: no data." in task.error
    assert task.error.endswith(f"See {emulator.run_url(1, 1)}")


@in_all_modes
def test_the_error_names_the_node_that_failed_after_it_was_seen_running(sense, emulator, pipeline, after_polls, mode):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    after_polls(4, emulator.engine.finish, 1, "failed", "no data")
    task = sense(pipeline_id=pipeline_id, run_id=1, **mode)

    assert "Node train (n1) failed: no data." in task.error


@in_all_modes
def test_a_stopped_run_fails_it(sense, emulator, pipeline, mode):
    emulator.options.stop_seconds = 0
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.engine.stop(1)
    task = sense(pipeline_id=pipeline_id, run_id=1, **mode)

    assert isinstance(task.errors[-1], RunStoppedError)
    assert "Run 1 of pipeline 1 was stopped" in task.error


@in_all_modes
def test_after_its_timeout_it_fails_and_leaves_the_run_alone(sense, emulator, pipeline, mode):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    task = sense(pipeline_id=pipeline_id, run_id=1, poke_interval=60, timeout=0.4, **mode)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], AirflowSensorTimeout)
    assert emulator.count("stop") == 0


# --- soft_fail --------------------------------------------------------------------------------------------------------


@in_all_modes
def test_a_failed_run_skips_it_if_soft_fail_is_on(sense, emulator, pipeline, mode):
    emulator.engine.start(pipeline(outcome="failed"))
    task = sense(pipeline_id=1, run_id=1, soft_fail=True, **mode)

    assert task.state == "skipped"


@in_all_modes
def test_a_timeout_skips_it_if_soft_fail_is_on(sense, emulator, pipeline, mode):
    emulator.engine.start(pipeline(duration="forever"))
    task = sense(pipeline_id=1, run_id=1, soft_fail=True, poke_interval=60, timeout=0.4, **mode)

    assert task.state == "skipped"


@in_all_modes
@pytest.mark.parametrize("named", [{"pipeline_key": "no-such-pipeline"}, {"pipeline_id": 999}], ids=["key", "id"])
def test_a_mistake_fails_it_even_if_soft_fail_is_on(sense, emulator, pipeline, named, mode):
    task = sense(**named, soft_fail=True, **mode)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], PipelineNotFoundError)


@in_all_modes
@pytest.mark.parametrize("named", [{"run_id": 1}, {"pipeline_key": "no-such-pipeline"}], ids=["failed run", "mistake"])
def test_whatever_goes_wrong_skips_it_if_never_fail_is_on(sense, emulator, pipeline, named, mode):
    pipeline_id = pipeline(outcome="failed")
    emulator.engine.start(pipeline_id)
    task = sense(**({} if "pipeline_key" in named else {"pipeline_id": pipeline_id}), **named, never_fail=True, **mode)

    assert task.state == "skipped"


@in_all_modes
def test_a_timeout_skips_it_if_never_fail_is_on(sense, emulator, pipeline, mode):
    emulator.engine.start(pipeline(duration="forever"))

    assert sense(pipeline_id=1, run_id=1, timeout=0.4, never_fail=True, **mode).state == "skipped"


# --- while FlowEngine is away -----------------------------------------------------------------------------------------


@in_all_modes
def test_it_tolerates_that_flowengine_is_away_for_a_while(sense, emulator, pipeline, after_polls, mode):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)

    def outage():
        emulator.fail(kind="status", status=500, times=1000)
        time.sleep(1.5)
        emulator.faults.clear()
        emulator.engine.finish(1)

    after_polls(2, outage)
    task = sense(pipeline_id=pipeline_id, run_id=1, **mode)

    assert task.state == "success"


@in_modes_that_remember
def test_it_gives_up_when_flowengine_is_away_for_too_long(sense, emulator, pipeline, after_polls, mode):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    after_polls(2, partial(emulator.fail, kind="status", status=500, times=1000))
    task = sense(pipeline_id=pipeline_id, run_id=1, unreachable_timeout=1, **mode)

    assert isinstance(task.errors[-1], StatusUnavailableError)


@needs_task_state_store
def test_how_long_flowengine_was_away_for_an_earlier_try_doesnt_count(sense, emulator, pipeline, after_polls):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.fail("history", "run", kind="status", status=500, times=1000)

    def later():
        emulator.faults.clear()
        emulator.fail("history", "run", kind="status", status=500)
        after_polls(3, emulator.engine.finish, 1)
        time.sleep(1)

    task = sense(
        pipeline_id=pipeline_id, run_id=1, mode="reschedule", unreachable_timeout=1, retries=1, between_tries=later
    )

    assert (task.state, task.tries) == ("success", 2)


# --- a run that FlowEngine starts by itself ---------------------------------------------------------------------------


@in_all_modes
@pytest.mark.parametrize("since", [{}, {"started_after": "{{ dag_run.start_date }}"}], ids=["interval", "template"])
def test_without_a_run_it_waits_for_the_next_one(sense, emulator, pipeline, after_polls, since, mode):
    pipeline_id = pipeline()
    emulator.engine.add_history(pipeline_id, [emulator.clock.now() - 3600])
    after_polls(2, emulator.engine.start, pipeline_id, None, "cron")
    task = sense(pipeline_id=pipeline_id, **since, **mode)

    assert task.state == "success"
    assert task.returned["run_id"] == 2
    assert task.returned["trigger"] == "定时触发"
    assert task.link == emulator.run_url(1, 2)


@in_all_modes
def test_of_several_runs_it_takes_the_first_since_the_moment(sense, emulator, pipeline, mode):
    pipeline_id = pipeline()
    now = emulator.clock.now()
    emulator.engine.add_history(pipeline_id, [now - hours * 3600 for hours in (5, 4, 3, 2, 1)])
    moment = datetime.fromtimestamp(now - 3.5 * 3600, UTC)

    assert sense(pipeline_id=pipeline_id, started_after=moment, **mode).returned["run_id"] == 3


@pytest.mark.parametrize("moment", ["2026-01-01", "2026-01-01T00:00:00+08:00", "2026-01-01 00:00:00"])
def test_the_moment_is_a_time_as_people_write_it(sense, emulator, pipeline, moment):
    emulator.engine.start(pipeline())

    assert sense(pipeline_id=1, started_after=moment).returned["run_id"] == 1


@in_all_modes
def test_no_run_at_all_ends_in_a_timeout(sense, emulator, pipeline, mode):
    task = sense(pipeline_id=pipeline(), poke_interval=60, timeout=0.4, started_after="2026-01-01", **mode)

    assert task.state == "failed"
    assert isinstance(task.errors[-1], AirflowSensorTimeout)
    # In a worker Airflow watches the time too, and may come first, with words of its own.
    ours = "The timeout of 0.4 s is over: there was no run of pipeline 1 that started at or after 2026-01-01"
    assert task.error.startswith((ours,) if "deferrable" in mode else (ours, "Sensor has timed out"))


@in_all_modes
def test_the_first_run_counts_even_when_it_failed(sense, emulator, pipeline, after_polls, mode):
    pipeline_id = pipeline(outcome="failed_once")
    after_polls(1, emulator.engine.start, pipeline_id)
    task = sense(pipeline_id=pipeline_id, **mode)

    assert isinstance(task.errors[-1], RunFailedError)


# --- the DAG run's own time -------------------------------------------------------------------------------------------


def dag_run_of(run_type, length):
    """Let the task's DAG run be of a type, due now, with a data interval of this length."""

    def pre_execute(context):
        due = context["dag_run"].logical_date or context["dag_run"].run_after
        context["dag_run"].run_type = run_type
        context["data_interval_start"], context["data_interval_end"] = due - length, due

    return pre_execute


@in_all_modes
@pytest.mark.parametrize("length", [timedelta(0), timedelta(hours=1)], ids=["plain cron", "data interval"])
@pytest.mark.parametrize("run_type", ["scheduled", "backfill", "manual"])
def test_a_window_takes_the_first_run_in_it_on_each_airflow(sense, emulator, pipeline, run_type, length, mode):
    pipeline_id, now = pipeline(), emulator.clock.now()
    emulator.engine.add_history(pipeline_id, [now - hours * 3600 for hours in (30, 5, 2)])
    task = sense(
        pipeline_id=pipeline_id,
        started_within=timedelta(hours=24),
        pre_execute=dag_run_of(run_type, length),
        **mode,
    )

    assert task.returned["run_id"] == 2


@in_all_modes
def test_a_scheduled_run_whose_interval_has_a_length_counts_from_its_start(sense, emulator, pipeline, mode):
    pipeline_id, now = pipeline(), emulator.clock.now()
    emulator.engine.add_history(pipeline_id, [now - hours * 3600 for hours in (30, 5, 2)])
    task = sense(pipeline_id=pipeline_id, pre_execute=dag_run_of("scheduled", timedelta(hours=3)), **mode)

    assert task.returned["run_id"] == 3


@in_all_modes
def test_a_guess_is_refused_with_what_would_do(sense, emulator, pipeline, mode):
    emulator.engine.start(pipeline())
    task = sense(pipeline_id=1, pre_execute=dag_run_of("scheduled", timedelta(0)), soft_fail=True, **mode)

    assert task.state == "failed"
    assert "started_within=timedelta(hours=24)" in task.error
    assert emulator.count("history") == 0


def test_a_moment_may_be_a_function_of_the_context(sense, emulator, pipeline):
    pipeline_id, now = pipeline(), emulator.clock.now()
    emulator.engine.add_history(pipeline_id, [now - hours * 3600 for hours in (5, 2)])
    task = sense(
        pipeline_id=pipeline_id,
        started_after=lambda context, jinja_env: context["dag_run"].start_date - timedelta(hours=3),
    )

    assert task.returned["run_id"] == 2


@in_all_modes
def test_a_mistake_is_not_retried(sense, emulator, pipeline, mode):
    task = sense(pipeline_key="no-such-pipeline", retries=3, **mode)

    assert (task.state, len(task.errors)) == ("failed", 1)


def test_only_one_of_run_and_moments_may_be_given():
    with pytest.raises(ConfigurationError, match="Task wait: give started_after or started_within, not both"):
        FlowEnginePipelineRunSensor(task_id="wait", pipeline_id=1, started_after="2026-01-01", started_within=60)


@pytest.mark.parametrize("written", [str, pendulum.naive, datetime], ids=["text", "pendulum.naive", "datetime"])
def test_a_moment_without_a_zone_is_in_airflows_default_one(sense, emulator, pipeline, monkeypatch, written):
    monkeypatch.setenv("AIRFLOW__CORE__DEFAULT_TIMEZONE", "Asia/Shanghai")
    pipeline_id = pipeline()
    moments = [datetime(2026, 1, 1, hour, tzinfo=UTC).timestamp() for hour in (1, 5)]  # 09:00 and 13:00 in Shanghai
    emulator.engine.add_history(pipeline_id, moments)
    moment = "2026-01-01 08:00:00" if written is str else written(2026, 1, 1, 8)

    assert sense(pipeline_id=pipeline_id, started_after=moment).returned["run_id"] == 1


# --- execution_timeout ------------------------------------------------------------------------------------------------


@in_all_modes
@pytest.mark.parametrize("soft_fail", [False, True])
def test_execution_timeout_fails_a_try_in_every_mode_and_never_skips(sense, emulator, pipeline, soft_fail, mode):
    emulator.engine.start(pipeline(duration="forever"))
    wait = partial(sense, pipeline_id=1, run_id=1, execution_timeout=timedelta(seconds=1), soft_fail=soft_fail, **mode)
    if AIRFLOW < (3, 0):
        with pytest.raises(AirflowTaskTimeout):  # its dag.test() lets this error through, before any retry
            wait()
        return
    task = wait(retries=1)

    assert (task.state, task.tries) == ("failed", 2)
    assert isinstance(task.errors[-1], AirflowTaskTimeout)
    assert task.error.startswith("The execution_timeout of 1.0 s is over: run 1 of pipeline 1 was still running")
    assert emulator.count("stop") == 0


@in_all_modes
def test_a_timeout_that_comes_before_execution_timeout_is_the_sensors_own(sense, emulator, pipeline, mode):
    emulator.engine.start(pipeline(duration="forever"))
    task = sense(pipeline_id=1, run_id=1, timeout=0.4, execution_timeout=timedelta(seconds=60), retries=1, **mode)

    assert (task.state, len(task.errors)) == ("failed", 1)
    assert isinstance(task.errors[-1], AirflowSensorTimeout)


# --- what goes wrong meanwhile ----------------------------------------------------------------------------------------


@in_all_modes
@pytest.mark.parametrize("kind", ["status", "envelope"])
def test_a_poll_that_fails_does_not_fail_it(sense, emulator, pipeline, kind, mode):
    emulator.engine.start(pipeline())
    emulator.fail("history", "run", kind=kind)
    task = sense(pipeline_id=1, run_id=1, **mode)

    assert task.returned["state"] == "succeeded"


def test_a_run_id_that_comes_to_nothing_doesnt_mean_any_run(dag, run, emulator, pipeline):
    from airflow.providers.common.compat.sdk import task

    pipeline_id = pipeline()
    emulator.engine.start(pipeline_id)

    @task
    def nothing():
        return None

    with dag:
        FlowEnginePipelineRunSensor(task_id="wait", pipeline_id=pipeline_id, run_id=nothing())

    assert "run_id has rendered to None" in run(dag)["wait"].error


@in_modes_that_remember
def test_a_run_of_another_pipeline_isnt_taken(sense, emulator, pipeline, mode, monkeypatch):
    monkeypatch.setattr(monitor, "GRACE", 0.2)
    first, second = pipeline("first"), pipeline("second")
    emulator.engine.start(second)
    task = sense(pipeline_id=first, run_id=1, **mode)

    assert isinstance(task.errors[-1], RunLostError)


@needs_task_state_store
@pytest.mark.parametrize("why", ["gone", "word"])
def test_a_run_that_says_nothing_is_given_up_after_the_grace_also_if_each_poll_is_a_process_of_its_own(
    sense, emulator, pipeline, monkeypatch, why
):
    monkeypatch.setattr(monitor, "GRACE", 0.5)
    pipeline_id = pipeline(duration="forever")
    run_id = emulator.engine.start(pipeline_id).id
    if why == "word":
        emulator.options.words = {"running": "WARMING_UP"}
    task = sense(pipeline_id=pipeline_id, run_id=run_id + (why == "gone"), mode="reschedule", timeout=20)

    assert isinstance(task.errors[-1], RunLostError)


def test_an_interval_of_nothing_still_lets_flowengine_breathe(sense, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    run_id = emulator.engine.start(pipeline_id).id
    sense(pipeline_id=pipeline_id, run_id=run_id, deferrable=True, poke_interval=0, timeout=1)

    assert emulator.count("history") < 30


def test_it_is_mapped_over_pipelines(dag, run, emulator, pipeline):
    for key in ("a", "b"):
        emulator.engine.start(pipeline(key))
    FlowEnginePipelineRunSensor.partial(task_id="task", dag=dag, poke_interval=0.1, started_after="2026-01-01").expand(
        pipeline_key=["a", "b"]
    )

    assert [task.returned["run_id"] for task in run(dag).mapped("task")] == [1, 2]


def test_it_polls_after_a_tenth_of_the_time_at_first_and_then_at_its_interval(emulator, pipeline, monkeypatch):
    # The rule itself is tested with the protocol; here, that Airflow's own loop of the sensor follows it.
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    sensor = FlowEnginePipelineRunSensor(task_id="task", pipeline_id=pipeline_id, run_id=1, poke_interval=60)
    sensor.poke({"ti": object()})

    assert sensor._get_next_poke_interval(0, lambda: 0, 1) == pytest.approx(1, abs=0.5)
