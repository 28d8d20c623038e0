"""
How Sphinx builds the documentation: ``make docs``, English and Chinese from one source.

The pages are written in English. Their Chinese stands in ``locale/zh_CN``; ``make translations`` brings its catalogues
up to date with the pages. Docstrings, and tables made from the code, stay English.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

# Importing Airflow makes a home for it, which is not to be the reader's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-")
atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from airflow_provider_flowengine import __version__  # noqa: E402 - Airflow's home comes first

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "airflow-provider-flowengine"
author = "the airflow-provider-flowengine authors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "chinese_search",
    "from_code",
    "proof",
    "breakable_code",
    "pictures",
    "root_pages",
    "theme_words",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_root", "locale", "performance/*", "reliability/*"]  # the latter are included
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "both"
autodoc_typehints_description_target = "documented"
maximum_signature_line_length = 88
python_use_unqualified_type_names = True
add_module_names = True  # the path to import it by

language = os.environ.get("DOCS_LANGUAGE", "en")
copyright = "2026, " + {"en": author, "zh_CN": f"{project} 的作者"}[language]
locale_dirs = ["locale"]
gettext_compact = False  # a catalogue a page
gettext_location = False  # which would change with each line that is added above

html_theme = "furo"
pygments_dark_style = "github-dark"  # the theme's own underlines names, as if they were links
html_title = "FlowEngine for Airflow"
html_search_language = "zh" if language == "zh_CN" else "en"
html_static_path = ["_static"]
html_favicon = "../airflow_provider_flowengine/web/icon.svg"
html_show_sourcelink = False
html_show_sphinx = False
html_use_index = html_domain_indices = False  # no page of the theme leads to them: the search finds each name
html_css_files = ["site.css"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
LANGUAGES = {
    "en": {"folder": "en", "lang": "en", "name": "English"},
    "zh_CN": {"folder": "zh", "lang": "zh-CN", "name": "中文"},
}
html_context = {
    "language_folder": LANGUAGES[language]["folder"],
    "other_language": next(each for name, each in LANGUAGES.items() if name != language),
    "versions": os.environ.get("DOCS_VERSIONS", version).split(),
}
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2257c4", "color-brand-content": "#2257c4"},
    "dark_css_variables": {"color-brand-primary": "#8fb4ff", "color-brand-content": "#8fb4ff"},
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
