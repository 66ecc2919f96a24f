"""The commands of the golden suite, which the command line mounts."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["mount"]

golden = typer.Typer(no_args_is_help=True, help="The vectors of the golden suite.")


def mount(app: typer.Typer) -> None:
    """Add the commands to the command line.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    """
    app.add_typer(golden, name="golden")


@golden.callback()
def _golden() -> None:
    """Build the vectors of the golden suite."""


@golden.command(
    epilog="[bold]Examples[/]\n\nlookahead-ref golden generate --output vectors"
)
def generate(
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder; that of the package if not given.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Build the vector files from 50-digit arithmetic, byte for byte the same each time."""
    from lookahead_ref.extras import MissingExtraError, require

    try:
        require("mpmath", "conform", purpose="compute in 50 digits")
    except MissingExtraError as error:
        typer.echo(f"lookahead-ref: {error}", err=True)
        raise typer.Exit(2) from error
    from lookahead_ref.conformance.generate import write

    folder = Path(__file__).parent / "vectors" if output is None else output
    try:
        changed = write(folder)
    except OSError as error:
        typer.echo(f"lookahead-ref: {error}", err=True)
        raise typer.Exit(1) from error
    for name in changed:
        typer.echo(name)
    typer.echo(f"{len(changed)} files changed in {folder}", err=True)
