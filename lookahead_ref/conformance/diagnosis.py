"""What is wrong with a program: the fewest bugs whose simulation does all that it did.

A hypothesis is a bug of `lookahead_ref.conformance.bugs`, or two of them. It is simulated
and compared with everything that was observed, the cases that passed included.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import (
    BUGS,
    CONVENTIONS,
    MISTAKES,
    NO_GRADIENT,
    Bug,
    SinglePrecision,
    by_name,
    simulate,
    together,
)
from lookahead_ref.conformance.judging import Observation, parts, slot_at, slow_at
from lookahead_ref.conformance.running import Result
from lookahead_ref.conformance.vectors import Case, Float64Array

__all__ = ["Diagnosis", "Followed", "diagnose", "explain", "followed"]

Bugs = tuple[type[Bug], ...]

_REFERENCE = "reference"

# A hypothesis is simulated in binary64, and what it is compared with was computed in
# another order and perhaps in binary32. A few hundred roundings of the largest value so far
# is more than correct programs differ by, and far less than any bug does.
_TOLERANCES = 16
_ULPS = {"float32": 256 * 2.0**-23, "float64": 256 * 2.0**-52}

# Simulated without overflow or subnormals, these say nothing about a hypothesis.
_UNTELLING = {"overflow", "subnormal"}


@dataclass(frozen=True)
class Diagnosis:
    """What explains the checks that a program fails."""

    scope: str | None
    """The profile that it is for; None for all that was observed."""
    conventions: tuple[str, ...]
    """The documented conventions that the cases which passed show the program to follow."""
    explanations: tuple[Bugs, ...]
    """The smallest sets of bugs that explain everything, each as good as the others."""
    exceptions: tuple[str, ...] = ()
    """The ids of nested cases that they do not explain."""


@dataclass(frozen=True)
class Followed:
    """What a program does at one of the places where programs follow conventions."""

    names: tuple[str, ...]
    """The outcomes that all cases allow: several where none of them tells them apart, none
    where the program does one thing here and another there."""
    checks: dict[str, int]
    """Outcome to the number of checks that follow it."""


def followed(results: Iterable[Result]) -> list[Followed]:
    """Find the conventions, other than those of the reference, that passed checks show."""
    common: dict[str, set[str]] = {}
    counts: dict[str, Counter[str]] = {}
    for result in results:
        if result.verdict is None or not result.verdict.passed:
            continue
        others = [o.name for o in result.case.outcomes if o.name != _REFERENCE]
        for place in sorted({by_name(name).place for name in others}):
            # Under a convention about another place, this one is as in the reference.
            allowed = {
                name if name != _REFERENCE and by_name(name).place == place else _REFERENCE
                for name in result.verdict.follows
            }
            common[place] = common.get(place, allowed) & allowed
            counts.setdefault(place, Counter()).update(allowed)
    return [
        Followed(tuple(sorted(names)), dict(sorted(counts[place].items())))
        for place, names in common.items()
        if _REFERENCE not in names
    ]


def diagnose(results: Sequence[Result]) -> list[Diagnosis]:
    """Explain the checks that failed among results.

    Returns none where none failed; one for all results where one or two bugs explain them;
    else one for all results, which has no explanation, and one for each profile with a
    failed check, as these may have causes of their own.
    """
    if not any(result.status == "departed" and _tells(result.case) for result in results):
        return []
    whole = explain(results)
    profiles = dict.fromkeys(r.case.profile for r in results if r.status == "departed")
    if whole.explanations or len(profiles) == 1:
        return [whole]
    return [
        whole,
        *(
            explain([r for r in results if r.case.profile == each], each)
            for each in profiles
        ),
    ]


def explain(results: Sequence[Result], scope: str | None = None) -> Diagnosis:
    """Find the smallest sets of bugs that explain all results, one of which failed.

    They are looked for among single bugs; failing that, among pairs; failing that, the same
    for all but the nested cases, where what a bug does depends on how a program is built;
    failing that, all of it again with float64 no more exact than float32.
    """
    telling = [r for r in results if r.seen is not None and _tells(r.case)]
    # The cheapest failed check first: most hypotheses end at it.
    telling.sort(key=lambda r: (r.status != "departed", r.case.steps * _elements(r.case)))
    flat = [r for r in telling if len(r.case.data["lookahead"]) == 1]
    coarse = any(r.dtype == "float64" for r in telling)
    for single in (False, True) if coarse else (False,):
        searches = [_Search(each, single=single) for each in _supposed(results)]
        for selection in (telling, flat) if len(flat) < len(telling) else (telling,):
            if not selection or selection[0].status != "departed":
                continue
            for size in (0, 1, 2) if single else (1, 2):
                # Where conventions cannot be told apart, each may have its explanations.
                found = [
                    (search, bugs)
                    for search in searches
                    for bugs in search.explanations(selection, size)
                ]
                if found:
                    return _diagnosis(found, telling, scope)
    names = tuple(each.name for each in _conventions(results)[0])
    return Diagnosis(scope, names, ())


def _diagnosis(
    found: Sequence[tuple["_Search", Bugs]], telling: Sequence[Result], scope: str | None
) -> Diagnosis:
    rest = {
        result.case.id
        for result in telling
        if not any(search.explains(bugs, result) for search, bugs in found)
    }
    first, _ = found[0]
    more = (SinglePrecision,) if first.single else ()
    explanations = dict.fromkeys((*bugs, *more) for _, bugs in found)
    names = tuple(each.name for each in first.conventions)
    return Diagnosis(scope, names, tuple(explanations), tuple(sorted(rest)))


def _conventions(results: Iterable[Result]) -> list[Bugs]:
    """Return the sets of conventions, one a place, that the passed cases follow best."""
    tally: dict[str, Counter[str]] = {}
    for result in results:
        follows = () if result.verdict is None else result.verdict.follows
        if _REFERENCE not in follows:
            for name in follows:
                tally.setdefault(by_name(name).place, Counter())[name] += 1
    best = [
        [by_name(name) for name, count in names.items() if count == max(names.values())]
        for names in tally.values()
    ]
    return list(product(*best))


def _supposed(results: Sequence[Result]) -> list[Bugs]:
    """Return the sets of conventions to start from: those followed, or that may be.

    Cases without gradients have no reference, so that a program which passes none of them
    follows one convention or another.
    """
    known = _conventions(results)
    lacking = any("no-gradient" in result.case.flags for result in results)
    if not lacking or any(each in NO_GRADIENT for each in known[0]):
        return known
    return [(*each, convention) for each in known for convention in NO_GRADIENT]


def _tells(case: Case) -> bool:
    return not _UNTELLING.intersection(case.flags)


def _elements(case: Case) -> int:
    return sum(math.prod(shape) for shape in case.shapes)


Quantity = tuple[str, int]
"""What is seen, and the step from which on."""


class _Search:
    """Hypotheses about a program that follows some conventions; each is simulated once."""

    def __init__(self, conventions: Bugs, *, single: bool = False) -> None:
        self.conventions = conventions
        self.single = single  # whether float64 is taken for no more exact than float32
        self._simulated: dict[object, dict[Quantity, Float64Array] | None] = {}
        self._observed: dict[object, dict[Quantity, dict[int, Float64Array]]] = {}
        self._slack: dict[object, Float64Array] = {}

    def explanations(self, results: Sequence[Result], size: int) -> list[Bugs]:
        """Return the sets of so many bugs that explain all results."""
        taken = {each.place for each in self.conventions}
        free = [e for e in (*BUGS, *CONVENTIONS, *MISTAKES) if e.place not in taken]
        left = list(together(free, size))
        for result in results:
            left = [each for each in left if self.explains(each, result)]
            if not left:
                break
        return left

    def explains(self, bugs: Bugs, result: Result) -> bool:
        """Return whether bugs explain all that was observed of a case."""
        case = result.case
        # Bugs that cannot show in a case do not make another simulation of it.
        showing = [e for e in (*self.conventions, *bugs) if e.applies(case.data)]
        key = case.id, tuple(each.name for each in showing)
        if key not in self._simulated:
            self._simulated[key] = _simulated(case, showing)
        simulated = self._simulated[key]
        if result.seen is None or simulated is None:
            return False
        dtype = "float32" if self.single else result.dtype
        place = case.id, result.dtype
        if place not in self._observed:
            self._observed[place] = _observed(case, result.seen)
            self._slack[place] = _slack(case, dtype)
        return _same(self._observed[place], self._slack[place], simulated, _ULPS[dtype])


def _simulated(
    case: Case, bugs: Sequence[type[Bug]]
) -> dict[Quantity, Float64Array] | None:
    """Return what is seen of a program with the bugs, each quantity step by step."""
    try:
        run = simulate(case.data, oracle.Double(), bugs)
    except (ArithmeticError, ValueError):  # it leaves the numbers that there are
        return None
    trajectories = [("", 1, run.steps)]
    if case.save_after is not None:
        trajectories.append((" after loading", case.save_after + 1, run.resumed))
    seen = {
        (f"{name}{suffix}", first): np.array(values, np.float64)
        for suffix, first, steps in trajectories
        for name, values in _quantities(steps)
    }
    for step, weights in run.evaluations.items():
        seen["evaluated weights", step] = np.array([_flat(weights)], np.float64)
    return seen


def _quantities(steps: Sequence[oracle.Step]) -> Iterator[tuple[str, list[list[float]]]]:
    if not steps:
        return
    yield "fast", [_flat(step.fast) for step in steps]
    for level in range(len(steps[0].slow)):
        yield f"slow {level}", [_flat(step.slow[level]) for step in steps]
    for name in steps[0].slots:
        yield name, [_flat(step.slots[name]) for step in steps]


def _flat(tensors: oracle.Tensors) -> list[float]:
    return [value for tensor in tensors for value in tensor]


def _observed(case: Case, seen: Observation) -> dict[Quantity, dict[int, Float64Array]]:
    """Return what was observed, by the names of `_simulated`: step to values."""
    found: dict[Quantity, dict[int, Float64Array]] = {}
    for suffix, first, trajectory in parts(case, seen):
        found[f"fast{suffix}", first] = dict(enumerate(trajectory.fast, start=first))
        for level in range(len(case.data["lookahead"])):
            found[f"slow {level}{suffix}", first] = slow_at(trajectory, first, level)
        for name in {name for each in trajectory.slots for name in each}:
            found[f"{name}{suffix}", first] = slot_at(trajectory, first, name)
    for step, weights in seen.evaluations.items():
        found["evaluated weights", step] = {step: weights}
    return found


def _slack(case: Case, dtype: str) -> Float64Array:
    """Return the largest tolerance of any quantity, step by step, as a column."""
    outcome = case.outcomes[0]
    columns = [outcome.fast, *outcome.slow, *outcome.slots.values()]
    slack: Float64Array = np.max(
        [
            each.tolerance[dtype, "strict"].max(axis=1, initial=0.0, keepdims=True)
            for each in columns
        ],
        axis=0,
    )
    return slack


def _same(
    observed: dict[Quantity, dict[int, Float64Array]],
    slack: Float64Array,
    simulated: dict[Quantity, Float64Array],
    ulps: float,
) -> bool:
    for (name, first), values in simulated.items():
        shown = observed.get((name, first))
        if not shown:
            continue
        # What was large once leaves its rounding errors in all that follows.
        sizes = np.abs(values).max(axis=1, initial=0.0)
        largest = np.maximum.accumulate(sizes)[:, None]
        steps = np.array(list(shown))
        rows = steps - first
        allowed = _TOLERANCES * slack[steps - 1] + ulps * largest[rows]
        with np.errstate(invalid="ignore"):
            apart = np.abs(np.stack(list(shown.values())) - values[rows])
            if not np.all(apart <= allowed):
                return False
    return True
