"""
Pages of the repository's root as pages of the documentation: `project/contributing.md` includes `CONTRIBUTING.md`.

MyST's own ``include`` mends their links with ``:relative-docs:``, but not the links in their translations.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

INCLUDE = re.compile(r"```\{include\} (\.\./\.\./\w+\.md)\n```\n")


def include(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put a file of the root in place of the page that only includes it, with links as they are from there."""
    if found := INCLUDE.fullmatch(source[0]):
        file = Path(app.env.doc2path(docname)).parent / found[1]
        app.env.note_dependency(str(file.resolve()), docname=docname)
        source[0] = file.read_text(encoding="utf-8").replace("](docs/", "](../")


def setup(app: Sphinx) -> dict[str, bool]:
    """Do so as each page is read."""
    app.connect("source-read", include)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
