"""A run of the suite in plain words, for someone who learns; and without the answers."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from lookahead_ref.conformance.clauses import CLAUSES
from lookahead_ref.conformance.protocol import Array, Gradients, setup
from lookahead_ref.conformance.vectors import Case, cases

__all__ = ["explained", "hidden"]

Summary = Mapping[str, Any]


def hidden(summary: Summary) -> dict[str, Any]:
    """Leave out of a summary what was expected, and what it could be worked out from.

    Parameters
    ----------
    summary : dict
        What was found.

    Returns
    -------
    dict
        The same with None in the place of expected values and distances.
    """
    out = {"expected": None, "expected_bits": None, "distance": None}
    return {
        **summary,
        "departures": [
            {**each, "quantities": [{**q, **out} for q in each["quantities"]]}
            for each in summary["departures"]
        ],
    }


def explained(summary: Summary) -> Iterator[str]:
    """Say in plain words what was found.

    Parameters
    ----------
    summary : dict
        What was found, perhaps `hidden`.

    Yields
    ------
    str
        Paragraphs.
    """
    passed = sum(row["passed"] for row in summary["profiles"])
    judged = passed + sum(row["departed"] + row["known"] for row in summary["profiles"])
    yield f"{passed} of {judged} checks pass."
    yield from _failures(summary)
    if summary["departures"]:
        yield _smallest(summary)
        yield from _causes(summary)
    elif judged and not summary["failures"]:
        yield "Nothing that was tested is wrong."
    rest = [row["name"] for row in summary["profiles"] if row["verdict"] == "not offered"]
    if rest:
        reasons = list(dict.fromkeys(each["reason"] for each in summary["unsupported"]))
        yield f"Not tested yet: {', '.join(rest)}. It said: {'; '.join(reasons[:3])}."


def _failures(summary: Summary) -> Iterator[str]:
    if summary["failures"]:
        first = summary["failures"][0]
        yield (
            f"It stopped at {len(summary['failures'])} checks, first at {first['case']} "
            f"({first['dtype']}): {first['reason']}. Mend that before anything else."
        )


def _smallest(summary: Summary) -> str:
    known = {case.id: case for case in cases()}

    def size(departure: Mapping[str, Any]) -> tuple[int, int]:
        case = known[departure["case"]]
        return case.steps * sum(prod(s) for s in case.shapes), departure["quantities"][0][
            "step"
        ]

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

    def told(array: Array | None) -> str:
        return "none" if array is None else f"{array.reshape(-1)[element]:.9g}"

    gradients = Gradients(case, dtype)
    tape = [told(gradients.at(t, [])[name]) for t in range(first["step"])]
    start = told(setup(case, dtype).params[name])
    many = f"s up to there are {', '.join(tape)}" if len(tape) > 1 else f" is {tape[0]}"
    return f"This element starts at {start}, and its gradient{many}. "


def _causes(summary: Summary) -> Iterator[str]:
    told = [each for each in summary["diagnosis"] if each["explanations"]]
    if not told:
        yield (
            "What it does is none of the mistakes that are known here, nor two of them "
            "together. Do the steps of that case by hand, on paper, and compare."
        )
    for each in told:
        about = "Your program" if each["scope"] is None else f"In {each['scope']}, it"
        for place, explanation in enumerate(each["explanations"]):
            start = f"{about} behaves exactly like one that "
            if place:
                start = "It could as well be one that "
            yield start + ", and ".join(cause["says"] for cause in explanation) + "."
            for cause in explanation:
                yield f"What that breaks: {cause['breaks']}. What to do: {cause['fix']}."
                yield _clause(cause)


def _clause(cause: Mapping[str, Any]) -> str:
    clause = next(each for each in CLAUSES if each.id == cause["clause"])
    return f"It is clause {clause.id} of the specification: {clause.title} ({clause.kind})."
