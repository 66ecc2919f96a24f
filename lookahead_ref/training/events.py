"""What a training run reports while it goes: small records, and their log as JSON lines."""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from lookahead_ref.report.files import jsonable


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Where a run stands after an epoch.

    Everything but `batch_loss` is measured on the evaluation parameters: for Lookahead
    the slow weights, for Polyak averaging the average. Where no validation examples are
    held out, the test examples take their place.
    """

    epoch: int
    """Epochs done; 0 before the first update."""
    step: int
    """Updates done."""
    batch_loss: float | None
    """Mean loss of what was learned from since the record before, at the fast weights, each
    batch before its update, in nats; None at epoch 0."""
    train_loss: float | None
    """Loss over the training examples, in nats; None where they were not evaluated."""
    train_accuracy: float | None
    """Accuracy over the training examples, from 0 to 1; None likewise."""
    validation_loss: float
    """Loss over the validation examples, in nats."""
    validation_accuracy: float
    """Accuracy over the validation examples, from 0 to 1."""
    validation_top5_accuracy: float | None = None
    """Share of the validation examples whose label is among the five highest scores; None
    where the model does not measure it."""
    skipped: int = 0
    """Batches skipped so far because their loss or gradient was not finite."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Training begins."""

    model: str
    data: str
    optimizer: str
    backend: str
    seed: int
    epochs: int
    batch_size: int
    steps_per_epoch: int
    text: bool = False
    """Whether the data is text: exp(loss) then is its perplexity."""
    evaluated: str = "validation"
    """Which examples are used besides those to train on: ``"test"`` where the data holds
    none out and has its test for validation."""
    batches_done: int = 0
    """Batches drawn before; not 0 where a run is continued."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """An update was made."""

    step: int
    """The global step: 0 at the first update, as schedules count."""
    epoch: int
    """The epoch it belongs to: 1 is the first."""
    loss: float
    """Loss of the batch at the fast weights, before the update, in nats."""


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """No update was made: something is not finite, or would not be after it."""

    step: int
    """The global step that the next batch has instead: updates made so far."""
    epoch: int
    """The epoch it belongs to: 1 is the first."""
    loss: float
    """Loss of the batch at the fast weights, in nats."""
    parameter: str | None
    """The first parameter whose gradient is not finite, or entry of the optimizer's state
    that would not be; None if only the loss is not."""


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch is over and was evaluated; also sent for epoch 0, the start."""

    record: EpochRecord
    seconds: float
    """Since the run began."""


@dataclass(frozen=True, slots=True)
class Diverging:
    """The evaluation parameters, of Lookahead the slow weights, became worse than at first.

    It is sent after an epoch whose loss is above that of the start, unless that of the
    epoch before was as well: the loss over the training examples or, where they are not
    evaluated, over the validation examples.
    """

    epoch: int
    """Epochs done."""
    loss: float
    """What the loss is now, in nats."""
    initial_loss: float
    """What it was before the first update, in nats."""
    parameter: str
    """The parameter that has moved farthest from where it began."""
    moved: float
    """How far: the norm of the difference."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Training is over."""

    epochs: int
    """Epochs completed."""
    seconds: float
    """Since the run began."""
    error: str | None
    """Why it stopped early; None if it did not."""
    test_loss: float | None = None
    """Loss over the test examples, in nats; None where there are none, or it stopped."""
    test_accuracy: float | None = None
    """Accuracy over the test examples, from 0 to 1; None likewise."""


Event: TypeAlias = RunStarted | StepTaken | StepSkipped | EpochEnded | Diverging | RunEnded
"""Any of the records."""

Callback: TypeAlias = Callable[[Event], None]
"""Called with each event, in order."""


class JsonLines:
    """A callback that appends each event to a file, one JSON object a line.

    A context manager: leaving it closes the file. A line has ``event`` (the kind, such as
    ``"epoch_ended"``), the labels, and the event's fields; those of an epoch's record stand
    beside ``seconds``. It is flushed at once. A number that is not finite, which JSON has
    not, becomes the string ``"nan"``, ``"inf"`` or ``"-inf"``.

    Parameters
    ----------
    path : pathlib.Path
        The file. It is created, or appended to.
    steps : bool, default False
        Whether to write a line for every update too, not for every epoch only.
    **labels
        Written into every line, such as the method's name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.jsonl"
    ...     with JsonLines(path, steps=True, method="Adam") as log:
    ...         log(StepTaken(step=3, epoch=1, loss=float("nan")))
    ...     print(path.read_text(), end="")
    {"event": "step_taken", "method": "Adam", "step": 3, "epoch": 1, "loss": "nan"}
    """

    def __init__(self, path: Path, *, steps: bool = False, **labels: Any) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._steps = steps
        self._labels = labels

    def __call__(self, event: Event) -> None:
        """Write an event."""
        if self._steps or not isinstance(event, StepTaken):
            line = json.dumps(as_record(event, self._labels), allow_nan=False)
            with self._named():
                self._file.write(line + "\n")
                self._file.flush()

    def sync(self) -> int:
        """Flush the file to the disk, and return how long it is, in bytes."""
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = self._file.name  # a disk that is full does not say for what
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def as_record(event: Event, labels: dict[str, Any]) -> dict[str, Any]:
    """Turn an event into plain data that JSON can hold."""
    kind = re.sub("(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    fields = dataclasses.asdict(event)
    record = fields.pop("record", {})
    return dict(jsonable({"event": kind, **labels, **record, **fields}))
