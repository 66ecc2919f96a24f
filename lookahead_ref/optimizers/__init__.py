"""The algorithms; each file reads from top to bottom like its paper."""

import dataclasses
from typing import Any

from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers.adaptive_alpha import AdaptiveAlpha
from lookahead_ref.optimizers.averaging import PolyakAveraging, PolyakState
from lookahead_ref.optimizers.base import InnerState, Optimizer, check_optimizer
from lookahead_ref.optimizers.family import CycleRate, SlowMo, diloco, slowmo, snoo
from lookahead_ref.optimizers.inner import (
    SGD,
    AdaGrad,
    Adam,
    AMSGrad,
    HeavyBall,
    Lion,
    Nesterov,
    RAdam,
    RMSProp,
)
from lookahead_ref.optimizers.lookahead import Lookahead, LookaheadState
from lookahead_ref.optimizers.workers import Workers

__all__ = [
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adam",
    "AdaptiveAlpha",
    "HeavyBall",
    "InnerState",
    "Lion",
    "Lookahead",
    "LookaheadState",
    "Nesterov",
    "Optimizer",
    "PolyakAveraging",
    "PolyakState",
    "RAdam",
    "RMSProp",
    "SlowMo",
    "Workers",
    "diloco",
    "slowmo",
    "snoo",
    "with_learning_rate",
]


def with_learning_rate(optimizer: Any, learning_rate: float | Schedule) -> Any:
    """Return an optimizer whose innermost optimizer has another learning rate or schedule.

    >>> with_learning_rate(Lookahead(SGD(0.1)), 0.5).inner
    SGD(learning_rate=0.5, weight_decay=0.0, weight_decay_kind='l2')
    """
    check_optimizer("optimizer", optimizer)
    if hasattr(optimizer, "inner"):
        changed = {"inner": with_learning_rate(optimizer.inner, learning_rate)}
        if isinstance(outer := getattr(optimizer, "outer", None), SlowMo):
            gamma = CycleRate(learning_rate, optimizer.k)
            changed["outer"] = dataclasses.replace(outer, gamma=gamma)
        return dataclasses.replace(optimizer, **changed)
    return dataclasses.replace(optimizer, learning_rate=learning_rate)
