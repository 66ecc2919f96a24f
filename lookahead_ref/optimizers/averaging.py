"""Polyak averaging, the paper's other baseline, which evaluates the average."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from lookahead_ref import hyperparameters
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import Optimizer
from lookahead_ref.trees import Tree, apply, interpolate


class PolyakState(NamedTuple):
    """The inner state, the average of the params after each step, and their number."""

    inner: Any
    average: dict[str, Any]
    averaged: int


@dataclass(frozen=True)
class PolyakAveraging:
    """Average the parameters that an optimizer passes through, and evaluate the average.

    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992. `inner` may be a `Lookahead`; the other way round is a TypeError.
    Without `decay` it is the plain mean of the parameters after steps 1, 2, .... With one,
    in [0, 1), the exponential moving average, which starts at those after step 1:
    average <- average + (1 - decay) * (theta - average). If `begun` is given, it returns
    before each step whether to average it; until one is, the parameters are evaluated.

    >>> import numpy as np
    >>> from lookahead_ref import SGD
    >>> optimizer = PolyakAveraging(SGD(learning_rate=1.0))
    >>> params = {"x": np.array([0.0])}
    >>> state = optimizer.init(params)
    >>> for _ in range(3):
    ...     params, state = optimizer.step(params, {"x": np.array([-1.0])}, state)
    >>> optimizer.evaluation_params(params, state)["x"]  # the mean of 1, 2 and 3
    array([2.])
    """

    inner: Optimizer
    decay: float | None = None
    begun: Callable[[], bool] | None = None
    outermost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        base.check_inner(self.inner)
        if self.decay is not None:
            hyperparameters.below_one("decay", self.decay)

    def init(self, params: Tree) -> PolyakState:
        return PolyakState(self.inner.init(params), dict(params), 0)

    def step(
        self, params: Tree, grads: Tree, state: PolyakState
    ) -> tuple[dict[str, Any], PolyakState]:
        base.check_state(state, PolyakState)
        params, inner = self.inner.step(params, grads, state.inner)
        if self.begun is not None and not self.begun():
            return params, state._replace(inner=inner)
        averaged = state.averaged + 1
        average = params
        if averaged > 1:
            weight = 1.0 / averaged if self.decay is None else 1.0 - float(self.decay)
            (average,) = apply(interpolate, {"alpha": weight}, state.average, params)
        return params, PolyakState(inner, average, averaged)

    def evaluation_params(self, params: Tree, state: PolyakState) -> Tree:
        """Return the average; before the first step, `params`."""
        return state.average if state.averaged else params
