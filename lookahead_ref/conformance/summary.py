"""What a run of the suite found, as plain data: every output is made from it."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import lookahead_ref
from lookahead_ref.conformance.bugs import by_name
from lookahead_ref.conformance.diagnosis import Diagnosis, Followed, followed
from lookahead_ref.conformance.expectations import Expectation, expected, stale
from lookahead_ref.conformance.judging import Mismatch
from lookahead_ref.conformance.runner import Result, matrix
from lookahead_ref.conformance.vectors import VERSION, Case
from lookahead_ref.conformance.wire import encode

__all__ = ["DEPARTED", "FAILED", "PASSED", "summarize"]

PASSED = 0
DEPARTED = 1
FAILED = 3
"""Exit codes; 2 is for a command that was wrong."""


def summarize(
    target: str,
    results: Sequence[Result],
    diagnoses: Sequence[Diagnosis],
    expectations: Sequence[Expectation] = (),
    *,
    level: str = "strict",
) -> dict[str, Any]:
    """Put together what a run found.

    Parameters
    ----------
    target : str
        What was tested.
    results : sequence of Result
        What came of each case and precision.
    diagnoses : sequence of Diagnosis
        What explains the departures.
    expectations : sequence of Expectation
        The departures that are known.
    level : str, default: "strict"
        The tolerances that were used.

    Returns
    -------
    dict
        Plain data. ``exit_code`` is 0 where everything that the target offers passes or is
        expected to depart, 1 where something departs or passes unexpectedly or follows one
        convention here and another there, 3 where the target failed at a case.
    """
    departures = [
        _departure(result, expected(result, expectations))
        for result in results
        if result.status == "departed"
    ]
    surprises = [_expectation(each) for each in stale(results, expectations)]
    failures = [
        {"case": r.case.id, "dtype": r.dtype, "profile": r.case.profile, "reason": r.reason}
        for r in results
        if r.status == "failed"
    ]
    unexpected = [each for each in departures if each["known"] is None]
    conventions = followed(results)
    mixed = [each for each in conventions if not each.names]
    wrong = unexpected or surprises or mixed
    code = FAILED if failures else DEPARTED if wrong else PASSED
    return {
        "format": "lookahead-conformance",
        "version": 1,
        "target": target,
        "lookahead_ref": lookahead_ref.__version__,
        "vectors": VERSION,
        "level": level,
        "exit_code": code,
        "profiles": _profiles(results, departures),
        "conventions": [_convention(each) for each in conventions],
        "departures": departures,
        "failures": failures,
        "unsupported": [
            {
                "case": r.case.id,
                "dtype": r.dtype,
                "profile": r.case.profile,
                "reason": r.reason,
            }
            for r in results
            if r.status == "unsupported"
        ],
        "unexpected_passes": surprises,
        "diagnosis": [_diagnosis(each) for each in diagnoses],
    }


def _profiles(
    results: Sequence[Result], departures: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    rows = []
    for name, counts in matrix(results).items():
        known = sum(
            each["known"] is not None for each in departures if each["profile"] == name
        )
        departed = counts["departed"] - known
        verdict = (
            "failed"
            if counts["failed"]
            else "departs"
            if departed
            else "departs as known"
            if known
            else "passes"
            if counts["passed"]
            else "not offered"
        )
        rows.append(
            {
                "name": name,
                "verdict": verdict,
                "passed": counts["passed"],
                "departed": departed,
                "known": known,
                "failed": counts["failed"],
                "unsupported": counts["unsupported"],
            }
        )
    return rows


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
        else [_seen(case, each) for each in verdict.mismatches],
    }


def _seen(case: Case, mismatch: Mismatch) -> dict[str, Any]:
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
    return {
        "names": list(each.names),
        "says": [by_name(name).says for name in each.names],
        "checks": each.checks,
    }


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
