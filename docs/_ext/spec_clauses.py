"""Says under each clause of the specification what tests it: cases, bugs and variants.

The clauses are the sections of the page ``spec`` whose titles begin with an id. What cites
them is read from the vectors, so that nothing is listed by hand.
"""

import re
from typing import Any

from docutils import nodes

from lookahead_ref.conformance import load

_CLAUSE = re.compile(r"((?:LA|IN|OU|WO)-\d+): ")
_SHOWN = 6


def complete(app: Any, doctree: nodes.document) -> None:
    if app.env.docname != "spec":
        return
    suite = load()
    for section in doctree.findall(nodes.section):
        found = _CLAUSE.match(section.next_node(nodes.title).astext())
        if found:
            tested = _tested(found[1], suite)
            if tested:
                section += tested


def _tested(clause: str, suite: Any) -> nodes.paragraph | None:
    cases = [case.id for case in suite.cases if case.data["clause"] == clause]
    flags = [flag for flag in suite.index["flags"] if flag["clause"] == clause]
    lists = {
        "Cases": cases,
        "Bugs": [flag["name"] for flag in flags if flag["kind"] == "bug"],
        "Flags": [flag["name"] for flag in flags if flag["kind"] == "condition"],
        "Variants": [v["name"] for v in suite.index["variants"] if v["clause"] == clause],
    }
    told = nodes.paragraph("", "", classes=["tested"])
    for label, names in lists.items():
        if not names:
            continue
        told += nodes.emphasis("", f"{label}:")
        for number, name in enumerate(names[:_SHOWN]):
            told += [nodes.Text(", " if number else " "), nodes.literal("", name)]
        more = len(names) - _SHOWN
        told += nodes.Text(f" and {more} more. " if more > 0 else ". ")
    return told if told.children else None


def setup(app: Any) -> dict[str, Any]:
    app.connect("doctree-read", complete)
    return {"parallel_read_safe": True}
