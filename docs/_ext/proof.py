"""The directive ``proof``: which tests show a table's rows, folded away until the reader asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.locale import _
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


class proof(nodes.General, nodes.Element):
    """What the reader unfolds."""


class Proof(SphinxDirective):
    """Fold away what the directive holds."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the node, with what the directive holds."""
        node = proof()
        node += self.parse_content_to_nodes()
        return [node]


def _open(writer: HTML5Translator, node: proof) -> None:
    writer.body.append(f'<details class="proof"><summary>{_("Tests")}</summary>\n')


def _close(writer: HTML5Translator, node: proof) -> None:
    writer.body.append("</details>\n")


def _nothing(writer: nodes.NodeVisitor, node: proof) -> None:
    pass


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive, and how it is written as HTML; elsewhere its content stands as it is."""
    app.add_node(proof, html=(_open, _close), text=(_nothing, _nothing))
    app.add_directive("proof", Proof)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
