"""The events of a training run, and their log as JSON lines."""

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
    """Measurements after an epoch.

    Everything but `batch_loss` is measured on the evaluation parameters: for Lookahead
    the slow weights, for Polyak averaging the average. If no validation examples are held
    out, the test examples take their place.
    """

    epoch: int
    """Epochs done; 0 before the first update."""
    step: int
    """Updates done."""
    batch_loss: float | None
    """Mean loss of the batches since the previous record, each at the fast weights before
    its update, in nats; None at epoch 0."""
    train_loss: float | None
    """Loss over the training examples, in nats; None if not evaluated."""
    train_accuracy: float | None
    """Accuracy over the training examples, from 0 to 1; None if not evaluated."""
    validation_loss: float
    """Loss over the validation examples, in nats."""
    validation_accuracy: float
    """Accuracy over the validation examples, from 0 to 1."""
    validation_top5_accuracy: float | None = None
    """Share of the validation examples whose label is among the five highest scores; None
    if the model does not measure it."""
    skipped: int = 0
    """Batches skipped so far because the loss or gradient was not finite."""


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
    """Whether the data is text, so that exp(loss) is its perplexity."""
    evaluated: str = "validation"
    """The examples used for validation: ``"test"`` if none are held out."""
    batches_done: int = 0
    """Batches drawn before; not 0 in a continued run."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """An update was done."""

    step: int
    """The global step: 0 at the first update, as schedules count."""
    epoch: int
    """The epoch, from 1."""
    loss: float
    """Loss of the batch at the fast weights, before the update, in nats."""


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """No update was done, because something is not finite or would not be after it."""

    step: int
    """The global step of the next batch: updates done so far."""
    epoch: int
    """The epoch, from 1."""
    loss: float
    """Loss of the batch at the fast weights, in nats."""
    parameter: str | None
    """The first parameter whose gradient is not finite, or entry of the optimizer's state
    that would not be; None if only the loss is not."""


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch was evaluated, or the start, as epoch 0."""

    record: EpochRecord
    seconds: float
    """Since the run began."""


@dataclass(frozen=True, slots=True)
class Diverging:
    """The evaluation parameters (Lookahead's slow weights) are worse than at the start.

    Sent after an epoch whose loss is above that of the start, unless that of the epoch
    before was too. It is the loss over the training examples or, if they are not
    evaluated, over the validation examples.
    """

    epoch: int
    """Epochs done."""
    loss: float
    """The loss now, in nats."""
    initial_loss: float
    """The loss before the first update, in nats."""
    parameter: str
    """The parameter that has moved farthest from its initial value."""
    moved: float
    """The norm of its change."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Training is over."""

    epochs: int
    """Epochs completed."""
    seconds: float
    """Since the run began."""
    error: str | None
    """Why it stopped early, or None."""
    test_loss: float | None = None
    """Loss over the test examples, in nats; None without any, or if it stopped."""
    test_accuracy: float | None = None
    """Accuracy over the test examples, from 0 to 1, or None."""


Event: TypeAlias = RunStarted | StepTaken | StepSkipped | EpochEnded | Diverging | RunEnded
"""Any event."""

Callback: TypeAlias = Callable[[Event], None]
"""Called with each event, in order."""


class JsonLines:
    """A callback that appends each event to a file, one JSON object a line.

    A context manager: leaving it closes the file. A line has ``event`` (the kind, such as
    ``"epoch_ended"``), the labels, and the fields of the event and its record. It is
    flushed at once. Numbers that are not finite, which JSON lacks, become the strings
    ``"nan"``, ``"inf"`` and ``"-inf"``.

    Parameters
    ----------
    path : pathlib.Path
        The file. It is created, or appended to.
    steps : bool, default False
        Whether to write a line for every update, not only for every epoch.
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
            kind = re.sub("(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
            fields = dataclasses.asdict(event)
            record = {**self._labels, **fields.pop("record", {}), **fields}
            line = json.dumps(jsonable({"event": kind, **record}), allow_nan=False)
            with self._named():
                self._file.write(line + "\n")
                self._file.flush()

    def sync(self) -> int:
        """Flush the file to the disk, and return its length in bytes."""
        with self._named():
            self._file.flush()
            os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = self._file.name  # the error of a full disk names no file
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
