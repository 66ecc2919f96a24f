"""The directive ``golden-suite``: what the index of the vectors says, for people.

Its argument is ``bugs``, ``margins`` or ``variants``. The margins are those that the
program measured while it made the vectors.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from lookahead_ref.conformance import load


class GoldenSuite(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        index = load().index
        bugs = [flag for flag in index["flags"] if flag["kind"] == "bug"]
        draw = {"bugs": _bugs, "margins": _margins}.get(self.arguments[0])
        if draw is not None:
            return [draw(bugs)]
        if self.arguments[0] == "variants":
            return [_variants(index["variants"])]
        raise self.error("golden-suite takes bugs, margins or variants")


def _bugs(bugs: Sequence[Any]) -> nodes.Node:
    return _definitions(bugs, {"In practice": "breaks", "Instead": "fix"})


def _variants(variants: Sequence[Any]) -> nodes.Node:
    return _definitions(variants, {"Found in": "found", "Mind": "mind"})


def _definitions(items: Sequence[Any], labels: Mapping[str, str]) -> nodes.definition_list:
    drawn = nodes.definition_list()
    for each in items:
        told = nodes.paragraph("", f"It {each['says']}.")
        for label, name in labels.items():
            told += [nodes.Text(" "), nodes.emphasis("", f"{label}:")]
            told += nodes.Text(f" {each[name]}.")
        told += [nodes.Text(" "), nodes.emphasis("", "Clause:"), nodes.Text(" ")]
        told += [_clause(each["clause"]), nodes.Text(".")]
        drawn += nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.literal("", each["name"])),
            nodes.definition("", told),
        )
    return drawn


def _clause(name: str) -> nodes.Node:
    """Refer to a clause of the specification."""
    return addnodes.pending_xref(
        "",
        nodes.inline("", name),
        refdomain="std",
        reftype="ref",
        reftarget=name.lower(),
        refexplicit=True,
        refwarn=True,
    )


def _margins(bugs: Sequence[Any]) -> nodes.table:
    head = ["bug", "cases"]
    for level in ("strict", "gpu"):
        head += [f"{level}: least", "median"]
    rows = []
    for each in sorted(bugs, key=lambda bug: bug["margin"]["float32"]["gpu"][0]):
        sizes = [
            size for levels in each["margin"]["float32"].values() for size in levels[:2]
        ]
        rows.append([each["name"], str(each["cases"]), *[_number(size) for size in sizes]])
    return _table(head, rows)


def _number(size: float) -> str:
    return f"{size:,.0f}" if size < 1e6 else f"{size:.1e}".replace("e+", "e")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> nodes.table:
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", _row(head))
    body = nodes.tbody()
    for first, *others in rows:
        body += _row(others, nodes.literal("", first))
    group += body
    return nodes.table("", group)


def _row(texts: Sequence[str], *first: nodes.Node) -> nodes.row:
    cells: list[nodes.Node] = [*first, *[nodes.Text(text) for text in texts]]
    paragraphs = [nodes.paragraph("", "", each) for each in cells]
    return nodes.row("", *[nodes.entry("", each) for each in paragraphs])


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("golden-suite", GoldenSuite)
    return {"parallel_read_safe": True}
