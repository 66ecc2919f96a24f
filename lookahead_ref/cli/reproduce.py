"""The command that reproduces the paper, which the command line mounts.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lookahead_ref.cli.terminal import (
    console,
    continuable,
    epilog,
    print_folder,
    print_json,
    reported,
)

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "reproduce": (
        "lookahead-ref reproduce fig10",
        "lookahead-ref reproduce table5 --seeds 3 --output table5",
        "lookahead-ref reproduce table1 --seeds 2 --epochs 5 --json",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    """
    app.command(epilog=epilog(EXAMPLES["reproduce"]))(reproduce)


def _names(incomplete: str) -> list[str]:
    from lookahead_ref.experiments.paper.run import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="table1, table2, table3, table5, fig1, fig8, fig9 or fig10.",
            autocompletion=_names,
        ),
    ],
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="The paper's setting, as far as it is known; needs --data."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            help="What to train on, as cifar10:DIR; see train.",
            metavar="NAME[:PATH]",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Runs of each method.", min=1, show_default=False)
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Other than the setting's.", min=1, show_default=False),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of SGD, other than the setting's.", show_default=False),
    ] = None,
    backend: Annotated[
        str, typer.Option(help="What makes the updates; see [bold]info[/].")
    ] = "numpy",
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Processes; as many as cores if not given.", min=1, show_default=False
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="A Dask cluster that does the runs instead.",
            metavar="ADDRESS",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write to; runs that are there are not done again.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for a program to read.")
    ] = False,
) -> None:
    """Reproduce a table or a figure of the paper, in small or in full.

    Writes report.html, with the paper's numbers beside ours, pictures, results.json,
    results.csv and each run's result. Stopped, the same command with the same --output
    goes on where it was.
    """
    with reported():
        from lookahead_ref.experiments.environment import continued_folder
        from lookahead_ref.experiments.paper import plan, run
        from lookahead_ref.experiments.pool import workers
        from lookahead_ref.extras import require

        require("matplotlib", "experiments", purpose="draw the pictures")
        request = plan.Request(full, data, seeds, epochs, learning_rate, backend)
        run.check(name, request)
        who = workers(jobs, scheduler)
        words = shlex.join(["lookahead-ref", *sys.argv[1:]])
    with (
        reported(),
        continued_folder(output, name, f"reproduce {name}") as folder,
        continuable(folder, named=output is not None),
    ):
        made = run.reproduce(
            name, request, folder, workers=who, command=words, console=console(stderr=True)
        )
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "files": list(made.files),
                "summary": made.findings.summary,
            }
        )
        return
    screen = console()
    for table in made.findings.tables:
        screen.print(table.rich())
    screen.print(made.findings.summary, highlight=False)
    print_folder(screen, folder, ", ".join(made.files))
