"""What the commands share: streams, exit codes, errors in one line."""

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "INTERRUPTED",
    "JOB_FAILED",
    "USAGE",
    "assigned",
    "backends",
    "console",
    "continuable",
    "epilog",
    "failed",
    "print_folder",
    "print_json",
    "reported",
]

JOB_FAILED = 1
USAGE = 2
INTERRUPTED = 130


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors that a user can act on into one line and an exit code.

    Raises
    ------
    typer.Exit
        Instead of such an error.
    """
    from lookahead_ref.extras import MissingExtraError
    from lookahead_ref.stepping.backend import BackendUnavailableError

    try:
        yield
    except (MissingExtraError, BackendUnavailableError) as error:
        raise failed(error, USAGE) from error
    except ValueError as error:
        raise failed(error, USAGE) from error
    except (ArithmeticError, MemoryError, OSError) as error:
        raise failed(error, JOB_FAILED) from error
    except KeyboardInterrupt as error:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from error


@contextmanager
def continuable(folder: Path, *, named: bool) -> Iterator[None]:
    """Say how to continue the command of this process where it is interrupted.

    Parameters
    ----------
    folder : pathlib.Path
        Where what is done so far is kept.
    named : bool
        Whether the command names the folder, as ``--output``.
    """
    try:
        yield
    except KeyboardInterrupt:
        more = [] if named else ["--output", str(folder)]
        words = shlex.join(["lookahead-ref", *sys.argv[1:], *more])
        typer.echo(f"lookahead-ref: to continue: {words}", err=True)
        raise


def assigned(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Read hyperparameters that are given as ``NAME=VALUE``.

    Parameters
    ----------
    texts : iterable of str
        What was given.

    Returns
    -------
    dict
        Each name to its values, in the order given: numbers, true and false as JSON has
        them, anything else as text.

    Raises
    ------
    ValueError
        If a text has not that form.

    Examples
    --------
    >>> assigned(["decay=0.9", "decay=0.99", "kind=l2"])
    {'decay': [0.9, 0.99], 'kind': ['l2']}
    """
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, _, written = text.partition("=")
        if not (name and written):
            raise ValueError(f"hyperparameter must be NAME=VALUE, got {text!r}")
        try:
            value = json.loads(written)
        except ValueError:
            value = written
        # Of what JSON has, these are values of an option.
        if not isinstance(value, (bool, int, float)):
            value = written
        found.setdefault(name, []).append(value)
    return found


def backends(incomplete: str) -> list[str]:
    """Complete the name of a backend.

    Parameters
    ----------
    incomplete : str
        Its beginning.

    Returns
    -------
    list of str
        The names of those that are registered.

    Examples
    --------
    >>> backends("nu")
    ['numba', 'numpy']
    """
    from lookahead_ref.stepping.backend import names

    return [name for name in names() if name.startswith(incomplete)]


def epilog(examples: tuple[str, ...]) -> str:
    """Lay out examples for the end of a command's help.

    Parameters
    ----------
    examples : tuple of str
        The command lines.

    Returns
    -------
    str
        The text, in Rich's markup.
    """
    return "\n\n".join(["[bold]Examples[/]", *examples])


def console(*, stderr: bool = False) -> "Console":
    """Make a console for one of the two streams.

    Parameters
    ----------
    stderr : bool, default: False
        Whether to write to standard error.

    Returns
    -------
    rich.console.Console
        The console.
    """
    from rich.console import Console

    return Console(stderr=stderr)


def print_json(value: Any) -> None:
    """Print plain data as one JSON document.

    Parameters
    ----------
    value : object
        Anything that `lookahead_ref.report.files.jsonable` takes.
    """
    from lookahead_ref.report.files import jsonable

    typer.echo(json.dumps(jsonable(value), indent=1, allow_nan=False))


def print_folder(to: "Console", folder: Path, files: str) -> None:
    """Say what was written, and where.

    Parameters
    ----------
    to : rich.console.Console
        The console.
    folder : pathlib.Path
        The folder.
    files : str
        The names of the files in it.
    """
    # Not wrapped: a path is to be copied.
    to.print(f"{folder}: {files}", highlight=False, soft_wrap=True)


def failed(error: Exception, code: int) -> typer.Exit:
    """Tell an error in one line on standard error.

    Parameters
    ----------
    error : Exception
        The error, with its notes.
    code : int
        The exit code.

    Returns
    -------
    typer.Exit
        To be raised.
    """
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    # Of a user's own code an error may have several lines.
    line = " ".join(f"{error}{notes}".splitlines())
    typer.echo(f"lookahead-ref: {line}", err=True)
    return typer.Exit(code)
