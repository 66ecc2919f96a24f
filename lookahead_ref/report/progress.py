"""Shows progress: a live bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

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
        the rows say what is running. Call it first with ``found=True`` for what an earlier
        run has already done.

    Examples
    --------
    >>> with reporter(3, "runs", Console(force_terminal=False)) as progress:
    ...     progress.advance(2, "found", found=True)
    ...     progress.advance(message="Adam, seed 0")
    2/3 runs, 0.0 s: found
    3/3 runs, 0.0 s: Adam, seed 0
    """
    if not redraws(console):
        yield Reporter(_PlainLines(total, unit, console))
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
        # A piece may take hours, so the time left follows from all pieces done.
        speed_estimate_period=math.inf,
        # Other output goes above the bar, unless it goes to a file.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )
    with bar:
        yield Reporter(_LiveBar(bar, total))


class _Times(ProgressColumn):
    """The time taken and the time left."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        more = "" if left is None else f", about {duration(left)} left"
        return Text(f"{duration(task.elapsed or 0)}{more}")


class _Rows(Progress):
    """A bar with a line below it for each running piece of work."""

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
        # A first sample, so that one piece is enough to estimate the speed.
        progress.advance(self._task, 0)

    def show(self, done: float, message: str, rows: Sequence[str], *, found: bool) -> None:
        self._progress.rows = rows
        if found:
            # Start the estimate of the speed again.
            completed: Any = done  # Rich's annotation says int
            self._progress.reset(self._task, completed=completed)
            self._progress.advance(self._task, 0)
        self._progress.update(self._task, completed=done, description=message)


class _PlainLines:
    """Lines for the first and last pieces of work, and ever fewer between."""

    def __init__(self, total: int, unit: str, console: Console) -> None:
        self._total, self._unit = total, unit
        self._stream = console.file
        self._found = 0.0
        self._began = time.monotonic()
        self._last_line = -math.inf

    def show(self, done: float, message: str, rows: Sequence[str], *, found: bool) -> None:
        if found:
            self._found = done
        now = time.monotonic()
        gone = now - self._began
        if done < self._total and now - self._last_line < max(5.0, 0.1 * gone):
            return
        self._last_line = now
        message = "; ".join([*filter(None, [message]), *rows])
        line = f"{int(done)}/{self._total} {self._unit}, {duration(gone)}"
        here, left = done - self._found, self._total - done
        if here and left > 0:
            line += f", about {duration(gone / here * left)} left"
        # Not console.print, which wraps at a terminal's width even without a terminal.
        self._stream.write(f"{line}: {message}\n" if message else f"{line}\n")
        self._stream.flush()


class Reporter:
    """Counts the work done, from any thread, and shows it."""

    def __init__(self, display: _LiveBar | _PlainLines) -> None:
        self._display = display
        self._done = 0.0
        self._turn = Lock()

    def advance(
        self,
        amount: float = 1,
        message: str = "",
        rows: Sequence[str] = (),
        *,
        found: bool = False,
    ) -> None:
        """Show that more is done; what was `found` done took no time."""
        with self._turn:
            # Rounded: parts of a piece must add up to a whole one.
            self._done = round(self._done + amount, 6)
            self._display.show(self._done, message, rows, found=found)
