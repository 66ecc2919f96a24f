"""A run of the suite as JUnit's XML."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from lookahead_ref.conformance.rendering import departure_line, known_line

__all__ = ["to_junit"]


def to_junit(summary: Mapping[str, Any], checks: Sequence[tuple[str, str, str]]) -> str:
    """Write JUnit's XML, which continuous integration reads.

    Parameters
    ----------
    summary : dict
        What was found.
    checks : sequence of tuple
        Profile, case and precision of every check, in order.

    Returns
    -------
    str
        An XML document: a test suite for each profile.
    """
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
            _note(test, "failure", f"passes though known to depart: {known_line(each)}")
    for suite in root:
        suite.set("tests", str(len(suite)))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
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
