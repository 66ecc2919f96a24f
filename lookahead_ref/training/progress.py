"""Shows progress: a live bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from lookahead_ref.report.words import duration
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

    On a terminal that can redraw a line it is a bar with the time left. In a pipe, a file
    or Jupyter, on a dumb terminal, and if the environment variable ``CI`` is set, it is a
    line now and then, without control characters.

    Parameters
    ----------
    total : int
        How much work there is.
    unit : str
        Its unit, such as ``"runs"``.
    console : rich.console.Console
        Where to show it, usually standard error.

    Yields
    ------
    Reporter
        Call ``advance(amount, message, rows)`` after each piece of work or part of one;
        the rows say what is running. Call it with ``found=True`` for what an earlier
        run has already done, and while nothing is done yet: only the time after it counts.

    Examples
    --------
    >>> with reporter(3, "runs", Console(force_terminal=False)) as progress:
    ...     progress.advance(2, "found", found=True)
    ...     progress.advance(message="Adam, seed 0")
    2/3 runs, 0.0 s: found
    3/3 runs, 0.0 s: Adam, seed 0
    """
    if not redraws(console):
        yield Reporter(total, _PlainLines(unit, console.file))
        return
    bar = _Rows(
        BarColumn(bar_width=24),
        # A narrow terminal cuts the message, not the count.
        MofNCompleteColumn(
            table_column=Column(no_wrap=True, min_width=len(f"{total}/{total}"))
        ),
        TextColumn(unit),
        _Times(),
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=console,
        # Other output goes above the bar, unless it goes to a file.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )

    def show(work: Reporter, message: str, rows: Sequence[str]) -> None:
        bar.rows = rows
        done: Any = work.done  # Rich's annotation says int
        bar.update(task, completed=done, description=message)

    work = Reporter(total, show)
    task = bar.add_task("", total=total, work=work)
    with bar:
        yield work


class Reporter:
    """Shows how far some work is; work that was `found` done took no time."""

    def __init__(
        self, total: int, show: Callable[["Reporter", str, Sequence[str]], None]
    ) -> None:
        self.total, self.done, self._found = total, 0.0, 0.0
        self.began = self._since = self._now = time.monotonic()
        self._show = show

    def advance(
        self,
        amount: float = 1,
        message: str = "",
        rows: Sequence[str] = (),
        *,
        found: bool = False,
    ) -> None:
        """Add an amount that was done, or that an earlier run did, and show it."""
        # Rounded: parts of a piece must add up to a whole one.
        self.done = round(self.done + amount, 6)
        self._now = time.monotonic()
        if found:
            self._found, self._since = self.done, self._now
        self._show(self, message, rows)

    def times(self) -> str:
        """Write the time taken, and the time left according to the work done here."""
        gone = duration(time.monotonic() - self.began)
        here, left = self.done - self._found, self.total - self.done
        if not here or left <= 0:
            return gone
        return f"{gone}, about {duration((self._now - self._since) / here * left)} left"


class _Times(ProgressColumn):
    """The time taken and the time left."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        return Text(task.fields["work"].times())


class _Rows(Progress):
    """A bar with a line below it for each running piece of work."""

    rows: Sequence[str] = ()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield from (
            Text(f"  {row}", no_wrap=True, overflow="ellipsis") for row in self.rows
        )


class _PlainLines:
    """Lines for the first and last pieces of work, and ever fewer between."""

    def __init__(self, unit: str, stream: IO[str]) -> None:
        self._unit, self._stream = unit, stream
        self._last_line = -math.inf

    def __call__(self, work: Reporter, message: str, rows: Sequence[str]) -> None:
        gone = time.monotonic() - work.began
        if work.done < work.total and gone < self._last_line + max(5.0, 0.1 * gone):
            return
        self._last_line = gone
        message = "; ".join([*filter(None, [message]), *rows])
        line = f"{int(work.done)}/{work.total} {self._unit}, {work.times()}"
        # Not console.print, which wraps at a terminal's width even without a terminal.
        self._stream.write(f"{line}: {message}\n" if message else f"{line}\n")
        self._stream.flush()


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
            self._message, self._shown = "", -math.inf
            self._text, self._evaluated = event.text, event.evaluated
            if event.batches_done:
                self._flush(found=True)
        elif self._reporter is None:
            return
        elif isinstance(event, StepTaken | StepSkipped):
            self._pending += 1
            # The first step compiles. A bar needs no update at every step.
            if (now := time.monotonic()) > self._shown + 0.1:
                self._flush(found=self._shown < 0)
                self._shown = now
        elif isinstance(event, EpochEnded) and event.record.epoch:
            self._message = _described(event.record, self._text, self._evaluated)
            self._flush()
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

    def _flush(self, *, found: bool = False) -> None:
        if self._reporter is not None:
            self._reporter.advance(self._pending, self._message, found=found)
            self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()


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
