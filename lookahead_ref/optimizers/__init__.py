"""The algorithms; each file reads from top to bottom like its paper."""

import dataclasses
from typing import Any

from lookahead_ref.hyperparameters import Schedule, positive
from lookahead_ref.optimizers.adaptive_alpha import AdaptiveAlpha
from lookahead_ref.optimizers.averaging import PolyakAveraging, PolyakState
from lookahead_ref.optimizers.base import InnerState, Optimizer, check_optimizer
from lookahead_ref.optimizers.family import CycleRate, SlowMo, diloco, slowmo, snoo
from lookahead_ref.optimizers.grouped import Grouped, GroupedState
from lookahead_ref.optimizers.inner import SGD, Adam, HeavyBall, Nesterov
from lookahead_ref.optimizers.lookahead import Lookahead, LookaheadState, innermost
from lookahead_ref.optimizers.more_inner import AdaGrad, AMSGrad, Lion, RAdam, RMSProp
from lookahead_ref.optimizers.schedules import Scaled
from lookahead_ref.optimizers.workers import Workers

__all__ = [
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adam",
    "AdaptiveAlpha",
    "Grouped",
    "GroupedState",
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

    In a `Grouped` it is the last group's; the others keep their ratio to it.

    >>> with_learning_rate(Lookahead(SGD(0.1)), 0.5).inner
    SGD(learning_rate=0.5, weight_decay=0.0, weight_decay_kind='l2')
    """
    check_optimizer("optimizer", optimizer)
    if isinstance(optimizer, Grouped):
        groups = optimizer.groups.items()
        rates = {pattern: innermost(each)[0].learning_rate for pattern, each in groups}
        for pattern, rate in rates.items():
            positive(f"the learning rate of groups[{pattern!r}]", rate)
        *_, last = rates.values()
        scaled = {each: Scaled(learning_rate, rate / last) for each, rate in rates.items()}
        return Grouped(
            {each: with_learning_rate(own, scaled[each]) for each, own in groups}
        )
    if hasattr(optimizer, "inner"):
        changed = {"inner": with_learning_rate(optimizer.inner, learning_rate)}
        if isinstance(outer := getattr(optimizer, "outer", None), SlowMo):
            gamma = CycleRate(learning_rate, optimizer.k)
            changed["outer"] = dataclasses.replace(outer, gamma=gamma)
        return dataclasses.replace(optimizer, **changed)
    return dataclasses.replace(optimizer, learning_rate=learning_rate)
