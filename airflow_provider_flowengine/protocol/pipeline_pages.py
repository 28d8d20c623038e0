"""
Reading the list of pipelines, which may come in pages, until it is known to be complete.

No source says whether the list of pipelines is paged: the vendor's page asks for it without a query, a client in the
wild with ``page`` and ``size``. So it is asked for without; if it may have gone on, for what follows; if that shows
more, in long pages. Servers differ in what comes beyond the end: nothing, a refusal, the last page again, or the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from airflow_provider_flowengine.protocol.flow import unless_refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Pipeline
    from airflow_provider_flowengine.protocol.reply import Reply

PAGE_SIZE = 500
MAX_PAGES = 120

Kind = Literal["key", "name"]


@dataclass
class Listing:
    """
    What is known of the list of pipelines so far.

    :param key: the ``pipelineKey`` that is looked for: a page that shows it is enough; default none.
    :param pipelines: its pipelines, by their ids.
    :param first_page: its first page, for errors.
    :param total: how many there are in all, if the server says so.
    :param problem: why it cannot be determined whether these are all; empty if they are, or enough.
    """

    key: str = ""
    pipelines: dict[Identifier, Pipeline] = field(default_factory=dict)
    first_page: Reply | None = None
    total: int | None = None
    problem: str = ""

    def ends_with(self, page: Reply | None) -> bool:
        """Take in a page, None if there is none; return whether nothing more is to be read."""
        before = len(self.pipelines)
        if page is not None:
            self._add(page)
        if len(self.pipelines) in (0, self.total) or (self.key and self.matches("key", self.key)):
            return True
        is_new = len(self.pipelines) > before
        if not is_new and self.total is not None:
            self.problem = f"it says that it holds {self.total}"
        return not is_new

    def _add(self, page: Reply) -> None:
        self.first_page = self.first_page or page
        for pipeline in map(page.pipeline, page.rows()):
            self.pipelines.setdefault(pipeline.id, pipeline)
        total = page.total()
        self.total = total if total is not None and total >= len(self.pipelines) else None

    def matches(self, kind: Kind, wanted: str) -> list[Pipeline]:
        """Return the pipelines of a key or name, as far as the list has been read."""
        return [pipeline for pipeline in self.pipelines.values() if getattr(pipeline, kind) == wanted]

    def all_matches(self, kind: Kind, wanted: str) -> list[Pipeline]:
        """
        Return the pipelines of a key or name, of a list that was read far enough.

        :param kind: ``key`` or ``name``.
        :param wanted: the key or the name.
        :raises UnexpectedResponseError: if there is none, and the list is not whole.
        """
        found = self.matches(kind, wanted)
        if self.problem and self.first_page and not found:
            expected = f"a pipeline of {kind} {wanted!r}, or a list with an end ({self.problem})"
            raise self.first_page.unexpected(expected, f"{len(self.pipelines)} pipelines")
        return found


def read_pages(fetch: Callable[[int, int], Flow[Reply]], key: str = "") -> Flow[Listing]:
    """
    Read the list page by page, until it is complete or enough of it is known.

    :param fetch: asks for one page by its number, from 1, and its size; (0, 0) asks for the list as such.
    :param key: the ``pipelineKey`` that is looked for: the first page that shows it is enough; default none.
    """
    listing = Listing(key)
    if listing.ends_with((yield from fetch(0, 0))):
        return listing
    if listing.total is None and listing.ends_with((yield from unless_refused(fetch(2, len(listing.pipelines))))):
        return listing
    listing = Listing(key)  # it does come in pages: read it anew in long ones
    for page in range(1, MAX_PAGES + 1):
        reply = fetch(page, PAGE_SIZE)
        if listing.ends_with((yield from (reply if page == 1 else unless_refused(reply)))):
            return listing
    listing.problem = "it has no end"
    return listing
