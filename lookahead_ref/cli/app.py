"""The command line: each command reads its options and calls an experiment.

Results go to standard output, progress and diagnostics to standard error. Exit codes: 0
if all went well; 1 if the job failed; 2 if the command was wrong or something that it
needs is not available; 130 if it was interrupted, and 128 and its number if it was another
signal that ended it.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""

import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer

import lookahead_ref as la
from lookahead_ref.cli import conform, info, jobs, theory, train
from lookahead_ref.cli.terminal import JOB_FAILED, epilog, failed
from lookahead_ref.system import from_home

_COMMANDS = (jobs, train, info, conform, theory)

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "lookahead-ref compare",
        "lookahead-ref train --optimizer lookahead-adam --epochs 10",
        "lookahead-ref info",
    )
}
"""What each command's help shows; the tests run them."""

app = typer.Typer(
    name="lookahead-ref",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; the console script ``lookahead-ref`` calls this."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal may lack a character: substitute it, so that no result is lost.
        sys.stdout.reconfigure(errors="replace")
    if not sys.argv[1:] or {"--help", "-h"} & {*sys.argv}:
        _break_long_words_of_help()
    try:
        app([_with_home(word) for word in sys.argv[1:]])
    except OSError as error:
        # The disk that standard output goes to is full. Typer handles a closed pipe.
        raise SystemExit(failed(error, JOB_FAILED).exit_code) from error
    finally:
        _drop_what_cannot_be_written()


def _break_long_words_of_help() -> None:
    """Wrap names and words that Typer would cut off in a narrow terminal."""
    from rich import columns, table
    from typer import rich_utils

    class Whole(table.Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            super().add_row(*cells, **options)
            for column in self.columns:
                column.overflow = "fold"

    for module in (columns, rich_utils):
        vars(module)["Table"] = Whole


def _with_home(word: str) -> str:
    option, equals, value = word.partition("=")
    return f"{option}={from_home(value)}" if equals and word.startswith("--") else word


def _drop_what_cannot_be_written() -> None:
    """Keep Python from retrying, at exit, a write whose failure was reported."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lookahead-ref {la.__version__}")
        raise typer.Exit


@app.callback(epilog=epilog(EXAMPLES[""]))
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train with the Lookahead optimizer, and compare it with others."""


for command in _COMMANDS:
    command.mount(app)
    EXAMPLES.update(command.EXAMPLES)


if __name__ == "__main__":
    main()
