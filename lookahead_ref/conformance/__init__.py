"""The golden suite: vectors that reveal the mistakes of any implementation."""

from lookahead_ref.conformance.judging import (
    Mismatch,
    ModelAnswer,
    Observation,
    Trajectory,
    Verdict,
    judge,
    judge_model,
    within,
)
from lookahead_ref.conformance.protocol import (
    Adapter,
    Inner,
    Level,
    ModelAdapter,
    Setup,
    TargetError,
    UnsupportedError,
    observe,
)
from lookahead_ref.conformance.vectors import (
    Case,
    ModelCase,
    Suite,
    VectorFileError,
    cases,
    decode,
    load,
    model_cases,
)

__all__ = [
    "Adapter",
    "Case",
    "Inner",
    "Level",
    "Mismatch",
    "ModelAdapter",
    "ModelAnswer",
    "ModelCase",
    "Observation",
    "Setup",
    "Suite",
    "TargetError",
    "Trajectory",
    "UnsupportedError",
    "VectorFileError",
    "Verdict",
    "cases",
    "decode",
    "judge",
    "judge_model",
    "load",
    "model_cases",
    "observe",
    "within",
]
