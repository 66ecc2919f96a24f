"""What is wrong with a program: the fewest bugs whose simulation does all that it did.

A hypothesis is a bug of `lookahead_ref.conformance.bugs`, or two of them. It is simulated
and compared with everything that was observed, the cases that passed included.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

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
)
from lookahead_ref.conformance.judging import Observation, Result, Trajectory, shown
from lookahead_ref.conformance.vectors import Case, Float64Array

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

    scope: str | None  # the profile that it is for; None for all that was observed
    conventions: tuple[str, ...]  # that the cases which passed show the program to follow
    explanations: tuple[Bugs, ...]  # the smallest that explain all, each as good as others
    exceptions: tuple[str, ...] = ()  # the ids of nested cases that they do not explain


@dataclass(frozen=True)
class Followed:
    """What a program does at one of the places where programs follow conventions."""

    # The outcomes that all cases allow: several where none of them tells them apart, none
    # where the program does one thing here and another there.
    names: tuple[str, ...]
    checks: dict[str, int]  # outcome to the number of checks that follow it


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
    """Explain the checks that failed: all of them or, failing that, by profile."""
    if not any(result.status == "departed" and _tells(result.case) for result in results):
        return []
    comparison = _Comparison()
    whole = _explain(results, None, comparison)
    profiles = dict.fromkeys(r.case.profile for r in results if r.status == "departed")
    if whole.explanations or len(profiles) == 1:
        return [whole]
    parts = {name: [r for r in results if r.case.profile == name] for name in profiles}
    return [whole, *(_explain(part, name, comparison) for name, part in parts.items())]


def _explain(
    results: Sequence[Result], scope: str | None, comparison: "_Comparison"
) -> Diagnosis:
    """Find the smallest sets of bugs that explain all results, one of which failed."""
    same = comparison.same
    telling = [r for r in results if _tells(r.case) and r.seen is not None]
    # The cheapest failed check first: most hypotheses end at it.
    telling.sort(key=lambda r: (r.status != "departed", r.case.size))
    flat = [r for r in telling if len(r.case.data["lookahead"]) == 1]
    coarse = any(r.dtype == "float64" for r in telling)
    supposed = _supposed(results)
    # First with all that is expected of float64; failing that, of no more than of float32.
    for single in (False, True) if coarse else (False,):
        # What a bug does in nested cases depends on how a program is built.
        for selection in (telling, flat) if len(flat) < len(telling) else (telling,):
            if not selection or selection[0].status != "departed":
                continue
            for size in (0, 1, 2) if single else (1, 2):
                # Where conventions cannot be told apart, each may have its explanations.
                found = [
                    (conventions, bugs)
                    for conventions in supposed
                    for bugs in _hypotheses(conventions, size)
                    if all(same((*conventions, *bugs), r, single=single) for r in selection)
                ]
                if found:
                    rest = {
                        r.case.id
                        for r in telling
                        if not any(same((*c, *b), r, single=single) for c, b in found)
                    }
                    more = (SinglePrecision,) if single else ()
                    explanations = dict.fromkeys((*bugs, *more) for _, bugs in found)
                    names = tuple(each.name for each in found[0][0])
                    return Diagnosis(scope, names, tuple(explanations), tuple(sorted(rest)))
    return Diagnosis(scope, tuple(each.name for each in _conventions(results)[0]), ())


def _hypotheses(conventions: Bugs, size: int) -> Iterator[Bugs]:
    """List the sets of so many bugs that go together with conventions: one a place."""
    taken = {each.place for each in conventions}
    known = [*BUGS, *CONVENTIONS, *MISTAKES]
    for bugs in combinations([bug for bug in known if bug.place not in taken], size):
        if len({bug.place for bug in bugs}) == size:
            yield bugs


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
    """Return the sets of conventions to start from: those followed, or that may be."""
    # Cases without gradients have no reference, so that a program which passes none of
    # them follows one convention or another.
    known = _conventions(results)
    lacking = any("no-gradient" in result.case.flags for result in results)
    if not lacking or any(each in NO_GRADIENT for each in known[0]):
        return known
    return [(*each, convention) for each in known for convention in NO_GRADIENT]


def _tells(case: Case) -> bool:
    return not _UNTELLING.intersection(case.flags)


Values = dict[str, tuple[Float64Array, Float64Array]]
"""Name to the steps after which something is shown, and to an array with a row for each."""


class _Comparison:
    """What is observed beside what is simulated; nothing is done twice."""

    def __init__(self) -> None:
        self._done: dict[object, Any] = {}

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        if key not in self._done:
            self._done[key] = make()
        return self._done[key]

    def same(self, bugs: Bugs, result: Result, *, single: bool) -> bool:
        """Return whether bugs explain a case, as exact as float32 if ``single``."""
        case, dtype = result.case, "float32" if single else result.dtype
        # Bugs that cannot show in a case do not make another simulation of it.
        showing = tuple(each for each in bugs if each.applies(case.data))

        def agree() -> bool:
            simulated = self._once((case.id, showing), lambda: _simulated(case, showing))
            observed = self._once(
                id(result), lambda: _values(case, result.seen or Observation())
            )
            slack = self._once((case.id, dtype), lambda: _slack(case, dtype))
            return simulated is not None and _agree(observed, simulated, slack, dtype)

        return bool(self._once((id(result), showing, single), agree))


def _simulated(case: Case, bugs: Bugs) -> Values | None:
    """Return what is seen of a program with the bugs; None if it leaves the numbers."""
    try:
        run = simulate(case.data, oracle.Double(), bugs)
    except (ArithmeticError, ValueError):
        return None

    def flat(tensors: oracle.Tensors) -> Float64Array:
        return np.array([value for tensor in tensors for value in tensor], np.float64)

    def trajectory(steps: Sequence[oracle.Step]) -> Trajectory:
        return Trajectory(
            [flat(step.fast) for step in steps],
            [[flat(phi) for phi in step.slow] for step in steps],
            [{name: flat(slot) for name, slot in step.slots.items()} for step in steps],
        )

    evaluations = {step: flat(weights) for step, weights in run.evaluations.items()}
    seen = Observation(trajectory(run.steps), trajectory(run.resumed), evaluations)
    return _values(case, seen)


def _values(case: Case, seen: Observation) -> Values:
    found: dict[str, dict[int, Float64Array]] = {}
    for suffix, some in shown(case, seen):
        for name, steps in some.items():
            found.setdefault(f"{name}{suffix}", {}).update(steps)
    return {
        name: (np.array(list(steps)), np.stack(list(steps.values())))
        for name, steps in found.items()
        if steps
    }


def _slack(case: Case, dtype: str) -> Float64Array:
    """Return the largest tolerance of any quantity, step by step, as a column."""
    each = case.outcomes[0].quantities.values()
    tolerances = [expected.tolerance[dtype, "strict"] for expected in each]
    slack: Float64Array = np.max(tolerances, axis=(0, 2), initial=0.0)
    return slack[:, np.newaxis]


def _agree(observed: Values, simulated: Values, slack: Float64Array, dtype: str) -> bool:
    for name in simulated.keys() & observed.keys():
        (steps, shown), (all_steps, values) = observed[name], simulated[name]
        # What was large once leaves its rounding errors in all that follows.
        sizes = np.abs(values).max(axis=1, initial=0.0, keepdims=True)
        rows = np.searchsorted(all_steps, steps)
        largest = np.maximum.accumulate(sizes)[rows]
        allowed = _TOLERANCES * slack[steps - 1] + _ULPS[dtype] * largest
        with np.errstate(invalid="ignore"):
            if not np.all(np.abs(shown - values[rows]) <= allowed):
                return False
    return True
