"""The specification: whole, and cited by everything that can be."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lookahead_ref.conformance import load
from lookahead_ref.conformance.bugs import CLAUSES, MISTAKES

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "docs" / "spec.md"
ID = r"(?:LA|IN|OU|WO)-\d+"


class Section(NamedTuple):
    """A clause as the page has it."""

    anchor: str
    id: str
    title: str
    kind: str
    source: str
    text: str


def sections() -> list[Section]:
    page = SPEC.read_text(encoding="utf-8")
    form = (
        rf"^\(([a-z-]+\d+)\)=\n### ({ID}): (.+)\n\n\*([a-z ]+)\*([^\n]*(?:\n[^\n]+)*)\n\n"
    )
    starts = list(re.finditer(form, page, re.MULTILINE))
    assert len(starts) == page.count("\n### "), "a clause is not of the form of the others"
    ends = [each.start() for each in starts[1:]] + [len(page)]
    return [
        Section(*start.groups(), page[start.end() : end])
        for start, end in zip(starts, ends, strict=True)
    ]


@cache
def cited() -> set[str]:
    """Return the clauses that a case cites, or a flag or variant that some case has."""
    suite = load()
    named = {name for case in suite.cases for name in case.flags}
    named |= {one["name"] for case in suite.cases for one in case.data["outcomes"]}
    message = [*suite.index["flags"], *suite.index["variants"]]
    assert named <= {"reference", *(each["name"] for each in message)}
    return {
        *(case.data["clause"] for case in suite.cases),
        *(each["clause"] for each in message if each["name"] in named),
    }


def test_the_page_has_every_clause_with_its_title_and_who_settles_it() -> None:
    found = [(each.id, each.title, each.kind) for each in sections()]
    assert found == [tuple(each) for each in CLAUSES]
    assert [each.anchor for each in sections()] == [each.id.lower() for each in CLAUSES]


def test_the_index_of_the_vectors_lists_the_same_clauses() -> None:
    assert load().index["clauses"] == [each._asdict() for each in CLAUSES]


def test_clauses_of_a_paper_name_their_equation_line_or_title() -> None:
    for each in sections():
        if each.kind == "paper":
            assert re.search(r"Algorithm 1|\(0\.\d+\)|\d{4}", each.source), each.id


def test_every_vector_flag_variant_and_mistake_cites_a_clause_that_exists() -> None:
    index = load().index
    message = [each["clause"] for each in (*index["flags"], *index["variants"])]
    clauses = {*message, *cited(), *(each.clause for each in MISTAKES)}
    assert clauses <= {each.id for each in CLAUSES}


def test_a_clause_has_a_vector_or_says_why_not() -> None:
    for each in sections():
        excuses = re.findall(r"^\*No vector:\* (\w.{20,})", each.text, re.MULTILINE)
        assert each.text.count("No vector") == len(excuses) <= 1, each.id
        assert bool(excuses) == (each.id not in cited()), each.id


def test_no_page_names_a_clause_that_does_not_exist() -> None:
    known = {each.id for each in CLAUSES}
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(rf"\b{ID}\b", text)) <= known, page
        linked = re.findall(r"spec\.md#((?:la|in|ou|wo)-\d+)", text)
        assert {each.upper() for each in linked} <= known, page


def test_the_vectors_page_names_every_rule_with_its_hyperparameters_and_slots() -> None:
    found: dict[str, tuple[set[str], set[str]]] = {}
    for case in load().cases:
        inner, outcome = case.data["inner"], case.data["outcomes"][0]
        names, slots = found.setdefault(inner["rule"], (set(), set()))
        names.update(each["name"] for each in inner["hyperparameters"])
        slots.update(each["name"] for each in outcome["steps"][0]["slots"])
        assert (inner["weight_decay_kind"] != "none") == ("weight_decay" in names)
        names.discard("weight_decay")
    page = (ROOT / "docs" / "conformance" / "vectors.md").read_text(encoding="utf-8")
    section = page.partition("## Inner optimizers")[2].partition("\n## ")[0]
    row = r"^\| `([a-z-]+)` \|[^|]*\|([^|]*)\|([^|]*)\|$"
    rows = re.findall(row, section, re.MULTILINE)
    message = {
        rule: (set(re.findall(r"`(\w+)`", names)), set(re.findall(r"`(\w+)`", slots)))
        for rule, names, slots in rows[1:]  # without the head
    }
    assert message == found
