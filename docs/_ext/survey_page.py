"""The directive ``golden-survey``: public implementations and what was found of them.

It draws the file that ``lookahead-ref golden survey`` wrote: the report, a line for each,
or, with a name as its argument, one of them with its causes, badge and history. The badges,
and what shields.io reads to draw its own, are written beside the pages.
"""

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from lookahead_ref.conformance.bugs import CLAUSES

SURVEY = Path(__file__).parents[1] / "conformance" / "implementations.json"
ADAPTERS = SURVEY.with_name("adapters")

VERDICTS = {  # sign, in the table, in the badge, its colour, shields.io's name of it
    "right": ("\N{CHECK MARK}", "right", "right", "#1a7f37", "success"),
    "but": ("\N{WHITE CIRCLE}", "right, but", "right, but", "#8a6100", "yellow"),
    "wrong": ("\N{MULTIPLICATION X}", "wrong", "wrong", "#b42318", "critical"),
}

PLAIN = {
    "checkpoint-leaves-new-phi": "loses the slow weights in a checkpoint",
    "checkpoint-of-inner-alone": "loses the slow weights in a checkpoint",
    "checkpoint-of-inner-alone-phi-anew": "loses the slow weights in a checkpoint",
    "checkpoint-of-parameters-alone": "loses all of its state in a checkpoint",
    "checkpoint-without-phi": "loses the slow weights in a checkpoint",
    "checkpoint-without-step-counter": "loses the step counter in a checkpoint",
    "evaluation-synchronizes": "an evaluation moves the weights that training goes on with",
    "first-sync-at-step-1": "synchronizes at step 1, and k steps later each time",
    "interpolated-slots-aliased": "its pullback does nothing",
    "interpolated-slots-aliased-in-place": "its pullback shrinks the momentum",
    "only-momentum-interpolated": "its pullback does nothing around Adam",
    "only-momentum-reset": "its reset does nothing around Adam",
    "period-plus-one": "synchronizes every k + 1 steps",
    "phi-after-decay": "starts the slow weights one weight decay late",
    "phi-after-first-step": "starts the slow weights one step late",
    "phi-at-first-sync": "starts the slow weights k steps late",
    "phi-starts-at-zero": "starts the slow weights at zero",
    "reset-restarts-schedule": "a reset restarts the learning rate's schedule",
    "schedule-frozen": "ignores a scheduler around it",
    "schedule-frozen-after-loading": "ignores a scheduler once a checkpoint was loaded",
    "single-precision": "computes in float32 what was given in float64",
    "slow-momentum": "follows SlowMo's units, not DiLoCo's",
}
"""What the most frequent causes mean for whoever uses the package."""

PAPERS = {clause.id for clause in CLAUSES if clause.kind == "paper"}


def causes(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List causes: what the paper settles, what a checkpoint loses, and what else."""
    found = one["causes"][0] if one["causes"] else []
    return sorted(
        found,
        key=lambda each: (
            each["clause"] not in PAPERS,
            not each["name"].startswith("checkpoint"),
        ),
    )


def plain(cause: Mapping[str, Any]) -> str:
    return PLAIN.get(cause["name"], cause["says"])


def sentence(one: Mapping[str, Any]) -> str:
    """Say in plain words what is wrong first of all."""
    told = [plain(each) for each in causes(one)]
    told += [_stop(each) for each in one["failures"]]
    if not one["explained"]:
        told.insert(0, "fails, and no named cause explains all of it")
    more = len(told) - 1
    return told[0] + (f"; and {more} more" if more else "") if told else "nothing fails"


def _stop(failure: Mapping[str, Any]) -> str:
    what = "its checkpoint stops" if "resume" in failure["case"] else "stops"
    return f"{what} with {_error(failure['shows'])}"


def _error(shows: str) -> str:
    """Cut what a program answered down to its error, without its place."""
    error = shows.removeprefix("answered an error: ").partition(" (")[0]
    return error if len(error) < 100 else f"{error[:97]}..."


class Survey(SphinxDirective):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(SURVEY))
        found = json.loads(SURVEY.read_text(encoding="utf-8"))
        those = {each["name"]: each for each in found["implementations"]}
        if not self.arguments:
            drawn = report(found, self._page)
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


def report(found: Mapping[str, Any], page: Any) -> str:
    those = found["implementations"]
    counts = {name: sum(each["verdict"] == name for each in those) for name in VERDICTS}
    choices = "".join(
        f'<label><input type="radio" name="verdict" value="{name}"> '
        f"{VERDICTS[name][0]} {VERDICTS[name][1]} ({count})</label>"
        for name, count in counts.items()
    )
    rows = "".join(row(each, page) for each in sorted(those, key=_order))
    latest = max(each["date"] for each in those)
    cases = max(each["cases"] for each in those)
    return f"""
<p>{len(those)} implementations, up to {cases} cases of vectors {found["vectors"]},
each in float32 and float64; last run on {latest}.</p>
<form class="survey-filter" hidden role="search" onsubmit="return false">
<label>Filter <input type="search" aria-controls="survey"></label>
<label><input type="radio" name="verdict" value="" checked> all ({len(those)})</label>
{choices}
<output aria-live="polite"></output></form>
<table class="survey" id="survey">
<thead><tr><th scope="col">Implementation</th><th scope="col">Verdict</th>
<th scope="col">In one sentence</th><th scope="col">Shown by</th></tr></thead>
<tbody>{rows}</tbody></table>
<script>{FILTER}</script>"""


def _order(one: Mapping[str, Any]) -> tuple[bool, str]:
    """Put the authors' first, and the others by name."""
    return not one["name"].startswith("authors"), one["title"].casefold()


def row(one: Mapping[str, Any], page: Any) -> str:
    sign, word, *_ = VERDICTS[one["verdict"]]
    first = next(iter(causes(one)), None) or next(iter(one["failures"]), None)
    shown = ""
    if first is not None:
        link = page("conformance/cases", first["case"])
        shown = f'<a href="{link}" title="{first["case"]}">case</a>'
        if "clause" in first:
            shown = f"{clause(first['clause'], page)}, {shown}"
    name, title = one["name"], html.escape(one["title"])
    return (
        f'<tr id="row-{name}" data-verdict="{one["verdict"]}">'
        f'<th scope="row"><a href="#{anchor(name)}">{title}</a> '
        f'<a class="home" href="{one["home"]}">{html.escape(one["version"])}</a></th>'
        f'<td class="verdict {one["verdict"]}"><span aria-hidden="true">{sign}</span> '
        f"{word}</td><td>{html.escape(sentence(one))}</td><td>{shown}</td></tr>\n"
    )


def anchor(name: str) -> str:
    return name.replace("_", "-").lower()


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
        f'Its badge: <img src="{badges}/{name}.svg" alt="lookahead: {word}"> '
        f'(<a href="{badges}/{name}.json">for shields.io</a>).</p>\n<ul>'
    )
    for place, explanation in enumerate(one["causes"]):
        for each in explanation:
            bug = f'<a href="{page("conformance/bugs", each["name"])}">'
            told = f"{bug}<code>{each['name']}</code></a>: it {html.escape(each['says'])}"
            yield (
                f"<li>{'Or equally ' if place else ''}{told} "
                f"({clause(each['clause'], page)}). Shown by {case(each['case'], page)} "
                f"{html.escape(_from(each))}.</li>\n"
            )
    for each in one["conventions"]:
        names = " or ".join(f"<code>{name}</code>" for name in each["names"])
        yield f"<li>Convention: {names or 'none throughout, it mixes them'}.</li>\n"
    for each in one["failures"]:
        yield (
            f"<li>It stops at {_checks(each['count'])}, such as "
            f"{case(each['case'], page)}: {html.escape(_error(each['shows']))}.</li>\n"
        )
    for each in one["beyond"]:
        yield (
            f"<li>With {each['condition']} values, {_checks(each['count'])} fail, "
            f"such as {case(each['case'], page)}.</li>\n"
        )
    told = [
        f"{html.escape(each['version'])} on {each['date']} (vectors {each['vectors']}): "
        f"{VERDICTS[each['verdict']][1]}"
        + (f", by {', '.join(each['causes'])}" if each["causes"] else "")
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
    """Leave out the case's id: it stands before."""
    return cause["shows"].removeprefix(cause["case"]).strip()


def _checks(count: int) -> str:
    return "1 check" if count == 1 else f"{count} checks"


FILTER = """
(() => {
  const form = document.querySelector(".survey-filter");
  const rows = [...document.querySelectorAll("#survey tbody tr")];
  const said = form.querySelector("output");
  const show = () => {
    const text = form.querySelector("[type=search]").value.toLowerCase();
    const verdict = form.querySelector("[name=verdict]:checked").value;
    for (const row of rows) {
      const fits = row.textContent.toLowerCase().includes(text);
      row.hidden = !fits || Boolean(verdict) && row.dataset.verdict !== verdict;
    }
    said.textContent = `${rows.filter((row) => !row.hidden).length} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", show);
})();
"""


def badge(verdict: str) -> str:
    """Draw a badge, in words of its own width."""
    _, _, word, colour, _ = VERDICTS[verdict]
    left, right = 66, 10 + 7 * len(word)
    text = 'y="14" fill="#fff" font-family="Verdana,sans-serif" font-size="11"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
        f'role="img" aria-label="lookahead: {word}"><title>lookahead: {word}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f'<text x="5" {text}>lookahead</text>'
        f'<text x="{left + 5}" {text}>{word}</text></svg>\n'
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
