"""The command dag: a pipeline's own schedule becomes a DAG's."""

import ast
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location

import pendulum
import pytest

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])


def load(path):
    """Return the DAG of a file, as Airflow would load it."""
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag


@pytest.fixture
def make_dag(flowengine, flowengine_emulator, churn, tmp_path, airflow_db):
    """Write the DAG of a pipeline with a schedule, and return it and what the command said."""

    def make_dag(*arguments, **execution):
        churn["data"]["executionConfig"] = execution
        flowengine_emulator.engine.create_pipeline(churn)
        result = flowengine("dag", "churn", "--dir", tmp_path, *arguments)
        path = tmp_path / "flowengine_churn.py"
        return (load(path) if path.exists() else None), result

    return make_dag


def first_runs(dag, number=3):
    """When Airflow would start the first runs, if the DAG is unpaused as soon as it is written."""
    from airflow.timetables.base import DataInterval, TimeRestriction

    timetable = core_timetable(dag)
    moments, last = [], None
    for _ in range(number):
        restriction = TimeRestriction(earliest=pendulum.instance(dag.start_date), latest=None, catchup=dag.catchup)
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        moments.append(info.run_after)
        last = DataInterval.exact(info.run_after)
    return moments


def core_timetable(dag):
    try:
        from airflow.serialization.encoders import coerce_to_core_timetable
    except ImportError:
        return dag.timetable
    return coerce_to_core_timetable(dag.timetable)


def test_a_crontab_becomes_a_cron_of_the_same_clock(make_dag):
    dag, result = make_dag("--zone", "Asia/Shanghai", runMode="CRONTAB", cronExpression="0 30 2 ? * 2-6")

    assert result.code == 0
    assert "its hours are those of Asia/Shanghai" in result.err
    now = pendulum.now("Asia/Shanghai")
    for moment in first_runs(dag):
        local = moment.in_timezone("Asia/Shanghai")
        assert (local.hour, local.minute) == (2, 30)
        assert local.isoweekday() <= 5
        assert local > now, "a start that FlowEngine has made already"


def test_the_dag_starts_the_pipeline_and_is_paused_at_first(make_dag):
    dag, _ = make_dag(runMode="CRONTAB", cronExpression="0 0 2 * * ?")

    (task,) = dag.tasks
    assert (task.pipeline_key, task.flowengine_conn_id) == ("churn", "flowengine_default")
    assert (dag.dag_id, dag.is_paused_upon_creation, dag.catchup) == ("flowengine_churn", True, False)


def test_the_steps_to_move_the_schedule_stand_in_the_file_in_order(make_dag):
    dag, _ = make_dag(runMode="CRONTAB", cronExpression="0 0 2 * * ?")

    steps = ["The DAG is paused", "Turn FlowEngine's own schedule off", "set start_date", "Unpause the DAG"]
    places = [dag.doc_md.index(step) for step in steps]
    assert places == sorted(places)


def test_a_period_becomes_a_timedelta(make_dag):
    dag, result = make_dag(runMode="PERIODICAL", interval=90, intervalUnit="MINUTE")

    first, second, third = first_runs(dag)
    assert (second - first).total_seconds() == (third - second).total_seconds() == 90 * 60
    assert "FlowEngine counts the period from when its schedule was turned on" in result.err


def test_a_single_run_becomes_a_dag_that_is_triggered(make_dag):
    dag, _ = make_dag(runMode="SINGLE")

    assert dag.schedule is None if hasattr(dag, "schedule") else dag.schedule_interval is None
    assert "Unpause" not in dag.doc_md


@pytest.mark.skipif(AIRFLOW < (3, 0), reason="asset watchers came with Airflow 3")
def test_a_message_becomes_a_watcher_of_the_pipelines_runs(make_dag):
    dag, result = make_dag(runMode="MESSAGE", trigger="ModelTrainFinishEvent")

    assert "FlowEngine's schedule has to stay on" in result.err
    (asset,) = dag.schedule
    (watcher,) = asset.watchers
    assert watcher.trigger.serialize()[1]["pipeline_key"] == "churn"
    assert not [task for task in dag.tasks if "pipeline_key" in vars(task)]


def test_what_cant_be_translated_is_said_and_has_no_file(make_dag):
    dag, result = make_dag(runMode="CRONTAB", cronExpression="0 0 2 15W * ?")

    assert (dag, result.code) == (None, 1)
    assert "churn: no DAG is written: cronExpression '0 0 2 15W * ?' can't be translated" in result.err
    assert "--schedule" in result.err


def test_a_start_that_no_source_explains_is_not_guessed(make_dag):
    dag, result = make_dag(runMode="CRONTAB", cronExpression="0 0 2 * * ?", startAt=1681468370000)

    assert (dag, result.code) == (None, 1)
    assert "startAt" in result.err


def test_the_user_may_choose_the_schedule(make_dag):
    dag, result = make_dag("--schedule", "15 4 * * *", runMode="CRONTAB", cronExpression="0 0 2 15W * ?")

    assert result.code == 0
    assert [(moment.hour, moment.minute) for moment in first_runs(dag, 1)] == [(4, 15)]


@pytest.mark.parametrize(
    "schedule", ["0 25 * * *", "a b c d e", "@nope", "@once", "0 0 2 * * ?", "R * * * *", "0 r(1-5) * * *"]
)
def test_a_schedule_that_airflow_would_not_take_is_refused(make_dag, schedule):
    dag, result = make_dag("--schedule", schedule, runMode="SINGLE")

    assert (dag, result.code) == (None, 1)
    assert f"--schedule {schedule!r} must be a cron expression of five fields" in result.err


@pytest.mark.parametrize("schedule", ["@quarterly", "*/5 0-6 * jan mon-fri", "0 0 L * *"])
def test_a_schedule_that_airflow_takes_is_taken(make_dag, schedule):
    dag, result = make_dag("--schedule", schedule, runMode="SINGLE")

    assert result.code == 0
    assert first_runs(dag, 1)


def test_params_are_offered_one_by_one_and_reach_the_run(make_dag, flowengine_emulator, emulator, run):
    dag, _ = make_dag("--param", "train.trees", runMode="SINGLE")

    assert list(dag.params) == ["train.trees"]
    assert dag.params["train.trees"] == "100"
    result = run(dag, conf={"train.trees": "7"})
    assert result.state == "success"
    assert flowengine_emulator.engine.run(1).params == {"train": {"trees": "7"}}


def test_a_param_that_a_start_cant_set_is_named(make_dag):
    dag, result = make_dag("--param", "train.tree", runMode="SINGLE")

    assert (dag, result.code) == (None, 1)
    assert "params there are: train.trees, train.duration" in result.err


def test_nights_in_which_clocks_are_changed_are_said(make_dag):
    _, result = make_dag("--zone", "Europe/Berlin", runMode="CRONTAB", cronExpression="0 0 2 * * ?")

    assert "The clocks of Europe/Berlin are changed twice a year" in result.err


def test_no_text_of_a_definition_becomes_code(flowengine, flowengine_emulator, churn, tmp_path):
    evil = '"""\nimport os; os.system("touch /tmp/owned")\n\\'
    churn["pipelineKey"] = evil
    churn["data"]["nodes"][1] |= {"nodeId": evil, "title": evil}
    churn["data"]["nodes"][1]["params"]["values"][0] |= {"value": evil, "describe": evil}
    churn["data"]["edges"] = []
    flowengine_emulator.engine.create_pipeline(churn)

    result = flowengine("dag", "1", "--param", f"{evil}.trees")

    assert result.code == 0, result.err
    names = {node.names[0].name for node in ast.walk(ast.parse(result.out)) if isinstance(node, ast.Import)}
    assert names == {"pendulum"}


def test_one_dag_goes_to_standard_output_and_several_need_a_folder(flowengine, existing, churn, flowengine_emulator):
    assert flowengine("dag", "churn").out.startswith('"""Runs FlowEngine\'s pipeline churn')

    flowengine_emulator.engine.create_pipeline({**churn, "pipelineKey": "other"})
    assert "give --dir" in flowengine("dag", "--all").err


def test_a_dag_that_is_written_by_an_address_says_where_its_connection_must_lead(
    flowengine, flowengine_emulator, existing
):
    said = f"it uses the connection flowengine_default, which must lead to demo at {flowengine_emulator.url}"

    assert said in flowengine("dag", "churn").err


def test_a_zone_that_does_not_exist_is_named(flowengine, existing):
    assert "--zone: 'Mars/Base'" in flowengine("dag", "churn", "--zone", "Mars/Base").err


def test_params_from_reads_the_definition_beside_the_dag_file(file, churn, monkeypatch):
    monkeypatch.chdir("/")
    (file.parent / "a_dag.py").write_text(
        "from airflow_provider_flowengine.params import job_params_from, params_from\n"
        "offered = params_from('churn.json', only=['train.trees'])\n"
        "all_of_them = params_from('churn.json')\n"
        "handed_on = job_params_from('churn.json', only=['train.trees'])\n"
    )
    spec = spec_from_file_location("a_dag", file.parent / "a_dag.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    assert {name: param.value for name, param in module.offered.items()} == {"train.trees": "100"}
    assert list(module.all_of_them) == ["train.trees", "train.duration"]
    assert module.handed_on == {"train": {"trees": "{{ params['train.trees'] }}"}}
