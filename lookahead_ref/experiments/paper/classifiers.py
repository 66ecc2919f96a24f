"""Shared by the experiments on classifiers: their settings, tables and pictures.

The paper trains residual networks on CIFAR for 200 epochs in batches of 128, and divides
the learning rate by five after epochs 60, 120 and 160. Its slides name neither learning
rates nor weight decay; those of the full setting here are from ``CIFAR/main.py`` of a
public re-implementation. Lookahead wraps the optimizer of the line above it, with k = 5 and
the alpha of the best cell of Table 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lookahead_ref.experiments.models import backend
from lookahead_ref.experiments.report import Findings, training_curves
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings, evaluation
from lookahead_ref.experiments.statistics import against, differences_from, summary
from lookahead_ref.experiments.trials import Arm, Measure, Outcome, Plan
from lookahead_ref.report.tables import Column, Row, Summary, Table

ALPHA = 0.8
"""Lookahead's, with k = 5: the cell of Table 5 with the highest accuracy."""

DIFFERS = "What differs from the paper"
"""The heading of each report's differences in setting."""

_OF_SIZES = {
    "small": TrainSettings(data="digits", learning_rate=0.2, epochs=30, batch_size=64),
    "middle": TrainSettings(model="resnet8", learning_rate=0.3, batch_size=128),
    "full": TrainSettings(
        model="resnet18",
        validation="none",
        learning_rate=0.05,
        weight_decay=0.001,
        epochs=200,
        batch_size=128,
    ),
}


def reported(mean: float, deviation: float | None = None) -> Summary:
    """Return a number of the paper, whose tables do not state the number of runs."""
    return Summary(mean, deviation, 1)


def base(request: ReproduceSettings, **of_full: Any) -> TrainSettings:
    """Return the settings of all arms: SGD with momentum 0.9 on the requested data."""
    kind = (request.data or "").partition(":")[0]
    if request.size == "small" and kind in _AUGMENTED:
        raise ValueError(
            f"data {kind} must be given with middle or full, whose models take pictures in "
            "colours; the small setting takes mnist:DIR"
        )
    settings = replace(
        _OF_SIZES[request.size],
        optimizer="heavy-ball",
        schedule="step",
        **(of_full if request.full else {}),
    )
    return replace(
        settings,
        data=request.data or settings.data,
        epochs=request.epochs or settings.epochs,
        learning_rate=request.learning_rate or settings.learning_rate,
        **evaluation(request.base),
    )


def changed(settings: TrainSettings, **changes: Any) -> TrainSettings:
    """Return changed settings, with Lookahead's from the paper unless given."""
    return replace(settings, **{"k": 5, "alpha": ALPHA, **changes})


def first_decay(settings: TrainSettings) -> int:
    """Return the last epoch before the step schedule first lowers the learning rate."""
    return max(1, int(0.3 * settings.epochs))


_STATED = {"Epochs": "200", "Batch size": "128", "Schedule": "divided by 5 three times"}
_SCHEDULES = {
    "step": "divided by 5 three times",
    "shortened": "divided by 10 three times",
    "constant": "constant",
    "plateau": "halved when the validation loss stops improving",
}
_KNOWN = {
    "resnet8": "ResNet-8",
    "resnet18": "ResNet-18",
    "resnet32": "ResNet-32",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "mlp": "multilayer perceptron, small",
    "cifar10": "CIFAR-10",
    "ptb": "Penn Treebank",
    "cifar100": "CIFAR-100",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "images": "pictures in folders",
    "digits": "handwritten digits, 8 by 8 pixels",
    "text": "a text by words",
    "chars": "a text by characters",
    "pydoc": "Python's help by words",
    "pydoc-chars": "Python's help by characters",
}
_CIFAR = "4 black pixels around each picture, random crops, mirrored"
_AUGMENTED = {
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "images": "random crops of 8 % to 100 % of the area, mirrored",
}
_MEASURED = {
    "images": "the validation pictures that come with the data",
    "ptb": "the validation text that comes with the data",
}

_FOUND = {
    "small": "the best of a grid on seeds 1000 to 1009",
    "middle": "the best of a grid after an epoch of CIFAR-10",
    "full": "as in a public re-implementation, Connah-rs/lookahead, which has others for "
    "Lookahead, 0.1, and for Polyak averaging, 0.3, both without momentum",
}
"""Where the learning rates are from, by size."""


def named(value: str) -> str:
    """Return a readable name of a model or data set, without its path."""
    kind = value.partition(":")[0]
    return _KNOWN.get(kind, kind)


def shown(
    settings: TrainSettings,
    arms: Sequence[Arm],
    seeds: int,
    rate: str,
    more: Mapping[str, str],
) -> dict[str, str]:
    """Return the settings of the runs, for the report."""
    inside = [arm.settings for arm in arms if arm.role == "lookahead"]
    kind = settings.data.partition(":")[0]
    measured = _MEASURED.get(kind, "validation examples, held out from training")
    if settings.evaluated == "test":
        measured = "the test examples; none are held out from training"
    parts = f", in {settings.accumulate} parts" if settings.accumulate > 1 else ""
    read = {"Augmentation": _AUGMENTED[kind]} if kind in _AUGMENTED else {}
    sizes = {"resized to": settings.resize, "cropped to": settings.crop}
    if sized := [f"{what} {size}" for what, size in sizes.items() if size is not None]:
        read["Pixels of pictures"] = ", ".join(sized)
    pairs = dict.fromkeys(
        f"{each.k} and {each.alpha:g}" for each in inside if each.alpha is not None
    )
    return {
        "Model": named(settings.model),
        "Data": named(settings.data),
        **read,
        "Epochs": str(settings.epochs),
        "Batch size": str(settings.batch_size) + parts,
        "Schedule": _SCHEDULES.get(settings.schedule, settings.schedule),
        "Learning rate": rate,
        "k and alpha": "; ".join(pairs),
        "Seeds": str(seeds),
        "Measured on": measured,
        **more,
        "Backend": backend(settings),
    }


def differing(here: Mapping[str, str], paper: Mapping[str, str]) -> list[str]:
    """List how a setting differs from the paper's, as far as that is stated."""
    return [
        f"{name}: here {value}; in the paper {paper.get(name, 'not stated')}."
        for name, value in here.items()
        if name != "Backend" and value != paper.get(name)
    ]


def plan(
    request: ReproduceSettings,
    settings: TrainSettings,
    arms: Sequence[Arm],
    paper: Mapping[str, str],
    *differs: str,
    seeds: tuple[int, int] = (3, 10),
    found: str = "",
    **options: Any,
) -> Plan:
    """Plan the runs; `seeds` are the numbers in full and small, `found` is as `_FOUND`."""
    count = request.seeds or seeds[request.size == "small"]
    usual = found or _FOUND[request.size]
    given = "given on the command line" if request.learning_rate is not None else usual
    rate, decay = f"{settings.learning_rate:g} for all with SGD, {given}", ""
    for adam in (arm.settings for arm in arms if arm.settings.optimizer == "adam"):
        rate += f"; {adam.learning_rate:g} for Adam, {usual}"
        if adam.weight_decay != settings.weight_decay:
            decay = f"; {adam.weight_decay:g} for Adam, {adam.weight_decay_kind}"
    more = {"Weight decay": f"{settings.weight_decay:g}{decay}"}
    setting = shown(settings, arms, count, rate, more)
    sentences = differing(setting, {**_STATED, **paper})
    notes = {DIFFERS: (*sentences, *differs)}
    return Plan(tuple(arms), range(count), setting, notes, **options)


def last_steps(
    request: ReproduceSettings,
    paper: Mapping[str, str],
    differs: str,
    *,
    measure: Measure,
    evaluations: int,
    alpha: float = ALPHA,
    **of_full: Any,
) -> Plan:
    """Plan runs of Lookahead whose last steps are measured."""
    # At the initial rate, so that the inner steps go far.
    settings = changed(
        base(request, **of_full),
        optimizer="lookahead-heavy-ball",
        schedule="constant",
        alpha=alpha,
        epochs=request.epochs or (60 if request.full else 10),
    )
    arm = Arm("Lookahead", settings, "Lookahead", "lookahead")
    looked: Any = {"measure": measure, "evaluations": evaluations}
    return plan(request, settings, [arm], paper, differs, seeds=(1, 5), **looked)


def accuracy_table(
    plan: Plan,
    outcomes: Sequence[Outcome],
    paper: Mapping[str, Sequence[Summary]],
    *,
    stub: str,
    measured: str,
    columns: Sequence[Column],
    also: Sequence[str] = (),
) -> Table:
    """Make the table of accuracies, other quantities and the paper's numbers."""
    early = first_decay(outcomes[0].arm.settings)
    accuracies = [("validation_accuracy", epoch) for epoch in (-1, early)]
    return Table(
        title=f"Final {outcomes[0].arm.settings.evaluated} accuracy",
        caption=(
            f"Here: {plan.shown}, at the end and "
            f"before the learning rate first falls, measured on {measured}"
        ),
        stub=stub,
        columns=(
            Column("Here (%)", better="higher"),
            Column(f"Here, epoch {early} (%)", better="higher"),
            *columns,
        ),
        rows=rows(outcomes, [*accuracies, *((quantity, -1) for quantity in also)], paper),
    )


def rows(
    outcomes: Sequence[Outcome],
    cells: Sequence[tuple[str, int]],
    paper: Mapping[str, Sequence[Summary]],
) -> tuple[Row, ...]:
    """Make a row for each arm: quantities after an epoch, and the paper's numbers."""
    return tuple(
        Row(
            outcome.arm.title,
            (
                *(summary(outcome, quantity, epoch=epoch) for quantity, epoch in cells),
                *paper[outcome.arm.title],
            ),
        )
        for outcome in outcomes
    )


def compared(
    outcomes: Sequence[Outcome], table: Table, said: str, *, early: bool = True
) -> Findings:
    """Add the differences of all arms from the first, and the curves, to a table."""
    sgd, *others = outcomes
    differences = [differences_from(sgd, others)]
    if early:
        epoch = first_decay(sgd.arm.settings)
        differences.append(differences_from(sgd, others, epoch=epoch))
    words = [
        against(each, f"{sgd.arm.settings.evaluated} accuracy") for each in differences
    ]
    curves = training_curves(outcomes)
    return Findings(" ".join([said, *words]), (table, *differences), {"curves": curves})
