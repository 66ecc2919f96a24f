"""Lists of known failures, which must go on failing."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookahead_ref.conformance.judging import Result
from lookahead_ref.conformance.own_inner import own_cases
from lookahead_ref.conformance.vectors import Format, cases, parse
from lookahead_ref.system import read_file

_EXPECTATIONS = Format("lookahead-expectations", 1)
_FIELDS = {"case", "flag", "reason", "link"}


Expectation = Mapping[str, str]
"""A known failure: a ``case`` or a ``flag``, with a reason and perhaps a link."""


def covers(expectation: Expectation, result: Result) -> bool:
    if "case" in expectation:
        return result.case.id == expectation["case"]
    return expectation["flag"] in result.case.flags


def read_expectations(path: Path) -> list[Expectation]:
    """Read a file of known failures, such as one that `first_list` made."""
    place = f"--expect {path}"
    try:
        content = read_file(path)
    except OSError as error:
        raise ValueError(f"{place} cannot be read: {error}") from error
    entries = parse(place, content, _EXPECTATIONS).get("expected")
    if not isinstance(entries, list):
        raise ValueError(f"{place}: expected must be a list, got {reprlib.repr(entries)}")
    known = {
        "case": {case.id for case in (*cases(), *own_cases())},
        "flag": {flag for case in cases() for flag in case.flags},
    }
    return [
        _entry(f"{place}, entry {number}", entry, known)
        for number, entry in enumerate(entries, start=1)
    ]


def _entry(place: str, entry: Any, known: dict[str, set[str]]) -> Expectation:
    if not isinstance(entry, dict) or ("case" in entry) == ("flag" in entry):
        raise ValueError(f"{place} must be an object with a case or a flag")
    for name, value in entry.items():
        if name not in _FIELDS or not isinstance(value, str):
            raise ValueError(
                f"{place} must hold strings named {', '.join(sorted(_FIELDS))}, "
                f"got {reprlib.repr(name)}: {reprlib.repr(value)}"
            )
    if not entry.get("reason"):
        raise ValueError(f"{place} must give a reason")
    kind = "case" if "case" in entry else "flag"
    if entry[kind] not in known[kind]:
        raise ValueError(f"{place}: no case of the suite has {kind} {entry[kind]!r}")
    return {"link": "", **entry}


def stale(
    results: Sequence[Result], expectations: Iterable[Expectation]
) -> list[Expectation]:
    """List the known failures that no longer fail."""
    found = []
    for each in expectations:
        states = {result.status for result in results if covers(each, result)}
        if "passed" in states and not {"failed", "error"} & states:
            found.append(each)
    return found


def first_list(results: Iterable[Result], reason: str) -> dict[str, Any]:
    """List all failures as known, with a placeholder for the reason."""
    failed = dict.fromkeys(r.case.id for r in results if r.status == "failed")
    listed = [{"case": case, "reason": reason, "link": ""} for case in failed]
    name, version = _EXPECTATIONS
    return {"format": name, "version": version, "expected": listed}
