"""Whether a program with some bugs does what was observed."""

from collections.abc import Iterator, Sequence
from itertools import count
from math import inf, isfinite, sqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance import oracle
from lookahead_ref.conformance.bugs import KNOWN, Bug, Run, simulate
from lookahead_ref.conformance.bugs.simulation import Edit, IncompatibleError, Watch
from lookahead_ref.conformance.judging import Observation, Result, Trajectory, shown, wide
from lookahead_ref.conformance.vectors import Case, Float64Array

Bugs = frozenset[type[Bug]]

_RANK = {bug: place for place, bug in enumerate(KNOWN)}

# A hypothesis is simulated in binary64, and what it is compared with was computed in
# another order and perhaps in binary32. A few hundred roundings of the largest value so far
# is more than correct programs differ by, and far less than any bug does.
_TOLERANCES = 16
_ULPS = {"float32": 256 * 2.0**-23, "float64": 256 * 2.0**-52}
_SMALLEST = {"float32": 2.0**-149, "float64": 2.0**-1074}
_INFINITE = {"float32": 2.0**128, "float64": inf}


def rank(bug: type[Bug]) -> int:
    """Sort those with a name first, the likelier first, and then edits."""
    return len(KNOWN) + bug.rank if issubclass(bug, Edit) else _RANK[bug]


def in_order(bugs: Bugs) -> list[type[Bug]]:
    """Sort them, always alike: what is tried first may be what is told."""
    return sorted(bugs, key=lambda bug: (rank(bug), bug.says, bug.place))


Values = dict[str, tuple[Float64Array, Float64Array]]
"""Name to the steps after which something is shown, and to an array with a row for each."""


class DiffersError(ValueError):
    """A simulation has left what was observed: after how many steps, and where it was."""

    def __init__(self, passed: int = 0, values: Sequence[float] = ()) -> None:
        super().__init__(passed)
        self.passed, self.values = passed, values


class BrokenError(DiffersError):
    """An edit cannot run."""


CAST: Any = SimpleNamespace(
    number=float, hyperparameter=lambda x: float(np.float32(x)), sqrt=sqrt
)
"""The machine's binary64, with the hyperparameters of a program in binary32."""
SINGLE: Any = SimpleNamespace(number=np.float32, hyperparameter=np.float32, sqrt=np.sqrt)
"""The machine's binary32, for which what is misread may be too large."""


def simulated_values(
    case: Case, bugs: Bugs, watch: Watch, arithmetic: oracle.Arithmetic
) -> Values | None:
    """Return what is seen of a program with the bugs; None if it leaves the numbers."""
    try:
        run = simulate(case.data, arithmetic, in_order(bugs), watch)
    except DiffersError:
        raise
    except IncompatibleError as error:
        raise DiffersError from error
    except (ArithmeticError, ValueError):
        return None
    except Exception as error:  # an edit may name what is not there
        if any(issubclass(bug, Edit) for bug in bugs):
            raise BrokenError from error
        raise
    return _values_of(case, observed_of(run))


def observed_of(run: Run) -> Observation:
    """Return what is seen of a simulation."""

    def flat(tensors: oracle.Tensors) -> Float64Array:
        found = np.array([value for tensor in tensors for value in tensor])
        # A root of a negative number may be one.
        return found.astype(np.float64) if found.dtype != complex else found.real * np.nan

    def trajectory(steps: Sequence[oracle.Step]) -> Trajectory:
        return Trajectory(
            [flat(step.fast) for step in steps],
            [[flat(phi) for phi in step.slow] for step in steps],
            [{name: flat(slot) for name, slot in step.slots.items()} for step in steps],
        )

    evaluations = {step: flat(weights) for step, weights in run.evaluations.items()}
    return Observation(trajectory(run.steps), trajectory(run.resumed), evaluations)


def seen_values(result: Result, *, swapped: bool) -> Values:
    """Return what was observed, its bytes put right."""
    found = _values_of(result.case, result.seen or Observation())
    if not swapped:
        return found
    # In binary32 the four bytes of an array, or eight as the protocol writes them.
    with np.errstate(all="ignore"):
        four = result.dtype == "float32" and not any(
            wide(x).any() for _, x in found.values()
        )
        size = np.float32 if four else np.float64
        return {
            name: (steps, each.astype(size).byteswap().astype(np.float64))
            for name, (steps, each) in found.items()
        }


def _values_of(case: Case, seen: Observation) -> Values:
    found: dict[str, dict[int, Float64Array]] = {}
    for suffix, some in shown(case, seen):
        for name, steps in some.items():
            found.setdefault(f"{name}{suffix}", {}).update(steps)
    return {
        name: (np.array(list(steps)), np.stack(list(steps.values())))
        for name, steps in found.items()
        if steps
    }


def slack_of(case: Case, dtype: str) -> Float64Array:
    """Return the largest tolerance of any quantity, step by step, as a column."""
    each = case.outcomes[0].quantities.values()
    tolerances = [expected.tolerance[dtype, "strict"] for expected in each]
    slack: Float64Array = np.max(tolerances, axis=(0, 2), initial=0.0)
    return slack[:, np.newaxis]


def rows_of(observed: Values) -> dict[tuple[str, int], list[float]]:
    return {
        (name, step): row
        for name, (steps, values) in observed.items()
        for step, row in zip(steps.tolist(), values.tolist(), strict=True)
    }


def watching(
    rows: dict[tuple[str, int], list[float]], slack: Float64Array, dtype: str
) -> Watch:
    """Stop a simulation at the first step that is not as observed, as `agree` would."""
    largest: dict[str, float] = {}
    passed = count()

    def watch(name: str, step: int, fast: oracle.Tensors) -> None:
        values = [value for tensor in fast for value in tensor]
        size = max(largest.get(name, 0.0), *map(abs, filter(isfinite, values)), 0.0)
        largest[name] = size
        allowed = _TOLERANCES * float(slack[step - 1, 0]) + _ULPS[dtype] * size
        allowed += _SMALLEST[dtype]
        seen = rows.get((name, step), values)
        before = next(passed)
        if not all(
            abs(x - y) <= allowed or not (isfinite(x) or abs(y) < _INFINITE[dtype])
            for x, y in zip(seen, values, strict=True)
        ):
            raise DiffersError(before, values)

    return watch


def agreeing(observed: Values, simulated: Values, slack: Float64Array, dtype: str) -> float:
    """Return the part of what was observed that is as in a simulation."""
    each = [found for _, found in by_name_matching(observed, simulated, slack, dtype)]
    return 1.0 if all(map(np.all, each)) else float(np.mean([*map(np.mean, each)]))


def by_name_matching(
    observed: Values, simulated: Values, slack: Float64Array, dtype: str
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield, by name, which elements are as observed, a row for each step."""
    for name in (each for each in observed if each in simulated):
        (steps, shown), (all_steps, values) = observed[name], simulated[name]
        # What was large once leaves its rounding errors in all that follows.
        sizes = np.nan_to_num(np.abs(values), posinf=0.0).max(1, initial=0.0, keepdims=True)
        rows = np.searchsorted(all_steps, steps)
        largest = np.maximum.accumulate(sizes)[rows]
        allowed = _TOLERANCES * slack[steps - 1] + _ULPS[dtype] * largest
        with np.errstate(invalid="ignore"):
            near = np.abs(shown - values[rows]) <= allowed
        # Of what is not finite, it is chance which of those it is.
        yield name, near | ~(np.isfinite(shown) | (abs(values[rows]) < _INFINITE[dtype]))
