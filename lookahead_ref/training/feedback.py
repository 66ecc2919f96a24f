"""Learning rates and averages that depend on a run's history.

The loop calls the method ``observe`` of a schedule or of `PolyakAveraging.begun`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lookahead_ref import hyperparameters


@dataclass
class Plateau:
    """A schedule that falls when the validation loss stops improving.

    Each time that `patience` evaluations in a row do not improve on the best before them,
    the learning rate is multiplied by `factor`.

    Examples
    --------
    >>> schedule = Plateau(1.0, patience=2)
    >>> schedule.observe([3.0, 2.0, 2.5, 2.0])
    >>> schedule(0)
    0.5
    """

    initial: float
    patience: int
    factor: float = 0.5
    _now: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hyperparameters.non_negative("initial", self.initial)
        hyperparameters.count("patience", self.patience)
        hyperparameters.non_negative("factor", self.factor)
        self._now = self.initial

    def observe(self, losses: Sequence[float]) -> None:
        """Take the validation losses of all evaluations so far."""
        best, waited, self._now = math.inf, 0, self.initial
        for loss in losses:
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited == self.patience:
                self._now, waited = self.factor * self._now, 0

    def __call__(self, _step: int) -> float:
        """Return the learning rate, which does not depend on the step."""
        return self._now


@dataclass
class NonMonotone:
    """Begin an average by the trigger of NT-ASGD.

    It begins, for good, when the validation loss is above the best of all evaluations but
    the last `interval` before it: Algorithm 1 of S. Merity, N. S. Keskar and R. Socher,
    "Regularizing and Optimizing LSTM Language Models", ICLR 2018.

    Examples
    --------
    >>> begun = NonMonotone(interval=1)
    >>> begun.observe([3.0, 2.0, 2.5])
    >>> begun()
    False
    >>> begun.observe([3.0, 2.0, 2.5, 2.1])
    >>> begun()
    True
    """

    interval: int = 5
    _begun: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        hyperparameters.count("interval", self.interval)

    def observe(self, losses: Sequence[float]) -> None:
        """Take the validation losses of all evaluations so far."""
        self._begun = any(
            loss > min(losses[: place - self.interval])
            for place, loss in enumerate(losses)
            if place > self.interval
        )

    def __call__(self) -> bool:
        """Return whether the average has begun."""
        return self._begun


@dataclass
class Pace:
    """A schedule multiplied by the current batch's scale."""

    schedule: Callable[[int], float]
    scale: float = 1.0

    def __call__(self, step: int) -> float:
        """Return the learning rate of a step."""
        value = self.schedule(step)
        return value if self.scale == 1.0 else self.scale * value

    def __repr__(self) -> str:
        return repr(self.schedule)
