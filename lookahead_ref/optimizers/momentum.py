"""Momentum, in Polyak's form (the heavy ball) and in Nesterov's.

Both keep one slot, the velocity v <- momentum * v + g. The learning rate stands outside of
it: the form v <- momentum * v - learning_rate * g is the same only while the learning rate
is constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref import hyperparameters
from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import WeightDecayKind
from lookahead_ref.trees import Array


@dataclass(frozen=True)
class HeavyBall:
    """Polyak's heavy ball: v <- momentum * v + g; theta <- theta - learning_rate * v.

    Parameters
    ----------
    learning_rate : float or callable
        The step size, or its schedule over the number of updates done.
    momentum : float, default: 0.9
        The share of the velocity that a step keeps, in [0, 1).
    weight_decay : float, default: 0.0
        The weight decay's coefficient.
    weight_decay_kind : {"l2", "decoupled"}, default: "l2"
        Whether weight decay is added to the gradient or to the update.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is out of range.

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.HeavyBall(learning_rate=0.5, momentum=0.5)
    >>> params = {"x": np.array(1.0)}
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     params, state = optimizer.step(params, {"x": np.array(1.0)}, state)
    >>> float(params["x"])  # 1 - 0.5 * 1 - 0.5 * 1.5
    -0.25
    """

    learning_rate: float | Schedule
    momentum: float = 0.9
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"

    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        base.check(self)
        hyperparameters.below_one("momentum", self.momentum)

    def coefficients(self, t: int) -> Mapping[str, float]:  # noqa: ARG002
        """Return the rule's scalars at its t-th update, counted from 1."""
        return {"momentum": float(self.momentum)}

    @staticmethod
    def rule(xp: Any) -> Any:  # noqa: ARG004
        """Return the arithmetic."""

        def heavy_ball(g: Array, v: Array, momentum: float) -> tuple[Array, Array]:
            v = momentum * v + g
            return v, v

        return heavy_ball

    init = base.init
    step = base.step
    evaluation_params = base.evaluation_params


@dataclass(frozen=True)
class Nesterov:
    """Nesterov's momentum: the step goes along g + momentum * v, with the new v.

    Parameters
    ----------
    learning_rate : float or callable
        The step size, or its schedule over the number of updates done.
    momentum : float, default: 0.9
        The share of the velocity that a step keeps, in [0, 1).
    weight_decay : float, default: 0.0
        The weight decay's coefficient.
    weight_decay_kind : {"l2", "decoupled"}, default: "l2"
        Whether weight decay is added to the gradient or to the update.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is out of range.

    References
    ----------
    Y. Nesterov, "A method for solving the convex programming problem with convergence rate
    O(1/k^2)", 1983; in the form of I. Sutskever et al., "On the importance of
    initialization and momentum in deep learning", ICML 2013, written for the point at which
    the gradient is taken.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.Nesterov(learning_rate=0.5, momentum=0.5)
    >>> params = {"x": np.array(1.0)}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.step(params, {"x": np.array(1.0)}, state)
    >>> float(params["x"])  # 1 - 0.5 * (1 + 0.5 * 1)
    0.25
    """

    learning_rate: float | Schedule
    momentum: float = 0.9
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"

    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    def __post_init__(self) -> None:
        base.check(self)
        hyperparameters.below_one("momentum", self.momentum)

    def coefficients(self, t: int) -> Mapping[str, float]:  # noqa: ARG002
        """Return the rule's scalars at its t-th update, counted from 1."""
        return {"momentum": float(self.momentum)}

    @staticmethod
    def rule(xp: Any) -> Any:  # noqa: ARG004
        """Return the arithmetic."""

        def nesterov(g: Array, v: Array, momentum: float) -> tuple[Array, Array]:
            v = momentum * v + g
            return g + momentum * v, v

        return nesterov

    init = base.init
    step = base.step
    evaluation_params = base.evaluation_params
