"""Jobs that really run: scripts, params, wiring, output, retries, time limits, hooks, stop, resume and restart."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from airflow_provider_flowengine.emulator.jobs import fill
from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import Caller, node, pipeline

SECONDS = {"timeOutUnit": "SECOND", "retryGapTimeUnit": "SECOND"}


@pytest.fixture(scope="module")
def executing():
    with Emulator(execute=True, node_seconds=0) as emulator:
        yield emulator


@pytest.fixture
def call(executing):
    executing.reset(node_seconds=0)
    return Caller(executing)


def shell(node_id, source, **more):
    return node(node_id, source=source, **more)


def until(condition, patience=20):
    """What a condition gives once it gives something: jobs are real, so waiting for them is too."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)
    return found


def ended(call, run):
    """The run, once it has ended, and its nodes by name."""
    told = until(lambda: (run_now := call.run(run))["endTime"] and run_now)
    return told["status"], {each["nodeId"]: each for each in told["nodes"]}


def run(call, *nodes, params=None, **more):
    return ended(call, call.start(call.create(*nodes, **more), params))


def log(call, run_id, node_id):
    return call.control("GET", f"/runs/{run_id}/log", node=node_id).text


def test_a_shell_script_runs_and_its_output_file_is_its_output(call):
    status, nodes = run(call, shell("a", "echo -n 'hello world' > ${outputFile}"))

    assert (status, nodes["a"]["status"], nodes["a"]["output"]) == ("succeeded", "succeeded", "hello world")


def test_a_python_script_runs(call):
    script = 'f = open("${outputFile}",mode="w")\nf.write(\'${greeting} ${engineKey} ${instanceId}\')\nf.close()'
    _, nodes = run(call, node("a", job="PYTHON3", source=script, greeting="hello"))

    assert nodes["a"]["output"] == "hello demo 15"


def test_params_stand_in_the_script_and_in_the_environment_and_a_start_param_wins(call):
    script = 'echo -n "${day} $day ${HOME:-x}" > ${outputFile}'
    _, nodes = run(call, shell("a", script, day="monday"), params={"a": {"day": "friday"}})

    assert nodes["a"]["output"] == f"friday friday {os.environ.get('HOME', 'x')}"


def test_an_output_goes_along_an_edge_into_a_param(call):
    status, nodes = run(
        call,
        shell("train", "echo -n 0.83 > ${outputFile}"),
        shell("publish", 'test "${auc}" = 0.83', auc="unknown"),
        edges=["train→publish.auc"],
    )

    assert status == "succeeded"
    assert nodes["publish"]["params"] == {"auc": "0.83"}


def test_an_output_loses_the_newline_at_its_end_so_that_it_fits_into_another_script(call):
    status, nodes = run(
        call,
        shell("train", "echo 0.83 > ${outputFile}"),
        node("publish", job="PYTHON3", source="x = '${auc}'\nfloat(x)", auc="unknown"),
        edges=["train→publish.auc"],
    )

    assert (status, nodes["train"]["output"]) == ("succeeded", "0.83")


def test_an_output_that_is_too_long_fails_its_node(call):
    _, nodes = run(
        call,
        shell("fits", "head -c 65536 /dev/zero > ${outputFile}"),
        shell("a", "head -c 65537 /dev/zero > ${outputFile}"),
    )

    assert (nodes["fits"]["status"], nodes["a"]["status"]) == ("succeeded", "failed")
    assert nodes["a"]["message"].startswith("its output can't be read: it is longer than 65536 bytes")


def test_a_param_named_like_a_variable_that_programs_need_doesnt_replace_it(call):
    _, nodes = run(call, shell("a", 'ls; echo "${PATH} $HOME" > ${outputFile}', PATH="/data", HOME="/nowhere"))

    assert (nodes["a"]["status"], nodes["a"]["output"]) == ("succeeded", f"/data {os.environ['HOME']}")


def test_each_job_has_a_folder_of_its_own(call):
    status, nodes = run(
        call,
        shell("a", "echo mine > file; pwd > ${outputFile}"),
        shell("b", "test ! -e file; pwd > ${outputFile}"),
    )

    assert status == "succeeded"
    assert nodes["a"]["output"] != nodes["b"]["output"]


def test_a_script_that_fails_tells_its_code_and_last_words(call):
    status, nodes = run(
        call, shell("a", "echo reading; echo no such table >&2; exit 3"), shell("b", "true"), edges=["a→b"]
    )

    assert (status, nodes["b"]["status"]) == ("failed", "unreached")
    assert nodes["a"]["message"] == "exit code 3: reading\nno such table"


def test_what_a_script_writes_is_kept_as_its_log(call):
    run_id = call.start(call.create(shell("a", "echo one; echo two >&2")))
    ended(call, run_id)

    assert log(call, run_id, "a") == "one\ntwo\n"
    assert call.control("GET", f"/runs/{run_id}/log", node="b").status_code == 404


def test_a_job_that_writes_nothing_has_an_empty_log(call):
    run_id = call.start(call.create(shell("a", "true")))
    ended(call, run_id)

    assert log(call, run_id, "a") == ""


def test_the_log_of_a_job_that_ran_is_given_though_jobs_dont_run_any_more(tmp_path):
    db = str(tmp_path / "state.db")
    with Emulator(db=db, execute=True) as emulator:
        call = Caller(emulator)
        run_id = call.start(call.create(shell("a", "echo one")))
        ended(call, run_id)

    with Emulator(db=db) as emulator:
        assert log(Caller(emulator), run_id, "a") == "one\n"


def test_a_node_id_is_never_a_path(call, executing):
    _, nodes = run(call, shell("../../../x", "pwd > ${outputFile}"))

    assert Path(nodes["../../../x"]["output"].strip()).is_relative_to(executing.files.root)


def test_an_uploaded_file_is_read_by_a_FILE_param(call, executing):
    base = f"{executing.url}{executing.options.engine_url}/kernel/v1"
    upload = call.session.post(f"{base}/template/uploadJobFileParam/1", files={"file": ("data.csv", b"a,b\n1,2\n")})
    path = upload.json()["data"]["path"]
    reader = shell("a", "cat ${data} > ${outputFile}", data="")
    reader["params"]["values"][0]["type"] = "FILE"
    _, nodes = run(call, reader, params={"a": {"data": path}})

    assert nodes["a"]["output"] == "a,b\n1,2"


def test_a_FILE_param_that_names_no_file_fails_the_node(call):
    reader = shell("a", "cat ${data}", data="/nowhere/data.csv")
    reader["params"]["values"][0]["type"] = "FILE"
    status, nodes = run(call, reader)

    assert status == "failed"
    assert nodes["a"]["message"] == "param data: there is no file '/nowhere/data.csv'"


def test_a_failed_job_is_tried_again_as_often_as_its_node_says(call):
    script = "test -e tried || { touch tried; exit 1; }"
    status, nodes = run(call, shell("a", script, execution={"retryCount": 2, **SECONDS}))

    assert (status, nodes["a"]["attempts"]) == ("succeeded", 2)


def test_a_job_that_takes_too_long_is_ended_with_all_that_it_started(call, tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    status, nodes = run(call, shell("a", script, execution={"timeOut": 0.5, **SECONDS}))

    assert (status, nodes["a"]["message"]) == ("failed", "timed out after 0.5 s")
    assert until(lambda: not alive(int((tmp_path / "child").read_text())))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stop_ends_the_jobs_and_all_that_they_started(call, tmp_path):
    script = f"sleep 60 & echo $! > {tmp_path}/child; echo begun; wait"
    run_id = call.start(call.create(shell("a", script), shell("b", "true"), edges=["a→b"]))
    until(lambda: "begun" in log(call, run_id, "a"))

    assert call.stop(run_id)["status"] == "stopping"
    status, nodes = ended(call, run_id)
    assert (status, nodes["a"]["status"], nodes["b"]["status"]) == ("stopped", "stopped", "unreached")
    assert until(lambda: not alive(int((tmp_path / "child").read_text())))
    assert "is not running" in call.refusal("DELETE", f"/pipeline/{run_id}/stopHistory", engineId=6)


def test_what_a_job_left_running_ends_with_it(call, tmp_path):
    status, _ = run(call, shell("a", f"sleep 60 & echo $! > {tmp_path}/child"))

    assert status == "succeeded"
    assert until(lambda: not alive(int((tmp_path / "child").read_text())))


@pytest.mark.parametrize(
    "prune",
    [lambda engine, run: engine.prune(run.pipeline_id, run.id), lambda engine, run: engine.forget(run.id)],
    ids=["prune", "forget"],
)
def test_the_jobs_of_a_run_that_is_pruned_end(call, executing, tmp_path, prune):
    run_id = call.start(
        call.create(shell("a", f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 60"))
    )
    until((tmp_path / "pid").exists)
    prune(executing.engine, executing.engine.run(run_id))

    assert until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_a_job_started_has_time_to_end_too(call, tmp_path):
    slow = (
        f"trap 'sleep 0.5; touch {tmp_path}/saved; exit' TERM; touch {tmp_path}/begun; while true; do sleep 0.1; done"
    )
    run_id = call.start(call.create(shell("a", f"({slow}) & wait")))
    until((tmp_path / "begun").exists)
    call.stop(run_id)

    assert ended(call, run_id)[0] == "stopped"
    assert (tmp_path / "saved").exists()


def test_a_job_deaf_to_being_asked_is_ended_all_the_same(call, monkeypatch):
    monkeypatch.setattr("airflow_provider_flowengine.emulator.jobs._GRACE", 0.1)
    run_id = call.start(call.create(shell("a", "trap '' TERM; echo deaf; while true; do sleep 0.1; done")))
    until(lambda: "deaf" in log(call, run_id, "a"))
    call.stop(run_id)

    assert ended(call, run_id)[0] == "stopped"


def test_resume_runs_failed_and_unreached_nodes_only(call, tmp_path):
    count = f"echo x >> {tmp_path}/"
    run_id = call.start(
        call.create(
            shell("a", f"{count}a"),
            shell("b", f"{count}b; test -e {tmp_path}/ready"),
            shell("c", f"{count}c"),
            edges=["a→b", "b→c"],
        )
    )
    assert ended(call, run_id)[0] == "failed"
    (tmp_path / "ready").touch()
    call.resume(run_id)

    status, nodes = ended(call, run_id)
    assert (status, nodes["b"]["attempts"]) == ("succeeded", 2)
    assert [len((tmp_path / name).read_text().split()) for name in "abc"] == [1, 2, 1]


def test_branches_run_at_the_same_time(call, tmp_path):
    meet = "touch {tmp}/{me}; for i in $(seq 200); do test -e {tmp}/{other} && exit 0; sleep 0.05; done; exit 1"
    status, _ = run(
        call,
        shell("a", meet.format(tmp=tmp_path, me="a", other="b")),
        shell("b", meet.format(tmp=tmp_path, me="b", other="a")),
    )

    assert status == "succeeded"


@pytest.mark.parametrize(
    ("script", "execution", "expected"),
    [
        ("true", {}, ["onPreStart", "onComplete"]),
        ("false", {}, ["onPreStart", "onError"]),
        ("sleep 60", {"timeOut": 0.3, **SECONDS}, ["onPreStart", "onTimeout"]),
    ],
)
def test_hooks_run_around_a_job(call, tmp_path, script, execution, expected):
    hooks = {
        "onPreStart": f"echo onPreStart >> {tmp_path}/seen",
        "onComplete": {"indexType": "SHELL", "indexSource": f"echo onComplete >> {tmp_path}/seen"},
        "onError": f"echo onError >> {tmp_path}/seen",
        "onTimeout": {
            "indexType": "PYTHON3",
            "indexSource": f"open('{tmp_path}/seen', 'a').write('onTimeout')",
        },
    }
    run(call, shell("a", script, execution=execution, hooks=hooks))

    assert (tmp_path / "seen").read_text().split() == expected


def test_a_failed_preparation_fails_the_node(call, tmp_path):
    status, nodes = run(call, shell("a", f"touch {tmp_path}/ran", hooks={"onPreStart": "exit 1"}))

    assert (status, nodes["a"]["message"]) == ("failed", "onPreStart: exit code 1")
    assert not (tmp_path / "ran").exists()


def test_what_hooks_write_is_in_the_log_of_their_node(call):
    hooks = {"onPreStart": "echo making room", "onError": {"indexType": "PYTHON3", "indexSource": "print('cleaning')"}}
    run_id = call.start(call.create(shell("a", "echo no data; exit 1", hooks=hooks)))

    assert ended(call, run_id)[1]["a"]["message"] == "exit code 1: no data"
    assert log(call, run_id, "a").splitlines() == [
        "--- onPreStart ---",
        "making room",
        "",
        "--- SHELL ---",
        "no data",
        "",
        "--- onError ---",
        "cleaning",
    ]


@pytest.mark.parametrize(("type", "job"), [("TASK", "JAVA"), ("TASK", "NODEJS"), ("TASK", "DAG"), ("SENSOR", "SHELL")])
def test_other_types_are_simulated_and_say_so(call, type, job):
    status, nodes = run(call, node("a", type=type, job=job, source="exit 1", outcome="failed_once"))

    assert (status, nodes["a"]["message"]) == ("failed", f"{job if type == 'TASK' else type} is simulated here")


def test_a_node_without_a_script_is_simulated_and_says_so(call):
    status, nodes = run(call, node("a", job="PYTHON3"), node("b", job="SHELL", message="all done"), edges=["a→b"])

    assert status == "succeeded"
    assert nodes["a"]["message"] == "PYTHON3 without a script is simulated here"
    assert nodes["b"]["message"] == "all done"


def test_a_job_that_cant_be_started_fails(call):
    status, nodes = run(call, shell("a", "true", text="no \0 in an environment"))

    assert status == "failed"
    assert nodes["a"]["message"] == "the script can't be started: embedded null byte"


def test_a_node_that_the_emulator_cant_run_fails_and_so_does_its_run(call):
    reader = shell("a", "cat ${data}", data="x" * 300)
    reader["params"]["values"][0]["type"] = "FILE"
    status, nodes = run(call, reader, shell("b", "true"))

    assert (status, nodes["b"]["status"]) == ("failed", "succeeded")
    assert "File name too long" in nodes["a"]["message"]


def test_a_job_may_remove_its_log(call):
    status, nodes = run(call, shell("a", "rm log.txt; exit 1"))

    assert (status, nodes["a"]["message"]) == ("failed", "exit code 1")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("mkfifo ${outputFile}", "its output can't be read: outputFile is no regular file"),
        ("rm log.txt script; mkfifo log.txt script; exit 1", "exit code 1"),
    ],
)
def test_a_job_that_leaves_something_else_than_files_keeps_nobody_waiting(call, script, message):
    status, nodes = run(call, shell("a", script, execution={"retryCount": 1}))

    assert (status, nodes["a"]["status"]) == ("failed", "failed")
    assert nodes["a"]["message"] == message


def test_only_params_are_put_into_a_script():
    assert fill("${a} ${b} $a ${a:-1} ${}", {"a": "1", "": "no"}) == "1 ${b} $a ${a:-1} no"


def test_a_pruned_run_harms_nobody(call, executing):
    run_id = call.start(call.create(shell("a", "sleep 0.2")))
    executing.engine.forget(run_id)
    executing.engine.executor.end_all()

    assert run(call, shell("b", "true"))[0] == "succeeded"


def test_a_scheduled_run_begins_on_time_without_being_asked_for(call, executing, tmp_path):
    every_second = {"runMode": "PERIODICAL", "interval": 1, "intervalUnit": "SECOND"}
    pipeline_id = call.create(shell("a", f"touch {tmp_path}/ran"), execution=every_second)
    call.data("POST", f"/pipeline/6/{pipeline_id}/start", {"data": " "}, once="false")

    assert until((tmp_path / "ran").exists)


def test_of_all_that_a_schedule_missed_one_run_begins(call, executing):
    pipeline_id = call.create(shell("a", "true"), execution={"runMode": "CRONTAB", "cronExpression": "0 0 * * * ?"})
    call.data("POST", f"/pipeline/6/{pipeline_id}/start", {"data": " "}, once="false")
    executing.clock.advance(100 * 3600)
    run_now = until(lambda: call.history(pipeline_id))

    assert len(run_now) == 1
    assert abs(run_now[0]["startTime"] / 1000 - executing.clock.now()) < 60


def test_runs_beyond_a_number_wait_for_their_turn_and_can_be_stopped_meanwhile(monkeypatch, tmp_path):
    monkeypatch.setattr("airflow_provider_flowengine.emulator.job_executor._RUNS_AT_ONCE", 1)
    with Emulator(execute=True) as emulator:
        call = Caller(emulator)
        pipeline_id = call.create(shell("a", f"until test -e {tmp_path}/go; do sleep 0.05; done"))
        first, second, third = (call.start(pipeline_id) for _ in range(3))
        until(lambda: call.states(first)[1]["a"] == "running")
        call.stop(second)

        assert call.states(second) == ("stopped", {"a": "unreached"})
        assert call.states(third) == ("running", {"a": "waiting"})
        (tmp_path / "go").touch()
        assert [ended(call, each)[0] for each in (first, third)] == ["succeeded", "succeeded"]
        call.resume(second)
        assert ended(call, second)[0] == "succeeded"


def test_a_restart_marks_what_was_running_as_failed(tmp_path):
    db = str(tmp_path / "state.db")
    with Emulator(db=db) as emulator:
        emulator.engine.executor = Interrupted()
        body = pipeline(shell("a", "true"), shell("b", "true"), edges=["a→b"])
        run_id = emulator.engine.start(emulator.engine.create_pipeline(body).id).id
        first = emulator.engine.run(run_id).nodes[0]
        emulator.engine.report_node(run_id, type(first)(**{**vars(first), "start": emulator.clock.now()}))

    with Emulator(db=db, execute=True) as emulator:
        call = Caller(emulator)
        status, nodes = ended(call, run_id)
        assert (status, nodes["a"]["status"], nodes["b"]["status"]) == ("failed", "failed", "unreached")
        assert nodes["a"]["message"] == "the kernel was restarted"
        call.resume(run_id)
        assert ended(call, run_id)[0] == "succeeded"


class Interrupted:
    """Begins and never gets further: what a kernel that is killed leaves behind."""

    def begin(self, run, definition):
        pass


def test_jobs_dont_outlive_an_emulator_that_is_told_to_end(tmp_path):
    command = [sys.executable, "-m", "airflow_provider_flowengine.emulator", "--port", "0", "--execute"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        base = f"{process.stdout.readline().strip()}/engine/15/cess-data-3/kernel/v1"
        session = requests.Session()
        session.trust_env = False
        session.headers["X-FlowEngine-UserId"] = "1"
        script = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 60"
        session.post(f"{base}/pipeline/template/6/create?engineKey=demo", json=pipeline(shell("a", script)))
        session.post(f"{base}/pipeline/6/1/start?engineKey=demo", json={})
        until((tmp_path / "pid").exists)
        process.send_signal(signal.SIGTERM)

        assert process.wait(20) == 0
        assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "..", "x" * 300])
def test_a_path_in_a_file_name_is_refused(call, executing, name):
    url = f"{executing.url}{executing.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"
    answer = call.session.post(url, files={"file": (name, b"x")}).json()

    assert (answer["status"], answer["msg"]) == (1, f"{name!r} is not a file name")
    assert not list(executing.files.root.rglob("*/x"))


def test_an_upload_has_a_limit_and_needs_a_file(call, executing):
    executing.options.max_upload_bytes = 3
    url = f"{executing.url}{executing.options.engine_url}/kernel/v1/template/uploadJobFileParam/1"

    assert call.session.post(url, files={"file": ("a", b"1234")}).json()["msg"] == "a has 4 bytes; at most 3 are taken"
    assert call.session.post(url, files={"file": ("a", b"123")}).json()["status"] == 0
    assert call.session.post(url, files={"other": ("a", b"123")}).status_code == 400
    assert call.session.post(url, data={"file": "text"}).status_code == 400
    assert call.session.post(url, data=b"--", headers={"Content-Type": "multipart/form-data"}).status_code == 400


def test_jobs_run_for_others_only_with_an_access_key():
    with pytest.raises(ValueError, match="need an access_key"):
        Emulator(execute=True, host="0.0.0.0")


def test_where_others_can_come_the_control_endpoints_need_the_access_key_too(monkeypatch):
    monkeypatch.setattr("airflow_provider_flowengine.emulator.server._is_loopback", lambda host: False)
    with Emulator(execute=True, access_key="s3cret") as emulator:
        call = Caller(emulator)
        assert call.control("GET", "/options").status_code == 401
        assert call.control("GET", "/engine").status_code == 200

        call.session.headers["Access-Key"] = "other"
        assert call.control("GET", "/options").status_code == 401
        call.session.headers["Access-Key"] = "s3cret"
        assert call.control("GET", "/options").status_code == 200


def test_the_access_key_cant_be_taken_away_where_others_can_have_jobs_run(monkeypatch):
    monkeypatch.setattr("airflow_provider_flowengine.emulator.server._is_loopback", lambda host: False)
    with Emulator(execute=True, access_key="s3cret") as emulator:
        call = Caller(emulator)
        call.session.headers["Access-Key"] = "s3cret"
        assert call.control("PATCH", "/options", {"access_key": "", "ids": "text"}).status_code == 422
        with pytest.raises(ValueError, match="need an access_key"):
            emulator.reset(access_key="")
        emulator.reset()
        assert (emulator.options.access_key, emulator.options.ids) == ("s3cret", "number")

        assert call.control("PATCH", "/options", {"access_key": "other"}).status_code == 200
        assert call.control("GET", "/options").status_code == 401


def test_a_name_that_was_made_to_mean_this_machine_is_turned_down(executing):
    session = requests.Session()
    session.trust_env = False

    assert session.get(f"{executing.url}/__control__/options", headers={"Host": "evil.example"}).status_code == 400
