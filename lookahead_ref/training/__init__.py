"""Training: a loop, what it reports, and where the reports go."""

from lookahead_ref.training.events import (
    EpochEnded,
    EpochRecord,
    Event,
    RunEnded,
    RunStarted,
    StepTaken,
)
from lookahead_ref.training.log import JsonLines
from lookahead_ref.training.loop import NonFiniteLossError, TrainingResult, train
from lookahead_ref.training.progress import TrainingProgress, reporter

__all__ = [
    "EpochEnded",
    "EpochRecord",
    "Event",
    "JsonLines",
    "NonFiniteLossError",
    "RunEnded",
    "RunStarted",
    "StepTaken",
    "TrainingProgress",
    "TrainingResult",
    "reporter",
    "train",
]
