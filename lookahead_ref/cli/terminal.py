"""Streams, exit codes, one-line errors and job folders, for all commands."""

import json
import shlex
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from lookahead_ref.experiments.report import Report

JOB_FAILED = 1
USAGE = 2
MEASURING = "compiling, then measuring a few steps and evaluations"


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors that a user can fix into one line and an exit code."""
    from lookahead_ref.extras import MissingExtraError
    from lookahead_ref.stepping.backend import BackendUnavailableError
    from lookahead_ref.stopping import stop_requests

    def show(message: Warning | str, *_where: Any, **_line: Any) -> None:
        typer.echo(f"lookahead-ref: warning: {message}", err=True)

    try:
        with warnings.catch_warnings(), stop_requests() as request, request.interrupting():
            warnings.showwarning = show
            yield
    except (MissingExtraError, BackendUnavailableError, ValueError) as error:
        raise failed(error, USAGE) from error
    except (ArithmeticError, MemoryError, OSError) as error:
        raise failed(error, JOB_FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted", err=True)
        raise _ended_by(error) from error


@contextmanager
def preparing(more: str = "") -> Iterator[None]:
    """Say what the block does, if that takes more than a second."""
    what = f"reading the data, and trying out a step{more}"
    timer = threading.Timer(1.0, typer.echo, [what], {"err": True})
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def continued_by(words: Sequence[str], folder: Path) -> Iterator[None]:
    """If a signal stops the block, print the command that continues its work."""
    from lookahead_ref.training import StoppedError

    try:
        yield
    except (StoppedError, KeyboardInterrupt) as stopped:
        saved = any(folder.rglob("checkpoint-*")) or any(folder.glob("trials/*.json"))
        how = ", and the work so far is saved" if saved else " before anything was saved"
        said = stopped if isinstance(stopped, StoppedError) else f"stopped{how}"
        typer.echo(f"lookahead-ref: {said}; to continue: {shlex.join(words)}", err=True)
        raise _ended_by(stopped) from stopped


def _ended_by(stopped: BaseException) -> typer.Exit:
    """Return the exit of a command that a signal ended."""
    return typer.Exit(128 + (getattr(stopped, "signal", None) or signal.SIGINT))


def failed(error: Exception, code: int) -> typer.Exit:
    """Print an error and its notes as one line on standard error."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    # An error of a user's own code may have several lines.
    line = " ".join(f"{str(error) or type(error).__name__}{notes}".splitlines())
    typer.echo(f"lookahead-ref: {line}", err=True)
    return typer.Exit(code)


@contextmanager
def job_folder(
    output: Path | None, prefix: str, kind: str, words: Sequence[str]
) -> Iterator[Path]:
    """Lock a job's folder; if stopped, print the command that continues."""
    from lookahead_ref.experiments.environment import continued_folder

    with reported(), continued_folder(output, prefix, kind) as folder:
        more = [] if output is not None else ["--output", str(folder)]
        with continued_by([*words, *more], folder):
            yield folder


def epilog(examples: tuple[str, ...]) -> str:
    """Format examples for the end of a command's help, in Rich's markup."""
    return "\n\n".join(["[bold]Examples[/]", *examples])


def console(*, stderr: bool = False) -> "Console":
    """Make a console for standard output or standard error."""
    from rich.console import Console

    return Console(stderr=stderr)


def print_json(value: Any) -> None:
    """Print data as one JSON document."""
    from lookahead_ref.report.files import jsonable

    typer.echo(json.dumps(jsonable(value), indent=1, allow_nan=False))


def print_report(report: "Report") -> None:
    """Print a job's tables, its summary, and the folder and its files."""
    wide, screen = console(), console()
    for shown in (table.rich() for table in report.findings.tables):
        # Numbers are never broken, even if that is wider than the screen.
        least = wide.measure(shown, options=wide.options.update(width=1000)).minimum
        wide.width = max(wide.width, least)
        wide.print(shown, crop=False)
    screen.print(report.findings.summary, highlight=False)
    print_folder(screen, report.folder, ", ".join(report.files))


def print_folder(to: "Console", folder: Path, files: str) -> None:
    """Print a folder and the files written there."""
    # Not wrapped, so that the path can be copied.
    to.print(f"{folder}: {files}", highlight=False, soft_wrap=True)
