"""Let long names in code break where a reader would: after ``/``, ``_``, ``.``, ``=``, and before a capital letter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

INLINE_CODE = re.compile(r'(?<=<span class="pre">)[^<]{10,}(?=</span>)')
BREAK = re.compile(r"(?<=[/_.=:])(?=[\w{])|(?<=[a-z])(?=[A-Z])|(?<=[\w}])(?=\{)")


def on_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Mark where the inline code of a page may be broken; what is copied from the page stays as it is."""
    if "body" in context:
        context["body"] = INLINE_CODE.sub(lambda code: BREAK.sub("<wbr>", code[0]), context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Do so on each page."""
    app.connect("html-page-context", on_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
