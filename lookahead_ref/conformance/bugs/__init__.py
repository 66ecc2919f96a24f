"""The bugs, conventions and beginners' mistakes that the suite knows by name.

Each is a class beside its text, its clause and its remedy; the modules are by what they are
of, and a new class in one of them is a new bug. `simulate` runs a case as a program does
that has some of them.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from types import ModuleType

from lookahead_ref.conformance.bugs import conventions, inner_rules, lookahead, mistakes
from lookahead_ref.conformance.bugs.simulation import Bug, Run, simulate

__all__ = [
    "BUGS",
    "CONDITIONS",
    "CONVENTIONS",
    "MISTAKES",
    "NO_GRADIENT",
    "Bug",
    "Run",
    "SinglePrecision",
    "by_name",
    "simulate",
    "together",
]


def _of(*modules: ModuleType) -> tuple[type[Bug], ...]:
    """List the bugs that modules define, in their order there."""
    return tuple(
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Bug)
        and each.__module__ == module.__name__
    )


BUGS = _of(lookahead, inner_rules)
CONVENTIONS = _of(conventions)
MISTAKES = _of(mistakes)
NO_GRADIENT = tuple(each for each in CONVENTIONS if each.place == "no_gradient")


class SinglePrecision(Bug):
    """Seen by its size, not by a simulation, and in float64 only: no case has its flag."""

    clause, place = "LA-31", "precision"
    says = "computes, or keeps hyperparameters, in float32 though it works in float64"
    breaks = "float64 is hardly more exact than float32"
    fix = "keep hyperparameters, slots and phi in the precision of the parameters"


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

_ALL: tuple[type[Bug], ...] = (*BUGS, *CONVENTIONS, *MISTAKES, SinglePrecision)
_BY_NAME = {each.name: each for each in _ALL}


def by_name(name: str) -> type[Bug]:
    """Look a bug, convention or mistake up."""
    return _BY_NAME[name]


def together(bugs: Sequence[type[Bug]], size: int) -> Iterator[tuple[type[Bug], ...]]:
    """List the sets of so many bugs, no two of one place."""
    for each in combinations(bugs, size):
        if len({bug.place for bug in each}) == size:
            yield each
