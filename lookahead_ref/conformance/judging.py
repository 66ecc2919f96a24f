"""Compares a program's values with those of a case: |got - expected| <= tolerance."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance.vectors import (
    Case,
    CaseOutcome,
    Expected,
    Float64Array,
    ModelCase,
    slow_weights,
)

Arrays = Mapping[str, NDArray[Any]]


@dataclass
class Trajectory:
    """A program's values after each step.

    Arrays are float64, of shape (elements,): all tensors concatenated.
    """

    fast: list[Float64Array] = field(default_factory=list)
    """The fast weights after each step."""
    slow: list[list[Float64Array]] = field(default_factory=list)
    """The slow weights of each Lookahead, the outermost first; empty if hidden."""
    slots: list[dict[str, Float64Array]] = field(default_factory=list)
    """The visible slots of the inner optimizer by name."""


@dataclass
class Observation:
    """A program's values in a case."""

    steps: Trajectory = field(default_factory=Trajectory)
    """The uninterrupted run."""
    resumed: Trajectory | None = None
    """The steps after the save point, in a new process."""
    evaluations: dict[int, Float64Array] = field(default_factory=dict)
    """The weights evaluated after a step, by step, counted from 1."""


@dataclass(frozen=True)
class Mismatch:
    """An element of a quantity that exceeds its tolerance."""

    where: str
    """``fast weights``, ``slow weights`` or a slot, perhaps after loading; for a model
    ``loss``, ``gradient layer1.bias``, ``layer1.cell``, ..."""
    step: int
    """The step, counted from 1; 1 for a model."""
    element: int
    """The element, counted from 0 through all tensors of the quantity."""
    expected: float
    got: float
    distance: float
    """In tolerances, perhaps infinite; 0 of a number that float32 cannot represent."""

    @property
    def representable(self) -> bool:
        return self.distance > 0.0


@dataclass(frozen=True)
class Verdict:
    """Whether a program passes a case."""

    outcome: str
    """The outcome that it follows, or the closest one."""
    follows: tuple[str, ...]
    """All outcomes that it follows; several if the case does not distinguish them."""
    mismatches: tuple[Mismatch, ...]
    """The first failing element of each failing quantity, the earliest first; and the first
    number of each that float32 cannot represent."""
    largest: float
    """The largest distance of all, in tolerances."""

    @property
    def passed(self) -> bool:
        return not self.mismatches


def distances(
    got: Float64Array, expected: Float64Array, tolerance: Float64Array
) -> Float64Array:
    """Return distances in tolerances; infinite if only one of the values is finite."""
    with np.errstate(all="ignore"):
        distance = np.abs(got - expected) / tolerance
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    return np.where(same, 0.0, np.where(np.isnan(distance), np.inf, distance))


def within(
    got: Float64Array, expected: Expected, step: int, dtype: str, level: str = "strict"
) -> bool:
    """Check values after one step; in float32 all must be numbers of it.

    Parameters
    ----------
    got : ndarray
        The values, elements of all tensors concatenated.
    expected : Expected
        The expected values, such as ``case.outcomes[0].fast``.
    step : int
        The step, counted from 1.
    dtype : {"float32", "float64"}
        The precision of the computation.
    level : {"strict", "gpu"}, default: "strict"
        The tolerances.

    Returns
    -------
    bool
        Whether all are within their tolerances.
    """
    if dtype == "float32" and wide(got).any():
        return False
    tolerance = expected.tolerance[dtype, level][step - 1]
    return bool(np.all(distances(got, expected.values[step - 1], tolerance) <= 1.0))


def wide(values: Float64Array) -> NDArray[np.bool_]:
    """Return which numbers float32 cannot represent."""
    with np.errstate(over="ignore"):
        other: NDArray[np.bool_] = values != values.astype(np.float32)
    return other & ~np.isnan(values)


def judge(case: Case, seen: Observation, dtype: str, level: str = "strict") -> Verdict:
    """Compare a program's values in a case with its outcomes.

    Parameters
    ----------
    case : Case
        The case.
    seen : Observation
        The program's values.
    dtype : {"float32", "float64"}
        The precision that the program worked in.
    level : {"strict", "gpu"}, default: "strict"
        The tolerances.

    Returns
    -------
    Verdict
        The verdict for the outcome that it follows or, if none, for the one that it
        followed for the longest.
    """
    verdicts = [_against(case, outcome, seen, dtype, level) for outcome in case.outcomes]
    follows = tuple(verdict.outcome for verdict in verdicts if verdict.passed)
    best = max(
        verdicts, key=lambda v: v.mismatches[0].step if v.mismatches else case.steps + 1
    )
    others = _unrepresentable(case, seen) if dtype == "float32" else ()
    found = sorted((*best.mismatches, *others), key=lambda mismatch: mismatch.step)
    return replace(best, follows=follows, mismatches=tuple(found))


def _unrepresentable(case: Case, seen: Observation) -> Iterator[Mismatch]:
    """Yield the first number of each quantity that float32 cannot represent (LA-31)."""
    for suffix, found in shown(case, seen):
        for name, by_step in found.items():
            got = np.stack(list(by_step.values()))
            for row, element in np.argwhere(wide(got))[:1].tolist():
                value = got[row, element]
                with np.errstate(over="ignore"):
                    at = float(value.astype(np.float32)), float(value), 0.0
                yield Mismatch(f"{name}{suffix}", list(by_step)[row], element, *at)


def _against(
    case: Case, outcome: CaseOutcome, seen: Observation, dtype: str, level: str
) -> Verdict:
    mismatches = []
    largest = 0.0
    for suffix, found in shown(case, seen):
        for name, expected in outcome.quantities.items():
            steps = list(found.get(name, ()))
            if not steps:
                continue
            rows = np.array(steps) - 1
            got, values = np.stack(list(found[name].values())), expected.values[rows]
            apart = distances(got, values, expected.tolerance[dtype, level][rows])
            largest = max(largest, float(apart.max(initial=0.0)))
            if np.any(apart > 1.0):
                row, element = place = tuple(np.argwhere(apart > 1.0)[0].tolist())
                at = float(values[place]), float(got[place]), float(apart[place])
                mismatches.append(Mismatch(f"{name}{suffix}", steps[row], element, *at))
    mismatches.sort(key=lambda mismatch: mismatch.step)
    return Verdict(outcome.name, (), tuple(mismatches), largest)


def shown(
    case: Case, seen: Observation
) -> Iterator[tuple[str, dict[str, dict[int, Float64Array]]]]:
    """Yield visible values by name and step, including those after loading."""
    parts = [("", 1, seen.steps)]
    if seen.resumed is not None and case.save_after is not None:
        parts.append((" after loading", case.save_after + 1, seen.resumed))
    for suffix, first, trajectory in parts:
        # A program may create slots or slow weights late.
        found = {"fast weights": dict(enumerate(trajectory.fast, start=first))}
        for step, levels in enumerate(trajectory.slow, start=first):
            for level, each in enumerate(levels):
                found.setdefault(slow_weights(level), {})[step] = each
        for step, slots in enumerate(trajectory.slots, start=first):
            for name, each in slots.items():
                found.setdefault(name, {})[step] = each
        yield suffix, found
    for step, weights in sorted(seen.evaluations.items()):
        yield "", {"evaluated weights": {step: weights}}


# Golden models.


class ModelAnswer(NamedTuple):
    """A model's answer to a golden case."""

    loss: Any
    """A number."""
    gradients: Arrays
    """Arrays by the parameter's name; missing ones are not compared."""
    carried: Arrays = MappingProxyType({})
    """Arrays by name, such as ``layer1.cell``; missing ones are not compared."""


def judge_model(
    case: ModelCase, answer: ModelAnswer, dtype: str, level: str = "strict"
) -> list[Mismatch]:
    """Compare an answer with a golden case.

    Parameters
    ----------
    case : ModelCase
        The case.
    answer : ModelAnswer
        The model's results for `ModelCase.params` and `ModelCase.batch`.
    dtype : {"float32", "float64"}
        The precision that it worked in.
    level : {"strict", "gpu"}
        The tolerances.

    Returns
    -------
    list of Mismatch
        For each failing quantity, the element with the largest error.

    Raises
    ------
    ValueError
        If an array has a name or shape that the case does not have.

    Examples
    --------
    >>> from lookahead_ref.conformance import model_cases
    >>> case = model_cases("model:mlp")[0]
    >>> right = ModelAnswer(case.expected["loss"].values, {})
    >>> judge_model(case, right, "float64")
    []
    """
    answered = {
        "loss": answer.loss,
        **{f"gradient {name}": array for name, array in answer.gradients.items()},
        **answer.carried,
    }
    known = case.expected
    found = []
    for name, array in answered.items():
        if name not in known:
            raise ValueError(f"{case.id} has {', '.join(known)}; got {name!r}")
        got, expected = np.asarray(array, np.float64), known[name].values
        if got.shape != expected.shape:
            raise ValueError(
                f"{name} must have the shape {expected.shape}, got {got.shape}"
            )
        apart = distances(got, expected, known[name].tolerance[dtype, level])
        element = int(np.argmax(apart))
        values = [float(each.reshape(-1)[element]) for each in (expected, got, apart)]
        if values[-1] > 1.0:
            found.append(Mismatch(name, 1, element, *values))
    return found


# Results of a run.

Status = Literal["passed", "failed", "error", "unjudged", "unsupported"]
"""``error``: there was nothing to judge; ``unjudged``: no answer came in time;
``unsupported``: the program does not offer what the case needs."""


@dataclass(frozen=True)
class Result:
    """The result of a case in one precision."""

    case: Case
    dtype: str
    status: Status
    reason: str = ""
    """Why there is no verdict."""
    verdict: Verdict | None = None
    seen: Observation | None = field(default=None, repr=False)
    frame: Mapping[str, str] | None = None
    """The file, line, function and code of the error, if known."""
