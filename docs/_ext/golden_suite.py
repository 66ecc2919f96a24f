"""The directive ``golden-suite``: what the index of the vectors says, for people.

Its argument is ``bugs``, ``mistakes``, ``margins``, ``variants``, ``cases``, ``changes`` or
``edit``. The margins are those measured while the vectors were made. The edit
is found anew, in a port with a mistake that has no name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from lookahead_ref.conformance import load, vectors
from lookahead_ref.conformance.bugs import MISTAKES, PRECISIONS
from lookahead_ref.conformance.diagnosis import diagnose
from lookahead_ref.conformance.running import open_target, run


class GoldenSuite(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        index = load().index
        bugs = [flag for flag in index["flags"] if flag["kind"] == "bug"]
        draw = {"bugs": _bugs, "margins": _margins}.get(self.arguments[0])
        if draw is not None:
            return [draw(bugs)]
        if self.arguments[0] == "mistakes":
            return [_bugs([each.as_dict() for each in (*MISTAKES, *PRECISIONS)])]
        if self.arguments[0] == "variants":
            return [_variants(index["variants"])]
        if self.arguments[0] == "changes":
            return list(_changes(vectors.released()))
        if self.arguments[0] == "cases":
            return [_cases()]
        if self.arguments[0] == "edit":
            return [nodes.literal_block("", "\n".join(found_edit()), language="text")]
        raise self.error(
            "golden-suite takes bugs, mistakes, margins, variants, cases, changes or edit"
        )


def found_edit() -> Iterator[str]:
    """Yield a mistake that is put into a port, and what the diagnosis finds."""
    porting = Path(__file__).parents[1] / "porting"
    right = "name: self.phi[name] - theta for"
    wrong = "name: (self.phi[name] - theta) / self.k for"
    with TemporaryDirectory() as folder:
        port = Path(copytree(porting, Path(folder, "porting"))) / "wrapper_plain.py"
        source = port.read_text(encoding="utf-8")
        assert source.count(right) == 1
        port.write_text(source.replace(right, wrong), encoding="utf-8")
        with closing(open_target(f"{port}:Adapter")) as target:
            results = run(target, [c for c in load().cases if c.profile == "outer"])
    yield from ("In the port:", f"-    {right}", f"+    {wrong}", "What is found:")
    for explanation in diagnose(results)[0].explanations:
        for cause in explanation:
            yield f"It {cause.says}."
            yield from cause.as_dict().get("diff", ())


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
            nodes.term("", "", nodes.literal("", each["name"]), ids=[each["name"]]),
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


def _cases() -> nodes.table:
    """List every case, each with an anchor."""
    table = _table(["case", "clause", "what it asks"], [])
    body = table.next_node(nodes.tbody)
    for case in load().cases:
        name = nodes.paragraph("", "", nodes.literal("", case.id))
        clause = nodes.paragraph("", "", _clause(case.data["clause"]))
        says = nodes.paragraph("", case.data["comment"])
        row = nodes.row("", *[nodes.entry("", each) for each in (name, clause, says)])
        row["ids"].append(case.id)
        body += row
    return table


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("golden-suite", GoldenSuite)
    return {"parallel_read_safe": True}
