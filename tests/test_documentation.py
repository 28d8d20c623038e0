"""What the documentation shows is code that works: each Python block compiles, and names only what there is."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted({*ROOT.glob("README*.md"), *ROOT.glob("docs/**/*.md")} - set(ROOT.glob("docs/_build/**/*.md")))
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}#{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"(?ms)^ *```python\n(.*?)^ *```", page.read_text(encoding="utf-8")), 1)
]


def code(block):
    """Return a block without the indentation that it has in a list."""
    indent = min((len(line) - len(line.lstrip()) for line in block.splitlines() if line.strip()), default=0)
    return "\n".join(line[indent:] for line in block.splitlines())


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_compiles(block):
    compile(code(block), "block", "exec")


@pytest.mark.parametrize("block", BLOCKS)
def test_what_a_python_block_imports_of_this_package_is_there(block):
    for node in ast.walk(ast.parse(code(block))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("airflow_provider_flowengine"):
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, f"{node.module} has no {missing}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_links_to_pages_that_there_are(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target
