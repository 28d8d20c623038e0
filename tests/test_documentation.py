"""What the documentation names is there: pages, modules, and the messages that it explains."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")} - set(ROOT.glob("docs/_build/**/*.md")))


def texts():
    """Yield every text in the package, with a gap where it is filled in."""
    for path in (ROOT / "airflow_provider_flowengine").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def plain(text):
    return re.sub(r"[.,;:()]", "", text.casefold())


TEXTS = plain("\n".join(texts()))


def pieces(words):
    """Yield the longest pieces that some words are put together of, as messages are."""
    while words:
        lengths = [length for length in range(len(words), 0, -1) if " ".join(words[:length]) in TEXTS]
        assert lengths, f"no message of the package holds {words[0]!r}"
        yield words[: lengths[0]]
        words = words[lengths[0] :]


def messages(page):
    """Return the messages that a page of troubleshooting quotes."""
    quoted = re.findall(r"(?ms)^\*\*(.+?)\*\*\n: ", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    return [one for several in quoted for one in " ".join(several.split()).split("** · **")]


OTHERS = ("Connection refused", "certificate verify failed")
SYMPTOMS = {
    "A deferred task fails without an error in its log, though its run succeeded",
    "The tab FlowEngine is missing",
    "The task stays deferred, and its log ends with “waiting in the triggerer”",
    "The task's link is missing",
    "Times are eight hours off",
    "Skipping masking for a secret as it's too short",
}


@pytest.mark.parametrize("message", sorted({*messages("troubleshooting.md")} - SYMPTOMS))
def test_a_message_that_is_explained_is_one_of_the_packages(message):
    for other in OTHERS:
        message = message.replace(other, "…")
    # Parts that stand for something else: what is left out, numbers, quoted values, and a web page's beginning.
    for part in re.split(r"…|'[^']*'|\d+|<html|\w+/v1", message):
        words = plain(part).split()

        assert len([*pieces(words)]) <= max(2, len(words) // 3), part


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_links_to_pages_that_there_are(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_a_module_that_a_page_names_is_there(page):
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|\.py))`", (ROOT / page).read_text(encoding="utf-8")))
    missing = [
        path
        for path in named
        if not any((where / path).exists() for where in (ROOT, ROOT / "airflow_provider_flowengine"))
    ]

    assert named
    assert not missing
