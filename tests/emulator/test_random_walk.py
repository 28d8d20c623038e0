"""A random walk of calls over HTTP, checked against a small model of states and times."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import START, Caller, node

STOPPING = 2


class ModelRun:
    """A chain of nodes: each takes its time, and one of them may fail at the first attempt."""

    def __init__(self, durations, failing, now):
        self.durations = durations
        self.failing = failing  # index of the node that fails once, or None
        self.done = 0  # nodes that have succeeded before `begun`
        self.begun = now
        self.stopped_at = None
        self.final = None

    def _clockwork(self, now):
        """What has come of the nodes by now: how many succeeded, whether one failed, and whether all is over."""
        elapsed, done = now - self.begun, self.done
        for index in range(self.done, len(self.durations)):
            if elapsed < self.durations[index]:
                return done, False, False
            elapsed -= self.durations[index]
            if index == self.failing:
                return done, True, True
            done += 1
        return done, False, True

    def state(self, now):
        if self.stopped_at is not None:
            return "stopping" if now < self.stopped_at + STOPPING else "stopped"
        _, failed, over = self._clockwork(now)
        return "running" if not over else "failed" if failed else "succeeded"

    def stop(self, now):
        self.done = self._clockwork(now)[0]
        self.stopped_at = now

    def resume(self, now):
        if self.stopped_at is None:
            self.done, failed, _ = self._clockwork(now)
            if failed:
                self.failing = None  # its second attempt succeeds
        elif self.failing is not None and self.done == self.failing:
            self.failing = None  # the attempt that the stop cut short was its first
        self.stopped_at, self.begun = None, now


class Walk(RuleBasedStateMachine):
    pipelines = Bundle("pipelines")
    runs = Bundle("runs")
    server = None

    def __init__(self):
        super().__init__()
        if Walk.server is None:
            Walk.server = Emulator()
        self.emulator = Walk.server
        self.emulator.reset(stop_seconds=STOPPING)
        self.emulator.clock.reset(START)
        self.emulator.start()
        self.call = Caller(self.emulator)
        self.now = START
        self.model = {}  # pipeline -> {run: ModelRun}

    @initialize(
        target=pipelines,
        plans=st.lists(
            st.tuples(st.lists(st.integers(0, 3), min_size=2, max_size=4), st.sampled_from([1, 0, 2, None])),
            min_size=1,
            max_size=3,
        ),
    )
    def create(self, plans):
        self.plans = {}
        for durations, failing in plans:
            nodes = [
                node(f"n{i}", duration=str(d), outcome="failed_once" if i == failing else "succeeded")
                for i, d in enumerate(durations)
            ]
            edges = [f"n{i}→n{i + 1}" for i in range(len(durations) - 1)]
            self.plans[self.call.create(*nodes, edges=edges)] = (durations, failing)
        self.model = {pipeline_id: {} for pipeline_id in self.plans}
        return multiple(*self.plans)

    @rule(target=runs, pipeline_id=pipelines, root=st.sampled_from(["kernel/v1", "automl/v1"]))
    def start(self, pipeline_id, root):
        self.call.root = root
        run_id = self.call.start(pipeline_id)
        assert run_id > max((run for runs in self.model.values() for run in runs), default=0)
        self.model[pipeline_id][run_id] = ModelRun(*self.plans[pipeline_id], self.now)
        return pipeline_id, run_id

    @rule(run=runs)
    def stop(self, run):
        pipeline_id, run_id = run
        model = self.model[pipeline_id][run_id]
        answer = self.call("DELETE", f"/pipeline/{run_id}/stopHistory", engineId=6).json()
        assert (answer["status"] == 0) == (model.state(self.now) == "running")
        if answer["status"] == 0:
            model.stop(self.now)

    @rule(run=runs)
    def resume(self, run):
        pipeline_id, run_id = run
        model = self.model[pipeline_id][run_id]
        answer = self.call("POST", f"/pipeline/{run_id}/resumeHistory", engineId=6).json()
        assert (answer["status"] == 0) == (model.state(self.now) in ("failed", "stopped"))
        if answer["status"] == 0:
            model.resume(self.now)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.emulator.clock.advance(seconds)
        self.now += seconds

    @rule(pipeline_id=pipelines, size=st.integers(1, 3))
    def page(self, pipeline_id, size):
        call = Caller(self.emulator)
        seen, page = [], 1
        while rows := call.history(pipeline_id, page, size):
            assert len(rows) <= size
            seen += [row["id"] for row in rows]
            page += 1
        assert seen == sorted(self.model[pipeline_id], reverse=True)

    @invariant()
    def every_run_stands_where_the_model_says(self):
        for pipeline_id, runs in self.model.items():
            told = {row["id"]: row["status"] for row in self.call.history(pipeline_id, 1, 1000)}
            assert told == {run_id: run.state(self.now) for run_id, run in runs.items()}

    def teardown(self):
        self.call.session.close()


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
