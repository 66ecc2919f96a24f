"""The readable reference for the Lookahead optimizer of Zhang, Lucas, Hinton and Ba."""

from lookahead_ref.gradients import clip_by_global_norm, value_and_grad
from lookahead_ref.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdaptiveAlpha,
    AMSGrad,
    Grouped,
    HeavyBall,
    Lion,
    Lookahead,
    Nesterov,
    Optimizer,
    PolyakAveraging,
    RAdam,
    RMSProp,
    Workers,
    diloco,
    schedules,
    slowmo,
    snoo,
    with_learning_rate,
)
from lookahead_ref.stepping import backend
from lookahead_ref.stepping.backend import BackendUnavailableError
from lookahead_ref.stepping.stepper import Stepper

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "AMSGrad",
    "AdaGrad",
    "Adam",
    "AdaptiveAlpha",
    "BackendUnavailableError",
    "Grouped",
    "HeavyBall",
    "Lion",
    "Lookahead",
    "Nesterov",
    "Optimizer",
    "PolyakAveraging",
    "RAdam",
    "RMSProp",
    "Stepper",
    "Workers",
    "backend",
    "clip_by_global_norm",
    "diloco",
    "schedules",
    "slowmo",
    "snoo",
    "value_and_grad",
    "with_learning_rate",
]
