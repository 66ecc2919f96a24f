"""The algorithms; each file reads from top to bottom like its paper."""

import dataclasses
from typing import Any

from lookahead_ref.hyperparameters import Schedule
from lookahead_ref.optimizers.adagrad import AdaGrad
from lookahead_ref.optimizers.adam import Adam
from lookahead_ref.optimizers.adaptive_alpha import AdaptiveAlpha
from lookahead_ref.optimizers.averaging import PolyakAveraging, PolyakState
from lookahead_ref.optimizers.base import InnerState, Optimizer, check_optimizer
from lookahead_ref.optimizers.lookahead import Lookahead, LookaheadState
from lookahead_ref.optimizers.momentum import HeavyBall, Nesterov
from lookahead_ref.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdaptiveAlpha",
    "HeavyBall",
    "InnerState",
    "Lookahead",
    "LookaheadState",
    "Nesterov",
    "Optimizer",
    "PolyakAveraging",
    "PolyakState",
    "with_learning_rate",
]


def with_learning_rate(optimizer: Any, learning_rate: float | Schedule) -> Any:
    """Return an optimizer with another learning rate, at whatever depth it is.

    Parameters
    ----------
    optimizer : Optimizer
        An optimizer, possibly around another.
    learning_rate : float or callable
        The learning rate of the innermost optimizer, or its schedule.

    Returns
    -------
    Optimizer
        A new optimizer of the same kind.

    Raises
    ------
    TypeError
        If `optimizer` is not one.
    TypeError, ValueError
        If the learning rate is out of range.

    Examples
    --------
    >>> with_learning_rate(Lookahead(SGD(0.1)), 0.5).inner
    SGD(learning_rate=0.5, weight_decay=0.0, weight_decay_kind='l2')
    """
    check_optimizer("optimizer", optimizer)
    if hasattr(optimizer, "inner"):
        inner = with_learning_rate(optimizer.inner, learning_rate)
        return dataclasses.replace(optimizer, inner=inner)
    return dataclasses.replace(optimizer, learning_rate=learning_rate)
