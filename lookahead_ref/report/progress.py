"""Shows progress: a live bar on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import IO, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
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
        TextColumn(
            "{task.fields[work].count} " + unit,
            table_column=Column(no_wrap=True, min_width=len(f"{total}.0/{total} {unit}")),
        ),
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
    """Shows how far some work is, from any thread; what was `found` took no time."""

    def __init__(
        self, total: int, show: Callable[["Reporter", str, Sequence[str]], None]
    ) -> None:
        self.total, self.done, self._found = total, 0.0, 0.0
        self.began = self._since = self._now = time.monotonic()
        self._show, self._turn = show, Lock()

    def advance(
        self,
        amount: float = 1,
        message: str = "",
        rows: Sequence[str] = (),
        *,
        found: bool = False,
    ) -> None:
        """Add an amount that was done, or that an earlier run did, and show it."""
        with self._turn:
            # Rounded: parts of a piece must add up to a whole one.
            self.done = round(self.done + amount, 6)
            self._now = time.monotonic()
            if found:
                self._found, self._since = self.done, self._now
            self._show(self, message, rows)

    @property
    def count(self) -> str:
        """How much is done of how much; parts of a piece as decimals."""
        return f"{math.floor(10 * self.done) / 10:.10g}/{self.total}"

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
        line = f"{work.count} {self._unit}, {work.times()}"
        # Not console.print, which wraps at a terminal's width even without a terminal.
        self._stream.write(f"{line}: {message}\n" if message else f"{line}\n")
        self._stream.flush()
