"""The commands that draw the theory."""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from lookahead_ref.cli.options import AsJson
from lookahead_ref.cli.terminal import console, epilog, print_folder, print_json, reported

_OPTIONS = {
    "alpha": "--k 10 --learning-rate 0.5 --output my-line",
    "variance": "--k 5 --k 20 --json",
    "horizon": "--k 10 --longest 1000",
    "rate": "--momentum 0.99 --k 20",
    "stability": "--k 4 --alpha 0.8",
    "outer": "--k 20 --workers 8",
}
"""The pictures, each with the options of an example."""
NAMES = tuple(_OPTIONS)
EXAMPLES = {"theory": ("lookahead-ref theory alpha", "lookahead-ref theory variance --k 5")}
for _name, _options in _OPTIONS.items():
    _command = f"lookahead-ref theory {_name}"
    EXAMPLES[f"theory {_name}"] = (_command, f"{_command} {_options}")

Output = Annotated[
    Path | None,
    typer.Option(
        help="A new or empty folder to write to.", metavar="DIR", show_default=False
    ),
]
K = Annotated[
    int, typer.Option("--k", help="Inner steps per synchronization.", min=1, max=100)
]
Periods = Annotated[
    list[int],
    typer.Option("--k", help="Inner steps per synchronization; repeat it to compare."),
]
Alpha = Annotated[float, typer.Option(help="Step size of the slow weights.")]
Longest = Annotated[
    int, typer.Option(help="The longest horizon, in gradient evaluations.", min=1)
]

pictures = typer.Typer(no_args_is_help=True)


def mount(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(pictures, name="theory")


@pictures.callback(epilog=epilog(EXAMPLES["theory"]))
def _theory() -> None:
    """Draw the theory: each command writes a picture and its numbers."""


@pictures.command(epilog=epilog(EXAMPLES["theory alpha"]))
def alpha(
    k: K = 5,
    learning_rate: Annotated[
        float,
        typer.Option(help="Learning rate of the inner SGD; the largest curvature is 1.14."),
    ] = 1.7,
    alpha: Alpha = 0.5,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Draw the line of a cycle, the loss along it, and the best alpha.

    Proposition 1, on a quadratic of two weights.
    """
    _run("alpha", output, as_json, k=k, learning_rate=learning_rate, alpha=alpha)


@pictures.command(epilog=epilog(EXAMPLES["theory variance"]))
def variance(
    k: Periods = [1, 2, 5, 10],  # noqa: B006  # Typer reads it, and copies it
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Draw how much less the slow weights vary than SGD does, in the long run.

    Proposition 2: (0.9) over (0.8), by alpha and learning rate, a map for each k.
    """
    _run("variance", output, as_json, periods=tuple(k))


@pictures.command(epilog=epilog(EXAMPLES["theory horizon"]))
def horizon(
    k: Periods = [5, 20],  # noqa: B006  # Typer reads it, and copies it
    longest: Longest = 10_000,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Draw the best expected loss of SGD and of Lookahead, by the length of the run.

    Lemma 1 on a noisy quadratic; learning rate and alpha are the best for each length.
    """
    _run("horizon", output, as_json, periods=tuple(k), longest=longest)


@pictures.command(epilog=epilog(EXAMPLES["theory rate"]))
def rate(
    momentum: Annotated[
        float, typer.Option(help="Momentum of heavy ball and Nesterov.")
    ] = 0.9,
    k: K = 5,
    alpha: Alpha = 0.5,
    points: Annotated[
        int, typer.Option(help="How many condition numbers, from 2 to 100,000.", min=2)
    ] = 17,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Draw how fast each optimizer converges without noise, by the condition number.

    SGD, heavy ball and Nesterov, alone and inside Lookahead, at their best learning rates.
    """
    _run("rate", output, as_json, momentum=momentum, k=k, alpha=alpha, points=points)


@pictures.command(epilog=epilog(EXAMPLES["theory stability"]))
def stability(
    k: K = 5, alpha: Alpha = 0.5, output: Output = None, as_json: AsJson = False
) -> None:
    """Draw where Lookahead makes a stable heavy ball unstable, and where it does not.

    A map of learning rate and momentum for each treatment of the velocity.
    """
    _run("stability", output, as_json, k=k, alpha=alpha)


@pictures.command(epilog=epilog(EXAMPLES["theory outer"]))
def outer(
    k: K = 5,
    learning_rate: Annotated[
        float, typer.Option(help="Learning rate of the inner SGD.")
    ] = 0.5,
    workers: Annotated[
        int, typer.Option(help="Workers whose pseudo-gradients are averaged.", min=1)
    ] = 1,
    longest: Longest = 10_000,
    output: Output = None,
    as_json: AsJson = False,
) -> None:
    """Draw what heavy ball and Nesterov do as outer optimizers, instead of SGD.

    The best of each by the length of the run, their stability, and a game of two players.
    """
    settings = {"learning_rate": learning_rate, "workers": workers, "longest": longest}
    _run("outer", output, as_json, k=k, **settings)


def _run(name: str, output: Path | None, as_json: bool, **settings: Any) -> None:
    with reported():
        from lookahead_ref.experiments.environment import new_folder
        from lookahead_ref.experiments.theory import save
        from lookahead_ref.report import plots

        plots.library()  # fails early if missing
        picture = importlib.import_module(f"lookahead_ref.experiments.theory.{name}")
        # Wrong settings fail here, before a folder is made.
        numbers = picture.compute(**settings)
        with new_folder(output, f"theory-{name}") as folder:
            files = save(folder, name, picture.draw, numbers)
    summary = picture.summary(numbers)
    if as_json:
        paths = {Path(file).suffix[1:]: str(folder / file) for file in files}
        print_json({"folder": str(folder), **paths, "summary": summary})
        return
    screen = console()
    screen.print(summary, highlight=False)
    print_folder(screen, folder, ", ".join(files))
