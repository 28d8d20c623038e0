"""
The words of the theme that it has in English only: what a screen reader says of its buttons and pictures.

Their translations stand in ``locale/…/sphinx.po``, beside those of the words that the theme lets Sphinx translate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sphinx.locale import _

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LABELS = (
    "Toggle site navigation sidebar",
    "Toggle table of contents sidebar",
    "Toggle Light / Dark / Auto color theme",
    "Toggle navigation of ",
)
TITLES = (
    "Contents",
    "Menu",
    "Expand",
    "Light mode",
    "Dark mode",
    "Auto light/dark, in light mode",
    "Auto light/dark, in dark mode",
)


def translated(body: str) -> str:
    """
    Return a page's body with the theme's words in the page's language.

    :param body: the HTML that the theme makes.
    """
    for words, tag in ((LABELS, 'aria-label="'), (TITLES, "<title>")):
        for word in words:
            body = body.replace(f"{tag}{word}", f"{tag}{_(word)}")
    return body


def add_filter(app: Sphinx) -> None:
    """Give the templates the filter, if the builder has templates."""
    if templates := getattr(app.builder, "templates", None):
        templates.environment.filters["theme_words"] = translated


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the template filter ``theme_words``, by which ``page.html`` passes the page."""
    app.connect("builder-inited", add_filter)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
