"""The moment that a DAG run counts from: the same on Airflow 2.11 and 3, or refused."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from airflow_provider_flowengine.protocol.errors import ConfigurationError
from airflow_provider_flowengine.sensors.dag_run_time import ADVICE, DagRunTime

DUE = datetime(2026, 11, 26, 6, tzinfo=UTC)
LENGTHS = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
over_lengths = pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS.keys())
DAY = timedelta(days=1)


def dag_run_time(run_type, interval=None, **run):
    """What a task's context tells: Airflow 3 leaves out what there isn't, and 2.11 knows no run_after."""
    start, end = interval or (None, None)
    run = SimpleNamespace(run_type=run_type, data_interval_start=start, data_interval_end=end, **run)
    context = {"data_interval_start": start, "data_interval_end": end} if interval else {}
    return DagRunTime.of({"dag_run": run, **context})


def planned(run_type, length, *, has_length):
    """A DAG run that a timetable has made for a moment: 2.11's cron or a data-interval timetable, or 3's cron."""
    start = DUE - length if has_length else DUE
    return dag_run_time(run_type, (start, DUE), logical_date=start, run_after=DUE)


@over_lengths
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_window_means_the_same_whether_the_interval_has_a_length_or_not(run_type, length):
    moments = {
        planned(run_type, length, has_length=has_length).started_within(DAY.total_seconds())
        for has_length in (True, False)
    }

    assert moments == {DUE - DAY}


@pytest.mark.parametrize("window", [1e12, 1e300, timedelta.max.total_seconds()])
def test_a_window_beyond_all_time_begins_in_1970(window):
    assert dag_run_time("manual", logical_date=DUE).started_within(window) == datetime(1970, 1, 1, tzinfo=UTC)


@over_lengths
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_an_interval_with_a_length_counts_from_its_start(run_type, length):
    assert planned(run_type, length, has_length=True).started_after() == DUE - length


@over_lengths
@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_a_planned_run_whose_interval_has_no_length_is_refused_with_the_two_lines_that_would_do(run_type, length):
    with pytest.raises(ConfigurationError) as refused:
        planned(run_type, length, has_length=False).started_after()

    lines = [line.strip() for line in str(refused.value).splitlines()]
    assert lines[1].startswith("started_within=timedelta(hours=24),")
    assert lines[2].startswith('started_after="{{ data_interval_end | default(dag_run.run_after) }}",')


def test_the_advised_template_means_the_time_of_a_dag_run_that_has_no_data_interval(dag):
    template = ADVICE.format(run_type="scheduled").splitlines()[2].split('"')[1]
    advised = dag.get_template_env().from_string(template)
    by_asset = SimpleNamespace(run_after=DUE)

    assert advised.render(dag_run=by_asset) == str(DUE)
    assert advised.render(dag_run=by_asset, data_interval_end=DUE - DAY) == str(DUE - DAY)


@over_lengths
def test_a_run_by_hand_counts_from_its_own_time_whatever_interval_its_airflow_gives_it(length):
    by_hand = datetime(2026, 11, 26, 9, 17, tzinfo=UTC)
    runs = [
        dag_run_time("manual", (DUE - length, DUE), logical_date=by_hand),  # 2.11
        dag_run_time("manual", (by_hand, by_hand), logical_date=by_hand, run_after=by_hand),  # 3, a plain cron
        dag_run_time("manual", (DUE - length, DUE), logical_date=by_hand, run_after=by_hand),  # 3, data intervals
        dag_run_time("manual", logical_date=None, run_after=by_hand),  # 3, without a logical date
    ]

    assert {run.started_after() for run in runs} == {by_hand}
    assert {run.started_within(DAY.total_seconds()) for run in runs} == {by_hand - DAY}


def test_a_run_by_an_asset_counts_from_its_own_time():
    runs = [
        dag_run_time("dataset_triggered", (DUE - 3 * DAY, DUE - DAY), logical_date=DUE),  # 2.11: its sources' interval
        dag_run_time("asset_triggered", logical_date=None, run_after=DUE),  # 3
    ]

    assert {run.started_after() for run in runs} == {DUE}
    assert {run.started_within(DAY.total_seconds()) for run in runs} == {DUE - DAY}


@pytest.mark.parametrize("has_length", [True, False], ids=["data intervals", "plain cron"])
@pytest.mark.parametrize("cron", ["0 * * * *", "0 6 * * *", "0 6 * * 1"], ids=LENGTHS.keys())
def test_the_intervals_are_those_of_airflows_own_timetables(airflow_db, cron, has_length):
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.interval import CronDataIntervalTimetable
    from airflow.timetables.trigger import CronTriggerTimetable
    from pendulum import instance

    timetable = (CronDataIntervalTimetable if has_length else CronTriggerTimetable)(cron, timezone="UTC")
    restriction = TimeRestriction(earliest=instance(DUE), latest=None, catchup=True)
    info = timetable.next_dagrun_info(last_automated_data_interval=None, restriction=restriction)
    run = dag_run_time("scheduled", tuple(info.data_interval), logical_date=info.logical_date, run_after=info.run_after)

    assert run.started_within(DAY.total_seconds()) == info.run_after - DAY
    if has_length:
        assert run.started_after() == info.data_interval.start < info.run_after
    else:
        with pytest.raises(ConfigurationError):
            run.started_after()
