"""What is wrong with a program: the fewest bugs whose simulation does all that it did.

A hypothesis is a bug of `lookahead_ref.conformance.bugs`, or two of them. It is simulated
and compared with everything that was observed, the cases that passed included.
"""

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
from lookahead_ref.conformance.judging import Observation, Result, parts, slot_at, slow_at
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
    """Explain the checks that failed: all of them or, failing that, by profile."""
    if not any(result.status == "departed" and _tells(result.case) for result in results):
        return []
    comparison = _Comparison()
    whole = explain(results, comparison=comparison)
    profiles = dict.fromkeys(r.case.profile for r in results if r.status == "departed")
    if whole.explanations or len(profiles) == 1:
        return [whole]
    parts = {name: [r for r in results if r.case.profile == name] for name in profiles}
    return [whole, *(explain(part, name, comparison) for name, part in parts.items())]


def explain(
    results: Sequence[Result],
    scope: str | None = None,
    comparison: "_Comparison | None" = None,
) -> Diagnosis:
    """Find the smallest sets of bugs that explain all results, one of which failed."""
    same = (_Comparison() if comparison is None else comparison).same
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
    """List the sets of so many bugs that go together with conventions."""
    taken = {each.place for each in conventions}
    known = (*BUGS, *CONVENTIONS, *MISTAKES)
    return together([each for each in known if each.place not in taken], size)


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


Values = dict[tuple[str, int], tuple[Float64Array, Float64Array]]
"""What is seen, and from which step on, to two arrays with a row a step."""


class _Comparison:
    """What is observed beside what is simulated; nothing is done twice."""

    def __init__(self) -> None:
        self._observed: dict[object, Values] = {}
        self._simulated: dict[object, Values | None] = {}
        self._slack: dict[object, Float64Array] = {}
        self._same: dict[object, bool] = {}

    def same(self, bugs: Bugs, result: Result, *, single: bool) -> bool:
        """Return whether bugs explain a case, as exact as float32 if ``single``."""
        case = result.case
        # Bugs that cannot show in a case do not make another simulation of it.
        showing = tuple(each for each in bugs if each.applies(case.data))
        key = id(result), showing, single
        if key not in self._same:
            if id(result) not in self._observed:
                self._observed[id(result)] = _observed(result)
            if (case.id, showing) not in self._simulated:
                self._simulated[case.id, showing] = _simulated(case, showing)
            dtype = "float32" if single else result.dtype
            if (case.id, dtype) not in self._slack:
                self._slack[case.id, dtype] = _slack(case, dtype)
            simulated = self._simulated[case.id, showing]
            self._same[key] = simulated is not None and _agree(
                self._observed[id(result)],
                simulated,
                self._slack[case.id, dtype],
                _ULPS[dtype],
            )
        return self._same[key]


def _simulated(case: Case, bugs: Bugs) -> Values | None:
    """Return what is seen of a program with the bugs, and how large it has been so far."""
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
    found = {}
    for key, values in seen.items():
        # What was large once leaves its rounding errors in all that follows.
        sizes = np.abs(values).max(axis=1, initial=0.0, keepdims=True)
        found[key] = values, np.maximum.accumulate(sizes)
    return found


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


def _observed(result: Result) -> Values:
    """Return the steps after which each quantity was shown, and its values there."""
    found: dict[tuple[str, int], dict[int, Float64Array]] = {}
    case, seen = result.case, result.seen or Observation()
    for suffix, first, trajectory in parts(case, seen):
        found[f"fast{suffix}", first] = dict(enumerate(trajectory.fast, start=first))
        for level in range(len(case.data["lookahead"])):
            found[f"slow {level}{suffix}", first] = slow_at(trajectory, first, level)
        for name in {name for each in trajectory.slots for name in each}:
            found[f"{name}{suffix}", first] = slot_at(trajectory, first, name)
    for step, weights in seen.evaluations.items():
        found["evaluated weights", step] = {step: weights}
    return {
        key: (np.array(list(shown)), np.stack(list(shown.values())))
        for key, shown in found.items()
        if shown
    }


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


def _agree(observed: Values, simulated: Values, slack: Float64Array, ulps: float) -> bool:
    for key, (values, largest) in simulated.items():
        if key not in observed:
            continue
        steps, shown = observed[key]
        rows = steps - key[1]
        allowed = _TOLERANCES * slack[steps - 1] + ulps * largest[rows]
        with np.errstate(invalid="ignore"):
            if not np.all(np.abs(shown - values[rows]) <= allowed):
                return False
    return True
