"""What the experiments on classifiers share: their settings in full and in small.

The paper trains residual networks on CIFAR for 200 epochs in batches of 128, and divides
the learning rate by five after epochs 60, 120 and 160. Its slides name neither learning
rates nor weight decay; those of the full setting here are the ones that a public
re-implementation of its CIFAR experiments gives as the paper's choice: 0.05 and 0.001 for
SGD with momentum 0.9, 0.0003 and 1 (decoupled) for Adam. Lookahead has the inner optimizer
of the line above it, k = 5 and the alpha of the best cell of Table 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lookahead_ref.experiments.report import Findings, accuracy_panels, drawn
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.experiments.statistics import against, differences_from, summary
from lookahead_ref.experiments.trials import Arm, Measure, Outcome, Plan
from lookahead_ref.report.tables import Column, Row, Summary, Table

ALPHA = 0.8
"""Of Lookahead, with k = 5: the cell of Table 5 with the highest accuracy."""

DIFFERS = "What differs from the paper"
"""The heading of what each report says of its setting."""

_SMALL = TrainSettings(
    model="mlp",
    data="digits",
    optimizer="heavy-ball",
    learning_rate=0.2,
    schedule="step",
    epochs=30,
    batch_size=64,
)
_FULL = TrainSettings(
    model="resnet18",
    optimizer="heavy-ball",
    learning_rate=0.05,
    weight_decay=0.001,
    schedule="step",
    epochs=200,
    batch_size=128,
)


def reported(mean: float, deviation: float | None = None) -> Summary:
    """Return a number of the paper; over how many runs, its tables do not say."""
    return Summary(mean, deviation, 1)


def base(request: ReproduceSettings, **of_full: Any) -> TrainSettings:
    """Return what all arms share: SGD with momentum 0.9 on the data that is asked for."""
    settings = replace(_FULL, **of_full) if request.full else _SMALL
    return replace(
        settings,
        data=request.data or settings.data,
        epochs=request.epochs or settings.epochs,
        learning_rate=request.learning_rate or settings.learning_rate,
        backend=request.backend,
        evaluate_train=True,
    )


def changed(settings: TrainSettings, **changes: Any) -> TrainSettings:
    """Return settings with a few changed, Lookahead's being the paper's unless given."""
    return replace(settings, **{"k": 5, "alpha": ALPHA, **changes})


def first_decay(settings: TrainSettings) -> int:
    """Return the last epoch before the learning rate first falls, of the step schedule."""
    return max(1, int(0.3 * settings.epochs))


def shown(
    settings: TrainSettings, model: str, rate: str, more: Mapping[str, str]
) -> dict[str, str]:
    """Return what the runs share, for the report."""
    return {
        "Model": model,
        "Data": settings.data,
        "Epochs": str(settings.epochs),
        "Batch size": str(settings.batch_size),
        "Learning rate": rate,
        **more,
        "Backend": settings.backend,
    }


def plan(
    request: ReproduceSettings,
    settings: TrainSettings,
    arms: Sequence[Arm],
    paper: str,
    *differs: str,
    seeds: tuple[int, int] = (3, 10),
    **more: Any,
) -> Plan:
    """Plan the runs, so many seeds in full and in small, of what the `paper` trains."""
    if request.full:
        sentences = [
            (
                f"The paper trains {paper}. Learning rates and weight decay are not stated "
                "in the document that this follows; they are those that others give as the "
                "paper's."
            )
        ]
    else:
        rates = (
            "SGD's learning rate was given on the command line"
            if request.learning_rate is not None
            else "The learning rates were the best of a grid on seeds 1000 to 1009"
        )
        sentences = [
            (
                f"The paper trains {paper}; this trains a small multilayer perceptron on "
                "small pictures, for minutes. The shape of the result compares, its "
                "numbers do not."
            ),
            (
                f"{rates}, and are without weight decay. SGD's is that of Lookahead and of "
                "the average too."
            ),
        ]
    rate = f"{settings.schedule} schedule, from {settings.learning_rate:g} for SGD"
    decay = {"Weight decay": f"{settings.weight_decay:g}"}
    setting = shown(settings, settings.model, rate, decay)
    count = request.seeds or seeds[not request.full]
    notes = {DIFFERS: (*sentences, *differs)}
    return Plan(tuple(arms), range(count), setting, notes, **more)


def last_steps(
    request: ReproduceSettings,
    paper: str,
    differs: str,
    measure: Measure,
    *,
    alpha: float = ALPHA,
    **of_full: Any,
) -> Plan:
    """Plan Lookahead alone, of whose run the last steps are looked at."""
    # At the rate at which training begins: where the steps of the inner loop go far.
    settings = changed(
        base(request, **of_full),
        optimizer="lookahead-heavy-ball",
        schedule="constant",
        alpha=alpha,
        epochs=request.epochs or (60 if request.full else 10),
    )
    arm = Arm("Lookahead", settings, "Lookahead", "lookahead")
    return plan(request, settings, [arm], paper, differs, seeds=(1, 5), measure=measure)


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
    """Make the table of accuracies; the last columns are other quantities and the paper."""
    early = first_decay(outcomes[0].arm.settings)
    return Table(
        title="Final validation accuracy",
        caption=(
            f"Here: mean ± sample standard deviation over {plan.over}, at the end and "
            f"before the learning rate first falls, measured on {measured}"
        ),
        stub=stub,
        columns=(
            Column("Here (%)", better="higher"),
            Column(f"Here, epoch {early} (%)", better="higher"),
            *columns,
        ),
        rows=tuple(
            Row(
                outcome.arm.title,
                (
                    summary(outcome, "validation_accuracy"),
                    summary(outcome, "validation_accuracy", epoch=early),
                    *(summary(outcome, quantity) for quantity in also),
                    *paper[outcome.arm.title],
                ),
            )
            for outcome in outcomes
        ),
    )


def compared(
    outcomes: Sequence[Outcome], table: Table, said: str, *, early: bool = True
) -> Findings:
    """Put a table beside the differences of all arms from the first, and the curves."""
    sgd, *others = outcomes
    differences = [differences_from(sgd, others)]
    if early:
        epoch = first_decay(sgd.arm.settings)
        differences.append(differences_from(sgd, others, epoch=epoch))
    words = [against(each, "validation accuracy") for each in differences]
    curves = drawn(accuracy_panels(outcomes), "Training loss and validation accuracy.")
    return Findings(" ".join([said, *words]), (table, *differences), {"curves": curves})
