"""
A list that may come in pages, read until it is known to be whole.

No source says whether the list of pipelines is paged: the vendor's page asks for it without a query, a client in the
wild with ``page`` and ``size``. So it is asked for without; if it may have gone on, for what follows; if that shows
more, in long pages. Servers differ in what comes beyond the end: nothing, the last page again, or the first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.identifiers import identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.reply import Reply

PAGE_SIZE = 500
MAX_PAGES = 120


@dataclass
class Listing:
    """
    What is known of a list so far.

    :param rows: its rows, by their ids.
    :param total: how many there are in all, if the server says so.
    :param is_complete: whether these are all.
    :param doubt: why it cannot be determined whether these are all; empty if it can.
    """

    rows: dict[Identifier, tuple[Reply, JsonObject]] = field(default_factory=dict)
    total: int | None = None
    is_complete: bool = False
    doubt: str = ""

    def add(self, reply: Reply) -> bool:
        """Take in a page; return whether it held anything new."""
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
        is_new = listing.add((yield from fetch(2, len(listing.rows))))
        listing.is_complete = listing.is_complete or (not is_new and listing.total is None)
    if listing.is_complete or is_enough(listing):
        return listing
    listing = Listing()  # it does come in pages: read it anew, in long ones
    for page in range(1, MAX_PAGES + 1):
        is_new = listing.add((yield from fetch(page, PAGE_SIZE)))
        if listing.is_complete or is_enough(listing):
            return listing
        if not is_new:
            break
    listing.is_complete = listing.is_complete or (listing.total is None and page < MAX_PAGES)
    if not listing.is_complete:
        listing.doubt = f"it says that it holds {listing.total}" if listing.total else "it has no end"
    return listing
