"""
Pictures for dark pages, and with Chinese words.

A page names ``a.png`` only. If there is an ``a-dark.png``, a dark page shows that. If there is an ``a-zh.png`` (or an
``a-zh-dark.png``), the Chinese documentation shows that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Pictures(SphinxTransform):
    """Choose each page's pictures by its language, and put the dark one beside the light one."""

    default_priority = 500

    def apply(self, **_: object) -> None:
        """Go through the page's images."""
        for image in [*self.document.findall(nodes.image)]:
            light = self._first_there(image["uri"], "") or image["uri"]
            dark = self._first_there(image["uri"], "-dark")
            image["uri"] = light
            if dark:
                twin = image.deepcopy()
                twin["uri"] = dark
                image["classes"].append("only-light")
                twin["classes"].append("only-dark")
                image.parent.insert(image.parent.index(image) + 1, twin)

    def _first_there(self, uri: str, suffix: str) -> str | None:
        picture = Path(uri)
        languages = ("-zh", "") if self.config.language == "zh_CN" else ("",)
        page = Path(self.env.doc2path(self.env.docname)).parent
        names = [str(picture.with_stem(f"{picture.stem}{language}{suffix}")) for language in languages]
        return next((name for name in names if (page / name).is_file()), None)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform."""
    app.add_transform(Pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
