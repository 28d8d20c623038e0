"""A simulated run follows from its pipeline's params and the clock."""

from .conftest import START, node


def test_a_run_is_running_until_its_longest_branch_ends(emulator, call):
    run = call.start(
        call.create(
            node("start_node", type="START", job="DAG"),
            node("a", duration="2"),
            node("b", duration="5"),
            node("c", duration="1"),
            edges=["start_node→a", "start_node→b", "a→c"],
        )
    )

    emulator.clock.advance(2.5)
    assert call.states(run) == (
        "running",
        {"start_node": "succeeded", "a": "succeeded", "b": "running", "c": "running"},
    )
    emulator.clock.advance(2)
    assert call.states(run)[0] == "running"
    emulator.clock.advance(0.5)
    assert call.states(run)[0] == "succeeded"
    assert call.run(run)["endTime"] == (START + 5) * 1000


def test_a_start_node_takes_no_time_whatever_its_id(call):
    run = call.start(call.create(node("start_node", type="START"), node("begin", type="START"), node("a")))

    assert call.states(run) == ("running", {"start_node": "succeeded", "begin": "succeeded", "a": "running"})


def test_a_node_waits_for_all_nodes_before_it(emulator, call):
    run = call.start(
        call.create(node("a", duration="2"), node("b", duration="5"), node("c"), edges=["a→c", "b→c"]),
    )

    emulator.clock.advance(4)
    assert call.states(run) == ("running", {"a": "succeeded", "b": "running", "c": "waiting"})


def test_a_failed_node_fails_the_run_and_what_comes_after_is_never_reached(emulator, call):
    run = call.start(
        call.create(node("a", duration="1", outcome="failed", message="no data"), node("b"), edges=["a→b"]),
    )

    emulator.clock.advance(1)
    assert call.states(run) == ("failed", {"a": "failed", "b": "unreached"})
    assert call.run(run)["nodes"][0]["message"] == "no data"


def test_a_branch_beside_a_failed_node_runs_to_its_end(emulator, call):
    run = call.start(call.create(node("a", duration="1", outcome="failed"), node("b", duration="3")))

    emulator.clock.advance(2)
    assert call.states(run) == ("running", {"a": "failed", "b": "running"})
    emulator.clock.advance(1)
    assert call.states(run) == ("failed", {"a": "failed", "b": "succeeded"})


def test_start_params_stand_over_the_params_own_values(emulator, call):
    run = call.start(call.create(node("a", duration="1")), {"a": {"duration": 7, "nonsense": "no effect"}})

    emulator.clock.advance(6)
    assert call.states(run)[0] == "running"
    assert call.run(run)["nodes"][0]["params"] == {"duration": "7"}


def test_a_param_marked_as_fixed_keeps_its_value_at_start(emulator, call):
    fixed = node("a", duration="1")
    fixed["params"]["values"][0]["startParam"] = False
    run = call.start(call.create(fixed), {"a": {"duration": "7"}})

    assert call.run(run)["nodes"][0]["params"] == {"duration": "1"}


def test_only_params_marked_as_settable_may_be_set_at_start_by_option(emulator, call):
    emulator.options.settable_params = "marked"
    marked = node("a", day="1", trees="2")
    marked["params"]["values"][0]["startParam"] = True
    run = call.start(call.create(marked), {"a": {"day": "7", "trees": "7"}})

    assert call.run(run)["nodes"][0]["params"] == {"day": "7", "trees": "2"}


def test_a_param_wired_to_an_edge_cant_be_set_at_start(emulator, call):
    pipeline = call.create(node("a"), node("b", model="from a"), edges=["a→b.model"])
    run = call.start(pipeline, {"b": {"model": "mine"}})

    assert call.run(run)["nodes"][1]["params"] == {"model": "from a"}


def test_a_run_that_goes_on_forever_can_be_stopped(emulator, call):
    run = call.start(call.create(node("a", duration="forever"), node("b"), edges=["a→b"]))

    emulator.clock.advance(10**6)
    assert call.states(run) == ("running", {"a": "running", "b": "waiting"})

    assert call.stop(run)["status"] == "stopping"
    assert call.states(run)[0] == "stopping"
    emulator.clock.advance(0.5)
    assert call.states(run) == ("stopped", {"a": "stopped", "b": "unreached"})


def test_stopping_keeps_what_has_succeeded(emulator, call):
    run = call.start(call.create(node("a", duration="1"), node("b", duration="1"), edges=["a→b"]))

    emulator.clock.advance(1.5)
    call.stop(run)
    emulator.clock.advance(1)
    assert call.states(run) == ("stopped", {"a": "succeeded", "b": "stopped"})


def test_only_a_running_run_can_be_stopped(emulator, call):
    run = call.start(call.create(node("a", duration="1")))
    emulator.clock.advance(1)

    assert "is not running" in call.refusal("DELETE", f"/pipeline/{run}/stopHistory", engineId=6)


def test_resume_goes_on_under_the_same_id_from_the_failed_node(emulator, call):
    pipeline = call.create(
        node("a", duration="1"),
        node("b", duration="1", outcome="failed_once"),
        node("c", duration="1"),
        edges=["a→b", "b→c"],
    )
    run = call.start(pipeline)
    emulator.clock.advance(10)
    assert call.states(run) == ("failed", {"a": "succeeded", "b": "failed", "c": "unreached"})

    call.resume(run)
    assert call.states(run) == ("running", {"a": "succeeded", "b": "running", "c": "waiting"})
    emulator.clock.advance(2)
    assert call.states(run)[0] == "succeeded"
    assert [each["id"] for each in call.history(pipeline)] == [run]
    assert call.run(run)["startTime"] == START * 1000
    assert call.run(run)["nodes"][0]["endTime"] == (START + 1) * 1000


def test_a_stopped_run_can_be_resumed(emulator, call):
    run = call.start(call.create(node("a", duration="3")))
    call.stop(run)
    emulator.clock.advance(1)

    call.resume(run)
    emulator.clock.advance(3)
    assert call.states(run)[0] == "succeeded"


def test_a_succeeded_or_running_run_cant_be_resumed(emulator, call):
    run = call.start(call.create(node("a", duration="3")))
    assert "can't be resumed" in call.refusal("POST", f"/pipeline/{run}/resumeHistory", engineId=6)

    emulator.clock.advance(3)
    assert "can't be resumed" in call.refusal("POST", f"/pipeline/{run}/resumeHistory", engineId=6)


def test_outcomes_can_be_told_attempt_by_attempt(emulator, call):
    run = call.start(call.create(node("a", duration="1", outcome="failed,failed,succeeded")))
    seen = []
    for _ in range(3):
        emulator.clock.advance(1)
        seen.append(call.states(run)[0])
        if seen[-1] == "failed":
            call.resume(run)

    assert seen == ["failed", "failed", "succeeded"]


def test_a_node_is_retried_as_its_executionConfig_says(emulator, call):
    retry = {"retryCount": 2, "retryGapTime": 10, "retryGapTimeUnit": "SECOND"}
    run = call.start(call.create(node("a", duration="1", outcome="failed_once", execution=retry)))

    emulator.clock.advance(11)
    assert call.states(run)[0] == "running"
    emulator.clock.advance(1)
    assert call.states(run)[0] == "succeeded"
    assert call.run(run)["nodes"][0]["attempts"] == 2


def test_a_node_fails_at_its_time_limit(emulator, call):
    run = call.start(call.create(node("a", duration="90", execution={"timeOut": 1, "timeOutUnit": "MINUTE"})))

    emulator.clock.advance(60)
    assert call.states(run)[0] == "failed"
    assert call.run(run)["nodes"][0]["message"] == "timed out after 60 s"


def test_a_run_keeps_the_definition_it_started_with(emulator, call):
    pipeline_id = call.create(node("a", duration="1", outcome="failed_once"))
    run = call.start(pipeline_id)
    emulator.clock.advance(1)
    changed = call.data("GET", f"/pipeline/template/6/{pipeline_id}/get")
    changed["data"]["nodes"] = [node("other")]
    call.data("PUT", "/pipeline/template/6/update", changed)

    call.resume(run)
    emulator.clock.advance(1)
    assert call.states(run) == ("succeeded", {"a": "succeeded"})


def test_runs_of_one_pipeline_may_overlap_and_ids_grow(emulator, call):
    pipeline_id = call.create(node("a", duration="5"))
    first, second = call.start(pipeline_id), call.start(pipeline_id)

    assert first < second
    assert [each["status"] for each in call.history(pipeline_id)] == ["running", "running"]


def test_a_pipeline_without_nodes_succeeds_at_once(emulator, call):
    assert call.states(call.start(call.create()))[0] == "succeeded"


def test_advancing_backwards_is_refused(emulator, call):
    assert call.control("POST", "/clock/advance", {"seconds": -1}).status_code == 422
