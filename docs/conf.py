"""How the documentation is built: ``sphinx-build -W --keep-going -b html docs OUT``.

Nothing here or in the pages needs a network, to build or to read. `.ci/site`, which builds
the site of all versions, sets two variables: `DOCS_VERSIONS`, the address of their list,
and `DOCS_LINKED`, for links to the pages of Python and NumPy.
"""

import os
import sys
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import lookahead_ref

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "lookahead-ref"
author = "The lookahead-ref authors"
copyright = author
version = release = lookahead_ref.__version__
_pyproject = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
repository: str = tomllib.loads(_pyproject)["project"]["urls"]["Repository"]
_owner, _name = repository.split("/")[-2:]

extensions = [
    "myst_nb",  # MyST, and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "addresses",
    "command_reference",
    "golden_suite",
    "in_browser",
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

if os.environ.get("DOCS_LINKED"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "lookahead-ref"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_js_files = [("copy.js", {"defer": "defer"})]
html_context = {"github_user": _owner, "github_repo": _name, "github_version": "main"}
html_context["doc_path"] = "docs"
html_copy_source = html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": {
        "**": ["page-toc", "edit-this-page"],
        "algorithm": [],
        "conformance/implementations": [],
        "index": [],
    },
    "github_url": repository,
    "use_edit_page_button": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
if _versions := os.environ.get("DOCS_VERSIONS"):
    _shown = {"json_url": _versions, "version_match": os.environ["DOCS_VERSION"]}
    html_theme_options |= {"switcher": _shown, "check_switcher": False}
    html_theme_options["navbar_end"] = [
        "version-switcher",
        "theme-switcher",
        "navbar-icon-links",
    ]
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


def _list_members_of_unions(
    _app: Any, _what: str, _name: str, obj: Any, _options: Any, lines: list[str]
) -> None:
    # "Represent a PEP 604 union type": that is of the class of all unions.
    if isinstance(obj, UnionType):
        lines[:] = [f"One of {', '.join(f'`{each.__name__}`' for each in get_args(obj))}."]


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", _leave_out_tuple_fields)
    app.connect("autodoc-process-docstring", _list_members_of_unions)
