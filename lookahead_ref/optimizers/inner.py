"""Inner optimizers: SGD, heavy ball, Nesterov's momentum and Adam.

Each is a rule, from the gradient g and its slots to an update u and new slots. All share
`learning_rate`, `weight_decay` and `weight_decay_kind`, which `base.UpdateRule` documents,
and the step theta <- theta - learning_rate * u of `base.step`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref.hyperparameters import Schedule, below_one, non_negative
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import InnerState, WeightDecayKind
from lookahead_ref.trees import Tree


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, the paper's first baseline: u = g."""

    learning_rate: float | Schedule
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ()
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return {}

    @staticmethod
    def rule(xp: Any) -> Any:
        return lambda g: g


@dataclass(frozen=True)
class HeavyBall:
    """Polyak's heavy ball (1964): v <- momentum * v + g; u = v.

    `momentum`, in [0, 1), is the share of the velocity that a step keeps. The form with the
    learning rate inside the velocity is the same only while the rate is constant.
    """

    learning_rate: float | Schedule
    momentum: float = 0.9
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, momentum=below_one)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return {"momentum": float(self.momentum)}

    @staticmethod
    def rule(xp: Any) -> Any:
        def heavy_ball(g, v, momentum):
            v = momentum * v + g
            return v, v

        return heavy_ball


@dataclass(frozen=True)
class Nesterov:
    """Nesterov's momentum (1983): v <- momentum * v + g; u = g + momentum * v, the new v.

    At the point of the gradient: I. Sutskever et al., "On the importance of initialization
    and momentum in deep learning", ICML 2013. `momentum` is in [0, 1).
    """

    learning_rate: float | Schedule
    momentum: float = 0.9
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, momentum=below_one)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return {"momentum": float(self.momentum)}

    @staticmethod
    def rule(xp: Any) -> Any:
        def nesterov(g, v, momentum):
            v = momentum * v + g
            return g + momentum * v, v

        return nesterov


@dataclass(frozen=True)
class Adam:
    """Adam: m and v average g and g * g; u = m_hat / (sqrt(v_hat) + epsilon).

    D. P. Kingma and J. Ba, "Adam: A method for stochastic optimization", ICLR 2015,
    Algorithm 1. `beta1` and `beta2`, in [0, 1), are the decay rates of m and v, whose bias
    is corrected; `epsilon` keeps the division finite. With decoupled weight decay it is
    AdamW: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, beta1=below_one, beta2=below_one, epsilon=non_negative)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return moments(self, t)

    @staticmethod
    def rule(xp: Any) -> Any:
        def adam(g, m, v, beta1, rest1, bias1, beta2, rest2, bias2, epsilon):
            m = beta1 * m + rest1 * g
            v = beta2 * v + rest2 * (g * g)
            return (m / bias1) / (xp.sqrt(v / bias2) + epsilon), m, v

        return adam

    def curvature(self, state: InnerState) -> tuple[Tree, float]:
        """Return the second moment and its bias correction, for `AdaptiveAlpha`."""
        factor = 1.0 / self.coefficients(state.updates)["bias2"]
        return state.slots["second_moment"], factor


def moments(adam: Any, t: int) -> dict[str, float]:
    """Return the scalars of Adam and its kin."""
    beta1, beta2 = float(adam.beta1), float(adam.beta2)
    return {
        "beta1": beta1,
        "rest1": 1.0 - beta1,
        "bias1": 1.0 - beta1**t,
        "beta2": beta2,
        "rest2": 1.0 - beta2,
        "bias2": 1.0 - beta2**t,
        "epsilon": float(adam.epsilon),
    }
