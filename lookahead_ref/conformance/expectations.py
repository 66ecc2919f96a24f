"""Known departures: what is listed may depart, and must, so that the list stays true."""

import json
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lookahead_ref.conformance.running import Result
from lookahead_ref.conformance.vectors import cases, read_file

_FORMAT = "lookahead-expectations"
_VERSION = 1
_FIELDS = {"case", "flag", "reason", "link"}


class ExpectationsError(ValueError):
    """A file of expectations that cannot be used; the message names it."""


@dataclass(frozen=True)
class Expectation:
    """A departure that is known: of one case, or of all cases that have a flag."""

    kind: Literal["case", "flag"]
    name: str
    reason: str
    link: str = ""
    """Where that is discussed."""

    def covers(self, result: Result) -> bool:
        """Return whether a result is one that this is about."""
        if self.kind == "case":
            return result.case.id == self.name
        return self.name in result.case.flags


def read(path: Path) -> list[Expectation]:
    """Read a file of known departures, as `first_list` makes one."""
    try:
        data = json.loads(read_file(path))
    except (OSError, ValueError, RecursionError) as error:
        raise ExpectationsError(f"--expect {path} cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ExpectationsError(f"--expect {path} must have the format {_FORMAT!r}")
    if data.get("version") != _VERSION:
        raise ExpectationsError(
            f"--expect {path} must have the version {_VERSION}, got "
            f"{reprlib.repr(data.get('version'))}"
        )
    entries = data.get("expected")
    if not isinstance(entries, list):
        raise ExpectationsError(f"--expect {path}: expected must be a list")
    known = {
        "case": {case.id for case in cases()},
        "flag": {flag for case in cases() for flag in case.flags},
    }
    return [
        _entry(f"--expect {path}, entry {number}", entry, known)
        for number, entry in enumerate(entries, start=1)
    ]


def _entry(place: str, entry: Any, known: dict[str, set[str]]) -> Expectation:
    if not isinstance(entry, dict) or ("case" in entry) == ("flag" in entry):
        raise ExpectationsError(f"{place} must be an object with a case or a flag")
    for name, value in entry.items():
        if name not in _FIELDS or not isinstance(value, str):
            raise ExpectationsError(
                f"{place} must hold strings named {', '.join(sorted(_FIELDS))}, "
                f"got {reprlib.repr(name)}: {reprlib.repr(value)}"
            )
    if not entry.get("reason"):
        raise ExpectationsError(f"{place} must give a reason")
    kind: Literal["case", "flag"] = "case" if "case" in entry else "flag"
    if entry[kind] not in known[kind]:
        raise ExpectationsError(f"{place}: no case of the suite has {kind} {entry[kind]!r}")
    return Expectation(kind, entry[kind], entry["reason"], entry.get("link", ""))


def expected(result: Result, expectations: Iterable[Expectation]) -> Expectation | None:
    """Return the first expectation that a departure meets."""
    return next((each for each in expectations if each.covers(result)), None)


def stale(
    results: Sequence[Result], expectations: Iterable[Expectation]
) -> list[Expectation]:
    """List the expectations about cases that were judged, none of which departs."""
    found = []
    for each in expectations:
        about = [result for result in results if each.covers(result)]
        states = {result.status for result in about}
        if "passed" in states and "departed" not in states and "failed" not in states:
            found.append(each)
    return found


def first_list(results: Iterable[Result], reason: str) -> dict[str, Any]:
    """Make a first list of known departures: all, with a reason to be replaced by hand."""
    departed = dict.fromkeys(r.case.id for r in results if r.status == "departed")
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "expected": [{"case": case, "reason": reason, "link": ""} for case in departed],
    }
