"""Schedules: hyperparameters as functions of a clock.

A schedule is any function from a count, 0 at first, to a value. A learning rate sees the
number of updates done (it is never reset, whatever `Lookahead` does to its inner state);
the slow weights' step size alpha sees the number of synchronizations done.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lookahead_ref import hyperparameters
from lookahead_ref.hyperparameters import Schedule, count, non_negative, value_at

__all__ = [
    "Constant",
    "Cosine",
    "Scaled",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "cifar_step_decay",
]


@dataclass(frozen=True)
class Constant:
    """The same value at every step."""

    value: float

    def __post_init__(self) -> None:
        non_negative("value", self.value)

    def __call__(self, step: int) -> float:
        return self.value


@dataclass(frozen=True)
class StepDecay:
    """Multiply `initial` by `factor` at each step of `boundaries`.

    >>> schedule = StepDecay(1.0, boundaries=[10, 20], factor=0.5)
    >>> [schedule(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    initial: float
    boundaries: Sequence[int]
    factor: float

    def __post_init__(self) -> None:
        non_negative("initial", self.initial)
        non_negative("factor", self.factor)
        if not isinstance(self.boundaries, Iterable):
            raise TypeError(
                f"boundaries must be a list of integers, got {self.boundaries!r}"
            )
        boundaries = tuple(count("boundaries", each, least=0) for each in self.boundaries)
        if any(later <= earlier for earlier, later in pairwise(boundaries)):
            raise ValueError(f"boundaries must increase, got {list(boundaries)}")
        object.__setattr__(self, "boundaries", boundaries)

    def __call__(self, step: int) -> float:
        passed = sum(boundary <= step for boundary in self.boundaries)
        return float(self.initial * self.factor**passed)


def cifar_step_decay(initial: float, steps_per_epoch: int) -> StepDecay:
    """Build the paper's CIFAR schedule: divide by 5 after epochs 60, 120 and 160 of 200.

    S. Zagoruyko and N. Komodakis, "Wide Residual Networks", BMVC 2016; see section 5.1.

    >>> cifar_step_decay(0.1, steps_per_epoch=391).boundaries
    (23460, 46920, 62560)
    """
    steps = count("steps_per_epoch", steps_per_epoch)
    return StepDecay(initial, [60 * steps, 120 * steps, 160 * steps], factor=0.2)


@dataclass(frozen=True)
class Cosine:
    """Fall from `initial` to `final`, at step `steps`, along half a cosine, then stay.

    I. Loshchilov and F. Hutter, "SGDR", ICLR 2017, equation (5), without restarts.

    >>> schedule = Cosine(1.0, steps=100)
    >>> [round(schedule(step), 3) for step in (0, 50, 100, 200)]
    [1.0, 0.5, 0.0, 0.0]
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        non_negative("initial", self.initial)
        count("steps", self.steps)
        non_negative("final", self.final)

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.final
        share = 0.5 * (1.0 + math.cos(math.pi * step / self.steps))
        return self.final + (self.initial - self.final) * share


@dataclass(frozen=True)
class WarmUp:
    """Rise linearly over the first steps, then follow another value or schedule.

    At step s it is ``min(1, (s + 1) / steps)`` times `after` at step s.

    >>> schedule = WarmUp(4, after=1.0)
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    steps: int
    after: float | Schedule

    def __post_init__(self) -> None:
        count("steps", self.steps)
        hyperparameters.constant_or_schedule("after", self.after, non_negative)

    def __call__(self, step: int) -> float:
        after = value_at("after", self.after, step, non_negative)
        return after * min(1.0, (step + 1) / self.steps)


@dataclass(frozen=True)
class Scaled:
    """Another value or schedule, times a factor.

    >>> Scaled(Cosine(1.0, steps=100), 0.1)(0)
    0.1
    """

    of: float | Schedule
    factor: float

    def __post_init__(self) -> None:
        hyperparameters.constant_or_schedule("of", self.of, non_negative)
        non_negative("factor", self.factor)

    def __call__(self, step: int) -> float:
        return self.factor * value_at("of", self.of, step, non_negative)
