"""A run of the suite for people and for machines: text, Markdown, HTML.

Each takes what `lookahead_ref.conformance.summary` puts together, and nothing else.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lookahead_ref.report.page import Section, page, paragraph

__all__ = [
    "COLUMNS",
    "convention_line",
    "departure_line",
    "diagnosis_lines",
    "headline",
    "known_line",
    "lists",
    "markdown",
    "matrix_rows",
    "to_html",
]

Summary = Mapping[str, Any]

COLUMNS = ("Profile", "Verdict", "Passed", "Departed", "Known", "Failed", "Not offered")
"""The columns of the matrix."""

_SHOWN = 50


def matrix_rows(summary: Summary) -> list[tuple[str, ...]]:
    """Return the rows of the matrix under `COLUMNS`."""
    counts = ("passed", "departed", "known", "failed", "unsupported")
    return [
        (row["name"], row["verdict"], *(str(row[name] or "") for name in counts))
        for row in summary["profiles"]
    ]


def headline(summary: Summary) -> str:
    """Return what was found, in a sentence."""
    total = {
        name: sum(row[name] for row in summary["profiles"])
        for name in ("passed", "departed", "known", "failed", "unsupported")
    }
    judged = total["passed"] + total["departed"] + total["known"]
    words = [f"{total['passed']} of {judged} checks pass"]
    if total["departed"]:
        words.append(f"{total['departed']} depart")
    if total["known"]:
        words.append(f"{total['known']} depart as known")
    if summary["unexpected_passes"]:
        words.append(f"{len(summary['unexpected_passes'])} pass though known to depart")
    if any(not each["names"] for each in summary["conventions"]):
        words.append("it mixes conventions")
    if total["failed"]:
        words.append(f"the target failed at {total['failed']}")
    if total["unsupported"]:
        words.append(f"{total['unsupported']} are not offered")
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
            yield 0, f"{about}: no named departure explains it, nor do any two together."
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


def markdown(summary: Summary) -> str:
    """Write a summary for a page of continuous integration.

    Parameters
    ----------
    summary : dict
        What was found.

    Returns
    -------
    str
        Markdown, with a line end.
    """
    lines = ["## Lookahead conformance", "", _plain(headline(summary)), ""]
    lines.append("| " + " | ".join(COLUMNS) + " |")
    lines.append("| --- | --- |" + " ---: |" * (len(COLUMNS) - 2))
    lines += ["| " + " | ".join(row) + " |" for row in matrix_rows(summary)]
    if summary["diagnosis"]:
        lines += ["", "### Diagnosis", ""]
        for depth, text in diagnosis_lines(summary):
            bullet = "  " * (depth - 1) + "- " if depth else "\n"
            lines.append(bullet + _plain(text) + ("" if depth else "\n"))
    for title, entries in lists(summary):
        lines += ["", f"### {title}", ""]
        lines += [f"- {_plain(each)}" for each in entries[:_SHOWN]]
        if len(entries) > _SHOWN:
            lines.append(f"- and {len(entries) - _SHOWN} more")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Escape what Markdown would take for its own."""
    for mark in "\\`*_<>|":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def lists(summary: Summary) -> Iterator[tuple[str, list[str]]]:
    """List what is to be told case by case: titles, each with its lines."""
    unexpected = [each for each in summary["departures"] if each["known"] is None]
    if unexpected:
        yield "Departures", [departure_line(each) for each in unexpected]
    known = [each for each in summary["departures"] if each["known"] is not None]
    if known:
        yield (
            "Known departures",
            [f"{departure_line(each)}: {each['known']['reason']}" for each in known],
        )
    if summary["unexpected_passes"]:
        yield (
            "Passes though known to depart",
            [known_line(each) for each in summary["unexpected_passes"]],
        )
    if summary["conventions"]:
        yield "Conventions", [convention_line(each) for each in summary["conventions"]]
    if summary["failures"]:
        yield (
            "Failures",
            [f"{e['case']} ({e['dtype']}): {e['reason']}" for e in summary["failures"]],
        )
    reasons: dict[str, int] = {}
    for each in summary["unsupported"]:
        reasons[each["reason"]] = reasons.get(each["reason"], 0) + 1
    if reasons:
        yield "Not offered", [f"{reason} ({count})" for reason, count in reasons.items()]


def convention_line(each: Mapping[str, Any]) -> str:
    """Return what the program does where programs differ."""
    if not each["names"]:
        counts = ", ".join(f"{name} in {n} checks" for name, n in each["checks"].items())
        return f"mixed, where one is to be followed throughout: {counts}"
    both = zip(each["names"], each["says"], strict=True)
    return ", or as well ".join(f"{name}: {says}" for name, says in both)


def known_line(each: Mapping[str, str]) -> str:
    """Return what a known departure is of, and why."""
    kind = "case" if "case" in each else "flag"
    return f"{kind} {each[kind]}: {each['reason']}"


def to_html(summary: Summary) -> str:
    """Write a page that opens with no network.

    Parameters
    ----------
    summary : dict
        What was found.

    Returns
    -------
    str
        A whole HTML document.
    """
    sections = [Section("Profiles", _table(COLUMNS, matrix_rows(summary)))]
    if summary["diagnosis"]:
        body = "\n".join(
            f'<p style="margin-left: {1.5 * depth}rem">{html.escape(text)}</p>'
            for depth, text in diagnosis_lines(summary)
        )
        sections.append(Section("Diagnosis", body))
    if summary["departures"]:
        columns = ("Case", "Precision", "Quantity", "Step", "Expected", "Got", "Tolerances")
        rows = []
        for each in summary["departures"]:
            first = each["quantities"][0]
            where = f"{first['where']}: {first['tensor']}[{first['element']}]"
            known = "" if each["known"] is None else f" (known: {each['known']['reason']})"
            expected, got, distance = "", f"{first['got']:.9g}", ""
            if first["expected"] is not None:
                expected, got = _told_apart(first["expected"], first["got"])
                distance = f"{first['distance']:.3g}"
            rows.append(
                (
                    each["case"] + known,
                    each["dtype"],
                    where,
                    str(first["step"]),
                    expected,
                    got,
                    distance,
                )
            )
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
