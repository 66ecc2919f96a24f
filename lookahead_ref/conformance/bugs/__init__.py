"""The bugs, conventions and beginners' mistakes that the suite knows by name.

Each is declared with its texts, its clause and a change of the oracle's source. `simulate`
runs a case as a program with some of them does.
"""

from typing import NamedTuple

from lookahead_ref.conformance.bugs import inner_rules, lookahead, outer
from lookahead_ref.conformance.bugs.conventions import CONVENTIONS
from lookahead_ref.conformance.bugs.mistakes import FIRST_TRIES, PUBLIC
from lookahead_ref.conformance.bugs.simulation import Bug, Run, bug, simulate

__all__ = [
    "BUGS",
    "CLAUSES",
    "CONDITIONS",
    "CONVENTIONS",
    "KNOWN",
    "MISTAKES",
    "NO_GRADIENT",
    "Bug",
    "Clause",
    "RoundsToSinglePrecision",
    "Run",
    "SinglePrecision",
    "by_name",
    "simulate",
]

BUGS = (*lookahead.BUGS, *inner_rules.BUGS, *outer.BUGS)
MISTAKES = (*PUBLIC, *FIRST_TRIES)
KNOWN = (*BUGS, *CONVENTIONS, *MISTAKES)  # the likelier ones first
NO_GRADIENT = tuple(each for each in CONVENTIONS if each.place == "no_gradient")


SinglePrecision, RoundsToSinglePrecision = (
    bug("single-precision", "LA-31", "precision", "",
        f"{says} though it works in float64",
        "float64 is hardly more exact than float32",
        "keep hyperparameters, slots and phi in the precision of the parameters")
    for says in ("computes in float32", "rounds something to float32 on the way")
)  # fmt: skip
"""Seen by their size, not by a simulation, and in float64 only: no case has their flag."""

CONDITIONS = {
    "subnormal": (
        "LA-32", "Some values are subnormal in float32; flushing them passes at gpu."
    ),
    "overflow": (
        "LA-32", "Some value overflows in float32, and the rule says what comes of it."
    ),
    "no-gradient": (
        "LA-25", "A parameter has no gradient at some step; outcomes are variants."
    ),
}  # fmt: skip
"""Flags that name what a case contains, not a bug: to their clause, and what it is."""

_BY_NAME = {each.name: each for each in (*KNOWN, SinglePrecision)}


def by_name(name: str) -> type[Bug]:
    """Look a bug, convention or mistake up."""
    return _BY_NAME[name]


# The clauses of the specification, which vectors, bugs and conventions cite.


class Clause(NamedTuple):
    """A clause of ``docs/spec.md``: of LA, inner rules IN, outer step OU, workers WO."""

    id: str
    title: str
    kind: str


# Who settles it: a paper, this project, or whoever implements it.
_PAPER, _OURS, _FREE = "paper", "our convention", "free choice"

CLAUSES = (
    Clause("LA-1", "where the slow weights start", _PAPER),
    Clause("LA-2", "the inner step and its gradient", _PAPER),
    Clause("LA-3", "when it synchronizes", _PAPER),
    Clause("LA-4", "the inner step comes first", _PAPER),
    Clause("LA-5", "the outer update", _PAPER),
    Clause("LA-6", "how the outer update is arranged", _FREE),
    Clause("LA-7", "the fast weights start again", _PAPER),
    Clause("LA-8", "the slow weights rest in between", _PAPER),
    Clause("LA-9", "what is evaluated, saved and returned", _PAPER),
    Clause("LA-10", "an evaluation leaves no trace", _OURS),
    Clause("LA-11", "inner state: maintain", _OURS),
    Clause("LA-12", "inner state: reset", _OURS),
    Clause("LA-13", "inner state: interpolate", _OURS),
    Clause("LA-14", "the learning rate's clock", _OURS),
    Clause("LA-15", "the count of bias correction", _OURS),
    Clause("LA-16", "alpha's clock", _OURS),
    Clause("LA-17", "nesting: periods", _OURS),
    Clause("LA-18", "nesting: which comes first", _OURS),
    Clause("LA-19", "nesting: the weights below", _OURS),
    Clause("LA-20", "nesting: the slots below", _OURS),
    Clause("LA-21", "nesting: the counts below", _OURS),
    Clause("LA-22", "what a saved state holds", _OURS),
    Clause("LA-23", "a saved state does not change", _OURS),
    Clause("LA-24", "a loaded state goes on", _OURS),
    Clause("LA-25", "parameters without a gradient", _FREE),
    Clause("LA-26", "what k and alpha may be", _OURS),
    Clause("LA-27", "weight decay", _OURS),
    Clause("LA-28", "what is done to gradients", _OURS),
    Clause("LA-29", "what counts as a step", _OURS),
    Clause("LA-30", "all parameters, all elements", _PAPER),
    Clause("LA-31", "precision", _OURS),
    Clause("LA-32", "infinities and subnormal numbers", _OURS),
    Clause("LA-33", "rounding and order of operations", _FREE),
    Clause("LA-34", "parameters that come and go", _FREE),
    Clause("LA-35", "what is no parameter", _FREE),
    Clause("IN-1", "the update", _PAPER),
    Clause("IN-2", "slots start at zero", _OURS),
    Clause("IN-3", "weight decay: l2", _OURS),
    Clause("IN-4", "weight decay: decoupled", _OURS),
    Clause("IN-5", "SGD", _PAPER),
    Clause("IN-6", "heavy ball", _PAPER),
    Clause("IN-7", "Nesterov", _OURS),
    Clause("IN-8", "AdaGrad", _PAPER),
    Clause("IN-9", "Adam: the moments", _PAPER),
    Clause("IN-10", "Adam: bias correction", _PAPER),
    Clause("IN-11", "Adam: epsilon", _PAPER),
    Clause("IN-12", "where momentum has the learning rate", _OURS),
    Clause("IN-13", "AdaGrad: epsilon", _OURS),
    Clause("OU-1", "the pseudo-gradient", _PAPER),
    Clause("OU-2", "where the outer step starts", _PAPER),
    Clause("OU-3", "alpha is an outer learning rate", _OURS),
    Clause("OU-4", "the outer rule", _PAPER),
    Clause("OU-5", "the outer state runs on", _PAPER),
    Clause("OU-6", "the outer learning rate and its clock", _OURS),
    Clause("OU-7", "outer weight decay", _OURS),
    Clause("OU-8", "by how much slots are interpolated", _OURS),
    Clause("OU-9", "nesting: the outer state below", _OURS),
    Clause("OU-10", "what a saved state holds of it", _OURS),
    Clause("OU-11", "units of the pseudo-gradient", _FREE),
    Clause("WO-1", "a worker and its data", _PAPER),
    Clause("WO-2", "where the workers start", _PAPER),
    Clause("WO-3", "whose steps k counts", _PAPER),
    Clause("WO-4", "the mean of the pseudo-gradients", _PAPER),
    Clause("WO-5", "one outer step for all", _PAPER),
    Clause("WO-6", "every worker starts again", _PAPER),
    Clause("WO-7", "inner state is each worker's own", _OURS),
    Clause("WO-8", "what a saved state holds of them", _OURS),
    Clause("WO-9", "in which order is summed", _FREE),
    Clause("WO-10", "how many workers there may be", _OURS),
)
"""All clauses. A number is never used again for another one."""
