"""The command line: each command reads its options and calls an experiment.

Results go to standard output, progress and diagnostics to standard error. Exit codes: 0,
success; 1, the job failed; 2, the command was wrong or something that it needs is missing;
128 and the number of a signal that stopped it, so 130 for Ctrl-C.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

import gc
import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer

import lookahead_ref as la
from lookahead_ref.cli import conform, info, jobs, theory, train
from lookahead_ref.cli.terminal import JOB_FAILED, epilog, failed
from lookahead_ref.system import from_home

EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "lookahead-ref compare",
        "lookahead-ref train --optimizer lookahead-adam --epochs 10",
        "lookahead-ref info",
    )
}
"""The examples in each command's help; the tests run them."""

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
        # Replace characters that a terminal lacks, so that no result is lost.
        sys.stdout.reconfigure(errors="replace")
    if not sys.argv[1:] or {"--help", "-h"} & {*sys.argv}:
        _stack_options_of_help()
    try:
        app([_with_home(word) for word in sys.argv[1:]])
    except OSError as error:
        # The disk under standard output is full. Typer handles a closed pipe.
        raise SystemExit(failed(error, JOB_FAILED).exit_code) from error
    finally:
        _drop_failed_output()
        gc.freeze()  # the process ends, and need not look for what is unused


def _stack_options_of_help() -> None:
    """Print each option's help below its name: in columns, Typer breaks or cuts names."""
    from rich import console, padding, table, text
    from typer import rich_utils

    class Stacked(table.Table):
        def add_row(self, *cells: Any, **options: Any) -> None:
            if len(cells) > 2:  # not a command
                *names, explained = map(text.Text.assemble, cells[:-1]), cells[-1]
                # A flag takes no value, so it has no type to show.
                parts = [each for each in names[0] if each.plain not in ("", "<bool>")]
                name = text.Text(" ").join(parts)
                cells = (console.Group(name, padding.Padding(explained, (0, 0, 0, 4))),)
            super().add_row(*cells, **options)

    vars(rich_utils)["Table"] = Stacked


def _with_home(word: str) -> str:
    option, equals, value = word.partition("=")
    return f"{option}={from_home(value)}" if equals and word.startswith("--") else word


def _drop_failed_output() -> None:
    """Keep Python from retrying a reported failed write at exit."""
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
    """Train with Lookahead, compare it with other optimizers, and test implementations."""


for command in (jobs, train, info, conform, theory):
    command.mount(app)
    EXAMPLES.update(command.EXAMPLES)


if __name__ == "__main__":
    main()
