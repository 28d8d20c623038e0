"""The list of pipelines, if it comes in pages: read whole, or far enough, in a bounded number of requests."""

import logging
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_flowengine.protocol.creating import find_existing
from airflow_provider_flowengine.protocol.errors import PipelineNotFoundError, UnexpectedResponseError
from airflow_provider_flowengine.protocol.pipeline_pages import MAX_PAGES

from .conftest import ok, refused


class Pipelines:
    """An engine's list of pipelines, in pages."""

    def __init__(self, count, *, default=20, most=1000, total="right", beyond="nothing"):
        self.rows = [
            {"id": number, "pipelineKey": f"key-{number}", "data": {"name": f"Name {number % 1000}"}}
            for number in range(1, count + 1)
        ]
        self.default, self.most, self.total, self.beyond = default, most, total, beyond

    def __call__(self, request):
        query = dict(parse_qsl(urlsplit(request.url).query))
        page, size = int(query.get("page", 1)), min(int(query.get("size", self.default)), self.most)
        last = max(1, -(-len(self.rows) // size))
        if page > last and self.beyond == "a refusal":
            return refused("page out of range")
        if page > last:
            page = {"the last page": last, "the first page": 1}.get(self.beyond, page)
        rows = self.rows[(page - 1) * size : page * size]
        if page > last and self.beyond == "null":
            rows = None
        total = {"right": len(self.rows), "too large": 10**12, "too small": 1, "none": None}[self.total]
        return ok({"list": rows, "total": total} if total is not None else rows)


BEYOND = ["nothing", "null", "a refusal", "the last page", "the first page"]


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("total", ["right", "too small", "none"])
@pytest.mark.parametrize("most", [20, 50, 1000])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 40, 500, 501, 2000])
def test_all_pipelines_are_listed_once(server, count, most, total, beyond):
    server.always("pipelines", Pipelines(count, most=most, total=total, beyond=beyond))

    listed = server.drive(server.api().list_pipelines())

    assert [pipeline.id for pipeline in listed] == list(range(1, count + 1))
    assert server.count("pipelines") <= 4 + -(-count // min(most, 500))


def test_a_list_that_says_it_is_whole_costs_one_request(server):
    server.always("pipelines", Pipelines(20))

    server.drive(server.api().list_pipelines())

    assert server.count("pipelines") == 1


def test_by_key_the_first_page_that_shows_it_decides(server):
    server.always("pipelines", Pipelines(2000))

    assert server.drive(server.api().find_pipeline(key="key-7")).id == 7
    assert server.count("pipelines") == 1


def test_a_key_on_a_later_page_is_found(server):
    server.always("pipelines", Pipelines(2000, total="none"))

    assert server.drive(server.api().find_pipeline(key="key-1999")).id == 1999


def test_a_name_is_searched_for_on_all_pages_since_several_may_have_it(server):
    server.always("pipelines", Pipelines(1500))

    with pytest.raises(PipelineNotFoundError, match="2 pipelines"):
        server.drive(server.api().find_pipeline(name="Name 7"))


def test_whether_there_is_a_pipeline_is_not_decided_by_a_list_that_lacks_some(server):
    server.always("pipelines", Pipelines(30, total="too large"))

    with pytest.raises(UnexpectedResponseError, match="says that it holds 1000000000000"):
        server.drive(server.api().find_pipeline(key="key-31"))
    with pytest.raises(UnexpectedResponseError, match="says that it holds 1000000000000"):
        server.drive(find_existing(server.api(), key="", name="Name 31"))
    assert server.drive(find_existing(server.api(), key="", name="Name 30")).id == 30


def test_a_list_that_lies_about_its_length_is_listed_as_far_as_it_goes_and_reported(server, caplog):
    server.always("pipelines", Pipelines(30, total="too large"))

    with caplog.at_level(logging.WARNING):
        assert len(server.drive(server.api().list_pipelines())) == 30
    assert "only 30 pipelines could be listed, and it says that it holds 1000000000000" in caplog.text


def test_a_list_without_an_end_is_bounded_and_reported(server, caplog):
    ids = iter(range(1, 10**9))
    server.always("pipelines", lambda request: ok([{"id": next(ids)} for _ in range(3)]))

    with caplog.at_level(logging.WARNING):
        server.drive(server.api().list_pipelines())
    assert server.count("pipelines") <= MAX_PAGES + 2
    assert "it has no end" in caplog.text
