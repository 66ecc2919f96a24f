"""The directive ``golden-survey``: public implementations and what was found of them.

It draws what ``lookahead-ref golden survey`` wrote: a form that filters the table, which
`docs/front_door.py` makes, or, with a name as its argument, one implementation with its
causes, badge and history. Badges, and what shields.io reads to draw its own, are written
beside the pages.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from survey_words import VERDICTS, causes, error, sentence

from lookahead_ref.conformance.bugs import BUGS, CONVENTIONS, MISTAKES, PRECISIONS
from lookahead_ref.report.words import several

SURVEY = Path(__file__).parents[1] / "conformance" / "implementations.json"
ADAPTERS = SURVEY.with_name("adapters")
NAMED = {bug.name for bug in (*BUGS, *MISTAKES, *CONVENTIONS, *PRECISIONS)}


class Survey(SphinxDirective):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SURVEY))
        found = json.loads(SURVEY.read_text(encoding="utf-8"))
        those = {each["name"]: each for each in found["implementations"]}
        if not self.arguments:
            drawn = filters(found["implementations"])
        elif self.arguments[0] == "headline":
            drawn = headline(those)
        else:
            drawn = "".join(details(those[self.arguments[0]], self._page))
        return [nodes.raw("", drawn, format="html")]

    def _page(self, name: str, anchor: str) -> str:
        builder = self.env.app.builder
        return f"{builder.get_relative_uri(self.env.docname, name)}#{anchor}"


def headline(those: Mapping[str, Any]) -> str:
    """Say what the authors' own file does, if the run shows it."""
    authors = those["authors-pytorch"]
    lost = [each for each in causes(authors) if each["name"].startswith("checkpoint")]
    if not lost:
        return ""
    rest = " Its algorithm is right." if authors["verdict"] == "but" else ""
    return (
        '<p class="survey-headline">The authors\N{RIGHT SINGLE QUOTATION MARK} own '
        f"checkpoint loses the slow weights.{rest}</p>"
    )


def filters(those: Sequence[Mapping[str, Any]]) -> str:
    """Draw a form that filters the rows of the page's table."""
    choices = "".join(
        f'<label><input type="radio" name="verdict" value="{word}"> '
        f"{sign} {word} ({sum(each['verdict'] == name for each in those)})</label>"
        for name, (sign, word, *_) in VERDICTS.items()
    )
    return f"""
<form class="survey-filter" hidden role="search" onsubmit="return false">
<label>Filter <input type="search"></label>
<label><input type="radio" name="verdict" value="" checked> all ({len(those)})</label>
{choices}
<output aria-live="polite"></output></form>
<script type="module">{FILTER}</script>"""


def case(name: str, page: Any) -> str:
    return f'<a href="{page("conformance/cases", name)}"><code>{name}</code></a>'


def clause(name: str, page: Any) -> str:
    return f'<a href="{page("spec", name.lower())}">{name}</a>'


def details(one: Mapping[str, Any], page: Any) -> Iterator[str]:
    """Draw what stands under the heading of an implementation."""
    sign, word, *_ = VERDICTS[one["verdict"]]
    name = one["name"]
    badges = page("index", "").rpartition("index.html")[0] + "_static/badges"
    yield (
        f'<p><span class="verdict {one["verdict"]}"><span aria-hidden="true">{sign}</span> '
        f"{word}</span>: {html.escape(sentence(one))}.</p>\n"
        f'<p><a href="{one["home"]}">{html.escape(one["title"])}</a> '
        f"{html.escape(one['version'])}. "
    )
    if "python" in one:
        yield f"It runs in Python {html.escape(one['python'])}. "
    yield (
        f'Its badge: <img class="dark-light" src="{badges}/{name}.svg" '
        f'alt="lookahead: {word}"> '
        f'(<a href="{badges}/{name}.json">for shields.io</a>).</p>\n<ul>'
    )
    for place, explanation in enumerate(one["causes"]):
        for at, each in enumerate(explanation):
            before = ("Together with " if at else "Or equally ") if place else ""
            told = f"it {html.escape(each['says'])}"
            if each["name"] in NAMED:  # not an edit of the oracle
                bug = f'<a href="{page("conformance/bugs", each["name"])}">'
                told = f"{bug}<code>{each['name']}</code></a>: {told}"
            yield (
                f"<li>{before}{told} "
                f"({clause(each['clause'], page)}). Shown by {case(each['case'], page)} "
                f"{html.escape(_from(each))}.</li>\n"
            )
    if left := one["exceptions"]:
        yield (
            f"<li>These fail for a reason that has no name; it is told below: "
            f"{', '.join(case(each, page) for each in left)}.</li>\n"
        )
    for each in one["conventions"]:
        names = " or ".join(f"<code>{name}</code>" for name in each["names"])
        yield f"<li>Convention: {names or 'none throughout, it mixes them'}.</li>\n"
    for each in one["errors"]:
        yield (
            f"<li>It stops at {several(each['count'], 'check')}, such as "
            f"{case(each['case'], page)}: {html.escape(error(each['shows']))}.</li>\n"
        )
    alike: dict[tuple[str, str], list[str]] = {}
    for each in one["use"]:
        alike.setdefault((error(each["says"]), each["fix"]), []).append(each["name"])
    for (says, fix), names in alike.items():
        named = ", ".join(f"<code>{each}</code>" for each in names)
        told = f"{says.rstrip('.')}. Fix: {fix}."
        yield f"<li>In use, {named}: {html.escape(told)}</li>\n"
    for each in one["beyond"]:
        fails = several(each["count"], "check")
        yield (
            f"<li>With {each['condition']} values it fails {fails}, "
            f"such as {case(each['case'], page)}.</li>\n"
        )
    told = [
        f"{html.escape(each['version'])} on {each['date']} (vectors {each['vectors']}): "
        f"{VERDICTS[each['verdict']][1]}"
        + (f" ({', '.join(each['causes'])})" if each["causes"] else "")
        for each in one["history"]
    ]
    yield f"<li>History: {'; '.join(told)}.</li></ul>\n"
    if "adapter" in one:
        text = html.escape((ADAPTERS / one["adapter"]).read_text(encoding="utf-8"))
        yield (
            f"<details><summary>Its adapter, <code>{one['adapter']}</code></summary>"
            f"<pre>{text}</pre></details>\n"
        )


def _from(cause: Mapping[str, Any]) -> str:
    """Leave out the case's id, which stands before, and how many tolerances it is off."""
    shown = cause["shows"].removeprefix(cause["case"]).strip()
    return re.sub(r", \S+ tolerances apart$", "", shown)


FILTER = """
const form = document.querySelector(".survey-filter");
const table = document.querySelector("article table");
const rows = [...table.tBodies[0].rows];
const said = form.querySelector("output");
form.addEventListener("input", () => {
  const text = form.querySelector("[type=search]").value.toLowerCase();
  const verdict = form.querySelector("[name=verdict]:checked").value;
  for (const row of rows) {
    const is = row.cells[1].textContent.replace(/^\\W+/, "").trim();
    const fits = row.textContent.toLowerCase().includes(text);
    row.hidden = !fits || Boolean(verdict) && is !== verdict;
  }
  said.textContent = `${rows.filter((row) => !row.hidden).length} shown`;
});
form.hidden = false;
table.classList.add("survey");
"""


def badge(verdict: str) -> str:
    """Draw a badge, in words of its own width."""
    _, _, word, colour, _ = VERDICTS[verdict]
    left, right = 66, 10 + 6 * len(word)
    text = 'y="14" fill="#fff" font-family="Verdana,sans-serif" font-size="11"'
    text += ' text-anchor="middle"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
        f'role="img" aria-label="lookahead: {word}"><title>lookahead: {word}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f'<text x="{left / 2}" {text}>lookahead</text>'
        f'<text x="{left + right / 2}" {text}>{word}</text></svg>\n'
    )


def write_badges(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / "badges"
    folder.mkdir(parents=True, exist_ok=True)
    for one in json.loads(SURVEY.read_text(encoding="utf-8"))["implementations"]:
        _, _, word, _, colour = VERDICTS[one["verdict"]]
        said = {"schemaVersion": 1, "label": "lookahead", "message": word, "color": colour}
        (folder / f"{one['name']}.svg").write_text(badge(one["verdict"]))
        (folder / f"{one['name']}.json").write_text(json.dumps(said) + "\n")


def setup(app: Any) -> dict[str, Any]:
    app.add_directive("golden-survey", Survey)
    app.connect("build-finished", write_badges)
    return {"parallel_read_safe": True}
