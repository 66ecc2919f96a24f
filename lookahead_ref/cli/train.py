"""The command ``train``."""

from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from lookahead_ref.cli.options import AsJson, with_settings
from lookahead_ref.cli.terminal import (
    MEASURING,
    console,
    continued_by,
    epilog,
    preparing,
    print_folder,
    print_json,
    reported,
)
from lookahead_ref.experiments.settings import (
    AXES,
    FolderOptions,
    TrainFolder,
    TrainSettings,
)

if TYPE_CHECKING:
    from lookahead_ref.experiments.train import Prepared
    from lookahead_ref.training import TrainingResult

EXAMPLES = {
    "train": (
        "lookahead-ref train --optimizer lookahead-adam --epochs 10",
        "lookahead-ref train --optimizer nesterov --learning-rate 0.05 --schedule cosine",
        "lookahead-ref train --optimizer lookahead-sgd --k 10 --alpha 0.8 --output my-run",
        "lookahead-ref train --model lstm --data pydoc --hidden 16 --layers 1 --epochs 1",
    )
}


_WITH_RESUME = ("workers", "epochs", "dry_run", "resume", "as_json")
_OWN = ("optimizer", "model", "data")
"""Options that may name the user's own code, which --resume needs again."""


def mount(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=epilog(EXAMPLES["train"]))(with_settings(train))


def train(
    *,
    context: typer.Context,
    settings: TrainSettings,
    where: TrainFolder,
    options: FolderOptions,
    as_json: AsJson = False,
) -> None:
    """Train a model with one optimizer.

    With --output the run is kept in a folder. If it is killed, --resume continues it as if
    it had never stopped. The folder then has the weights in final.safetensors, the history
    in results.json and the log in train.jsonl.
    """
    output, resume = where.output, where.resume
    path = output if resume is None else resume
    with ExitStack() as stack:
        with reported():
            from lookahead_ref.experiments import train as training
            from lookahead_ref.experiments.estimate import estimate, measured
            from lookahead_ref.experiments.resume import begin, continued, note, own_code
            from lookahead_ref.training import Event, RunStarted, TrainingProgress
            from lookahead_ref.training.checkpoints import checkpoints_in
            from lookahead_ref.training.workers import check_stops, join, started

            folder, given = None, settings.workers
            team = started(stack, given, context.params)
            with team.together():
                if resume is not None and team.leads:
                    changed = _changed_options(context, asdict(options))
                    own = {o: getattr(settings, o) for o in _OWN if _is_given(context, o)}
                    going_on = continued(resume, note, own, **changed)
                    folder = stack.enter_context(going_on)
                    settings = folder.settings
            settings = team.broadcast(settings)
            if resume is None:
                settings = replace(settings, workers=team.size)
            elif not _is_given(context, "workers"):
                given = settings.workers
            if resume is not None and given != "mpi" and settings.reduction != "ordered":
                raise ValueError(
                    f"resume must be run by mpirun -n {settings.workers} with --workers "
                    f"mpi, because the run has reduction {settings.reduction}"
                )
            team = join(given, settings.reduction)
            with team.together():
                if team.size != settings.workers:
                    raise ValueError(
                        f"workers must be {settings.workers}, as in the run, got "
                        f"{team.size}"
                    )
                check_stops(
                    team, (options if folder is None else folder.options).on_nonfinite
                )
                with preparing() if team.leads else nullcontext():
                    prepared = training.prepare(settings)
                if resume is None:
                    _refuse_unused(context, settings)
                    _ = prepared.initial_weights  # errors in the file show now

            def show(event: Event | None) -> None:
                if event is None or isinstance(event, RunStarted):
                    typer.echo(MEASURING, err=True)
                    processes = team.size // len(team.here)
                    found = estimate(prepared, measured(prepared), None, processes)
                    kept = [] if folder is None else checkpoints_in(folder.path)
                    done = max(dict(kept), default=0)
                    found = replace(found, done=min(done, found.steps))
                    if event is None and as_json:
                        print_json({"in_all": str(found)})
                    else:
                        typer.echo(found, err=event is not None)

            if where.dry_run:
                if team.leads:
                    show(None)
                raise typer.Exit
            with team.together():
                if resume is None and output is not None and team.leads:
                    begun = begin(output, prepared.settings, note, **asdict(options))
                    folder = stack.enter_context(begun)
        stack.enter_context(reported())
        if path is not None and team.leads:
            own = own_code(prepared.settings)
            again = [word for option, text in own.items() for word in (f"--{option}", text)]
            words = ["lookahead-ref", "train", "--resume", str(path), *again]
            stack.enter_context(continued_by(words, path))
        with TrainingProgress(console(stderr=True)) as progress:
            result = training.run(
                prepared,
                folder,
                team=team,
                on_nonfinite=options.on_nonfinite,
                callbacks=[show, progress],
            )
    if team.leads:
        _show(prepared, path, result, as_json=as_json)


def _changed_options(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Return the given options; refuse those that a run cannot change."""
    given = {name for name in context.params if _is_given(context, name)}
    for name in context.params:
        if name in given and name not in (*options, *_OWN, *_WITH_RESUME):
            option = name.strip("_").replace("_", "-")
            raise ValueError(
                f"resume cannot be given with --{option}: a run continues as it began"
            )
    options = options | {name: context.params[name] for name in ("epochs", "dry_run")}
    return {name: value for name, value in options.items() if name in given}


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _refuse_unused(context: typer.Context, settings: TrainSettings) -> None:
    """Refuse options that the optimizer or the schedule would ignore."""
    from lookahead_ref.experiments.optimizers import in_group, of_groups, refuse_unused

    given = [name for name in (*AXES, "inner_state") if _is_given(context, name)]
    groups = of_groups(settings)
    refuse_unused(given, settings, *(own for *_, own in groups.values()))
    for text, (_, names, own) in groups.items():
        in_group(text, refuse_unused, names, own)
    if _is_given(context, "patience") and settings.schedule != "plateau":
        raise ValueError(f"patience cannot be given with schedule {settings.schedule}")


def _show(
    prepared: "Prepared", folder: Path | None, result: "TrainingResult", *, as_json: bool
) -> None:
    from lookahead_ref.experiments.train import measured
    from lookahead_ref.report.words import duration
    from lookahead_ref.training.progress import quality
    from lookahead_ref.training.protocols import evaluated

    last, test = result.history[-1], result.test
    if as_json:
        print_json(
            {
                "folder": None if folder is None else str(folder),
                "final": asdict(last),
                "test": measured((), result.steps, test)["test"],
                "steps": result.steps,
                "skipped": result.skipped,
                "seconds": result.seconds,
            }
        )
        return
    text = hasattr(prepared.data, "vocabulary")

    def words(split: str, loss: float, accuracy: float) -> str:
        shown = quality(loss, accuracy, text=text)
        return f"{split} {shown}, {split} loss {loss:.4f}"

    which = evaluated(prepared.data)
    parts = [words(which, last.validation_loss, last.validation_accuracy)]
    if test is not None and which != "test":
        parts.append(words("test", test.loss, test.accuracy))
    if last.train_loss is not None:
        parts.append(f"training loss {last.train_loss:.4f}")
    line = f"{', '.join(parts)} after {result.steps} steps, {duration(result.seconds)}"
    if result.skipped:
        line += f"; {result.skipped} batches skipped"
    screen = console()
    screen.print(line, highlight=False, soft_wrap=True)
    if folder is not None:
        print_folder(screen, folder, "final.safetensors, results.json, train.jsonl")
