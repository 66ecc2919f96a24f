"""The command that trains a grid of settings, which the command line mounts.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lookahead_ref.cli.terminal import (
    assigned,
    console,
    continuable,
    epilog,
    print_folder,
    print_json,
    reported,
)

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "sweep": (
        "lookahead-ref sweep --optimizer lookahead-sgd --k 5 --k 10 --alpha 0.5 --epochs 3",
        "lookahead-ref sweep --optimizer sgd --optimizer adam --seeds 2 --output my-sweep",
    ),
}


def mount(app: typer.Typer) -> None:
    """Add the command to the command line.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    """
    app.command(epilog=epilog(EXAMPLES["sweep"]))(sweep)


def sweep(
    model: Annotated[str, typer.Option(help="As for train.")] = "mlp",
    data: Annotated[
        str, typer.Option(help="As for train.", metavar="NAME[:PATH]")
    ] = "digits",
    optimizer: Annotated[
        list[str] | None,
        typer.Option(
            help="As for train; repeat it, as all of the next four, to try several.",
            show_default="lookahead-adam",
        ),
    ] = None,
    learning_rate: Annotated[
        list[float] | None,
        typer.Option(help="Of the innermost optimizer.", show_default=False),
    ] = None,
    momentum: Annotated[
        list[float] | None,
        typer.Option(help="Of heavy ball and Nesterov.", show_default=False),
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option(
            "--k", help="Lookahead: inner steps to a synchronization.", show_default=False
        ),
    ] = None,
    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Lookahead: step size of the slow weights.", show_default=False),
    ] = None,
    hyperparameter: Annotated[
        list[str] | None,
        typer.Option(
            help="Of an optimizer of your own, as for train; once for each value.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    inner_state: Annotated[
        str, typer.Option(help="Lookahead: maintain, reset or interpolate.")
    ] = "maintain",
    schedule: Annotated[str, typer.Option(help="As for train.")] = "constant",
    epochs: Annotated[int, typer.Option(help="Of each run.", min=1)] = 30,
    batch_size: Annotated[int, typer.Option(help="Examples in a batch.", min=1)] = 64,
    seeds: Annotated[int, typer.Option(help="Runs of each trial.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
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
            help="A Dask cluster that trains instead.",
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
    """Train every combination of some settings, on this machine or on a Dask cluster.

    Writes results.json, results.csv and each run's result to a folder. Stopped, the same
    command with the same --output goes on where it was; with more values it trains what is
    new.
    """
    with reported():
        from lookahead_ref.experiments import single
        from lookahead_ref.experiments import sweep as sweeping
        from lookahead_ref.experiments.environment import continued_folder
        from lookahead_ref.experiments.pool import workers

        axes = {
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "momentum": momentum,
            "k": k,
            "alpha": alpha,
        }
        grid = sweeping.Grid(
            single.Settings(
                model=model,
                data=data,
                inner_state=inner_state,
                schedule=schedule,
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                backend=backend,
            ),
            {name: values for name, values in axes.items() if values},
            seeds,
            assigned(hyperparameter or ()),
        )
        # What is wrong in any of them is found before the first is trained.
        for arm in grid.arms():
            single.prepare(arm.settings)
        who = workers(jobs, scheduler)
        words = shlex.join(["lookahead-ref", *sys.argv[1:]])
    with (
        reported(),
        continued_folder(output, "sweep", "sweep") as folder,
        continuable(folder, named=output is not None),
    ):
        made = sweeping.sweep(
            grid, folder, workers=who, command=words, console=console(stderr=True)
        )
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "results": str(folder / "results.json"),
                "best": made.outcomes[0].arm.title,
                "trials": {row.name: row.cells[0]._asdict() for row in made.table.rows},
            }
        )
        return
    screen = console()
    screen.print(made.table.rich())
    print_folder(screen, folder, "results.json, results.csv")
