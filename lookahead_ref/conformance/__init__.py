"""The golden suite: vectors that tell any implementation what is wrong with it."""

from lookahead_ref.conformance.judging import (
    Mismatch,
    Observation,
    Trajectory,
    Verdict,
    judge,
    within,
)
from lookahead_ref.conformance.protocol import (
    Adapter,
    Inner,
    Level,
    Setup,
    TargetError,
    UnsupportedError,
    observe,
)
from lookahead_ref.conformance.vectors import (
    Case,
    Suite,
    VectorFileError,
    cases,
    decode,
    load,
)

__all__ = [
    "Adapter",
    "Case",
    "Inner",
    "Level",
    "Mismatch",
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
    "load",
    "observe",
    "within",
]
