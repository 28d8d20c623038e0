"""The Chinese documentation says all that the English one says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the documentation is built with the newest Airflow only")

from babel.messages.pofile import read_po

ROOT = Path(__file__).parent.parent
CATALOGUES = ROOT / "docs/locale/zh_CN/LC_MESSAGES"
STAYS_ENGLISH = ("project/changelog",)

MADE_BY_TOOLS = ("system-tests", "versions")
"""Pages that hold a table of results: its new rows may wait for their translation."""

MEASURED = "Measured on "
"""How a paragraph of results begins: it may wait too."""

UNITS = {"s", "ms", "min", "h", "kB", "req"}


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """Return what there is to translate, by page."""
    folder = tmp_path_factory.mktemp("gettext")
    command = ["-q", "-b", "gettext", "-d", folder / "doctrees", ROOT / "docs", folder / "pot"]
    subprocess.run([sys.executable, "-m", "sphinx", *command], check=True, capture_output=True)
    pages = {str(path.relative_to(folder / "pot").with_suffix("")): path for path in (folder / "pot").rglob("*.pot")}
    return {page: path for page, path in pages.items() if not page.startswith((*STAYS_ENGLISH, "sphinx"))}


def messages(path):
    """Return the messages of a catalogue by their English, without those that hold but code, figures and units."""
    with path.open("rb") as file:
        return {message.id: message for message in read_po(file) if message.id and has_words(message.id)}


def has_words(text):
    return bool(set(re.findall(r"[A-Za-z]+", re.sub(r"`[^`]*`", "", text))) - UNITS)


def test_each_sentence_of_the_guides_is_translated(templates):
    untranslated = {}
    for page, template in templates.items():
        if page in MADE_BY_TOOLS:
            continue
        catalogue = CATALOGUES / f"{page}.po"
        known = messages(catalogue) if catalogue.exists() else {}
        wanted = [text for text in messages(template) if not text.startswith(MEASURED)]
        missing = [text for text in wanted if not (known.get(text) and known[text].string)]
        if missing:
            untranslated[page] = missing

    assert not untranslated, "run `make translations`, and translate these"


def test_no_translation_is_fuzzy_or_of_a_sentence_that_is_gone(templates):
    stale = []
    for catalogue in CATALOGUES.rglob("*.po"):
        page = str(catalogue.relative_to(CATALOGUES).with_suffix(""))
        if page in ("sphinx", *STAYS_ENGLISH, *MADE_BY_TOOLS):
            continue
        wanted = messages(templates[page]) if page in templates else {}
        known = {text: each for text, each in messages(catalogue).items() if not text.startswith(MEASURED)}
        stale += [(page, text) for text, message in known.items() if message.fuzzy or text not in wanted]

    assert not stale


def test_code_and_links_are_the_same_in_both_languages():
    differ = []
    for catalogue in CATALOGUES.rglob("*.po"):
        for text, message in messages(catalogue).items():
            for pattern in (r"`[^`]+`", r"\]\(([^)]+)\)"):
                if sorted(set(re.findall(pattern, text))) != sorted(set(re.findall(pattern, message.string))):
                    differ.append((catalogue.stem, text, message.string))

    assert not differ


def blocks(text):
    """Return the code blocks of a page, each without its fences and its indentation."""
    return [
        "\n".join(line.strip() for line in block.splitlines())
        for block in re.findall(r"(?ms)^ *```(?:[a-z]+)?\n(.*?)^ *```", text)
    ]


def test_no_code_block_is_there_to_be_translated(templates):
    translatable = []
    for page, template in templates.items():
        source = ROOT / "docs" / f"{page}.md"
        code = set(blocks(source.read_text(encoding="utf-8")))
        texts = {"\n".join(line.strip() for line in text.splitlines()) for text in messages(template)}
        translatable += [(page, text) for text in texts if text in code or f"{text}\n" in code]

    assert not translatable


def test_both_readmes_have_the_same_code_and_links():
    english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
    links = [set(re.findall(r"\]\(([^)]+)\)", text)) - {"README.md", "README.zh-CN.md"} for text in (english, chinese)]

    codes = [[re.sub(r"  +# .*", "", block) for block in blocks(text)] for text in (english, chinese)]

    assert codes[0] == codes[1]  # comments at the ends of lines are in each one's language
    assert links[0] == links[1]
