"""Adam, in the form of Algorithm 1 of Kingma and Ba: epsilon stands outside the root."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref import hyperparameters
from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import InnerState, WeightDecayKind
from lookahead_ref.trees import Array, Tree


@dataclass(frozen=True)
class Adam:
    """Adam; with decoupled weight decay, AdamW.

    Parameters
    ----------
    learning_rate : float or callable, default: 1e-3
        The step size, or its schedule over the number of updates done.
    beta1, beta2 : float, default: 0.9, 0.999
        The decay rates of the first and of the second moment, in [0, 1).
    epsilon : float, default: 1e-8
        What keeps the division finite, added to the root of the corrected second moment.
    weight_decay : float, default: 0.0
        The weight decay's coefficient.
    weight_decay_kind : {"l2", "decoupled"}, default: "l2"
        Whether weight decay is added to the gradient, or to the update (AdamW). Decoupled
        weight decay is multiplied by the learning rate, as PyTorch's and Optax's is.

    Raises
    ------
    TypeError, ValueError
        If a hyperparameter is out of range.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: A method for stochastic optimization", ICLR 2015,
    Algorithm 1.

    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import lookahead_ref as la
    >>> optimizer = la.Adam(learning_rate=0.1)
    >>> params = {"x": np.array([1.0, 2.0])}
    >>> state = optimizer.init(params)
    >>> params, state = optimizer.step(params, {"x": np.array([1e-3, -1e3])}, state)
    >>> params["x"].round(4)
    array([0.9, 2.1])
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    def __post_init__(self) -> None:
        base.check(self)
        hyperparameters.below_one("beta1", self.beta1)
        hyperparameters.below_one("beta2", self.beta2)
        hyperparameters.non_negative("epsilon", self.epsilon)

    def coefficients(self, t: int) -> Mapping[str, float]:
        """Return the rule's scalars at its t-th update, counted from 1."""
        beta1, beta2 = float(self.beta1), float(self.beta2)
        return {
            "beta1": beta1,
            "rest1": 1.0 - beta1,
            "bias1": 1.0 - beta1**t,
            "beta2": beta2,
            "rest2": 1.0 - beta2,
            "bias2": 1.0 - beta2**t,
            "epsilon": float(self.epsilon),
        }

    @staticmethod
    def rule(xp: Any) -> Any:
        """Return the arithmetic."""
        sqrt = xp.sqrt

        def adam(
            g: Array,
            m: Array,
            v: Array,
            beta1: float,
            rest1: float,
            bias1: float,
            beta2: float,
            rest2: float,
            bias2: float,
            epsilon: float,
        ) -> tuple[Array, Array, Array]:
            m = beta1 * m + rest1 * g
            v = beta2 * v + rest2 * (g * g)
            return (m / bias1) / (sqrt(v / bias2) + epsilon), m, v

        return adam

    def curvature(self, state: InnerState) -> tuple[Tree, float]:
        """Return the second moment, and what corrects its bias, for `AdaptiveAlpha`."""
        factor = 1.0 / self.coefficients(state.updates)["bias2"]
        return state.slots["second_moment"], factor

    init = base.init
    step = base.step
    evaluation_params = base.evaluation_params
