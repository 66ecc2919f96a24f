"""Methods that are Lookahead with another outer optimizer, by their papers' names.

Local SGD, FedAvg and Reptile need no name: they are ``Lookahead(inner, k, alpha)``, the
first two with alpha = 1, around several workers or tasks. FedOpt takes any adaptive
optimizer as `outer`, as in ``Lookahead(SGD(0.1), k=10, outer=Adam(0.01))``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lookahead_ref.hyperparameters import Schedule, below_one, positive, value_at
from lookahead_ref.optimizers import base
from lookahead_ref.optimizers.base import Optimizer, WeightDecayKind
from lookahead_ref.optimizers.inner import Nesterov
from lookahead_ref.optimizers.lookahead import Lookahead, innermost


def snoo(
    inner: Optimizer, k: int, *, learning_rate: float | Schedule, momentum: float
) -> Lookahead:
    """Build SNOO: Nesterov's momentum on the pseudo-gradient.

    D. Kallusky, V. Rao, V. Nandavanam and H.-J. M. Shi, "SNOO: Step-K Nesterov outer
    optimizer", 2025, arXiv 2510.15830.
    """
    return Lookahead(inner, k, outer=Nesterov(learning_rate, momentum))


def diloco(
    inner: Optimizer,
    k: int = 500,
    *,
    learning_rate: float | Schedule = 0.7,
    momentum: float = 0.9,
) -> Lookahead:
    """Build the optimizer of DiLoCo, with the paper's outer step; its inner one is AdamW.

    A. Douillard et al., "DiLoCo: Distributed low-communication training of language
    models", 2023, arXiv 2311.08105. Each worker has one of these optimizers.
    """
    return snoo(inner, k, learning_rate=learning_rate, momentum=momentum)


def slowmo(
    inner: Optimizer, k: int, *, momentum: float, learning_rate: float = 1.0
) -> Lookahead:
    """Build SlowMo: momentum on pseudo-gradients in units of the inner learning rate.

    J. Wang, V. Tantia, N. Ballas and M. Rabbat, "SlowMo: Improving communication-efficient
    distributed SGD with slow momentum", ICLR 2020, Algorithm 1. It divides the
    pseudo-gradient by gamma, the inner learning rate at the cycle's first step, and
    multiplies the update by it. While gamma is constant both cancel, but for rounding, and
    this is ``outer=HeavyBall(...)``.
    """
    base.check_inner(inner)
    gamma = CycleRate(innermost(inner)[0].learning_rate, k)
    return Lookahead(inner, k, outer=SlowMo(learning_rate, momentum, gamma))


@dataclass(frozen=True)
class CycleRate:
    """The inner learning rate, a number or its schedule, at the first step of a cycle."""

    learning_rate: float | Schedule
    k: int

    def __call__(self, syncs: int) -> float:
        rate = self.learning_rate
        return rate(self.k * syncs) if callable(rate) else rate


@dataclass(frozen=True)
class SlowMo:
    """SlowMo's outer step: v <- momentum * v + g / gamma; u = gamma * v.

    `gamma` is the inner learning rate, as a function of the synchronizations done since the
    slots were made.
    """

    learning_rate: float | Schedule
    momentum: float
    gamma: Callable[[int], float]
    weight_decay: float = 0.0
    weight_decay_kind: WeightDecayKind = "l2"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)
    init, step, evaluation_params = base.init, base.step, base.evaluation_params

    def __post_init__(self) -> None:
        base.check(self, momentum=below_one)
        if not callable(self.gamma):
            raise TypeError(f"gamma must be a function of a count, got {self.gamma!r}")

    def coefficients(self, t: int) -> Mapping[str, float]:
        gamma = value_at("gamma", self.gamma, t - 1, positive)
        return {"momentum": float(self.momentum), "gamma": gamma}

    @staticmethod
    def rule(xp: Any) -> Any:
        def slow_momentum(g: Any, v: Any, momentum: Any, gamma: Any) -> Any:
            v = momentum * v + g / gamma
            return gamma * v, v

        return slow_momentum
