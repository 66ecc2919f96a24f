"""What was found of public implementations, in plain words."""

import re
from collections.abc import Mapping
from typing import Any

from lookahead_ref.conformance.bugs import CLAUSES

VERDICTS = {  # sign, in the table, in the badge, its colour, shields.io's name of it
    "right": ("\N{CHECK MARK}", "right", "right", "#1a7f37", "success"),
    "but": ("\N{WHITE CIRCLE}", "right, but", "right, but", "#8a6100", "yellow"),
    "wrong": ("\N{MULTIPLICATION X}", "wrong", "wrong", "#b42318", "critical"),
}

PLAIN = {
    "checkpoint-leaves-new-phi": "loses the slow weights in a checkpoint",
    "checkpoint-of-inner-alone": "loses the slow weights in a checkpoint",
    "checkpoint-of-inner-alone-phi-anew": "loses the slow weights in a checkpoint",
    "checkpoint-of-parameters-alone": "loses all of its state in a checkpoint",
    "checkpoint-without-phi": "loses the slow weights in a checkpoint",
    "checkpoint-without-step-counter": "loses the step counter in a checkpoint",
    "evaluates-fast-weights": "evaluates the fast weights",
    "evaluation-synchronizes": "an evaluation moves the weights that training goes on with",
    "first-sync-at-step-1": "synchronizes after steps 1, k + 1 and 2k + 1",
    "hyperparameters-in-float32": "in float64 it rounds hyperparameters to float32",
    "interpolated-slots-aliased": "its pullback does nothing",
    "interpolated-slots-aliased-in-place": "its pullback shrinks the momentum",
    "only-momentum-interpolated": "its pullback does nothing around Adam",
    "only-momentum-reset": "its reset does nothing around Adam",
    "period-plus-one": "synchronizes every k + 1 steps",
    "phi-after-decay": "copies the slow weights after the first weight decay",
    "phi-after-first-step": "starts the slow weights one step late",
    "phi-at-first-sync": "starts the slow weights k steps late",
    "phi-starts-at-zero": "starts the slow weights at zero",
    "reset-restarts-schedule": "a reset restarts the learning rate's schedule",
    "schedule-frozen": "ignores a scheduler around it",
    "schedule-frozen-after-loading": "ignores a scheduler once a checkpoint was loaded",
    "phi-zero-without-gradient": "starts slow weights at zero without a gradient",
    "single-precision": "in float64 it rounds to float32 on the way",
    "slow-momentum": "follows SlowMo's units, not DiLoCo's",
}
"""What the most frequent causes mean for whoever uses the package."""

GROUPS = "goes wrong with several parameter groups"
STOPS = "stops at zero_grad() in PyTorch 2"
LATE = "stops at the step after zero_grad() in PyTorch 2"

PAPERS = {clause.id for clause in CLAUSES if clause.kind == "paper"}


def causes(one: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """List causes: what the paper settles, what a checkpoint loses, and what else."""
    found = one["causes"][0] if one["causes"] else []
    return sorted(
        found,
        key=lambda each: (
            each["clause"] not in PAPERS,
            not each["name"].startswith("checkpoint"),
        ),
    )


def plain(cause: Mapping[str, Any]) -> str:
    return PLAIN.get(cause["name"], cause["says"])


def findings(one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say in plain words what is wrong, the most serious first, each with its clause."""
    named = [(plain(each), each["clause"]) for each in causes(one)]
    stops = [(_stop(each), "") for each in one["errors"]]
    # What stops matters more than what is rounded.
    rounds = all(clause == "LA-31" for _, clause in named)
    found = [*stops, *named] if rounds else [*named, *stops]
    fails = {each["name"]: each["says"] for each in one["use"]}
    if "groups" in fails:
        found = [(GROUPS, "LA-30"), *found]
    if says := fails.get("zero-grad"):
        # What stops is noticed, what goes on is not.
        stops = (LATE if "_hooks" in says else STOPS, "")
        found = [*found, stops] if "raises" in says else [(says, ""), *found]
    unknown = ("fails, and no named cause explains all of it", "")
    return found if one["explained"] else [unknown, *found]


def decides(one: Mapping[str, Any]) -> bool:
    """Return whether what was tried by hand decides the verdict."""
    return bool(one.get("at_best") == one["verdict"])


def clause(one: Mapping[str, Any]) -> str:
    """Return the clause that is broken first of all, or nothing."""
    if decides(one):
        return str(one.get("clause", ""))
    return next((clause for _, clause in findings(one)), "")


def sentence(one: Mapping[str, Any]) -> str:
    """Say in plain words what is wrong first of all."""
    told = [text for text, _ in findings(one)]
    says = [f"{one['says']} (by hand)"] if "says" in one else []
    first, rest = told[:1], told[1:]
    if "when" in one:
        first = [f"{one['when']} " + (f"it {told[0]}" if told else "nothing fails")]
    elif decides(one):
        first, rest, says = says, told, []
    stops = [each for each in rest if each in (STOPS, LATE)]
    shown = [*says, *first, *stops] if decides(one) else [*first, *stops, *says]
    shown += [f"and {len(rest) - len(stops)} more"] if len(rest) > len(stops) else []
    return "; ".join(shown) or "nothing fails"


def _stop(failure: Mapping[str, Any]) -> str:
    what = "its checkpoint stops" if "resume" in failure["case"] else "stops"
    return f"{what} with {error(failure['shows']).partition(' (')[0]}"


def error(shows: str) -> str:
    """Cut what a program answered down to its error; only without a message, its place."""
    whole = shows.removeprefix("answered an error: ")
    error = re.sub(r" \([^()]+:\d+, in .*", "", whole, flags=re.DOTALL)
    error = error if ": " in error else whole
    return error if len(error) < 120 else f"{error[:117]}..."
