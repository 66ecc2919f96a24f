"""Formulas as MathML, which browsers set by themselves: no script, no fonts, no network.

Sphinx's own renderers load MathJax from a content delivery network or run LaTeX. Docutils
converts the LaTeX that the pages use; a formula that it cannot convert is a warning, and so
an error of the build.
"""

import io
import re
from functools import cache
from typing import Any

from docutils import nodes
from docutils.core import publish_from_doctree
from docutils.utils import new_document
from sphinx.util import logging

_MATH = re.compile(r"<math.*?</math>", re.DOTALL)
_DOTS = re.compile(r"\\dots(?![a-zA-Z])")  # which docutils does not know
_log = logging.getLogger(__name__)


@cache
def to_mathml(tex: str, block: bool) -> str:
    """Convert a formula; raise ValueError where docutils cannot."""
    tex = _DOTS.sub(r"\\ldots", tex)
    document = new_document("formula")
    complaints = io.StringIO()
    if block:
        document += nodes.math_block(tex, tex)
    else:
        document += nodes.paragraph("", "", nodes.math(tex, tex))
    page = publish_from_doctree(
        document,
        writer="html5",
        settings_overrides={
            "math_output": "MathML",
            "output_encoding": "unicode",
            "halt_level": 6,
            "warning_stream": complaints,
        },
    )
    found = _MATH.findall(page)
    if len(found) != 1:
        raise ValueError(f"cannot write {tex!r} as MathML: {complaints.getvalue()}")
    return found[0]


def _convert(node: nodes.Element, block: bool) -> str:
    try:
        return to_mathml(node.astext(), block)
    except ValueError as error:
        _log.warning("%s", error, location=node)
        return ""


def visit_inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(_convert(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.Element) -> None:
    # A wide formula scrolls in its own box on a narrow screen, not the page.
    translator.body.append(f'<div class="math">{_convert(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
