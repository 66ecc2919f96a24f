"""Why a program departs: the smallest set of named departures that explains all it did.

Each hypothesis is a departure of `lookahead_ref.conformance.catalogue`, or two of them,
simulated by the oracle's own algorithm (`lookahead_ref.conformance.bent`) and compared with
everything that was observed, the cases that passed included.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from lookahead_ref.conformance import bent, oracle
from lookahead_ref.conformance.catalogue import (
    BUGS,
    NO_GRADIENT,
    SINGLE_PRECISION,
    VARIANTS,
    by_name,
    explanations,
)
from lookahead_ref.conformance.departures import Departure
from lookahead_ref.conformance.judging import Observation, parts, slot_at, slow_at
from lookahead_ref.conformance.mistakes import MISTAKES
from lookahead_ref.conformance.runner import Result
from lookahead_ref.conformance.vectors import Case, Float64Array

__all__ = ["Diagnosis", "diagnose", "explain"]

Explanation = tuple[Departure, ...]

_Shown = dict[tuple[str, int], dict[int, Float64Array]]

# A hypothesis is simulated in binary64, and what it is compared with was computed in
# another order and perhaps in binary32. A few hundred roundings of the largest value so far
# is more than correct programs differ by, and far less than any departure does.
_TOLERANCES = 16
_ULPS = {"float32": 256 * 2.0**-23, "float64": 256 * 2.0**-52}

# Simulated without overflow or subnormals, these say nothing about a hypothesis.
_UNTELLING = {"overflow", "subnormal"}


class _Double:
    """Binary64, as the machine has it: fast, and exact enough to tell departures apart."""

    number = hyperparameter = staticmethod(float)
    sqrt = staticmethod(math.sqrt)


@dataclass(frozen=True)
class Diagnosis:
    """What explains the departures of a program.

    Parameters
    ----------
    scope : str or None
        The profile that it is for; None for all that was observed.
    conventions : tuple of str
        The documented conventions that the cases which passed show the program to follow.
    explanations : tuple of tuple of Departure
        The smallest sets of departures that explain everything, each as good as the
        others; empty where none of one or two does.
    exceptions : tuple of str
        The ids of nested cases that they do not explain.
    """

    scope: str | None
    conventions: tuple[str, ...]
    explanations: tuple[Explanation, ...]
    exceptions: tuple[str, ...] = ()


class _Sight(NamedTuple):
    """A simulated quantity: its name, its first step, its elements by step."""

    where: str
    first: int
    values: Float64Array


def diagnose(results: Sequence[Result]) -> list[Diagnosis]:
    """Explain the departures among results.

    Parameters
    ----------
    results : sequence of Result
        What came of the cases that were run.

    Returns
    -------
    list of Diagnosis
        Empty where nothing departs; one for all results where one or two departures explain
        them; else one for all results, which has no explanation, and one for each profile
        with departures, as its departures may have causes of their own.
    """
    if not any(result.status == "departed" and _tells(result.case) for result in results):
        return []
    whole = explain(results)
    if whole.explanations:
        return [whole]
    profiles = dict.fromkeys(r.case.profile for r in results if r.status == "departed")
    if len(profiles) == 1:
        return [whole]
    return [
        whole,
        *(
            explain([r for r in results if r.case.profile == profile], profile)
            for profile in profiles
        ),
    ]


def explain(results: Sequence[Result], scope: str | None = None) -> Diagnosis:
    """Find the smallest sets of departures that explain all results.

    Parameters
    ----------
    results : sequence of Result
        The results, of which at least one departed.
    scope : str, optional
        What to call their selection.

    Returns
    -------
    Diagnosis
        The explanations: of one departure; failing that, of two; failing that, the same
        for all but the nested cases, where what a departure does depends on how a program
        is built; failing that, all of it again with float64 no more exact than float32.
    """
    telling = [r for r in results if r.seen is not None and _tells(r.case)]
    # The cheapest departure first: most hypotheses end at it.
    telling.sort(key=lambda r: (r.status != "departed", r.case.steps * _elements(r.case)))
    flat = [r for r in telling if not _nested(r.case)]
    coarse = any(r.dtype == "float64" for r in telling)
    for single in (False, True) if coarse else (False,):
        searches = [_Search(each, single=single) for each in _supposed(results)]
        for selection in (telling, flat) if len(flat) < len(telling) else (telling,):
            if not selection or selection[0].status != "departed":
                continue
            for size in (0, 1, 2) if single else (1, 2):
                found = _found(searches, selection, size)
                if found:
                    return _diagnosis(found, telling, scope)
    names = tuple(each.name for each in _conventions(results)[0])
    return Diagnosis(scope, names, ())


_Found = list[tuple["_Search", Explanation]]


def _found(searches: Sequence["_Search"], results: Sequence[Result], size: int) -> _Found:
    # Where conventions cannot be told apart, each may have its explanations.
    return [
        (search, cause)
        for search in searches
        for cause in search.explanations(results, size)
    ]


def _diagnosis(found: _Found, telling: Sequence[Result], scope: str | None) -> Diagnosis:
    rest = {
        result.case.id
        for result in telling
        if not any(search.explains(cause, result) for search, cause in found)
    }
    first, _ = found[0]
    more = (SINGLE_PRECISION,) if first.single else ()
    causes = dict.fromkeys((*cause, *more) for _, cause in found)
    names = tuple(each.name for each in first.conventions)
    return Diagnosis(scope, names, tuple(causes), tuple(sorted(rest)))


def _conventions(results: Iterable[Result]) -> list[Explanation]:
    """Return the sets of variants that the cases which passed follow best.

    A set has one variant for each switch; there are several sets where the cases cannot
    tell variants apart.
    """
    tally: dict[str, Counter[str]] = {}
    for result in results:
        follows = () if result.verdict is None else result.verdict.follows
        if "reference" not in follows:
            for name in follows:
                tally.setdefault(by_name(name).switch, Counter())[name] += 1
    best = [
        [by_name(name) for name, count in names.items() if count == max(names.values())]
        for names in tally.values()
    ]
    return list(product(*best))


def _supposed(results: Sequence[Result]) -> list[Explanation]:
    """Return the sets of variants to start from: those followed, and what cannot be seen.

    Cases without gradients have no reference, so that a program which passes none of them
    follows one variant or another.
    """
    followed = _conventions(results)
    lacking = any("no-gradient" in result.case.flags for result in results)
    if not lacking or any(each in NO_GRADIENT for each in followed[0]):
        return followed
    return [(*each, variant) for each in followed for variant in NO_GRADIENT]


def _nested(case: Case) -> bool:
    return len(case.data["lookahead"]) > 1


def _tells(case: Case) -> bool:
    return not _UNTELLING.intersection(case.flags)


def _elements(case: Case) -> int:
    return sum(math.prod(shape) for shape in case.shapes)


class _Search:
    """Hypotheses about a program that follows some conventions; each is simulated once."""

    def __init__(self, conventions: Explanation, *, single: bool = False) -> None:
        self.conventions = conventions
        self.single = single  # whether float64 is taken for no more exact than float32
        self._runs: dict[tuple[str, tuple[str, ...]], list[_Sight] | None] = {}
        self._observed: dict[tuple[str, str], tuple[_Shown, Float64Array]] = {}

    def explanations(self, results: Sequence[Result], size: int) -> list[Explanation]:
        """Return the sets of so many departures that explain all results."""
        # No switch is set twice.
        taken = {each.switch for each in self.conventions}
        free = [each for each in BUGS + VARIANTS + MISTAKES if each.switch not in taken]
        left = list(explanations(tuple(free), size))
        for result in results:
            left = [each for each in left if self.explains(each, result)]
            if not left:
                break
        return left

    def explains(self, explanation: Explanation, result: Result) -> bool:
        """Return whether departures explain all that was observed of a case."""
        case, seen = result.case, result.seen
        # Departures that cannot show in a case are not simulated in it.
        bends = [
            each for each in (*self.conventions, *explanation) if each.applies(case.data)
        ]
        key = case.id, tuple(each.name for each in bends)
        if key not in self._runs:
            self._runs[key] = _simulate(case, bends)
        simulated = self._runs[key]
        if seen is None or simulated is None:
            return False
        dtype = "float32" if self.single else result.dtype
        place = case.id, result.dtype
        if place not in self._observed:
            self._observed[place] = _observed(case, seen), _slack(case, dtype)
        return _same(*self._observed[place], simulated, _ULPS[dtype])


def _simulate(case: Case, bends: Sequence[Departure]) -> list[_Sight] | None:
    switches = {each.switch: each.setting for each in bends}
    try:
        run = bent.simulate(case.data, _Double(), switches)
    except (ArithmeticError, ValueError):  # it leaves the numbers that there are
        return None
    trajectories = [("", 1, run.steps)]
    if case.save_after is not None:
        trajectories.append((" after loading", case.save_after + 1, run.resumed))
    sights = [
        _Sight(f"{name}{suffix}", first, np.array(values, np.float64))
        for suffix, first, steps in trajectories
        for name, values in _simulated(steps)
    ]
    sights += [
        _Sight("evaluated weights", step, np.array([_flat(weights)], np.float64))
        for step, weights in run.evaluations.items()
    ]
    return sights


def _simulated(steps: Sequence[oracle.Step]) -> Iterator[tuple[str, list[list[float]]]]:
    if not steps:
        return
    yield "fast", [_flat(step.fast) for step in steps]
    for level in range(len(steps[0].slow)):
        yield f"slow {level}", [_flat(step.slow[level]) for step in steps]
    for name in steps[0].slots:
        yield name, [_flat(step.slots[name]) for step in steps]


def _flat(tensors: oracle.Tensors) -> list[float]:
    return [value for tensor in tensors for value in tensor]


def _same(
    observed: _Shown, slack: Float64Array, simulated: Sequence[_Sight], ulps: float
) -> bool:
    for where, first, values in simulated:
        shown = observed.get((where, first))
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


def _observed(case: Case, seen: Observation) -> _Shown:
    """Return what was observed as the simulations name it: quantity to step to values."""
    found: _Shown = {}
    for suffix, first, trajectory in parts(case, seen):
        found[f"fast{suffix}", first] = dict(enumerate(trajectory.fast, start=first))
        for level in range(len(case.data["lookahead"])):
            found[f"slow {level}{suffix}", first] = slow_at(trajectory, first, level)
        for name in {name for each in trajectory.slots for name in each}:
            found[f"{name}{suffix}", first] = slot_at(trajectory, first, name)
    for step, weights in seen.evaluations.items():
        found["evaluated weights", step] = {step: weights}
    return found
