"""Progress, as suits where it is shown: a live bar on a terminal, else plain lines."""

import math
import os
import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

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

__all__ = ["LiveBar", "PlainLines", "Reporter", "TrainingProgress", "reporter"]


class Reporter(Protocol):
    """Shows how far some work is. A context manager."""

    def advance(self, amount: int = 1, message: str = "", *, found: bool = False) -> None:
        """Say that `amount` more is done, and what came of it.

        What was `found` done already, at the start, says nothing of the time left.
        """

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop showing; what is shown stays."""


def reporter(total: int, unit: str, console: Console) -> Reporter:
    """Choose how to show progress on a console.

    Parameters
    ----------
    total : int
        How much work there is.
    unit : str
        What it is counted in, such as ``"runs"``.
    console : rich.console.Console
        Where to show it: usually on standard error.

    Returns
    -------
    Reporter
        `LiveBar` on a terminal that can redraw a line, `PlainLines` in a pipe, a file,
        on a dumb terminal, and where the environment variable ``CI`` is set.
    """
    live = console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")
    return LiveBar(total, unit, console) if live else PlainLines(total, unit, console)


class LiveBar:
    """One line that is redrawn: a bar, a count, the time gone and the time left.

    Parameters
    ----------
    total, unit, console
        As for `reporter`.
    """

    def __init__(self, total: int, unit: str, console: Console) -> None:
        self._progress = Progress(
            BarColumn(bar_width=24),
            # A narrow terminal cuts the message, not the count.
            MofNCompleteColumn(
                table_column=Column(no_wrap=True, min_width=len(f"{total}/{total}"))
            ),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=console,
            # A piece may take hours; the time left is told from all that were done.
            speed_estimate_period=math.inf,
            # What is printed meanwhile goes above the bar, unless it goes to a file.
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=total)

    def advance(self, amount: int = 1, message: str = "", *, found: bool = False) -> None:
        """Move the bar."""
        if found:
            # It forgets the speed.
            self._progress.reset(self._task, completed=amount, description=message)
            self._progress.advance(self._task, 0)
            return
        self._progress.update(self._task, advance=amount, description=message)

    def __enter__(self) -> Self:
        self._progress.start()
        # From here on, so that one piece is enough to tell the speed.
        self._progress.advance(self._task, 0)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


class PlainLines:
    """A line now and then, without control characters.

    A line is written for the first piece of work, after at least `interval` seconds, and
    for the last piece.

    Parameters
    ----------
    total, unit, console
        As for `reporter`.
    interval : float, default 5.0
        Seconds between two lines.
    """

    def __init__(
        self, total: int, unit: str, console: Console, interval: float = 5.0
    ) -> None:
        self._total = total
        self._unit = unit
        self._stream = console.file
        self._interval = interval
        self._done = self._found = 0
        self._began = time.monotonic()
        self._last_line = -float("inf")

    def advance(self, amount: int = 1, message: str = "", *, found: bool = False) -> None:
        """Count, and write a line if it is time."""
        self._done += amount
        if found:
            self._found += amount
        now = time.monotonic()
        if self._done < self._total and now - self._last_line < self._interval:
            return
        self._last_line = now
        gone = now - self._began
        line = f"{self._done}/{self._total} {self._unit}, {gone:.0f} s"
        here, left = self._done - self._found, self._total - self._done
        if here and left > 0:
            line += f", about {_duration(gone / here * left)} left"
        # Not console.print: it wraps at the width of a terminal that is not there.
        self._stream.write(f"{line}: {message}\n" if message else f"{line}\n")
        self._stream.flush()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


class TrainingProgress:
    """A callback that shows how far a run is, epoch by epoch. A context manager.

    It tells the loss over the training examples (where they are not evaluated, that of the
    epoch's batches) and the accuracy over the validation examples, of a text its
    perplexity. Of several runs it shows one after the other.

    Parameters
    ----------
    console : rich.console.Console
        Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._reporter: Reporter | None = None

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, RunStarted):
            self._stop()
            total = event.epochs * event.steps_per_epoch
            self._reporter = reporter(total, "steps", self._console).__enter__()
            self._pending = event.batches_done
            self._message = ""
            self._text = event.text
            if event.batches_done:
                self._flush(found=True)
        elif self._reporter is None:
            return
        elif isinstance(event, StepTaken | StepSkipped):
            self._pending += 1
            # A bar that moves ten times a second need not be told of every step.
            if self._pending == 16:
                self._flush()
        elif isinstance(event, EpochEnded) and event.record.epoch:
            self._message = _told(event.record, self._text)
            self._flush()
        elif isinstance(event, Diverging):
            self._console.print(
                f"the weights after epoch {event.epoch} are worse than those of the start: "
                f"loss {event.loss:.4g}, at first {event.initial_loss:.4g}; "
                f"{event.parameter} has moved farthest, by {event.moved:.3g}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
        elif isinstance(event, RunEnded):
            self._stop()

    def _stop(self) -> None:
        # A live bar takes over standard output: left open, it would keep it.
        if self._reporter is not None:
            self._reporter.__exit__(None, None, None)
            self._reporter = None

    def _flush(self, *, found: bool = False) -> None:
        if self._reporter is not None:
            self._reporter.advance(self._pending, self._message, found=found)
            self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _told(record: EpochRecord, text: bool) -> str:
    loss = record.batch_loss if record.train_loss is None else record.train_loss
    measured = (
        f"perplexity {math.exp(min(record.validation_loss, 700)):.2f}"
        if text
        else f"accuracy {100 * record.validation_accuracy:.2f} %"
    )
    parts = [f"epoch {record.epoch}", f"loss {loss:.4f}", measured]
    if record.skipped:
        parts.append(f"{record.skipped} skipped")
    return ", ".join(parts)
