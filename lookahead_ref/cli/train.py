"""The command ``train``, which the command line mounts.

What it needs is imported inside it, so that ``--help`` answers at once.
"""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookahead_ref.cli.terminal import (
    INTERRUPTED,
    assigned,
    backends,
    console,
    epilog,
    print_folder,
    print_json,
    reported,
)

if TYPE_CHECKING:
    from lookahead_ref.experiments.single import Prepared
    from lookahead_ref.training import TrainingResult

__all__ = ["EXAMPLES", "mount"]

EXAMPLES = {
    "train": (
        "lookahead-ref train --optimizer lookahead-adam --epochs 10",
        "lookahead-ref train --optimizer nesterov --learning-rate 0.05 --schedule cosine",
        "lookahead-ref train --optimizer lookahead-sgd --k 10 --alpha 0.8 --output my-run",
        "lookahead-ref train --model lstm --data pydoc --hidden 16 --layers 1 --epochs 1",
    ),
}


_MODEL = "Model and data"
_OPTIMIZER = "Optimizer"
_RUN = "Run"
_FOLDER = "Folder"


def mount(app: typer.Typer) -> None:
    """Add the command to the command line.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    """
    app.command(epilog=epilog(EXAMPLES["train"]))(train)


def _models(incomplete: str) -> list[str]:
    from lookahead_ref.experiments.models import MODELS

    return _starting(MODELS, incomplete)


def _data_sets(incomplete: str) -> list[str]:
    from lookahead_ref.data import SOURCES

    return _starting(SOURCES, incomplete)


def _optimizers(incomplete: str) -> list[str]:
    from lookahead_ref.experiments.methods import NAMES

    return _starting(NAMES, incomplete)


def _schedules(incomplete: str) -> list[str]:
    return _starting(("constant", "step", "shortened", "cosine"), incomplete)


def _inner_states(incomplete: str) -> list[str]:
    return _starting(("maintain", "reset", "interpolate"), incomplete)


def _on_nonfinite(incomplete: str) -> list[str]:
    return _starting(("stop", "skip"), incomplete)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def train(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option(
            rich_help_panel=_MODEL,
            help="mlp, lstm, resnet18, resnet32, resnet50; or your own, as module:name or "
            "file.py:name.",
            autocompletion=_models,
        ),
    ] = "mlp",
    data: Annotated[
        str,
        typer.Option(
            rich_help_panel=_MODEL,
            help="digits, mnist:DIR, fashion-mnist:DIR, cifar10:DIR, cifar100:DIR, "
            "images:DIR; for lstm pydoc, ptb:DIR, text:FILE, chars:FILE; or your own.",
            autocompletion=_data_sets,
        ),
    ] = "digits",
    optimizer: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="sgd, heavy-ball, nesterov, adagrad or adam; alone, or with lookahead- or "
            "polyak- before it; or your own, which may have that before it too.",
            autocompletion=_optimizers,
        ),
    ] = "lookahead-adam",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="Of the innermost optimizer, at the start; if not given, one that was "
            "measured or published for it and the model.",
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="Of the learning rate: constant, step, shortened or cosine.",
            autocompletion=_schedules,
        ),
    ] = "constant",
    epochs: Annotated[
        int,
        typer.Option(
            rich_help_panel=_RUN, help="Passes over the training examples.", min=1
        ),
    ] = 30,
    batch_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_MODEL,
            help="Examples in a batch, or columns of a text; if not given 64, for lstm 20, "
            "for a resnet 128.",
            min=1,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            rich_help_panel=_RUN,
            help="Decides initial weights, batches and dropout.",
            min=0,
        ),
    ] = 0,
    backend: Annotated[
        str,
        typer.Option(
            rich_help_panel=_RUN,
            help="What makes the updates, and the layers' kernels; see [bold]info[/].",
            autocompletion=backends,
        ),
    ] = "numpy",
    k: Annotated[
        int,
        typer.Option(
            "--k",
            rich_help_panel=_OPTIMIZER,
            help="Lookahead: inner steps to a synchronization.",
        ),
    ] = 5,
    alpha: Annotated[
        float,
        typer.Option(
            rich_help_panel=_OPTIMIZER, help="Lookahead: step size of the slow weights."
        ),
    ] = 0.5,
    inner_state: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="Lookahead: maintain, reset or interpolate the inner state.",
            autocompletion=_inner_states,
        ),
    ] = "maintain",
    momentum: Annotated[
        float, typer.Option(rich_help_panel=_OPTIMIZER, help="Of heavy-ball and nesterov.")
    ] = 0.9,
    weight_decay: Annotated[
        float,
        typer.Option(rich_help_panel=_OPTIMIZER, help="Of the innermost optimizer.", min=0),
    ] = 0.0,
    weight_decay_kind: Annotated[
        str, typer.Option(rich_help_panel=_OPTIMIZER, help="l2 or decoupled.")
    ] = "l2",
    hyperparameter: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="Of an optimizer of your own: what it is made with besides the learning "
            "rate. Repeat it for several.",
            metavar="NAME=VALUE",
            show_default=False,
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_OPTIMIZER,
            help="Largest norm of the gradients, 0 for none; if not given 0.25 for lstm.",
            min=0,
        ),
    ] = None,
    hidden: Annotated[
        list[int] | None,
        typer.Option(
            rich_help_panel=_MODEL,
            help="mlp: units of a hidden layer, once for each, if not given 64 and 64; "
            "lstm: of all layers, if not given 200.",
            min=1,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(rich_help_panel=_MODEL, help="lstm: layers, if not given 2.", min=1),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_MODEL, help="lstm: share of units left out, if not given 0."
        ),
    ] = None,
    tied: Annotated[
        bool | None,
        typer.Option(
            "--tied",
            rich_help_panel=_MODEL,
            help="lstm: output weights are those of the embedding.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(rich_help_panel=_MODEL, help="Texts: steps in a batch.", min=1),
    ] = None,
    evaluate_train: Annotated[
        bool | None,
        typer.Option(
            rich_help_panel=_RUN,
            help="After each epoch, evaluate the training examples too; if not given, "
            "where there are no more than 20,000, or 200,000 tokens.",
        ),
    ] = None,
    on_nonfinite: Annotated[
        str,
        typer.Option(
            rich_help_panel=_RUN,
            help="A loss or gradient that is not finite: stop, or skip the batch.",
            autocompletion=_on_nonfinite,
        ),
    ] = "stop",
    output: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FOLDER,
            help="A new or empty folder to write to.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_FOLDER,
            help="Continue the run in this folder.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=_FOLDER,
            help="Batches from one checkpoint to the next; if not given, one is "
            "written every minute.",
            min=1,
        ),
    ] = None,
    keep: Annotated[
        int, typer.Option(rich_help_panel=_FOLDER, help="Checkpoints that are kept.", min=1)
    ] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for a program to read.")
    ] = False,
) -> None:
    """Train a model with one optimizer.

    With --output the run lives in that folder, survives being killed, and goes on with
    --resume as if it had never stopped. Its weights end up in final.safetensors, its
    history in results.json, its log in train.jsonl.
    """
    options = {
        "on_nonfinite": on_nonfinite,
        "checkpoint_every": checkpoint_every,
        "keep": keep,
    }
    if resume is not None:
        _check_resume(context, options)
        given = {name: options[name] for name in options if _given(context, name)}
        _train(None, resume, given, as_json=as_json)
        return
    with reported():
        from lookahead_ref.experiments import single

        prepared = single.prepare(
            single.Settings(
                model=model,
                data=data,
                optimizer=optimizer,
                learning_rate=learning_rate,
                schedule=schedule,
                epochs=epochs,
                batch_size=batch_size,
                seed=seed,
                backend=backend,
                k=k,
                alpha=alpha,
                inner_state=inner_state,
                momentum=momentum,
                weight_decay=weight_decay,
                weight_decay_kind=weight_decay_kind,
                hyperparameters=_one_each(hyperparameter or ()),
                clip=clip,
                hidden=tuple(hidden) if hidden else None,
                layers=layers,
                dropout=dropout,
                tied=tied,
                window=window,
                evaluate_train=evaluate_train,
            )
        )
    _train(prepared, output, options, as_json=as_json)


def _one_each(texts: Iterable[str]) -> tuple[tuple[str, Any], ...]:
    found = assigned(texts)
    for name, values in found.items():
        if len(values) > 1:
            raise ValueError(f"hyperparameter {name} must be given once, got {values}")
    return tuple((name, values[0]) for name, values in found.items())


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _check_resume(context: typer.Context, options: Iterable[str]) -> None:
    """Refuse all options that a run which goes on cannot change."""
    with reported():
        for name in context.params:
            if name not in (*options, "resume", "as_json") and _given(context, name):
                option = name.replace("_", "-")
                raise ValueError(
                    f"resume cannot be given with --{option}: a run goes on as it began"
                )


def _train(
    prepared: "Prepared | None", folder: Path | None, options: Any, *, as_json: bool
) -> None:
    """Train, in a new folder, in that of a run (where nothing is prepared), or in none."""
    with ExitStack() as stack:
        with reported():
            from lookahead_ref.experiments import runs, single
            from lookahead_ref.training import TrainingProgress

            run = None
            if prepared is not None and folder is not None:
                run = stack.enter_context(
                    runs.begin(folder, prepared.settings, _note, **options)
                )
            elif folder is not None:
                run = stack.enter_context(runs.continued(folder, _note, **options))
                prepared = single.prepare(run.settings)
            assert prepared is not None
        with (
            reported(),
            _told_how_to_continue(folder),
            TrainingProgress(console(stderr=True)) as progress,
        ):
            result = single.run(
                prepared,
                run,
                on_nonfinite=options.get("on_nonfinite"),
                callbacks=[progress],
            )
    _show(prepared, folder, result, as_json=as_json)


def _note(text: str) -> None:
    typer.echo(f"lookahead-ref: {text}", err=True)


@contextmanager
def _told_how_to_continue(folder: Path | None) -> Iterator[None]:
    from lookahead_ref.training.loop import StoppedError

    try:
        yield
    except StoppedError as stopped:
        _note(f"{stopped}; {_continue(folder)}")
        number = 128 + (stopped.signal or 0)
        raise typer.Exit(number if stopped.signal else INTERRUPTED) from stopped
    except KeyboardInterrupt:
        if folder is not None:
            _note(_continue(folder))
        raise


def _continue(folder: Path | None) -> str:
    return f"to continue: lookahead-ref train --resume {shlex.quote(str(folder))}"


def _show(
    prepared: "Prepared", folder: Path | None, result: "TrainingResult", *, as_json: bool
) -> None:
    from dataclasses import asdict

    from lookahead_ref.experiments.single import perplexity

    last, test = result.history[-1], result.test
    tested = None if test is None else {"loss": test.loss, "accuracy": test.accuracy}
    if as_json:
        print_json(
            {
                "folder": None if folder is None else str(folder),
                "final": asdict(last),
                "test": tested,
                "steps": result.steps,
                "skipped": result.skipped,
                "seconds": result.seconds,
            }
        )
        return
    text = hasattr(prepared.data, "vocabulary")

    def told(split: str, loss: float, accuracy: float) -> str:
        measured = f"accuracy {100 * accuracy:.2f} %"
        if text and (value := perplexity(loss)) is not None:
            measured = f"perplexity {value:.2f}"
        return f"{split} {measured}, {split} loss {loss:.4f}"

    parts = [told("validation", last.validation_loss, last.validation_accuracy)]
    if test is not None:
        parts.append(told("test", test.loss, test.accuracy))
    if last.train_loss is not None:
        parts.append(f"training loss {last.train_loss:.4f}")
    line = f"{', '.join(parts)} after {result.steps} steps, {result.seconds:.1f} s"
    if result.skipped:
        line += f"; {result.skipped} batches skipped"
    screen = console()
    screen.print(line, highlight=False, soft_wrap=True)
    if folder is not None:
        print_folder(screen, folder, "final.safetensors, results.json, train.jsonl")
