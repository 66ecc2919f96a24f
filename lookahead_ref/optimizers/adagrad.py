"""AdaGrad, a learning rate for each weight that falls with the gradients seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref import hyperparameters
from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import InnerState, WeightDecayKind
from lookahead_ref.trees import Array, Tree


@dataclass(frozen=True)
class AdaGrad:
    """AdaGrad: s <- s + g * g; theta <- theta - learning_rate * g / (sqrt(s) + epsilon).

    Parameters
    ----------
    learning_rate : float or callable
        The step size, or its schedule over the number of updates done.
    epsilon : float, default: 1e-10
        What keeps the division finite.
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
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 2011.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.AdaGrad(learning_rate=0.5)
    >>> params = {"x": np.array([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.step(params, {"x": np.array([4.0, -0.25])}, state)
    >>> params["x"].round(6)
    array([0.5, 2.5])
    """

    learning_rate: float | Schedule
    epsilon: float = 1e-10
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"

    slots: ClassVar[tuple[str, ...]] = ("sum_of_squares",)

    def __post_init__(self) -> None:
        base.check(self)
        hyperparameters.non_negative("epsilon", self.epsilon)

    def coefficients(self, t: int) -> Mapping[str, float]:  # noqa: ARG002
        """Return the rule's scalars at its t-th update, counted from 1."""
        return {"epsilon": float(self.epsilon)}

    @staticmethod
    def rule(xp: Any) -> Any:
        """Return the arithmetic."""
        sqrt = xp.sqrt

        def adagrad(g: Array, s: Array, epsilon: float) -> tuple[Array, Array]:
            s = s + g * g
            return g / (sqrt(s) + epsilon), s

        return adagrad

    def curvature(self, state: InnerState) -> tuple[Tree, float]:
        """Return the sum of squares, and what makes a mean of it, for `AdaptiveAlpha`."""
        return state.slots["sum_of_squares"], 1.0 / state.updates

    init = base.init
    step = base.step
    evaluation_params = base.evaluation_params
