"""Training: a loop, its events, and their reports."""

from lookahead_ref.report.progress import reporter
from lookahead_ref.stopping import StoppedError
from lookahead_ref.training.checkpoints import CheckpointError, CheckpointFolder
from lookahead_ref.training.events import (
    Diverging,
    EpochEnded,
    EpochRecord,
    Event,
    JsonLines,
    RunEnded,
    RunStarted,
    StepSkipped,
    StepTaken,
)
from lookahead_ref.training.feedback import NonMonotone, Plateau
from lookahead_ref.training.loop import Checkpoints, TrainingResult, train
from lookahead_ref.training.nonfinite import NonFiniteLossError
from lookahead_ref.training.progress import TrainingProgress
from lookahead_ref.training.protocols import CarryingModel, Data, Model, PlainModel, Stream
from lookahead_ref.training.state import Snapshot

__all__ = [
    "CarryingModel",
    "CheckpointError",
    "CheckpointFolder",
    "Checkpoints",
    "Data",
    "Diverging",
    "EpochEnded",
    "EpochRecord",
    "Event",
    "JsonLines",
    "Model",
    "NonFiniteLossError",
    "NonMonotone",
    "PlainModel",
    "Plateau",
    "RunEnded",
    "RunStarted",
    "Snapshot",
    "StepSkipped",
    "StepTaken",
    "StoppedError",
    "Stream",
    "TrainingProgress",
    "TrainingResult",
    "reporter",
    "train",
]
