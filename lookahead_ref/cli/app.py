"""The command line: each command reads its options and calls an experiment.

Results go to standard output, progress and diagnostics to standard error. Exit codes: 0
if all went well; 1 if the job failed; 2 if the command was wrong or something that it
needs is not available; 130 if it was interrupted, and 128 and its number if it was another
signal that ended it.

What a command needs is imported inside it, so that ``--help`` answers at once.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

import lookahead_ref as la
from lookahead_ref.cli import conform, reproduce, sweep, theory, train
from lookahead_ref.cli.terminal import (
    JOB_FAILED,
    backends,
    console,
    epilog,
    failed,
    print_folder,
    print_json,
    reported,
)

__all__ = ["app", "main"]

EXAMPLES = {
    "": (
        "lookahead-ref compare",
        "lookahead-ref train --optimizer lookahead-adam --epochs 10",
        "lookahead-ref info",
    ),
    "compare": (
        "lookahead-ref compare",
        "lookahead-ref compare --seeds 2 --epochs 5 --output my-comparison",
        "lookahead-ref compare --seeds 2 --epochs 5 --json",
        "lookahead-ref compare --optimizer adam --learning-rate 0.003 --seeds 2 --epochs 2",
    ),
    "info": ("lookahead-ref info", "lookahead-ref info --json"),
    **train.EXAMPLES,
    **sweep.EXAMPLES,
    **reproduce.EXAMPLES,
    **conform.EXAMPLES,
    **theory.EXAMPLES,
}
"""What each command's help shows; the tests run them."""


app = typer.Typer(
    name="lookahead-ref",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _inner_states(incomplete: str) -> list[str]:
    return [s for s in ("maintain", "reset", "interpolate") if s.startswith(incomplete)]


Output = Annotated[
    Path | None,
    typer.Option(
        help="A new or empty folder to write to.", metavar="DIR", show_default=False
    ),
]
Epochs = Annotated[int, typer.Option(help="Passes over the training examples.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Examples in a batch.", min=1)]
Seed = Annotated[int, typer.Option(help="Decides initial weights and batches.", min=0)]
Backend = Annotated[
    str,
    typer.Option(
        help="What makes the updates; see [bold]info[/].", autocompletion=backends
    ),
]
K = Annotated[int, typer.Option("--k", help="Lookahead: inner steps to a synchronization.")]
Alpha = Annotated[float, typer.Option(help="Lookahead: step size of the slow weights.")]
InnerState = Annotated[
    str,
    typer.Option(
        help="Lookahead: maintain, reset or interpolate the inner state.",
        autocompletion=_inner_states,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")]


def main() -> None:
    """Run the command line; the console script ``lookahead-ref`` calls this."""
    try:
        app()
    except OSError as error:
        # The disk that standard output goes to is full. A closed pipe Typer takes care of.
        raise SystemExit(failed(error, JOB_FAILED).exit_code) from error


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


@app.command(epilog=epilog(EXAMPLES["compare"]))
def compare(
    seeds: Annotated[int, typer.Option(help="Runs of each method.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="The first seed.", min=0)] = 0,
    epochs: Epochs = 30,
    batch_size: BatchSize = 64,
    k: K = 5,
    alpha: Alpha = 0.5,
    inner_state: InnerState = "maintain",
    backend: Backend = "numpy",
    jobs: Annotated[
        int | None,
        typer.Option(help="Processes; as many as cores if not given.", min=1),
    ] = None,
    output: Output = None,
    optimizer: Annotated[
        list[str] | None,
        typer.Option(
            help="sgd, heavy-ball, nesterov, adagrad, adam or your own as module:name or "
            "file.py:name: compared alone and inside Lookahead; with polyak- before it as "
            "it is. Repeat it for several; if not given, the ten of the paper's table.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        list[str] | None,
        typer.Option(
            help="Of an optimizer by its name, or of all that are not named; if not given, "
            "one that was chosen on the digits, of your own its own.",
            metavar="[NAME=]RATE",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="mlp; or your own, as module:name or file.py:name.")
    ] = "mlp",
    data: Annotated[
        str,
        typer.Option(
            help="Labelled examples, as for train; or your own.", metavar="NAME[:PATH]"
        ),
    ] = "digits",
    as_json: AsJson = False,
) -> None:
    """Compare optimizers, alone and inside Lookahead, on handwritten digits or other data.

    Prints the table and writes results.json, train.jsonl, curves.png and report.html to a
    folder, runs/compare-DATE-TIME if --output is not given.
    """
    with reported():
        from lookahead_ref.experiments import compare as experiment
        from lookahead_ref.experiments.environment import new_folder
        from lookahead_ref.experiments.pool import available_cores
        from lookahead_ref.extras import require

        # Before anything is trained or written.
        require("matplotlib", "experiments", purpose="draw the curves")
        if data == "digits":
            require("sklearn", "experiments", purpose="load the digits")
        settings = experiment.Settings(
            seeds=seeds,
            seed=seed,
            epochs=epochs,
            batch_size=batch_size,
            k=k,
            alpha=alpha,
            inner_state=inner_state,
            backend=backend,
            optimizers=tuple(optimizer or ()),
            learning_rates=_rates(learning_rate or ()),
            model=model,
            data=data,
        )
        settings.check()
        folder = new_folder(output, "compare")
    with reported():
        comparison = experiment.run(
            settings, folder, jobs=jobs or available_cores(), console=console(stderr=True)
        )
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "results": str(folder / "results.json"),
                "report": str(folder / "report.html"),
                "summary": comparison.summary,
                "validation_accuracy_percent": {
                    row.name: row.cells[0]._asdict() for row in comparison.table.rows
                },
            }
        )
        return
    screen = console()
    screen.print(comparison.table.rich())
    screen.print(comparison.differences.rich())
    screen.print(comparison.summary, highlight=False)
    print_folder(screen, folder, "report.html, curves.png, results.json, train.jsonl")


def _rates(texts: Iterable[str]) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for text in texts:
        name, equals, rate = text.rpartition("=")
        if name in found:
            raise ValueError(f"learning_rate must be given once for each, got {text!r} too")
        try:
            found[name] = float(rate if name or not equals else "")
        except ValueError as error:
            raise ValueError(
                f"learning_rate must be a number or NAME=NUMBER, got {text!r}"
            ) from error
    return tuple(found.items())


train.mount(app)
sweep.mount(app)
reproduce.mount(app)


@app.command(epilog=epilog(EXAMPLES["info"]))
def info(as_json: AsJson = False) -> None:
    """List versions, backends and devices, and why a backend is not available."""
    with reported():
        from lookahead_ref.experiments.information import collect, show

        found = collect()
    if as_json:
        print_json(found)
    else:
        show(found, console())


conform.mount(app)
theory.mount(app)


if __name__ == "__main__":
    main()
