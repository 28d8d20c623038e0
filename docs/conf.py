"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Importing Airflow makes a home for it, which is not to be the reader's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_provider_flowengine import __version__  # noqa: E402 - Airflow's home comes first

project = "airflow-provider-flowengine"
author = "the airflow-provider-flowengine authors"
copyright = f"2026, {author}"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.intersphinx", "sphinx_copybutton"]
intersphinx_mapping: dict[str, tuple[str, None]] = {}  # the build reaches no network
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_mock_imports: list[str] = []
add_module_names = False

html_theme = "furo"
html_title = "FlowEngine for Airflow"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2257c4", "color-brand-content": "#2257c4"},
    "dark_css_variables": {"color-brand-primary": "#8fb4ff", "color-brand-content": "#8fb4ff"},
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
