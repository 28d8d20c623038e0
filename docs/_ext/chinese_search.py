"""
A search that finds Chinese words: text and query are cut into the same pairs of characters.

Chinese has no spaces between its words. Sphinx's own search for it cuts the text by a dictionary and the query not at
all, so a query of two words finds nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sphinx.search.zh import SearchChinese

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_HAN = re.compile(r"[\u4e00-\u9fff]+")
_LATIN = re.compile(r"[A-Za-z0-9_]+")


class PairSearch(SearchChinese):
    """Chinese by pairs of characters, and English words by their stems."""

    language_name = "English"  # Sphinx names the stemmer's JavaScript by it: there is an EnglishStemmer only

    js_splitter_code = """
function splitQuery(query) {
  const terms = query.match(/[A-Za-z0-9_]+/g) || [];
  for (const run of query.match(/[\\u4e00-\\u9fff]+/g) || []) {
    if (run.length === 1) terms.push(run);
    for (let i = 0; i + 1 < run.length; i++) terms.push(run.slice(i, i + 2));
  }
  return terms;
}
"""

    def split(self, text: str) -> list[str]:
        """Return the English words of a text, and each pair of neighbouring Chinese characters."""
        words = _LATIN.findall(text)
        self.latin_terms.update(words)
        return words + [run[i : i + 2] for run in _HAN.findall(text) for i in range(len(run) - 1)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx use it for Chinese."""
    app.add_search_language(PairSearch)
    return {"parallel_read_safe": True}
