"""Shows progress: a live bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeAlias

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from lookahead_ref.system import redraws
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


@contextmanager
def reporter(total: int, unit: str, console: Console) -> Iterator["Reporter"]:
    """Show the progress of any work; every command uses this.

    On a terminal that can redraw a line it is a bar with the time left. In a pipe, a file,
    in Jupyter, on a dumb terminal, and where the environment variable ``CI`` is set it is a
    line now and then, without control characters.

    Parameters
    ----------
    total : int
        How much work there is.
    unit : str
        What it is counted in, such as ``"runs"``.
    console : rich.console.Console
        Where to show it: usually on standard error.

    Yields
    ------
    Reporter
        To be told of each piece of work, or of a part of one, with ``advance(amount,
        message, rows)``, and first of what an earlier run has done already with
        ``found=True``. The rows say what is under way.

    Examples
    --------
    >>> with reporter(3, "runs", Console(force_terminal=False)) as progress:
    ...     progress.advance(2, "there already", found=True)
    ...     progress.advance(message="Adam, seed 0")
    2/3 runs, 0 s: there already
    3/3 runs, 0 s: Adam, seed 0
    """
    if not redraws(console):
        yield _PlainLines(total, unit, console)
        return
    bar = _Rows(
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
    with bar:
        yield _LiveBar(bar, total)


class _Rows(Progress):
    """A bar with a line below it for each piece of work that is under way."""

    rows: Sequence[str] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield from (
            Text(f"  {row}", no_wrap=True, overflow="ellipsis") for row in self.rows
        )


class _LiveBar:
    """A few lines that are redrawn."""

    def __init__(self, progress: _Rows, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)
        self._done = 0.0
        # From here on, so that one piece is enough to tell the speed.
        progress.advance(self._task, 0)

    def advance(
        self,
        amount: float = 1,
        message: str = "",
        rows: Sequence[str] = (),
        *,
        found: bool = False,
    ) -> None:
        # Parts of a piece add up to a whole one.
        self._done = round(self._done + amount, 6)
        self._progress.rows = rows
        if found:
            # It forgets the speed.
            done: Any = self._done  # though it says int
            self._progress.reset(self._task, completed=done)
            self._progress.advance(self._task, 0)
        self._progress.update(self._task, completed=self._done, description=message)


class _PlainLines:
    """A line for the first piece of work, for the last, and ever more seldom between."""

    def __init__(self, total: int, unit: str, console: Console) -> None:
        self._total = total
        self._unit = unit
        self._stream = console.file
        self._done = self._found = 0.0
        self._began = time.monotonic()
        self._last_line = -math.inf

    def advance(
        self,
        amount: float = 1,
        message: str = "",
        rows: Sequence[str] = (),
        *,
        found: bool = False,
    ) -> None:
        self._done = round(self._done + amount, 6)
        if found:
            self._found += amount
        now = time.monotonic()
        gone = now - self._began
        if self._done < self._total and now - self._last_line < max(5.0, 0.1 * gone):
            return
        self._last_line = now
        message = "; ".join([*filter(None, [message]), *rows])
        line = f"{int(self._done)}/{self._total} {self._unit}, {gone:.0f} s"
        here, left = self._done - self._found, self._total - self._done
        if here and left > 0:
            line += f", about {duration(gone / here * left)} left"
        # Not console.print: it wraps at the width of a terminal that is not there.
        self._stream.write(f"{line}: {message}\n" if message else f"{line}\n")
        self._stream.flush()


Reporter: TypeAlias = _LiveBar | _PlainLines
"""Is told how far some work is; what was `found` done cost no time here."""


class TrainingProgress:
    """A callback that shows how far a run is, epoch by epoch. A context manager.

    It shows the training loss (where the training examples are not evaluated, the batches')
    and the validation accuracy, of a text the validation perplexity. Of several
    runs it shows one after the other.

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
        """Take note of an event."""
        if isinstance(event, RunStarted):
            self._stop()
            total = event.epochs * event.steps_per_epoch
            shown = reporter(total, "steps", self._console)
            self._reporter = self._open.enter_context(shown)
            self._pending = event.batches_done
            self._message = ""
            self._text, self._evaluated = event.text, event.evaluated
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
            self._message = _described(event.record, self._text, self._evaluated)
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
        self._open.close()
        self._reporter = None

    def _flush(self, *, found: bool = False) -> None:
        if self._reporter is not None:
            self._reporter.advance(self._pending, self._message, found=found)
            self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


def several(count: int, noun: str) -> str:
    """Say how many there are of something."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun[-1] == 's' else 's'}"


def duration(seconds: float) -> str:
    """Say how long something takes, roughly."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def quality(loss: float, accuracy: float, *, text: bool) -> str:
    """Say how good predictions are: by their accuracy, of a text by the perplexity."""
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
