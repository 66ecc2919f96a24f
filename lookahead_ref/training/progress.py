"""Shows a training run's progress."""

import math
import time
from contextlib import ExitStack
from typing import Self

from rich.console import Console

from lookahead_ref.report.progress import Reporter, reporter
from lookahead_ref.training.events import (
    Diverging,
    EpochEnded,
    EpochRecord,
    Event,
    RunEnded,
    RunStarted,
    StepSkipped,
    StepTaken,
)


class TrainingProgress:
    """A callback and context manager that shows a run's progress, epoch by epoch.

    It shows the training loss, or the batch loss if the training examples are not
    evaluated, and the validation accuracy, or for a text the validation perplexity.
    It shows several runs one after the other.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open = ExitStack()
        self._reporter: Reporter | None = None

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, RunStarted):
            self._stop()
            total = event.epochs * event.steps_per_epoch
            shown = reporter(total, "steps", self._console)
            self._reporter = self._open.enter_context(shown)
            self._pending = event.batches_done
            self._record, self._shown = "", -math.inf
            self._text, self._evaluated = event.text, event.evaluated
            begun = "" if event.batches_done else "evaluating the initial weights"
            self._flush(begun, found=True)
        elif isinstance(event, StepTaken | StepSkipped):
            self._pending += 1
            # The first step compiles. A bar needs no update at every step.
            if (now := time.monotonic()) > self._shown + 0.1:
                self._flush(latest(event), self._record, found=self._shown < 0)
                self._shown = now
        elif isinstance(event, EpochEnded) and event.record.epoch:
            self._record = _described(event.record, self._text, self._evaluated)
            self._flush(self._record)
        elif isinstance(event, Diverging):
            self._console.print(
                f"the weights after epoch {event.epoch} are worse than the initial ones: "
                f"loss {event.loss:.4g}, at first {event.initial_loss:.4g}; "
                f"{event.parameter} has moved farthest, by {event.moved:.3g}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        elif isinstance(event, RunEnded):
            self._stop()

    def _stop(self) -> None:
        # Close a live bar, which has taken over standard output.
        self._open.close()
        self._reporter = None

    def _flush(self, *parts: str, found: bool = False) -> None:
        if self._reporter is not None:
            words = "; ".join(filter(None, parts))
            self._reporter.advance(self._pending, words, found=found)
            self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


def latest(event: StepTaken | StepSkipped) -> str:
    """Write where a run is, and its latest loss."""
    return f"epoch {event.epoch}, batch loss {event.loss:.4f}"


def quality(loss: float, accuracy: float, *, text: bool) -> str:
    """Write how good predictions are: their accuracy, or a text's perplexity."""
    if text:
        return f"perplexity {math.exp(min(loss, 700)):.2f}"
    return f"accuracy {100 * accuracy:.2f} %"


def _described(record: EpochRecord, text: bool, evaluated: str) -> str:
    loss = (
        f"batch loss {record.batch_loss:.4f}"
        if record.train_loss is None
        else f"training loss {record.train_loss:.4f}"
    )
    shown = quality(record.validation_loss, record.validation_accuracy, text=text)
    parts = [f"epoch {record.epoch}", loss, f"{evaluated} {shown}"]
    if record.skipped:
        parts.append(f"{record.skipped} skipped")
    return ", ".join(parts)
