"""What a run of the suite found: as plain data, and from it text, Markdown, HTML, JUnit."""

import datetime as dt
import html
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby, pairwise
from math import prod
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

import lookahead_ref
from lookahead_ref.conformance.adapters import PEERS
from lookahead_ref.conformance.bugs import CLAUSES, CONDITIONS, SinglePrecision, by_name
from lookahead_ref.conformance.diagnosis import Diagnosis, Followed, diagnose, followed
from lookahead_ref.conformance.judging import (
    Expectation,
    Mismatch,
    Result,
    expectation_of,
    stale,
)
from lookahead_ref.conformance.protocol import Array, Gradients, setup
from lookahead_ref.conformance.running import ModelResult, open_target, run
from lookahead_ref.conformance.vectors import VERSION, Case, ModelCase, cases
from lookahead_ref.conformance.wire import encode
from lookahead_ref.report.page import Section, page, paragraph

Summary = Mapping[str, Any]

PASSED, DEPARTED, FAILED = 0, 1, 3
"""Exit codes; 2 is for a command that was wrong."""

COLUMNS = ("Profile", "Verdict", "Passed", "Departed", "Known", "Failed", "Not offered")
"""The columns of the matrix."""

_COUNTS = ("passed", "departed", "known", "failed", "unsupported")
_SHOWN = 50


def summarize(
    target: str,
    results: Sequence[Result],
    diagnoses: Sequence[Diagnosis],
    expectations: Sequence[Expectation] = (),
    *,
    level: str = "strict",
) -> dict[str, Any]:
    """Put together what a run found, as plain data."""
    departures = [
        _departure(result, expectation_of(result, expectations))
        for result in results
        if result.status == "departed"
    ]
    surprises = [_expectation(each) for each in stale(results, expectations)]
    failures = _reasons(results, "failed")
    conventions = followed(results)
    wrong = (
        any(each["known"] is None for each in departures)
        or surprises
        or any(not each.names for each in conventions)
    )
    return {
        "format": "lookahead-conformance",
        "version": 1,
        "target": target,
        "lookahead_ref": lookahead_ref.__version__,
        "vectors": VERSION,
        "level": level,
        "exit_code": FAILED if failures else DEPARTED if wrong else PASSED,
        "profiles": _profiles(results, departures),
        "conventions": [_convention(each) for each in conventions],
        "departures": departures,
        "failures": failures,
        "unsupported": _reasons(results, "unsupported"),
        "unexpected_passes": surprises,
        "diagnosis": [_diagnosis(each) for each in diagnoses],
    }


def _reasons(results: Sequence[Result], status: str) -> list[dict[str, str]]:
    return [
        {"case": r.case.id, "dtype": r.dtype, "profile": r.case.profile, "reason": r.reason}
        for r in results
        if r.status == status
    ]


def _profiles(
    results: Sequence[Result], departures: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    found: dict[str, Counter[str]] = {}
    for result in results:
        found.setdefault(result.case.profile, Counter())[result.status] += 1
    for each in departures:
        if each["known"] is not None:
            found[each["profile"]].update(known=1, departed=-1)
    return [
        {
            "name": name,
            "verdict": _verdict(counts),
            **{status: counts[status] for status in _COUNTS},
        }
        for name, counts in found.items()
    ]


def _verdict(counts: Mapping[str, int]) -> str:
    words = {
        "failed": "failed",
        "departed": "departs",
        "known": "departs as known",
        "passed": "passes",
    }
    return next((word for of, word in words.items() if counts[of]), "not offered")


def _departure(result: Result, known: Expectation | None) -> dict[str, Any]:
    case, verdict = result.case, result.verdict
    return {
        "case": case.id,
        "dtype": result.dtype,
        "profile": case.profile,
        "clause": case.data["clause"],
        "comment": case.data["comment"],
        "flags": case.flags,
        "known": None if known is None else _expectation(known),
        "quantities": []
        if verdict is None
        else [_quantity(case, each) for each in verdict.mismatches],
    }


def _quantity(case: Case, mismatch: Mismatch) -> dict[str, Any]:
    name, place = _element(case, mismatch.element)
    return {
        "where": mismatch.where,
        "step": mismatch.step,
        "tensor": name,
        "element": place,
        "expected": mismatch.expected,
        "got": mismatch.got,
        "expected_bits": encode([mismatch.expected])[0],
        "got_bits": encode([mismatch.got])[0],
        "distance": mismatch.distance,
    }


def _element(case: Case, element: int) -> tuple[str, int]:
    """Return the tensor that an element is in, and its place there."""
    ends = [0]
    for shape in case.shapes:
        ends.append(ends[-1] + prod(shape))
    for name, (start, end) in zip(case.names, pairwise(ends), strict=True):
        if start <= element < end:
            return name, element - start
    raise IndexError(f"element must be below {ends[-1]}, got {element}")


def _convention(each: Followed) -> dict[str, Any]:
    says = [by_name(name).says for name in each.names]
    return {"names": list(each.names), "says": says, "checks": each.checks}


def _expectation(each: Expectation) -> dict[str, str]:
    return {each.kind: each.name, "reason": each.reason, "link": each.link}


def _diagnosis(diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "scope": diagnosis.scope,
        "conventions": list(diagnosis.conventions),
        "explanations": [
            [bug.as_dict() for bug in explanation] for explanation in diagnosis.explanations
        ],
        "exceptions": list(diagnosis.exceptions),
    }


def hidden(summary: Summary) -> dict[str, Any]:
    """Leave out what was expected, and what it could be worked out from."""
    out = {"expected": None, "expected_bits": None, "distance": None}
    return {
        **summary,
        "departures": [
            {**each, "quantities": [{**q, **out} for q in each["quantities"]]}
            for each in summary["departures"]
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
    judged = total["passed"] + total["departed"] + total["known"]
    mixed = any(not each["names"] for each in summary["conventions"])
    told = [
        (total["departed"], "{} depart"),
        (total["known"], "{} depart as known"),
        (len(summary["unexpected_passes"]), "{} pass though known to depart"),
        (mixed, "it mixes conventions"),
        (total["failed"], "the target failed at {}"),
        (total["unsupported"], "{} are not offered"),
    ]
    words = [f"{total['passed']} of {judged} checks pass"]
    words += [text.format(count) for count, text in told if count]
    return f"{summary['target']}: {', '.join(words)}."


def departure_line(departure: Mapping[str, Any]) -> str:
    """Return where and by how much a case departs first."""
    first = departure["quantities"][0]
    place = (
        f"{departure['case']} ({departure['dtype']}): {first['where']} at step "
        f"{first['step']}, {first['tensor']}[{first['element']}]"
    )
    if first["expected"] is None:
        return f"{place}: got {first['got']:.9g}"
    expected, got = _told_apart(first["expected"], first["got"])
    return (
        f"{place}: expected {expected}, got {got}, {first['distance']:.3g} tolerances apart"
    )


def _told_apart(expected: float, got: float) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to tell them apart."""
    for digits in (6, 9, 12, 15):
        texts = f"{expected:.{digits}g}", f"{got:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(expected), repr(got)


def diagnosis_lines(summary: Summary) -> Iterator[tuple[int, str]]:
    """Say what explains the departures: lines with their depth, from 0."""
    for each in summary["diagnosis"]:
        about = (
            "All that was observed" if each["scope"] is None else f"Profile {each['scope']}"
        )
        if not each["explanations"]:
            yield 0, f"{about}: no named bug explains it, nor do any two together."
            continue
        if each["exceptions"]:
            about += f", but for {len(each['exceptions'])} nested cases,"
        yield 0, f"{about} is explained by:"
        for place, explanation in enumerate(each["explanations"]):
            if place:
                yield 0, "or as well by:"
            for cause in explanation:
                yield 1, f"{cause['name']}: {cause['says']}"
                yield 2, f"it breaks: {cause['breaks']}"
                yield 2, f"to fix it: {cause['fix']}"
        if each["conventions"]:
            yield 0, f"Conventions followed: {', '.join(each['conventions'])}."


def lists(summary: Summary) -> list[tuple[str, list[str]]]:
    """List what is to be told case by case: titles, each with its lines."""
    reasons = Counter(each["reason"] for each in summary["unsupported"])
    found: dict[str, list[str]] = {"Departures": [], "Known departures": []}
    for each in summary["departures"]:
        line = departure_line(each)
        if each["known"] is None:
            found["Departures"].append(line)
        else:
            found["Known departures"].append(f"{line}: {each['known']['reason']}")
    found |= {
        "Passes though known to depart": list(
            map(_known_line, summary["unexpected_passes"])
        ),
        "Conventions": list(map(_convention_line, summary["conventions"])),
        "Failures": [
            f"{e['case']} ({e['dtype']}): {e['reason']}" for e in summary["failures"]
        ],
        "Not offered": [f"{reason} ({count})" for reason, count in reasons.items()],
    }
    return [(title, lines) for title, lines in found.items() if lines]


def _convention_line(each: Mapping[str, Any]) -> str:
    if not each["names"]:
        counts = ", ".join(f"{name} in {n} checks" for name, n in each["checks"].items())
        return f"mixed, where one is to be followed throughout: {counts}"
    both = zip(each["names"], each["says"], strict=True)
    return ", or as well ".join(f"{name}: {says}" for name, says in both)


def _known_line(each: Mapping[str, str]) -> str:
    kind = "case" if "case" in each else "flag"
    return f"{kind} {each[kind]}: {each['reason']}"


# Plain words, for someone who learns.


def in_plain_words(summary: Summary) -> Iterator[str]:
    """Say what was found, perhaps `hidden`, in paragraphs."""
    passed = sum(row["passed"] for row in summary["profiles"])
    judged = passed + sum(row["departed"] + row["known"] for row in summary["profiles"])
    yield f"{passed} of {judged} checks pass."
    if summary["failures"]:
        first = summary["failures"][0]
        yield (
            f"It stopped at {len(summary['failures'])} checks, first at {first['case']} "
            f"({first['dtype']}): {first['reason']}. Fix that before anything else."
        )
    if summary["departures"]:
        yield _smallest(summary)
        yield from _causes(summary)
    elif judged and not summary["failures"]:
        yield "Nothing that was tested is wrong."
    rest = [row["name"] for row in summary["profiles"] if row["verdict"] == "not offered"]
    if rest:
        reasons = list(dict.fromkeys(each["reason"] for each in summary["unsupported"]))
        yield f"Not tested yet: {', '.join(rest)}. It said: {'; '.join(reasons[:3])}."


def _smallest(summary: Summary) -> str:
    known = {case.id: case for case in cases()}

    def size(departure: Mapping[str, Any]) -> tuple[int, int]:
        case = known[departure["case"]]
        elements = sum(prod(shape) for shape in case.shapes)
        return case.steps * elements, departure["quantities"][0]["step"]

    smallest = min(summary["departures"], key=size)
    first = smallest["quantities"][0]
    should = "" if first["expected"] is None else f", and should be {first['expected']:.9g}"
    return (
        f"Look at the smallest case that goes wrong, {smallest['case']} "
        f"({smallest['comment'].rstrip('.')}), in {smallest['dtype']}. After step "
        f"{first['step']} its {first['where']}, element {first['element']} of "
        f"{first['tensor']!r}, are {first['got']:.9g}{should}. Up to there all is well. "
        f"{_given(known[smallest['case']], smallest)}"
        f"Run it alone with --case {smallest['case']}."
    )


def _given(case: Case, departure: Mapping[str, Any]) -> str:
    """Return what the step can be done from by hand: where it starts, and its gradients."""
    if case.data["problem"]["kind"] != "tape":
        return ""
    first, dtype = departure["quantities"][0], departure["dtype"]
    name, element = first["tensor"], first["element"]

    def number(array: Array | None) -> str:
        return "none" if array is None else f"{array.reshape(-1)[element]:.9g}"

    gradients = Gradients(case, dtype)
    tape = [number(gradients.at(t, [])[name]) for t in range(first["step"])]
    start = number(setup(case, dtype).params[name])
    many = f"s up to there are {', '.join(tape)}" if len(tape) > 1 else f" is {tape[0]}"
    return f"This element starts at {start}, and its gradient{many}. "


def _causes(summary: Summary) -> Iterator[str]:
    found = [each for each in summary["diagnosis"] if each["explanations"]]
    if not found:
        yield (
            "What it does is none of the mistakes that are known here, nor two of them "
            "together. Do the steps of that case by hand, on paper, and compare."
        )
    for each in found:
        about = "Your program" if each["scope"] is None else f"In {each['scope']}, it"
        for place, explanation in enumerate(each["explanations"]):
            start = f"{about} behaves exactly like one that "
            if place:
                start = "It could as well be one that "
            yield start + ", and ".join(cause["says"] for cause in explanation) + "."
            for cause in explanation:
                yield f"What that breaks: {cause['breaks']}. What to do: {cause['fix']}."
                clause = next(c for c in CLAUSES if c.id == cause["clause"])
                yield (
                    f"It is clause {clause.id} of the specification: {clause.title} "
                    f"({clause.kind})."
                )


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
    if summary["departures"]:
        columns = ("Case", "Precision", "Quantity", "Step", "Expected", "Got", "Tolerances")
        rows = [_row(each) for each in summary["departures"]]
        sections.append(Section("Departures", _table(columns, rows)))
    for title, entries in lists(summary):
        if "departures" not in title.lower():
            sections.append(Section(title, "\n".join(paragraph(each) for each in entries)))
    about = (
        f"Vectors {summary['vectors']}, tolerances {summary['level']}, "
        f"lookahead-ref {summary['lookahead_ref']}."
    )
    sections.append(Section("About", paragraph(about)))
    return page("Lookahead conformance", headline(summary), sections)


def _row(departure: Mapping[str, Any]) -> tuple[str, ...]:
    first = departure["quantities"][0]
    where = f"{first['where']}: {first['tensor']}[{first['element']}]"
    known = departure["known"]
    reason = "" if known is None else f" (known: {known['reason']})"
    expected, got, distance = "", f"{first['got']:.9g}", ""
    if first["expected"] is not None:
        expected, got = _told_apart(first["expected"], first["got"])
        distance = f"{first['distance']:.3g}"
    case, step = departure["case"] + reason, str(first["step"])
    return case, departure["dtype"], where, step, expected, got, distance


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
    trouble = {(d["case"], d["dtype"]): ("departure", d) for d in summary["departures"]}
    trouble |= {(f["case"], f["dtype"]): ("failure", f) for f in summary["failures"]}
    trouble |= {(u["case"], u["dtype"]): ("absence", u) for u in summary["unsupported"]}
    root = ET.Element("testsuites", name=_legal(str(summary["target"])))
    suites: dict[str, ET.Element] = {}
    for profile, case, dtype in checks:
        if profile not in suites:
            suites[profile] = ET.SubElement(root, "testsuite", name=profile)
        test = ET.SubElement(
            suites[profile], "testcase", classname=profile, name=f"{case} ({dtype})"
        )
        kind, entry = trouble.get((case, dtype), ("", {}))
        if kind == "departure" and entry["known"] is not None:
            _note(test, "skipped", f"known: {entry['known']['reason']}")
        elif kind == "departure":
            _note(test, "failure", departure_line(entry))
        elif kind:
            _note(test, "error" if kind == "failure" else "skipped", entry["reason"])
    if summary["unexpected_passes"]:
        suite = ET.SubElement(root, "testsuite", name="expectations")
        for each in summary["unexpected_passes"]:
            name = each.get("case", each.get("flag", ""))
            test = ET.SubElement(suite, "testcase", classname="expectations", name=name)
            _note(test, "failure", f"passes though known to depart: {_known_line(each)}")
    tags = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for suite in root:
        suite.set("tests", str(len(suite)))
        for attribute, tag in tags.items():
            suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _note(test: ET.Element, tag: str, message: str) -> None:
    ET.SubElement(test, tag, message=_legal(message))


def _legal(text: str) -> str:
    """Replace the control characters that XML cannot hold."""
    return "".join(
        c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


# Golden models.


def report_lines(name: str, results: Sequence[ModelResult]) -> Iterator[str]:
    """Say how many cases passed by profile, and what failed."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        status = "not offered" if result.status == "unsupported" else result.status
        counts.setdefault(result.case.profile, Counter())[status] += 1
    yield f"{name}:"
    for profile, found in counts.items():
        said = ", ".join(f"{count} {status}" for status, count in found.items())
        yield f"  {profile}: {said}"
    for result in results:
        told = [_line(result.case, each) for each in result.mismatches]
        if result.status == "failed":
            told.append(result.reason)
        for each in told:
            yield f"{result.case.id} in {result.dtype}: {each}"


def _line(case: ModelCase, mismatch: Mismatch) -> str:
    shape = case.expected[mismatch.where].values.shape
    place = np.unravel_index(mismatch.element, shape)
    at = f"[{', '.join(map(str, place))}]" if shape else ""
    return (
        f"{mismatch.where}{at} is {mismatch.got:.9g}, expected {mismatch.expected:.9g}: "
        f"{mismatch.distance:.3g} tolerances off"
    )


# The public implementations side by side.


def survey(
    names: Iterable[str], *, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run the suite on public implementations, named as in `adapters.peers`."""
    found = []
    for name in names:
        if progress is not None:
            progress(name)
        with closing(open_target(name)) as target:
            results = run(target, cases())
        found.append({"name": name, "title": PEERS[name].title, **condensed(results)})
    return {
        "format": "lookahead-survey",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "vectors": VERSION,
        "lookahead_ref": lookahead_ref.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cases": len(cases()),
        "implementations": found,
    }


def condensed(results: Sequence[Result]) -> dict[str, Any]:
    """Say what was found of an implementation, with the smallest case of each finding."""
    diagnoses = diagnose(results)
    summary = summarize("", results, diagnoses)
    lines = {
        (each["case"], each["dtype"]): departure_line(each)
        for each in summary["departures"]
    }
    departed = [result for result in results if result.status == "departed"]

    def smallest(some: Iterable[Result]) -> dict[str, str]:
        result = min(some, key=_size)
        place = result.case.id, result.dtype
        return {"case": result.case.id, "shows": lines.get(place, result.reason)}

    causes = []
    for each in diagnoses[0].explanations if diagnoses else ():
        entry = []
        for cause in each:
            if cause is SinglePrecision:
                others = {other.name for other in each}
                shows = [r for r in departed if r.dtype == "float64" and _in_fast(r)]
                shows = [r for r in shows if not others & set(r.case.flags)] or shows
            else:
                shows = [r for r in departed if cause.name in r.case.flags] or departed
            entry.append({"name": cause.name, "says": cause.says, **smallest(shows)})
        causes.append(entry)
    beyond = [result for result in departed if _condition(result.case)]
    failures = sorted((r for r in results if r.status == "failed"), key=lambda r: r.reason)
    return {
        "profiles": summary["profiles"],
        "conventions": summary["conventions"],
        "causes": causes,
        "explained": bool(causes) or not departed,
        "exceptions": list(diagnoses[0].exceptions) if diagnoses else [],
        "beyond": [
            {"condition": condition, "count": len(some), **smallest(some)}
            for condition, some in _grouped(beyond)
        ],
        "failures": [
            {"count": len(some), **smallest(some)}
            for some in (list(each) for _, each in groupby(failures, lambda r: r.reason))
        ],
    }


def _in_fast(result: Result) -> bool:
    """Return whether the fast weights are the first that depart."""
    verdict = result.verdict
    return verdict is not None and verdict.mismatches[0].where == "fast weights"


def _size(result: Result) -> tuple[int, int]:
    case = result.case
    return case.steps * sum(prod(shape) for shape in case.shapes), case.steps


def _condition(case: Case) -> str:
    """Return what a case contains that keeps it out of the diagnosis."""
    untold = set(CONDITIONS) - {"no-gradient"}
    return next((flag for flag in case.flags if flag in untold), "")


def _grouped(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_condition(result.case), []).append(result)
    return list(groups.items())
