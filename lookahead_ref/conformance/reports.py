"""Writes what a run of the suite found as text, Markdown, HTML and JUnit's XML."""

import html
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from xml.etree import ElementTree as ET

import numpy as np

from lookahead_ref.conformance.bugs import CLAUSES
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.protocol import Array, gradients_at, setup
from lookahead_ref.conformance.running import ModelResult
from lookahead_ref.conformance.summary import COUNTS, NOT_OFFERED, RunSummary
from lookahead_ref.conformance.vectors import Case, cases
from lookahead_ref.conformance.wire import printable
from lookahead_ref.report.page import Section, page, paragraph
from lookahead_ref.report.words import several

Item = TypeVar("Item")

_TITLES = ("Passed", "Failed", "Known", "Errors", "Not judged", "Not offered")
_HEADS = dict(zip(COUNTS, _TITLES, strict=True))
COLUMNS = ("Profile", "Verdict", *_HEADS.values())
"""The columns of the table of profiles."""

_SHOWN = 50
_WIDE = "which float32 cannot represent"
LIMIT = "The search for changes to the reference ended at its limit."


# Lines that all reports share.


def matrix_rows(summary: RunSummary) -> list[tuple[str, ...]]:
    """Return the rows of the table of profiles, under `COLUMNS`."""
    return [
        (row["name"], row["verdict"], *(str(row[name] or "") for name in COUNTS))
        for row in summary["profiles"]
    ]


def headline(summary: RunSummary) -> str:
    """Return the findings in a sentence."""
    if summary["exit_code"] == NOT_OFFERED:
        return f"{summary['target']} offers none of the checks."
    total = _total(summary)
    mixed = any(not each["names"] for each in summary["conventions"])
    findings = [
        (total["failed"], "{} fail"),
        (total["known"], "{} fail as expected"),
        (len(summary["unexpected_passes"]), "{} pass although they were expected to fail"),
        (mixed, "it mixes conventions"),
        (total["error"], "{} stopped with an error"),
        (total["unjudged"], "{} got no answer in time"),
        (total["unsupported"], "{} are not offered"),
    ]
    words = [_passing(total), *(text.format(count) for count, text in findings if count)]
    return f"{summary['target']}: {', '.join(words)}."


def _total(summary: RunSummary) -> dict[str, int]:
    """Add up the counts of all profiles."""
    return {name: sum(row[name] for row in summary["profiles"]) for name in COUNTS}


def _passing(total: Mapping[str, int]) -> str:
    judged = total["passed"] + total["failed"] + total["known"]
    return f"{total['passed']} of {judged} checks pass"


def failure_line(failure: Mapping[str, Any]) -> str:
    """Return where a case first fails, and by how much."""
    first = failure["quantities"][0]
    place = (
        f"{failure['case']} ({failure['dtype']}): {first['where']} at step "
        f"{first['step']}, {_indexed(first)}"
    )
    expected, got, distance = _numbers(first)
    if not first["representable"]:
        return f"{place}: got {got}, {_WIDE}"
    if not expected:
        return f"{place}: got {got}"
    return f"{place}: expected {expected}, got {got}, {distance} tolerances apart"


def _indexed(quantity: Mapping[str, Any]) -> str:
    """Write an element of a tensor with all its indices, such as ``weight[1, 0]``."""
    index = ", ".join(map(str, quantity["index"]))
    return f"{quantity['tensor']}[{index}]" if index else str(quantity["tensor"])


def _numbers(quantity: Mapping[str, Any]) -> tuple[str, str, str]:
    """Write the expected and actual value and their distance, with enough digits."""
    expected, got = quantity["expected"], quantity["got"]
    if not quantity["representable"]:
        return "a float32", repr(got), ""
    if expected is None:
        return "", f"{got:.9g}", ""
    texts = [(f"{expected:.{n}g}", f"{got:.{n}g}") for n in (6, 9, 12, 15)]
    texts.append((repr(expected), repr(got)))
    shown = next((each for each in texts if each[0] != each[1]), texts[-1])
    return *shown, f"{quantity['distance']:.3g}"


def diagnosis_lines(summary: RunSummary) -> Iterator[tuple[int, str]]:
    """Yield the lines that explain the failures, each with its indentation, from 0."""
    seen: set[str] = set()
    for each in summary["diagnosis"]:
        yield from ((0, line) for line in _alone(each))
        if not each["explanations"]:
            limit = f" {LIMIT}" * each["limited"]
            yield 0, f"No known bugs explain this, alone or together.{limit}"
            yield from ((1, line) for line in _departures(each))
            continue
        left = several(len(each["exceptions"]), "case")
        besides = f", except {left}," if each["exceptions"] else ""
        yield 0, f"Everything seen{besides} is explained by:"
        for place, explanation in enumerate(each["explanations"]):
            if place:
                yield 0, "or equally well by:"
            for cause in explanation:
                yield 1, f"{cause['name']}: {cause['says']}"
                if "diff" in cause:
                    of = f"{cause['function']}{':' * bool(cause['diff'])}"
                    yield 2, f"not a known bug, but this change to {of}"
                    yield from ((3, line) for line in cause["diff"])
                elif cause["name"] not in seen:
                    seen.add(cause["name"])
                    yield 2, f"consequence: {cause['breaks']}"
                    yield 2, f"to fix it: {cause['fix']}"
        yield from ((0, line) for line in _departures(each))
        if each["conventions"]:
            yield 0, f"Conventions followed: {', '.join(each['conventions'])}."
        if each["unobserved"]:
            yield 0, f"Conventions not observed: {', '.join(each['unobserved'])}."
        if each["limited"]:
            yield 0, LIMIT


def _alone(each: Mapping[str, Any]) -> Iterator[str]:
    if each["alone"]:
        yield (
            f"In a new process {each['alone']} passes: it depends on chance, or on what "
            "earlier runs leave behind, such as a global or static variable. It may be all."
        )


def _departures(each: Mapping[str, Any]) -> Iterator[str]:
    """Yield which steps are wrong in themselves, of what is not explained."""
    start = "With these causes, computing" if each["explanations"] else "Computing"
    start += " each step from what was shown before it finds"
    yield from (f"{start} {departure}." for departure in each["departures"])


def lists(summary: RunSummary) -> list[tuple[str, list[str]]]:
    """Return titles with their lines: failures, hints, errors and so on."""
    failures = summary["failures"]
    unknown = [each for each in failures if each["known"] is None]
    causes = [(each, _cause(summary, each)) for each in unknown]
    found = {
        "Failures": [
            f"{group[0][1]}: {_such_as(group)} {failure_line(group[0][0])}"
            for group in parted(causes, lambda each: each[1])
        ],
        "Known failures": [
            f"{failure_line(each)}: {each['known']['reason']}"
            for each in failures
            if each["known"]
        ],
        "Unexpected passes": [*map(_known_line, summary["unexpected_passes"])],
        "Conventions": [*map(_convention_line, summary["conventions"])],
        "Hints": summary["hints"],
        "Errors": _grouped(summary["errors"]),
        "Not judged": _grouped(summary["unjudged"]),
        "Not offered": _grouped(summary["unsupported"]),
    }
    return [(title, lines) for title, lines in found.items() if lines]


def _such_as(group: Sequence[object]) -> str:
    return several(len(group), "check") + ("," if len(group) == 1 else ", such as")


def _grouped(some: Sequence[Mapping[str, str]]) -> list[str]:
    """Write each reason once, with the number of checks and the first of them."""
    return [
        f"{each[0]['reason']}: {_such_as(each)} {each[0]['case']} ({each[0]['dtype']})"
        for each in parted(some, lambda each: each["reason"])
    ]


def parted(some: Iterable[Item], key: Callable[[Item], str]) -> list[list[Item]]:
    """Group items by key, in the order of first appearance."""
    groups: dict[str, list[Item]] = {}
    for each in some:
        groups.setdefault(key(each), []).append(each)
    return list(groups.values())


def _cause(summary: RunSummary, failure: Mapping[str, Any]) -> str:
    """Name the cause of a failure or, if no bug explains it, where it appears."""
    for each in summary["diagnosis"]:
        if each["explanations"] and failure["case"] not in each["exceptions"]:
            names = [cause["name"] for cause in each["explanations"][0]]
            # Not every bug has a flag.
            shown = [name for name in names if name in failure["flags"]]
            return ", ".join(shown or names)
    return f"{failure['profile']}, {failure['quantities'][0]['where']}"


def _convention_line(each: Mapping[str, Any]) -> str:
    if not each["names"]:
        counts = ", ".join(
            f"{name} in {several(n, 'check')}" for name, n in each["checks"].items()
        )
        return f"mixed, but one must be followed throughout: {counts}"
    both = zip(each["names"], each["says"], strict=True)
    return ", or equally well ".join(f"{name}: {says}" for name, says in both)


def _known_line(each: Mapping[str, str]) -> str:
    kind = "case" if "case" in each else "flag"
    return f"{kind} {each[kind]}: {each['reason']}"


# Plain words, for learners.


def in_plain_words(summary: RunSummary) -> Iterator[str]:
    """Yield the findings, perhaps `hidden`, as paragraphs."""
    total = _total(summary)
    if summary["exit_code"] == NOT_OFFERED:
        yield headline(summary)
    else:
        less = total["unsupported"]
        yield f"{_passing(total)}{f', {less} are not offered' if less else ''}."
    if summary["errors"]:
        first = summary["errors"][0]
        yield (
            f"{several(total['error'], 'check')} stopped with an error, first "
            f"{first['case']} ({first['dtype']}): {first['reason']}. Fix that before "
            "anything else."
        )
    if slow := _grouped(summary["unjudged"]):
        yield f"No answer came in time, so there is no verdict: {slow[0]}."
    if summary["failures"]:
        yield _smallest(summary)
        yield from summary["hints"]
        yield from _causes(summary)
    elif total["passed"] and not summary["errors"]:
        yield "Nothing that was tested is wrong."
    for each in summary["conventions"]:
        if each["names"]:
            yield f"It {', or equally well '.join(each['says'])}. That is allowed."
        else:
            yield f"Conventions: {_convention_line(each)}."
    rest = [row["name"] for row in summary["profiles"] if row["verdict"] == "not offered"]
    if rest:
        reasons = list(dict.fromkeys(each["reason"] for each in summary["unsupported"]))
        yield (
            f"Not tested: {', '.join(rest)}. The program said: {'; '.join(reasons[:3])}."
        )


def _smallest(summary: RunSummary) -> str:
    """Describe the smallest failing case, so that it can be computed by hand."""
    known = {case.id: case for case in (*cases(), *own_cases())}

    def size(failure: Mapping[str, Any]) -> tuple[int, int]:
        return known[failure["case"]].size, failure["quantities"][0]["step"]

    smallest = min(summary["failures"], key=size)
    first = smallest["quantities"][0]
    should = "" if first["expected"] is None else f" but should be {first['expected']:.9g}"
    should = should if first["representable"] else f", {_WIDE}"
    return (
        f"The smallest failing case is {smallest['case']} "
        f"({smallest['comment'].rstrip('.')}), in {smallest['dtype']}. After step "
        f"{first['step']} its {first['where']} are {first['got']:.9g} at "
        f"{_indexed(first)}{should}. Everything before that is right. "
        f"{_given(known[smallest['case']], smallest)}"
        f"Run it alone with --case {smallest['case']}."
    )


def _given(case: Case, failure: Mapping[str, Any]) -> str:
    """Return what computing the step by hand needs: tables, start and gradients."""
    first, dtype = failure["quantities"][0], failure["dtype"]
    asked = setup(case, dtype)
    tables = [("The learning rate at each step", asked.inner.learning_rate)]
    tables += [("Alpha at each synchronization", level.alpha) for level in asked.levels]
    given = "".join(
        f"{name} is {', '.join(map(repr, table))}, and stays at the last value. "
        for name, table in tables
        if len(table) > 1
    )
    if case.data["problem"]["kind"] != "tape":
        return given
    name, element = first["tensor"], first["element"]

    def number(array: Array | None) -> str:
        return "none" if array is None else f"{array.reshape(-1)[element]:.9g}"

    tape = [number(gradients_at(case, dtype, t, [])[name]) for t in range(first["step"])]
    start = number(asked.params[name])
    many = f"s until then are {', '.join(tape)}" if len(tape) > 1 else f" is {tape[0]}"
    return f"{given}This element starts at {start}, and its gradient{many}. "


def _causes(summary: RunSummary) -> Iterator[str]:
    found = [each for each in summary["diagnosis"] if each["explanations"]]
    causes = [cause for each in found for e in each["explanations"] for cause in e]
    if not found:
        yield (
            "No known mistake explains this, nor do several together. Compute that case "
            "step by step, on paper, and compare."
        )
    elif any("diff" in cause for cause in causes):
        yield "No known mistake explains everything. This change to the reference does:"
    seen: set[str] = set()
    for each in summary["diagnosis"]:
        yield from _alone(each)
        for place, explanation in enumerate(each["explanations"]):
            start = "Equally, it could be" if place else "Your program behaves exactly like"
            says = ", and ".join(cause["says"] for cause in explanation)
            yield f"{start} one that {says}."
            for cause in explanation:
                if cause["name"] in seen:
                    continue
                if cause.get("diff"):
                    yield "\n".join([f"The change to {cause['function']}:", *cause["diff"]])
                elif "diff" not in cause and cause["kind"] == "bug":
                    seen.add(cause["name"])
                    breaks, fix = cause["breaks"], cause["fix"]
                    yield f"What that breaks: {breaks}. What to do: {fix}."
            for clause in dict.fromkeys(cause["clause"] for cause in explanation):
                it = next(each for each in CLAUSES if each.id == clause)
                yield f"See clause {it.id} of the specification: {it.title} ({it.kind})."
        if each["exceptions"]:
            count = several(len(each["exceptions"]), "case")
            yield f"That leaves {count} unexplained, such as {each['exceptions'][0]}."
        yield from _departures(each)
        if each["limited"]:
            yield LIMIT


# Markdown, for a page of continuous integration.


def to_markdown(summary: RunSummary) -> str:
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


def to_html(summary: RunSummary) -> str:
    """Write a whole HTML document."""
    sections = [Section("Profiles", _table(COLUMNS, matrix_rows(summary)))]
    if summary["diagnosis"]:
        body = "\n".join(
            f'<p style="margin-left: {1.5 * depth}rem">{html.escape(text)}</p>'
            for depth, text in diagnosis_lines(summary)
        )
        sections.append(Section("Diagnosis", body))
    if summary["failures"]:
        columns = ("Case", "Quantity", "Step", "Expected", "Got", "Tolerances")
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
    case = f"{failure['case']} ({failure['dtype']}){reason}"
    return case, where, str(first["step"]), *_numbers(first)


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


def to_junit(summary: RunSummary, checks: Sequence[tuple[str, str, str]]) -> str:
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
        status = _HEADS[result.status].lower()
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
