"""Golden models: loss and gradients of small networks, to the last digit that can be asked.

An optimizer can be right and its model wrong. The cases here give weights and a batch, and
what loss, gradients and carried state must come of them.
"""

from lookahead_ref.conformance.models.judging import Departure, ModelAnswer, judge_model
from lookahead_ref.conformance.models.running import (
    ModelAdapter,
    ModelResult,
    run_models,
)
from lookahead_ref.conformance.models.vectors import ModelCase, model_cases

__all__ = [
    "Departure",
    "ModelAdapter",
    "ModelAnswer",
    "ModelCase",
    "ModelResult",
    "judge_model",
    "model_cases",
    "run_models",
]
