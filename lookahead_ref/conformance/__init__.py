"""The golden suite: vectors that reveal the mistakes of any implementation.

Common arguments:

profile : str, optional
    Only its cases, such as ``wrapper``; all if not given. An unknown one is a ValueError.
folder : path, optional
    Where the vector files are; in this package if not given. A file that is missing, of a
    later version, truncated or edited is a `VectorFileError` that names it.
dtype : {"float32", "float64"}
    The precision that a program works in.
level : {"strict", "gpu"}, default: "strict"
    The tolerances.
"""

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
