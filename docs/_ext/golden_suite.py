"""The directive ``golden-suite``: what the index of the vectors says, for people.

Its argument is ``bugs``, ``mistakes``, ``margins``, ``variants`` or ``changes``. The
margins are those that the program measured while it made the vectors.

The directive ``golden-survey`` draws the table of public implementations, or, with a name
as its argument, what was found in one of them, from the file that ``lookahead-ref golden
survey`` wrote.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from lookahead_ref.conformance import load, vectors
from lookahead_ref.conformance.bugs import MISTAKES


class GoldenSuite(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        index = load().index
        bugs = [flag for flag in index["flags"] if flag["kind"] == "bug"]
        draw = {"bugs": _bugs, "margins": _margins}.get(self.arguments[0])
        if draw is not None:
            return [draw(bugs)]
        if self.arguments[0] == "mistakes":
            return [_bugs([each.as_dict() for each in MISTAKES])]
        if self.arguments[0] == "variants":
            return [_variants(index["variants"])]
        if self.arguments[0] == "changes":
            return list(_changes(vectors.released()))
        raise self.error("golden-suite takes bugs, mistakes, margins, variants or changes")


def _changes(recorded: Sequence[Mapping[str, str]]) -> Iterator[nodes.Node]:
    for number in range(len(recorded), 0, -1):
        told = nodes.paragraph()
        told += nodes.strong("", f"Release {number}")
        told += nodes.Text(f": {len(recorded[number - 1])} cases.")
        for kind, ids in changed(recorded, number).items():
            if number > 1 and ids:
                told += nodes.Text(f" {kind.capitalize()}: {', '.join(ids)}.")
        yield told


def changed(recorded: Sequence[Mapping[str, str]], number: int) -> Mapping[str, list[str]]:
    before = recorded[number - 2] if number > 1 else {}
    return vectors.changes(before, recorded[number - 1])


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


SURVEY = Path(__file__).parents[1] / "conformance" / "implementations.json"


class Survey(SphinxDirective):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SURVEY))
        found = json.loads(SURVEY.read_text(encoding="utf-8"))
        implementations = {each["name"]: each for each in found["implementations"]}
        if self.arguments:
            return list(_found_in(implementations[self.arguments[0]]))
        return _survey(found, list(implementations.values()))


def _survey(
    found: Mapping[str, Any], those: Sequence[Mapping[str, Any]]
) -> list[nodes.Node]:
    said = nodes.paragraph(
        "",
        f"Run on {found['date']}: {found['cases']} cases of vectors {found['vectors']}, "
        f"each in float32 and float64; Python {found['python']}, {found['machine']}.",
    )
    names = [row["name"] for row in those[0]["profiles"]]
    rows = []
    for place, name in enumerate(names):
        rows.append([name, *[_cell(each["profiles"][place]) for each in those]])
    table = _table(["profile", *[each["title"] for each in those]], rows)
    table["classes"].append("survey")
    return [said, table]


def _cell(row: Mapping[str, Any]) -> str:
    judged = row["passed"] + row["departed"] + row["failed"]
    if row["verdict"] == "not offered":
        return "\N{EN DASH}"
    return "passes" if row["passed"] == judged else f"{row['passed']} of {judged}"


def _found_in(one: Mapping[str, Any]) -> "list[nodes.Node]":
    items = []
    for convention in one["conventions"]:
        names = " or ".join(convention["names"])
        items.append(nodes.paragraph("", f"Convention: {names}."))
    for place, explanation in enumerate(one["causes"]):
        for cause in explanation:
            told = nodes.paragraph("", "Or as well: " if place else "Diagnosis: ")
            told += nodes.literal("", cause["name"])
            told += nodes.Text(f". Its smallest case: {cause['shows']}.")
            items.append(told)
    if not one["explained"]:
        items.append(nodes.paragraph("", "Diagnosis: none explains all of it."))
    for each in one["failures"]:
        checks = _checks(each["count"])
        text = f"Failed at {checks}, such as {each['case']}: {each['shows']}."
        items.append(nodes.paragraph("", text))
    for each in one["beyond"]:
        checks = _checks(each["count"])
        text = f"With {each['condition']} values, {checks}: {each['shows']}."
        items.append(nodes.paragraph("", text))
    drawn = nodes.bullet_list()
    drawn += [nodes.list_item("", item) for item in items]
    return [drawn]


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("golden-suite", GoldenSuite)
    app.add_directive("golden-survey", Survey)
    return {"parallel_read_safe": True}
