"""More inner optimizers, each as those in `inner`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref.hyperparameters import Schedule, below_one, non_negative, positive
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import InnerState, WeightDecayKind
from lookahead_ref.optimizers.inner import Adam, moments
from lookahead_ref.trees import Tree


@dataclass(frozen=True)
class AdaGrad:
    """AdaGrad: s <- s + g * g; u = g / (sqrt(s) + epsilon).

    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization", JMLR 2011. `epsilon` keeps the division finite.
    """

    learning_rate: float | Schedule
    epsilon: float = 1e-10
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("sum_of_squares",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, epsilon=non_negative)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return {"epsilon": float(self.epsilon)}

    @staticmethod
    def rule(xp: Any) -> Any:
        def adagrad(g, s, epsilon):
            s = s + g * g
            return g / (xp.sqrt(s) + epsilon), s

        return adagrad

    def curvature(self, state: InnerState) -> tuple[Tree, float]:
        """Return the sum of squares and the factor to its mean, for `AdaptiveAlpha`."""
        return state.slots["sum_of_squares"], 1.0 / state.updates


@dataclass(frozen=True)
class RMSProp:
    """RMSProp: v averages g * g; u = g / (sqrt(v) + epsilon).

    T. Tieleman and G. Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.
    `beta2`, in [0, 1), is the decay rate of v, whose bias is not corrected.
    """

    learning_rate: float | Schedule
    beta2: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("second_moment",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, beta2=below_one, epsilon=non_negative)

    def coefficients(self, t: int) -> Mapping[str, float]:
        beta2 = float(self.beta2)
        return {"beta2": beta2, "rest2": 1.0 - beta2, "epsilon": float(self.epsilon)}

    @staticmethod
    def rule(xp: Any) -> Any:
        def rmsprop(g, v, beta2, rest2, epsilon):
            v = beta2 * v + rest2 * (g * g)
            return g / (xp.sqrt(v) + epsilon), v

        return rmsprop

    def curvature(self, state: InnerState) -> tuple[Tree, float]:
        """Return the second moment and its bias correction, for `AdaptiveAlpha`."""
        return state.slots["second_moment"], 1.0 / (1.0 - self.beta2**state.updates)


@dataclass(frozen=True)
class AMSGrad:
    """AMSGrad: Adam, with the largest v so far as the second moment.

    S. J. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018,
    Algorithm 2. Unlike the paper, it corrects the bias of both moments as Adam does; the
    maximum is taken before the correction.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment", "largest")
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, beta1=below_one, beta2=below_one, epsilon=non_negative)

    def coefficients(self, t: int) -> Mapping[str, float]:
        return moments(self, t)

    @staticmethod
    def rule(xp: Any) -> Any:
        def amsgrad(g, m, v, largest, beta1, rest1, bias1, beta2, rest2, bias2, epsilon):
            m = beta1 * m + rest1 * g
            v = beta2 * v + rest2 * (g * g)
            largest = xp.maximum(largest, v)
            return (m / bias1) / (xp.sqrt(largest / bias2) + epsilon), m, v, largest

        return amsgrad


@dataclass(frozen=True)
class RAdam:
    """RAdam: Adam, scaled down while few gradients make v uncertain; m_hat alone at first.

    L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020,
    Algorithm 2, with Adam's epsilon. Lookahead around it is known as Ranger. Once rho_t
    exceeds `threshold` the second moment is used: 4 in the paper, 5 in public code.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    threshold: float = 4.0
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, beta1=below_one, beta2=below_one, epsilon=positive)
        # Below 4 the scale would be the root of a negative number.
        if positive("threshold", self.threshold) < 4.0:
            raise ValueError(f"threshold must be a number >= 4, got {self.threshold!r}")

    def coefficients(self, t: int) -> Mapping[str, float]:
        power = float(self.beta2) ** t
        longest = 2.0 / (1.0 - float(self.beta2)) - 1.0
        rho = longest - 2.0 * t * power / (1.0 - power)
        if rho <= self.threshold:
            return moments(self, t) | {"plain": 1.0, "rectified": 0.0}
        ratio = (rho - 4.0) * (rho - 2.0) * longest
        ratio /= (longest - 4.0) * (longest - 2.0) * rho
        return moments(self, t) | {"plain": 0.0, "rectified": math.sqrt(ratio)}

    @staticmethod
    def rule(xp: Any) -> Any:
        def radam(g, m, v, plain, rectified, **scalars):
            update, m, v = Adam.rule(xp)(g, m, v, **scalars)
            m_hat = m / scalars["bias1"]
            return plain * m_hat + rectified * update, m, v

        return radam


@dataclass(frozen=True)
class Lion:
    """Lion: u = sign(beta1 * m + (1 - beta1) * g); m <- beta2 * m + (1 - beta2) * g.

    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023. Its
    weight decay is decoupled. The sign of zero is zero.
    """

    learning_rate: float | Schedule = 1e-4
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "decoupled"
    slots: ClassVar[tuple[str, ...]] = ("momentum",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, beta1=below_one, beta2=below_one)

    def coefficients(self, t: int) -> Mapping[str, float]:
        beta1, beta2 = float(self.beta1), float(self.beta2)
        return {"beta1": beta1, "rest1": 1.0 - beta1, "beta2": beta2, "rest2": 1.0 - beta2}

    @staticmethod
    def rule(xp: Any) -> Any:
        def lion(g, m, beta1, rest1, beta2, rest2):
            return xp.sign(beta1 * m + rest1 * g), beta2 * m + rest2 * g

        return lion
