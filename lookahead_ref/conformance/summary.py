"""What a run of the suite found, as plain data, which `reports` turns into words."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

import lookahead_ref
from lookahead_ref.conformance.bugs import HINTS, by_name
from lookahead_ref.conformance.findings import Diagnosis, followed
from lookahead_ref.conformance.judging import Mismatch, Result, judge
from lookahead_ref.conformance.known_failures import Expectation, covers, stale
from lookahead_ref.conformance.vectors import VERSION, Case
from lookahead_ref.conformance.wire import encode

RunSummary = Mapping[str, Any]

PASSED, FAILED, ERROR, UNJUDGED, NOT_OFFERED = 0, 1, 3, 4, 5
"""Exit codes; 2 is for a wrong command."""

COUNTS = ("passed", "failed", "known", "error", "unjudged", "unsupported")
"""The counts of a profile: one for each status, and the known failures."""

_VERDICTS = {
    "error": "error",
    "failed": "fails",
    "unjudged": "not judged",
    "known": "known failures",
    "passed": "passes",
}
"""A profile's verdict, by the first status that any of its cases has."""


def summarize(
    target: str,
    results: Sequence[Result],
    diagnoses: Sequence[Diagnosis],
    expectations: Sequence[Expectation] = (),
    *,
    level: str = "strict",
) -> dict[str, Any]:
    """Collect the findings of a run as plain data."""
    failures = [
        _failure(result, next((e for e in expectations if covers(e, result)), None))
        for result in results
        if result.status == "failed"
    ]
    surprises = stale(results, expectations)
    told = [bug for each in diagnoses for some in each.explanations for bug in some]
    conventions = followed(results, {bug.place for bug in told if bug.kind == "bug"})
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
        "hints": list(_hints(results, level)),
        "diagnosis": [
            {
                "conventions": list(each.conventions),
                "explanations": [[bug.as_dict() for bug in e] for e in each.explanations],
                "exceptions": list(each.exceptions),
                "unobserved": list(each.unobserved),
                "limited": each.limited,
                "departures": list(each.departures),
                "alone": each.alone,
            }
            for each in diagnoses
        ],
    }


def exit_code(statuses: Collection[str]) -> int:
    """Return the code of the worst status; if nothing is offered, that is no pass."""
    if set(statuses) == {"unsupported"}:
        return NOT_OFFERED
    codes = {"error": ERROR, "failed": FAILED, "unjudged": UNJUDGED}
    return next((code for status, code in codes.items() if status in statuses), PASSED)


def _hints(results: Sequence[Result], level: str) -> Iterator[str]:
    """Suggest options that may show more."""
    failed = [(r.case, r.seen, r.dtype) for r in results if r.status == "failed"]
    within = (x and judge(case, x, dtype, "gpu").passed for case, x, dtype in failed)
    if level == "strict" and failed and all(within):
        yield "The differences are no larger than a GPU's may be: --level gpu allows them."
    for flag in ("overflow", "subnormal"):
        if failed and all(flag in case.flags for case, *_ in failed):
            yield HINTS[flag]
    if {r.case.save_after is None for r in results if r.status == "error"} == {False}:
        yield HINTS["save"]
    if any(each.status == "unjudged" for each in results):
        yield "The machine is slow, or the program hangs: --step-timeout gives more time."
    wrong = {each.dtype for each in results if each.status in ("failed", "error")}
    judged = Counter(each.dtype for each in results if each.status != "unsupported")
    passed = Counter(each.dtype for each in results if each.status == "passed")
    for right, other in product(judged.keys() - wrong, wrong):
        if passed[other] < judged[other] / 2:
            yield f"If it computes only in {right}, --dtype {right} leaves out {other}."


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
        counted = {status: counts[status] for status in COUNTS}
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
    held = mismatch.representable
    return {
        "where": mismatch.where,
        "step": mismatch.step,
        "tensor": name,
        "element": place,
        "index": index,
        "representable": held,
        "expected": mismatch.expected if held else None,
        "got": mismatch.got,
        "expected_bits": encode([mismatch.expected])[0] if held else None,
        "got_bits": encode([mismatch.got])[0],
        "distance": mismatch.distance if held else None,
    }


def _element(case: Case, element: int) -> tuple[str, int, list[int]]:
    """Return an element's tensor, its place in row-major order, and its index."""
    for name, shape in zip(case.names, case.shapes, strict=True):
        if element < prod(shape):
            return name, element, [int(i) for i in np.unravel_index(element, shape)]
        element -= prod(shape)
    raise IndexError(f"no tensor of {case.id} has the element")


def hidden(summary: RunSummary) -> dict[str, Any]:
    """Leave out expected values, and what would give them away."""
    out = {"expected": None, "expected_bits": None, "distance": None}
    return {
        **summary,
        "failures": [
            {**each, "quantities": [{**q, **out} for q in each["quantities"]]}
            for each in summary["failures"]
        ],
    }
