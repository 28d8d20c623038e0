"""A pipeline is created at most once: by hostile servers, by two at once, after a lost answer."""

import pytest

from airflow_provider_flowengine.protocol.creating import CONFIRMATION_DELAYS, create_once
from airflow_provider_flowengine.protocol.errors import (
    PipelineExistsError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)

from .conftest import answer, no_reply, not_connected, ok, refused

CONTENT = {"pipelineKey": "churn", "data": {"name": "Churn"}}


class Pipelines:
    """An engine's pipelines: the list, and the call that adds one."""

    def __init__(self, server):
        self.server = server
        self.rows = []
        self.appear_at = 0.0
        self.duration = 0.0
        self.outcomes = []  # of the next requests to create one; else they are processed
        server.always("pipelines", self.list)
        server.always("create", self.answer)

    def list(self, request):
        return ok(self.rows if self.server.now >= self.appear_at else [])

    def add(self, content=CONTENT):
        self.rows.append({"id": len(self.rows) + 1, **content})
        return self.rows[-1]

    def answer(self, request):
        outcome = self.outcomes.pop(0) if self.outcomes else self.create
        return outcome(request) if callable(outcome) else outcome

    def create(self, request):
        row = self.add(request.body)
        self.appear_at = self.server.now + self.duration
        return ok(row)

    def create_and_answer(self, outcome):
        """Create it, and then answer something else."""

        def create(request):
            self.create(request)
            return outcome(request) if callable(outcome) else outcome

        return create


@pytest.fixture
def engine(server):
    return Pipelines(server)


@pytest.fixture
def create(server, engine):
    def create(content=CONTENT, *, key="churn", name="Churn"):
        return server.drive(create_once(server.api(), content, key=key, name=name))

    return create


def test_a_pipeline_that_the_engine_lacks_is_created(create, engine, server):
    created = create()

    assert (created.pipeline.id, created.is_new, created.is_confirmed) == (1, True, True)
    assert server.count("create") == 1


@pytest.mark.parametrize(("key", "name"), [("churn", "Another name"), ("", "Churn")])
def test_one_that_the_engine_has_is_returned_and_nothing_is_sent(create, engine, server, key, name):
    engine.add()

    created = create(key=key, name=name)

    assert (created.pipeline.id, created.is_new) == (1, False)
    assert server.count("create") == 0


def test_one_without_key_or_name_is_none_that_the_engine_has(create, engine):
    engine.add({})

    assert create({}, key="", name="").pipeline.id == 2


def test_a_key_that_the_first_page_shows_is_looked_for_no_further(create, server):
    server.always("pipelines", ok({"list": [{"id": 7, **CONTENT}], "total": 100}))

    assert create(name="Another name").pipeline.id == 7
    assert server.count("pipelines") == 1


def test_a_name_is_looked_for_on_all_pages_though_it_is_anothers_key(create, server):
    rows = [{"id": 1, "pipelineKey": "Churn"}, {"id": 2, "data": {"name": "Churn"}}]
    server.always("pipelines", lambda request: ok({"list": rows if "page" in request.query else rows[:1], "total": 2}))

    assert create(key="", name="Churn").pipeline.id == 2
    assert server.count("create") == 0


LOST = {
    "reset": no_reply,
    "500": answer(500, "<html>"),
    "502": answer(502, "<html>"),
    "503": answer(503, "<html>"),
    "429": answer(429, "<html>"),
    "504": answer(504, ""),
    "a login page": answer(200, "<html>login</html>"),
    "no id": ok("success"),
    "cut off": answer(200, '{"status": 0, "da'),
}


@pytest.mark.parametrize("outcome", LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("duration", [0.0, 5.0])
def test_a_lost_answer_is_looked_up_in_the_list_and_never_sent_again(create, engine, server, outcome, duration):
    engine.duration = duration
    engine.outcomes = [engine.create_and_answer(outcome)]

    created = create()

    assert (created.pipeline.id, created.is_new, created.is_confirmed) == (1, True, False)
    assert server.count("create") == 1
    assert len(engine.rows) == 1


@pytest.mark.parametrize(("key", "name"), [("churn", "Twin"), ("", "Churn")])
@pytest.mark.parametrize(("duration", "pauses"), [(0.0, 0), (5.0, 4), (10.0, 5)])
def test_a_pipeline_whose_answer_was_lost_is_recognized_by_its_key_or_else_its_name(
    create, engine, server, key, name, duration, pauses
):
    engine.add({"pipelineKey": "other", "data": {"name": "Twin"}})
    engine.duration = duration
    engine.outcomes = [engine.create_and_answer(no_reply)]

    assert create(key=key, name=name).pipeline.id == 2
    assert tuple(server.pauses) == CONFIRMATION_DELAYS[:pauses]


def test_a_list_that_cannot_be_read_says_nothing_of_a_request_whose_answer_was_lost(create, engine, server):
    def create_and_fail(request):
        engine.create(request)
        server.on("pipelines", answer(500, ""), answer(200, "<html>"), engine.list)
        return no_reply(request)

    server._script.pop("pipelines")
    server.on("pipelines", engine.list)
    server.always("create", create_and_fail)

    assert create().pipeline.id == 1
    assert server.count("create") == 1


def test_a_lost_request_that_came_to_nothing_is_an_error_and_never_sent_again(create, engine, server):
    engine.outcomes = [no_reply]

    with pytest.raises(ServiceUnavailableError):
        create()

    assert server.count("create") == 1
    assert sum(server.pauses) == sum(CONFIRMATION_DELAYS)


def test_a_server_that_creates_it_after_all_is_found_by_the_next_try(create, engine, server):
    engine.duration = 100.0
    engine.outcomes = [engine.create_and_answer(no_reply)]
    with pytest.raises(ServiceUnavailableError):
        create()

    server.now += 100.0
    again = create()

    assert (again.pipeline.id, again.is_new) == (1, False)
    assert server.count("create") == 1


def test_a_request_that_surely_was_not_processed_is_sent_again(create, engine, server):
    engine.outcomes = [not_connected, not_connected]

    assert create().is_new
    assert len(engine.rows) == 1


def test_a_refusal_is_final(create, engine, server):
    engine.outcomes = [refused("no rights")]

    with pytest.raises(RequestRejectedError, match="no rights"):
        create()

    assert server.count("create") == 1


TWO = (
    "2 pipelines of engine 'demo' have the {} already: 1, 2; nothing tells which is meant. "
    "Delete one in FlowEngine, or give another pipelineKey"
)


@pytest.mark.parametrize(("key", "kind"), [("churn", "key 'churn'"), ("", "name 'Churn'")])
def test_two_that_create_at_once_learn_of_each_other(create, engine, server, key, kind):
    def both(request):
        engine.add()  # the other one, whose list was empty, too
        return engine.create(request)

    engine.outcomes = [both]

    with pytest.raises(PipelineExistsError) as caught:
        create(key=key)
    assert str(caught.value) == TWO.format(kind)


def test_two_of_one_key_are_never_guessed_between(create, engine, server):
    engine.add()
    engine.add()

    with pytest.raises(PipelineExistsError) as caught:
        create()
    assert str(caught.value) == TWO.format("key 'churn'")
    assert server.count("create") == 0


def test_a_list_that_lacks_some_decides_nothing(create, engine, server):
    server.always("pipelines", ok({"list": [{"id": 7, "pipelineKey": "other"}], "total": 100}))

    with pytest.raises(UnexpectedResponseError):
        create()

    assert server.count("create") == 0


def test_a_list_that_fails_afterwards_does_not_hide_that_it_was_created(create, engine, server):
    def create_and_break(request):
        server.always("pipelines", answer(500, "<html>"))
        return engine.create(request)

    engine.outcomes = [create_and_break]

    assert create().is_new
