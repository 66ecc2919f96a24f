"""How the documentation is built: ``sphinx-build -W --keep-going -b html docs OUT``.

Nothing here or in the pages needs a network, to build or to read.
"""

import sys
from pathlib import Path
from typing import Any

import lookahead_ref

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "lookahead-ref"
author = "The lookahead-ref authors"
copyright = author
version = release = lookahead_ref.__version__

extensions = [
    "myst_nb",  # MyST, and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "command_reference",
    "golden_suite",
    "mathml",
    "spec_clauses",
    "survey_page",
    "theory_pictures",
    "walk_page",
]
# Notebooks that ran are written beside the folder that is built.
exclude_patterns = ["_build", "jupyter_execute", ".jupyter_cache", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
smartquotes = False  # they make a dash of the two in --output
default_role = "py:obj"  # how the docstrings refer to one another

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Notebooks are kept without outputs, and run when the pages are built.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # no page has widgets, and none needs a network

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words, with shapes
numpydoc_show_class_members = False  # the class template lists them
numpydoc_attributes_as_param_list = True

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "lookahead-ref"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc"], "algorithm": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
# No list of a section's pages where there is none, or where equations stand beside code.
html_sidebars = {
    page: [] for page in ("algorithm", "changelog", "contributing", "index", "quickstart")
}


def _leave_out_tuple_fields(
    _app: Any, _what: str, _name: str, obj: Any, _skip: bool, _options: Any
) -> bool | None:
    # "Alias for field number 0": the docstring has described the field.
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _leave_out_tuple_fields)
