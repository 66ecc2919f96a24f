"""Training: a loop, what it reports, and where the reports go."""

from lookahead_ref.training.events import (
    EpochEnded,
    EpochRecord,
    Event,
    RunEnded,
    RunStarted,
    StepSkipped,
    StepTaken,
)
from lookahead_ref.training.log import JsonLines
from lookahead_ref.training.loop import TrainingResult, train
from lookahead_ref.training.models import CarryingModel, Data, Model, PlainModel, Stream
from lookahead_ref.training.nonfinite import NonFiniteLossError
from lookahead_ref.training.progress import TrainingProgress, reporter

__all__ = [
    "CarryingModel",
    "Data",
    "EpochEnded",
    "EpochRecord",
    "Event",
    "JsonLines",
    "Model",
    "NonFiniteLossError",
    "PlainModel",
    "RunEnded",
    "RunStarted",
    "StepSkipped",
    "StepTaken",
    "Stream",
    "TrainingProgress",
    "TrainingResult",
    "reporter",
    "train",
]
