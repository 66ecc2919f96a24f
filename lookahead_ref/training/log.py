"""The log of a run as JSON lines: one object a line, readable while the run goes on."""

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lookahead_ref.report.files import jsonable
from lookahead_ref.training.events import EpochEnded, Event, StepTaken

__all__ = ["JsonLines", "as_record"]


class JsonLines:
    """A callback that appends each event to a file, and flushes it.

    A context manager: leaving it closes the file.

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
    >>> from lookahead_ref.training.events import RunEnded
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.jsonl"
    ...     with JsonLines(path, method="Adam") as log:
    ...         log(RunEnded(epochs=3, seconds=1.5, error=None))
    ...     for name, value in json.loads(path.read_text()).items():
    ...         print(name, value, sep=": ")
    event: run_ended
    method: Adam
    epochs: 3
    seconds: 1.5
    error: None
    test_loss: None
    test_accuracy: None
    """

    def __init__(self, path: Path, *, steps: bool = False, **labels: Any) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._steps = steps
        self._labels = labels

    def __call__(self, event: Event) -> None:
        """Write an event."""
        if self._steps or not isinstance(event, StepTaken):
            line = json.dumps(as_record(event, **self._labels), allow_nan=False)
            with self._named():
                self._file.write(line + "\n")
                self._file.flush()

    def sync(self) -> int:
        """Flush the file to the disk.

        Returns
        -------
        int
            How long it is, in bytes.
        """
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

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def as_record(event: Event, **labels: Any) -> dict[str, Any]:
    """Turn an event into plain data that JSON can hold.

    Parameters
    ----------
    event : Event
        Any event.
    **labels
        Added after the event's kind.

    Returns
    -------
    dict
        ``event`` (the kind, such as ``"epoch_ended"``), the labels, and the event's
        fields; the fields of an epoch's record stand beside ``seconds``. A number that
        is not finite becomes the string ``"nan"``, ``"inf"`` or ``"-inf"``: JSON has
        none.
    """
    kind = "".join("_" + c.lower() if c.isupper() else c for c in type(event).__name__)
    if isinstance(event, EpochEnded):
        fields = {**dataclasses.asdict(event.record), "seconds": event.seconds}
    else:
        fields = dataclasses.asdict(event)
    record: dict[str, Any] = jsonable({"event": kind.removeprefix("_"), **labels, **fields})
    return record
