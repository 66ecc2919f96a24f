"""Stochastic gradient descent, the paper's first baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import WeightDecayKind
from lookahead_ref.trees import Array


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent: theta <- theta - learning_rate * g.

    Parameters
    ----------
    learning_rate : float or callable
        The step size, or its schedule over the number of updates done.
    weight_decay : float, default: 0.0
        The weight decay's coefficient.
    weight_decay_kind : {"l2", "decoupled"}, default: "l2"
        Whether weight decay is added to the gradient or to the update. For SGD both are the
        same.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.SGD(learning_rate=0.5)
    >>> params = {"x": np.array([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.step(params, {"x": np.array([1.0, -1.0])}, state)
    >>> params["x"]
    array([0.5, 2.5])
    """

    learning_rate: float | Schedule
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"

    slots: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        base.check(self)

    def coefficients(self, t: int) -> Mapping[str, float]:  # noqa: ARG002
        """Return the rule's scalars at its t-th update, counted from 1: none."""
        return {}

    @staticmethod
    def rule(xp: Any) -> Any:  # noqa: ARG004
        """Return the arithmetic."""

        def sgd(g: Array) -> Array:
            return g

        return sgd

    init = base.init
    step = base.step
    evaluation_params = base.evaluation_params
