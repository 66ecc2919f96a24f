"""The rules of a framework's optimizers, on NumPy arrays.

The ports on plain arrays are built around these, each in its own shape.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Slots = dict[str, Any]
Rule = Callable[[Any, Slots, int], Any]

SLOTS = {
    "sgd": (),
    "heavy-ball": ("velocity",),
    "nesterov": ("velocity",),
    "adagrad": ("sum_of_squares",),
    "adam": ("first_moment", "second_moment"),
}


def zeros(rule: str, param: Any) -> Slots:
    """Make the slots of a parameter (IN-2)."""
    return {name: np.zeros_like(param) for name in SLOTS[rule]}


def rule_of(rule: str, h: Mapping[str, float]) -> Rule:
    """Return the update u, and replace the slots."""

    def sgd(g: Any, _: Slots, t: int) -> Any:
        return g

    def heavy_ball(g: Any, s: Slots, t: int) -> Any:
        s["velocity"] = h["momentum"] * s["velocity"] + g
        return s["velocity"]

    def nesterov(g: Any, s: Slots, t: int) -> Any:
        return g + h["momentum"] * heavy_ball(g, s, t)

    def adagrad(g: Any, s: Slots, t: int) -> Any:
        s["sum_of_squares"] = s["sum_of_squares"] + g * g
        return g / (np.sqrt(s["sum_of_squares"]) + h["epsilon"])

    def adam(g: Any, s: Slots, t: int) -> Any:
        beta1, beta2 = h["beta1"], h["beta2"]
        s["first_moment"] = beta1 * s["first_moment"] + (1 - beta1) * g
        s["second_moment"] = beta2 * s["second_moment"] + (1 - beta2) * (g * g)
        bias1, bias2 = 1 - beta1**t, 1 - beta2**t
        root = np.sqrt(s["second_moment"] / bias2) + h["epsilon"]
        return (s["first_moment"] / bias1) / root

    return {
        "sgd": sgd,
        "heavy-ball": heavy_ball,
        "nesterov": nesterov,
        "adagrad": adagrad,
        "adam": adam,
    }[rule]


def update(inner: Any, theta: Any, g: Any, slots: Slots, t: int, rate: float) -> Any:
    """Return gamma u with weight decay, to be subtracted from theta (IN-1 to IN-4)."""
    h = inner.hyperparameters
    kind = inner.weight_decay_kind
    if kind == "l2":
        g = g + h["weight_decay"] * theta
    with np.errstate(over="ignore"):
        u = rule_of(inner.rule, h)(g, slots, t)
    if kind == "decoupled":
        u = u + h["weight_decay"] * theta
    return rate * u


def at(table: Sequence[float], clock: int) -> float:
    """Read a schedule that repeats its last entry."""
    return table[min(clock, len(table) - 1)]
