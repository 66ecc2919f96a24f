"""What a run of the suite found: as plain data, and from it text, Markdown, HTML, JUnit."""

import html
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, TypeVar
from xml.etree import ElementTree as ET

import numpy as np

import lookahead_ref
from lookahead_ref.conformance.bugs import CLAUSES, by_name
from lookahead_ref.conformance.bugs.simulation import has
from lookahead_ref.conformance.diagnosis import Diagnosis, followed
from lookahead_ref.conformance.judging import (
    Expectation,
    Mismatch,
    Result,
    covers,
    judge,
    stale,
)
from lookahead_ref.conformance.oracle import RULES
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.protocol import Array, gradients_at, setup
from lookahead_ref.conformance.running import ModelResult
from lookahead_ref.conformance.vectors import VERSION, Case, cases
from lookahead_ref.conformance.wire import encode, printable
from lookahead_ref.report.page import Section, page, paragraph

Summary = Mapping[str, Any]
Item = TypeVar("Item")

PASSED, FAILED, ERROR, UNJUDGED, NOT_OFFERED = 0, 1, 3, 4, 5
"""Exit codes; 2 is for a command that was wrong."""

_COUNTS = {
    "passed": "Passed",
    "failed": "Failed",
    "known": "Known",
    "error": "Errors",
    "unjudged": "Not judged",
    "unsupported": "Not offered",
}
COLUMNS = ("Profile", "Verdict", *_COUNTS.values())
"""The columns of the matrix."""

_VERDICTS = {
    "error": "error",
    "failed": "fails",
    "unjudged": "not judged",
    "known": "fails as known",
    "passed": "passes",
}
"""A profile's verdict, by the first status that any of its cases has."""
_SHOWN = 50

_TRAITS = {
    "nested": "a Lookahead around another",
    "outer": "an outer optimizer",
    "workers": "several workers",
    "save": "a loaded state",
    "evaluate": "an evaluation",
    "alphas": "an alpha that changes",
    "rates": "a learning rate that changes",
    "maintain": "inner state that is maintained",
    "reset": "inner state that is reset",
    "interpolate": "inner state that is interpolated",
    "decay": "weight decay",
    "l2": "weight decay in the gradient",
    "decoupled": "weight decay apart from the gradient",
    "slots": "an inner optimizer with slots",
    "velocity": "an inner optimizer with a velocity",
    **{rule: f"{rule} inside" for rule in RULES},
    "no-gradient": "a parameter without a gradient",
    "several": "several parameters",
    "matrix": "a matrix",
}
"""What a case may need for a bug to show, in words."""


def summarize(
    target: str,
    results: Sequence[Result],
    diagnoses: Sequence[Diagnosis],
    expectations: Sequence[Expectation] = (),
    *,
    level: str = "strict",
) -> dict[str, Any]:
    """Put together what a run found, as plain data."""
    failures = [
        _failure(result, next((e for e in expectations if covers(e, result)), None))
        for result in results
        if result.status == "failed"
    ]
    surprises = stale(results, expectations)
    conventions = followed(results)
    mixed = any(not each.names for each in conventions)
    wrong = mixed or surprises or any(each["known"] is None for each in failures)
    # A known failure counts as a pass.
    statuses = {"passed" if r.status == "failed" else r.status for r in results}
    return {
        "format": "lookahead-conformance",
        "version": 1,
        "target": target,
        "lookahead_ref": lookahead_ref.__version__,
        "vectors": VERSION,
        "level": level,
        "exit_code": exit_code(statuses | ({"failed"} if wrong else set())),
        "profiles": _profiles(results, failures),
        "conventions": [
            {
                "names": list(each.names),
                "says": [by_name(name).says for name in each.names],
                "checks": each.checks,
            }
            for each in conventions
        ],
        "failures": failures,
        "errors": _reasons(results, "error"),
        "unjudged": _reasons(results, "unjudged"),
        "unsupported": _reasons(results, "unsupported"),
        "unexpected_passes": surprises,
        "hints": [*_hints(results, level), *_common(results, diagnoses)],
        "diagnosis": [
            {
                "scope": each.scope,
                "conventions": list(each.conventions),
                "explanations": [[bug.as_dict() for bug in e] for e in each.explanations],
                "exceptions": list(each.exceptions),
                "unobserved": list(each.unobserved),
                "limited": each.limited,
            }
            for each in diagnoses
        ],
    }


def exit_code(statuses: Collection[str]) -> int:
    """Return the code of the worst status; all that is not offered is no pass."""
    if set(statuses) == {"unsupported"}:
        return NOT_OFFERED
    codes = {"error": ERROR, "failed": FAILED, "unjudged": UNJUDGED}
    return next((code for status, code in codes.items() if status in statuses), PASSED)


def _hints(results: Sequence[Result], level: str) -> Iterator[str]:
    """Say which option may tell more: what there is to try at no cost."""
    failed = [(r.case, r.seen, r.dtype) for r in results if r.status == "failed"]
    within = (
        seen and judge(case, seen, dtype, "gpu").passed for case, seen, dtype in failed
    )
    if level == "strict" and failed and all(within):
        yield "It fails only as GPUs may, such as by flushing: --level gpu allows that."
    if any(each.status == "unjudged" for each in results):
        yield "The machine is slow, or the program hangs: --step-timeout gives more time."
    wrong = {each.dtype for each in results if each.status in ("failed", "error")}
    judged = Counter(each.dtype for each in results if each.status != "unsupported")
    passed = Counter(each.dtype for each in results if each.status == "passed")
    for right, other in product(judged.keys() - wrong, wrong):
        if passed[other] < judged[other] / 2:
            yield f"If it computes only in {right}, --dtype {right} leaves out {other}."


def _common(results: Sequence[Result], diagnoses: Sequence[Diagnosis]) -> Iterator[str]:
    """Say where to look if no bug explains everything: what all failing checks have."""
    if not diagnoses or diagnoses[0].explanations:
        return
    judged = [each for each in results if each.verdict is not None]
    failed = [each for each in judged if each.status == "failed"]

    def having(traits: Sequence[str], some: Sequence[Result]) -> list[Result]:
        return [r for r in some if all(has(trait, r.case.data) for trait in traits)]

    traits = [each for each in _TRAITS if len(having([each], failed)) == len(failed)]
    for each in reversed(traits):  # what the others imply says nothing more
        rest = [trait for trait in traits if trait != each]
        if len(having(rest, judged)) == len(having(traits, judged)):
            traits = rest
    if traits:
        told = " and ".join(_TRAITS[each] for each in traits)
        count = f"{len(failed)} of {len(having(traits, judged))}"
        yield f"Only checks with {told} fail: {count} of them."
    firsts = [
        (r.verdict.mismatches[0], r.case.data["lookahead"]) for r in failed if r.verdict
    ]
    if all("after loading" in first.where for first, _ in firsts):
        yield "Each fails after a state is loaded, and not before."
    if all(
        any(not first.step % level["k"] for level in levels) for first, levels in firsts
    ):
        yield "Each fails first at a step that synchronizes."


def _reasons(results: Sequence[Result], status: str) -> list[dict[str, Any]]:
    return [
        {"case": r.case.id, "dtype": r.dtype, "profile": r.case.profile, "reason": r.reason}
        | ({"frame": r.frame} if status == "error" else {})
        for r in results
        if r.status == status
    ]


def _profiles(
    results: Sequence[Result], failures: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    known = {(each["case"], each["dtype"]) for each in failures if each["known"]}
    found: dict[str, Counter[str]] = {}
    for result in results:
        status = "known" if (result.case.id, result.dtype) in known else result.status
        found.setdefault(result.case.profile, Counter())[status] += 1
    profiles = []
    for name, counts in found.items():
        verdict = next(
            (v for status, v in _VERDICTS.items() if counts[status]), "not offered"
        )
        counted = {status: counts[status] for status in _COUNTS}
        profiles.append({"name": name, "verdict": verdict, **counted})
    return profiles


def _failure(result: Result, known: Expectation | None) -> dict[str, Any]:
    case, mismatches = result.case, result.verdict.mismatches if result.verdict else ()
    return {
        "case": case.id,
        "dtype": result.dtype,
        "profile": case.profile,
        "clause": case.data["clause"],
        "comment": case.data["comment"],
        "flags": case.flags,
        "known": known,
        "quantities": [_quantity(case, each) for each in mismatches],
    }


def _quantity(case: Case, mismatch: Mismatch) -> dict[str, Any]:
    name, place, index = _element(case, mismatch.element)
    return {
        "where": mismatch.where,
        "step": mismatch.step,
        "tensor": name,
        "element": place,
        "index": index,
        "expected": mismatch.expected,
        "got": mismatch.got,
        "expected_bits": encode([mismatch.expected])[0],
        "got_bits": encode([mismatch.got])[0],
        "distance": mismatch.distance,
    }


def _element(case: Case, element: int) -> tuple[str, int, list[int]]:
    """Return the tensor that an element is in, its place in row-major order, its index."""
    for name, shape in zip(case.names, case.shapes, strict=True):
        if element < prod(shape):
            return name, element, [int(i) for i in np.unravel_index(element, shape)]
        element -= prod(shape)
    raise IndexError(f"no tensor of {case.id} has the element")


def hidden(summary: Summary) -> dict[str, Any]:
    """Leave out what was expected, and what it could be worked out from."""
    out = {"expected": None, "expected_bits": None, "distance": None}
    return {
        **summary,
        "failures": [
            {**each, "quantities": [{**q, **out} for q in each["quantities"]]}
            for each in summary["failures"]
        ],
    }


# Lines that all reports share.


def matrix_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return the rows of the matrix under `COLUMNS`."""
    return [
        (row["name"], row["verdict"], *(str(row[name] or "") for name in _COUNTS))
        for row in summary["profiles"]
    ]


def headline(summary: Summary) -> str:
    """Return what was found, in a sentence."""
    total: Counter[str] = Counter()
    for row in summary["profiles"]:
        total.update({name: row[name] for name in _COUNTS})
    if summary["exit_code"] == NOT_OFFERED:
        return f"{summary['target']} offers nothing of what it was asked for."
    judged = total["passed"] + total["failed"] + total["known"]
    mixed = any(not each["names"] for each in summary["conventions"])
    told = [
        (total["failed"], "{} fail"),
        (total["known"], "{} fail as known"),
        (len(summary["unexpected_passes"]), "{} pass although they are known to fail"),
        (mixed, "it mixes conventions"),
        (total["error"], "the target stopped with an error at {}"),
        (total["unjudged"], "{} could not be judged, as no answer came in time"),
        (total["unsupported"], "{} are not offered"),
    ]
    words = [f"{total['passed']} of {judged} checks pass"]
    words += [text.format(count) for count, text in told if count]
    return f"{summary['target']}: {', '.join(words)}."


def failure_line(failure: Mapping[str, Any]) -> str:
    """Return where a case first fails, and by how much."""
    first = failure["quantities"][0]
    place = (
        f"{failure['case']} ({failure['dtype']}): {first['where']} at step "
        f"{first['step']}, {_indexed(first)}"
    )
    expected, got, distance = _numbers(first)
    if not expected:
        return f"{place}: got {got}"
    return f"{place}: expected {expected}, got {got}, {distance} tolerances apart"


def _indexed(quantity: Mapping[str, Any]) -> str:
    """Write an element of a tensor with all its indices, such as ``weight[1, 0]``."""
    index = ", ".join(map(str, quantity["index"]))
    return f"{quantity['tensor']}[{index}]" if index else str(quantity["tensor"])


def _numbers(quantity: Mapping[str, Any]) -> tuple[str, str, str]:
    """Write the expected and the actual value and their distance, in enough digits."""
    expected, got = quantity["expected"], quantity["got"]
    if expected is None:
        return "", f"{got:.9g}", ""
    texts = [(f"{expected:.{n}g}", f"{got:.{n}g}") for n in (6, 9, 12, 15)]
    texts.append((repr(expected), repr(got)))
    told = next((each for each in texts if each[0] != each[1]), texts[-1])
    return *told, f"{quantity['distance']:.3g}"


def diagnosis_lines(summary: Summary) -> Iterator[tuple[int, str]]:
    """Say what explains the failures: lines with their depth, from 0."""
    told: set[str] = set()
    for scopes, each in _by_finding(summary):
        about = f"What was observed in {scopes}" if scopes else "Everything observed"
        if not each["explanations"]:
            yield 0, f"{about}: no named bugs explain it, alone or together.{_ended(each)}"
            continue
        if each["exceptions"]:
            left = f"{len(each['exceptions'])} cases, nested or without gradients"
            about += f", except {left},"
        yield 0, f"{about} is explained by:"
        for place, explanation in enumerate(each["explanations"]):
            if place:
                yield 0, "or equally by:"
            for cause in explanation:
                yield 1, f"{cause['name']}: {cause['says']}"
                if cause["name"] in told:
                    continue
                if "diff" in cause:
                    yield (
                        2,
                        f"it is no bug with a name, but a change of {cause['function']}",
                    )
                    yield from ((3, line) for line in cause["diff"])
                    continue
                told.add(cause["name"])
                yield 2, f"it breaks: {cause['breaks']}"
                yield 2, f"to fix it: {cause['fix']}"
        if each["conventions"]:
            yield 0, f"Conventions followed: {', '.join(each['conventions'])}."
        if each["unobserved"]:
            yield 0, f"Conventions not observed: {', '.join(each['unobserved'])}."


def _ended(each: Mapping[str, Any]) -> str:
    limit = " The search for changes of the reference ended at its limit."
    return limit * bool(each["limited"])


def _by_finding(summary: Summary) -> list[tuple[str, Mapping[str, Any]]]:
    """Put profiles together of which the same was found; the names of all are empty."""

    def finding(each: Mapping[str, Any]) -> str:
        return str({**each, "scope": each["scope"] is None})

    found = parted(summary["diagnosis"], finding)
    return [(", ".join(each["scope"] or "" for each in same), same[0]) for same in found]


def lists(summary: Summary) -> list[tuple[str, list[str]]]:
    """List what is to be told case by case: titles, each with its lines."""
    failures = summary["failures"]
    unknown = [each for each in failures if each["known"] is None]
    causes = [(each, _cause(summary, each)) for each in unknown]
    found = {
        "Failures": [
            f"{group[0][1]}: {len(group)} checks, such as {failure_line(group[0][0])}"
            for group in parted(causes, lambda each: each[1])
        ],
        "Known failures": [
            f"{failure_line(each)}: {each['known']['reason']}"
            for each in failures
            if each["known"]
        ],
        "Passes although known to fail": [*map(_known_line, summary["unexpected_passes"])],
        "Conventions": [*map(_convention_line, summary["conventions"])],
        "Hints": summary["hints"],
        "Errors": _grouped(summary["errors"]),
        "Not judged": _grouped(summary["unjudged"]),
        "Not offered": _grouped(summary["unsupported"]),
    }
    return [(title, lines) for title, lines in found.items() if lines]


def _grouped(some: Sequence[Mapping[str, str]]) -> list[str]:
    """Write each reason once, with the number of checks and the first of them."""
    return [
        f"{first['reason']}: {1 + len(others)} checks, such as {first['case']} "
        f"({first['dtype']})"
        for first, *others in parted(some, lambda each: each["reason"])
    ]


def parted(some: Iterable[Item], key: Callable[[Item], str]) -> list[list[Item]]:
    """Part things into those that have the same key, in their order."""
    groups: dict[str, list[Item]] = {}
    for each in some:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _cause(summary: Summary, failure: Mapping[str, Any]) -> str:
    """Say what causes a failure or, if no bug explains it, where it shows."""
    for each in summary["diagnosis"]:
        if each["explanations"] and each["scope"] in (None, failure["profile"]):
            names = [cause["name"] for cause in each["explanations"][0]]
            # Not every bug has a flag.
            shown = [name for name in names if name in failure["flags"]]
            return ", ".join(shown or names)
    return f"{failure['profile']}, {failure['quantities'][0]['where']}"


def _convention_line(each: Mapping[str, Any]) -> str:
    if not each["names"]:
        counts = ", ".join(f"{name} in {n} checks" for name, n in each["checks"].items())
        return f"mixed, but one must be followed throughout: {counts}"
    both = zip(each["names"], each["says"], strict=True)
    return ", or as well ".join(f"{name}: {says}" for name, says in both)


def _known_line(each: Mapping[str, str]) -> str:
    kind = "case" if "case" in each else "flag"
    return f"{kind} {each[kind]}: {each['reason']}"


# Plain words, for someone who learns.


def in_plain_words(summary: Summary) -> Iterator[str]:
    """Say what was found, perhaps `hidden`, in paragraphs."""
    passed = sum(row["passed"] for row in summary["profiles"])
    judged = passed + sum(row["failed"] + row["known"] for row in summary["profiles"])
    if summary["exit_code"] == NOT_OFFERED:
        yield headline(summary)
    else:
        less = sum(row["unsupported"] for row in summary["profiles"])
        yield (
            f"{passed} of {judged} checks pass"
            + f", {less} are not offered" * bool(less)
            + "."
        )
    if summary["errors"]:
        first = summary["errors"][0]
        yield (
            f"It stopped at {len(summary['errors'])} checks, first at {first['case']} "
            f"({first['dtype']}): {first['reason']}. Fix that before anything else."
        )
    if slow := _grouped(summary["unjudged"]):
        yield f"No answer came in time, so there is no verdict: {slow[0]}."
    if summary["failures"]:
        yield _smallest(summary)
        yield from summary["hints"]
        yield from _causes(summary)
    elif judged and not summary["errors"]:
        yield "Nothing that was tested is wrong."
    for each in summary["conventions"]:
        allowed = "It {}: allowed." if each["names"] else "Conventions: {}."
        yield allowed.format(", or equally ".join(each["says"]) or _convention_line(each))
    rest = [row["name"] for row in summary["profiles"] if row["verdict"] == "not offered"]
    if rest:
        reasons = list(dict.fromkeys(each["reason"] for each in summary["unsupported"]))
        yield f"Not tested yet: {', '.join(rest)}. It said: {'; '.join(reasons[:3])}."


def _smallest(summary: Summary) -> str:
    known = {case.id: case for case in (*cases(), *own_cases())}

    def size(failure: Mapping[str, Any]) -> tuple[int, int]:
        return known[failure["case"]].size, failure["quantities"][0]["step"]

    smallest = min(summary["failures"], key=size)
    first = smallest["quantities"][0]
    should = "" if first["expected"] is None else f", and should be {first['expected']:.9g}"
    return (
        f"Look at the smallest case that goes wrong, {smallest['case']} "
        f"({smallest['comment'].rstrip('.')}), in {smallest['dtype']}. After step "
        f"{first['step']} its {first['where']} are {first['got']:.9g} at "
        f"{_indexed(first)}{should}. Up to there all is well. "
        f"{_given(known[smallest['case']], smallest)}"
        f"Run it alone with --case {smallest['case']}."
    )


def _given(case: Case, failure: Mapping[str, Any]) -> str:
    """Return what the step can be done from by hand: tables, its start, its gradients."""
    first, dtype = failure["quantities"][0], failure["dtype"]
    asked = setup(case, dtype)
    tables = [("The learning rate at each step", asked.inner.learning_rate)]
    tables += [("Alpha at each synchronization", level.alpha) for level in asked.levels]
    told = "".join(
        f"{name} is {', '.join(map(repr, table))}, and then the last. "
        for name, table in tables
        if len(table) > 1
    )
    if case.data["problem"]["kind"] != "tape":
        return told
    name, element = first["tensor"], first["element"]

    def number(array: Array | None) -> str:
        return "none" if array is None else f"{array.reshape(-1)[element]:.9g}"

    tape = [number(gradients_at(case, dtype, t, [])[name]) for t in range(first["step"])]
    start = number(asked.params[name])
    many = f"s up to there are {', '.join(tape)}" if len(tape) > 1 else f" is {tape[0]}"
    return f"{told}This element starts at {start}, and its gradient{many}. "


def _causes(summary: Summary) -> Iterator[str]:
    found = [(names, each) for names, each in _by_finding(summary) if each["explanations"]]
    if not found:
        yield (
            "No mistake that is known here explains it, nor do several together. "
            "Do the steps of that case by hand, on paper, and compare."
            + _ended(summary["diagnosis"][0])
        )
    elif all(scopes for scopes, _ in found):
        yield "Nothing that is known here explains everything. By profile:"
    told: set[str] = set()
    if any(
        "diff" in cause for _, each in found for e in each["explanations"] for cause in e
    ):
        yield "No known bug explains all of it. This change of the reference does:"
    for scopes, each in found:
        about = f"In {scopes}, it" if scopes else "Your program"
        for place, explanation in enumerate(each["explanations"]):
            start = f"{about} behaves exactly like one that "
            if place:
                start = "It could as well be one that "
            yield start + ", and ".join(cause["says"] for cause in explanation) + "."
            for cause in explanation:
                if cause["name"] in told:
                    continue
                if cause.get("diff"):
                    yield "\n".join([f"In {cause['function']} that is:", *cause["diff"]])
                elif "diff" not in cause:
                    told.add(cause["name"])
                    breaks, fix = cause["breaks"], cause["fix"]
                    yield f"What that breaks: {breaks}. What to do: {fix}."
            for clause in dict.fromkeys(cause["clause"] for cause in explanation):
                it = next(each for each in CLAUSES if each.id == clause)
                yield f"It is clause {it.id} of the specification: {it.title} ({it.kind})."


# Markdown, for a page of continuous integration.


def to_markdown(summary: Summary) -> str:
    """Write Markdown, with a line end."""
    lines = ["## Lookahead conformance", "", _escaped(headline(summary)), ""]
    lines.append("| " + " | ".join(COLUMNS) + " |")
    lines.append("| --- | --- |" + " ---: |" * (len(COLUMNS) - 2))
    lines += ["| " + " | ".join(row) + " |" for row in matrix_rows(summary)]
    if summary["diagnosis"]:
        lines += ["", "### Diagnosis", ""]
        for depth, text in diagnosis_lines(summary):
            bullet = "  " * (depth - 1) + "- " if depth else "\n"
            lines.append(bullet + _escaped(text) + ("" if depth else "\n"))
    for title, entries in lists(summary):
        lines += ["", f"### {title}", ""]
        lines += [f"- {_escaped(each)}" for each in entries[:_SHOWN]]
        if len(entries) > _SHOWN:
            lines.append(f"- and {len(entries) - _SHOWN} more")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    for mark in "\\`*_<>|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


# HTML: a page that opens with no network.


def to_html(summary: Summary) -> str:
    """Write a whole HTML document."""
    sections = [Section("Profiles", _table(COLUMNS, matrix_rows(summary)))]
    if summary["diagnosis"]:
        body = "\n".join(
            f'<p style="margin-left: {1.5 * depth}rem">{html.escape(text)}</p>'
            for depth, text in diagnosis_lines(summary)
        )
        sections.append(Section("Diagnosis", body))
    if summary["failures"]:
        columns = ("Case", "Precision", "Quantity", "Step", "Expected", "Got", "Tolerances")
        rows = [_row(each) for each in summary["failures"]]
        sections.append(Section("Failures", _table(columns, rows)))
    for title, entries in lists(summary):
        if "failures" not in title.lower():
            sections.append(Section(title, "\n".join(paragraph(each) for each in entries)))
    about = "Vectors {vectors}, tolerances {level}, lookahead-ref {lookahead_ref}."
    sections.append(Section("About", paragraph(about.format(**summary))))
    return page("Lookahead conformance", headline(summary), sections)


def _row(failure: Mapping[str, Any]) -> tuple[str, ...]:
    first, known = failure["quantities"][0], failure["known"]
    where = f"{first['where']}: {_indexed(first)}"
    reason = "" if known is None else f" (known: {known['reason']})"
    case, step = failure["case"] + reason, str(first["step"])
    return case, failure["dtype"], where, step, *_numbers(first)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        first, *rest = (html.escape(cell) for cell in row)
        head = f'<th scope="{"col" if tag == "th" else "row"}">{first}</th>'
        return "<tr>" + head + "".join(f"<{tag}>{cell}</{tag}>" for cell in rest) + "</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    return (
        f'<div class="wide"><table>\n<thead>{cells("th", columns)}</thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


# JUnit's XML, which continuous integration reads.


def to_junit(summary: Summary, checks: Sequence[tuple[str, str, str]]) -> str:
    """Write a test suite for each profile, of all checks: profile, case and precision."""
    marks = {}
    for each in summary["failures"]:
        mark = "failure", failure_line(each)
        if each["known"] is not None:
            mark = "skipped", f"known: {each['known']['reason']}"
        marks[each["case"], each["dtype"]] = mark
    tagged = {"errors": "error", "unjudged": "skipped", "unsupported": "skipped"}
    for some, tag in tagged.items():
        marks |= {(e["case"], e["dtype"]): (tag, e["reason"]) for e in summary[some]}
    root = ET.Element("testsuites", name=printable(str(summary["target"])))
    suites: dict[str, ET.Element] = {}

    def test(profile: str, name: str, mark: tuple[str, str] | None) -> None:
        if profile not in suites:
            suites[profile] = ET.SubElement(root, "testsuite", name=profile)
        found = ET.SubElement(suites[profile], "testcase", classname=profile, name=name)
        if mark is not None:
            ET.SubElement(found, mark[0], message=printable(mark[1]))

    for profile, case, dtype in checks:
        test(profile, f"{case} ({dtype})", marks.get((case, dtype)))
    for each in summary["unexpected_passes"]:
        mark = "failure", f"passes although known to fail: {_known_line(each)}"
        test("expectations", each.get("case", each.get("flag", "")), mark)
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for suite in root:
        suite.set("tests", str(len(suite)))
        for attribute, tag in tags.items():
            suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


# Golden models.


def report_lines(name: str, results: Sequence[ModelResult]) -> Iterator[str]:
    """Say how many cases passed by profile, and what failed."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        status = _COUNTS[result.status].lower()
        counts.setdefault(result.case.profile, Counter())[status] += 1
    yield f"{name}:"
    for profile, found in counts.items():
        said = ", ".join(f"{count} {status}" for status, count in found.items())
        yield f"  {profile}: {said}"
    for result in results:
        place = f"{result.case.id} in {result.dtype}"
        if result.status in ("error", "unjudged"):
            yield f"{place}: {result.reason}"
        for each in result.mismatches:
            shape = result.case.expected[each.where].values.shape
            element = ", ".join(map(str, np.unravel_index(each.element, shape)))
            where = f"{each.where}[{element}]" if shape else each.where
            yield (
                f"{place}: {where} is {each.got:.9g}, expected {each.expected:.9g}: "
                f"{each.distance:.3g} tolerances off"
            )
