"""
Reading the list of pipelines, which may come in pages, until it is known to be complete.

No source says whether the list of pipelines is paged: the vendor's page asks for it without a query, a client in the
wild with ``page`` and ``size``. So it is asked for without; if it may have gone on, for what follows; if that shows
more, in long pages. Servers differ in what comes beyond the end: nothing, a refusal, the last page again, or the first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import AccessDeniedError, RequestRejectedError
from airflow_provider_flowengine.protocol.identifiers import identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.reply import Reply

log = logging.getLogger(__name__)

PAGE_SIZE = 500
MAX_PAGES = 120


@dataclass
class Listing:
    """
    What is known of a list so far.

    :param rows: its rows, by their ids.
    :param total: how many there are in all, if the server says so.
    :param is_complete: whether these are all.
    :param problem: why it cannot be determined whether these are all; empty if it can.
    """

    rows: dict[Identifier, tuple[Reply, JsonObject]] = field(default_factory=dict)
    total: int | None = None
    is_complete: bool = False
    problem: str = ""

    def add(self, reply: Reply | None) -> bool:
        """Take in a page, None if there is none; return whether it held anything new."""
        if reply is None:
            return False
        before = len(self.rows)
        for place, row in enumerate(reply.rows()):
            row_id = identifier(row.get("id"))
            self.rows.setdefault(f"row {before + place} without an id" if row_id is None else row_id, (reply, row))
        total = reply.total()
        self.total = total if total is not None and total >= len(self.rows) else None
        self.is_complete = self.total == len(self.rows) or not self.rows
        return len(self.rows) > before


def read_pages(
    fetch: Callable[[int, int], Flow[Reply]], is_enough: Callable[[Listing], bool] = lambda listing: False
) -> Flow[Listing]:
    """
    Read a list page by page, until it is whole or enough of it is known.

    :param fetch: asks for one page by its number, from 1, and its size; (0, 0) asks for the list as such.
    :param is_enough: whether what is known so far is enough.
    """
    listing = Listing()
    listing.add((yield from fetch(0, 0)))
    if listing.is_complete or is_enough(listing):
        return listing
    if listing.total is None:
        is_new = listing.add((yield from unless_refused(fetch(2, len(listing.rows)))))
        if not is_new and listing.total is None:
            listing.is_complete = True  # what follows is nothing new, and nothing says that there is more
        if listing.is_complete or is_enough(listing):
            return listing
    return (yield from _read_long_pages(fetch, is_enough))


def _read_long_pages(fetch: Callable[[int, int], Flow[Reply]], is_enough: Callable[[Listing], bool]) -> Flow[Listing]:
    """Read a list anew that does come in pages, in long ones."""
    listing = Listing()
    for page in range(1, MAX_PAGES + 1):
        reply = fetch(page, PAGE_SIZE)
        is_new = listing.add((yield from (reply if page == 1 else unless_refused(reply))))
        if listing.is_complete or is_enough(listing):
            return listing
        if not is_new:
            listing.is_complete = listing.total is None
            listing.problem = "" if listing.is_complete else f"it says that it holds {listing.total}"
            return listing
    listing.problem = "it has no end"
    return listing


def unless_refused(page: Flow[T]) -> Flow[T | None]:
    """
    Return a further page of a list; None if the server refuses it, as one beyond the end.

    :param page: asks for it.
    """
    try:
        return (yield from page)
    except AccessDeniedError:
        raise
    except RequestRejectedError as error:
        log.debug("This page is taken for one beyond the end: %s", error)
        return None
