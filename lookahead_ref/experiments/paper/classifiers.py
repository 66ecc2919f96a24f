"""Shared by the experiments on classifiers: their settings, tables and pictures.

The paper trains residual networks on CIFAR for 200 epochs in batches of 128, and divides
the learning rate by five after epochs 60, 120 and 160: ``words.toml`` says who says so.
Learning rates and weight decay are not known. Lookahead has k = 5 and the alpha of the best
cell of Table 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from lookahead_ref.experiments.models import backend, defaults
from lookahead_ref.experiments.optimizers import has, where_from
from lookahead_ref.experiments.report import Findings, training_curves
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings, evaluation
from lookahead_ref.experiments.statistics import (
    ACCURACY_AND_LOSSES,
    LOSSES,
    against,
    differences_from,
    summary,
)
from lookahead_ref.experiments.trials import Arm, Measure, Outcome, Plan
from lookahead_ref.report.tables import MISSING, Column, Row, Summary, Table
from lookahead_ref.system import read_table

ALPHA = 0.8
"""Lookahead's, with k = 5: the cell of Table 5 with the highest accuracy."""

DIFFERS = "What differs from the paper"
"""The heading of each report's differences in setting."""

_OF_SIZES = {
    "small": TrainSettings(
        data="digits", learning_rate=0.2, epochs=30, batch_size=64, evaluate_train=True
    ),
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


def stated(name: str) -> dict[str, tuple[Summary, ...]]:
    """Return the numbers of one of the paper's tables, which state no number of runs."""
    return {
        arm: tuple(Summary._make([*[*x, None][:2], 1]) if x else MISSING for x in row)
        for arm, row in WORDS["numbers"][name].items()
    }


def base(request: ReproduceSettings, **of_full: Any) -> TrainSettings:
    """Return the settings of all arms: SGD with momentum 0.9 on the requested data."""
    kind = (request.data or "").partition(":")[0]
    if request.size == "small" and kind in WORDS["augmentation"]:
        raise ValueError(
            f"data {kind} must be given with middle or full, whose models take pictures in "
            "colours; the small setting takes mnist:DIR"
        )
    usual = replace(_OF_SIZES[request.size], **(of_full if request.full else {}))
    rate = request.learning_rate or usual.learning_rate
    usual = replace(usual, optimizer="heavy-ball", schedule="step", learning_rate=rate)
    return asked(usual, request)


def asked(usual: TrainSettings, request: ReproduceSettings) -> TrainSettings:
    """Return settings with a request's data, epochs, batch size and shared settings."""
    given = {name: getattr(request, name) for name in ("data", "epochs", "batch_size")}
    given = {name: value for name, value in given.items() if value is not None}
    return replace(usual, **given, **evaluation(request.base))


def changed(settings: TrainSettings, **changes: Any) -> TrainSettings:
    """Return changed settings, with Lookahead's from the paper unless given."""
    return replace(settings, **{"k": 5, "alpha": ALPHA, **changes})


def first_decay(settings: TrainSettings) -> int:
    """Return the last epoch before the step schedule first lowers the learning rate."""
    return max(1, int(0.3 * settings.epochs))


WORDS = read_table("lookahead_ref.experiments.paper", "words.toml")

FOUND = {
    "small": "the best of a grid, by validation accuracy on seeds 1000 to 1009 (SGD alone: "
    "0.05, 0.1, 0.2, 0.4; Adam alone: 0.005, 0.01, 0.02, 0.04)",
    "middle": where_from("resnet8"),
    "full": where_from("resnet18") + ", which has others for Lookahead, 0.1, and for "
    "Polyak averaging, 0.3, both without momentum",
}
"""Where the learning rates are from, by size."""

_WORDED = (
    *("model", "data", "validation", "epochs", "batch_size", "schedule", "patience"),
    *("learning_rate", "k", "alpha", "backend"),
)
_TOLD_BY_MODEL = ("Hidden", "Layers", "Embedding")
EXEMPT = ("seed", "reduction")
"""Settings that a report does not show: arms have all seeds, and sums the same terms."""


def named(value: str) -> str:
    """Return a readable name of a model or data set, without its path."""
    kind = value.partition(":")[0]
    return str(WORDS["names"].get(kind, kind))


def _written(settings: TrainSettings, name: str) -> str:
    """Write a setting, or the model's default; nothing where it has no effect."""
    kind, value = defaults(settings.model), getattr(settings, name)
    if value is None:
        value = {**vars(kind), **kind.options}.get(name)
    if name == "weight_decay_kind" and settings.weight_decay:
        value = value or "l2"
    off = {"accumulate": 1, "workers": 1, "clip": 0}
    used = has(name, settings.optimizer, settings.outer)
    if not used or value in (None, (), off.get(name)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{x:g}" if isinstance(x, float) else str(x) for x in values)


def _across(arms: Sequence[Arm], name: str) -> str:
    """Write a setting, with the arms that differ from the first."""
    found = dict[str, list[str]]()
    for arm in arms:
        if text := _written(arm.settings, name):
            found.setdefault(text, []).append(arm.title)
    said = []
    for text, of in found.items():
        who = " and ".join(of) if len(of) < 3 else f"{len(of)} arms"
        said.append(text + f" for {who}" * (arms[0].title not in of))
    return "; ".join(said)


def shown(arms: Sequence[Arm], seeds: int, found: str, **more: str) -> dict[str, str]:
    """Return all settings of the runs, and how the rates were found, for the report."""
    settings = arms[0].settings
    inside = [arm.settings for arm in arms if arm.role == "lookahead"]
    kind = settings.data.partition(":")[0]
    measured = WORDS["measured"].get(kind, "validation examples, held out from training")
    if isinstance(settings.validation, int):
        measured = f"{settings.validation} validation examples, held out from training"
    augmented = WORDS["augmentation"].get(kind)
    if settings.evaluated == "test":
        measured = "the test examples; none are held out from training"
    rest = {
        field.name.replace("_", " ").capitalize(): _across(arms, field.name)
        for field in fields(settings)
        if field.name not in (*_WORDED, *EXEMPT)
    }
    pairs = dict.fromkeys(f"{x.k} and {x.alpha:g}" for x in inside if x.alpha is not None)
    return {
        "Model": named(settings.model),
        "Data": named(settings.data),
        **({"Augmentation": augmented} if augmented else {}),
        "Epochs": str(settings.epochs),
        "Batch size": _written(settings, "batch_size"),
        "Schedule": WORDS["schedules"][settings.schedule].format(settings.patience),
        "Learning rate": f"{_across(arms, 'learning_rate')}: {found}",
        "k and alpha": "; ".join(pairs),
        "Seeds": str(seeds),
        "Measured on": measured,
        **more,
        **{name: text for name, text in rest.items() if text},
        "Backend": backend(settings),
    }


def differing(
    here: Mapping[str, str], paper: Mapping[str, str], authors: Mapping[str, str]
) -> list[str]:
    """List how a setting differs from the paper's, or from that of a model's authors."""
    told, left = list[str](), []
    for name, value in here.items():
        of = {"paper": paper.get(name), "program of the model's authors": authors.get(name)}
        stated = [(where, other) for where, other in of.items() if other]
        told += [f"{name}: here {value}; in the {w} {x}." for w, x in stated if x != value]
        left += [] if stated or name in ("Backend", *_TOLD_BY_MODEL) else [name]
    return [*told, f"Of the paper's setting, these are not known: {', '.join(left)}."]


def plan(
    request: ReproduceSettings,
    arms: Sequence[Arm],
    name: str,
    *differs: str,
    seeds: tuple[int, int] = (3, 10),
    found: str = "",
    **options: Any,
) -> Plan:
    """Plan an experiment; `seeds` are the numbers in full and small, `found` as `FOUND`."""
    count = request.seeds or seeds[request.size == "small"]
    found = found or FOUND[request.size]
    if request.learning_rate is not None:
        adam = any(arm.family == "Adam" for arm in arms)
        found = "SGD's given on the command line" + f", Adam's {found}" * adam
    setting = shown(arms, count, found)
    stated = WORDS["paper"]["usual"] | WORDS["paper"][name]
    notes = {DIFFERS: (*differing(setting, stated, {}), *differs)}
    return Plan(tuple(arms), range(count), setting, notes, **options)


def last_steps(
    request: ReproduceSettings,
    name: str,
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
    return plan(request, [arm], name, differs, seeds=(1, 5), **looked)


def accuracy_table(
    plan: Plan,
    outcomes: Sequence[Outcome],
    paper: Mapping[str, Sequence[Summary]],
    *,
    stub: str,
    measured: str,
    columns: Sequence[str],
    also: str | None = None,
) -> Table:
    """Make the table of accuracies, perhaps a loss too, and the paper's accuracies."""
    early = first_decay(outcomes[0].arm.settings)
    cells = [("validation_accuracy", -1), ("validation_accuracy", early)]
    titles = ["Here (%)", f"Here, epoch {early} (%)"]
    found = [Column(title, better="higher") for title in titles]
    if also is not None:
        cells.append((also, -1))
        found.append(Column(f"Here, {LOSSES[also]}", better="lower", digits=5))
    return Table(
        title=f"Final {outcomes[0].arm.settings.evaluated} accuracy",
        caption=(
            f"Here: {plan.shown}, at the end and "
            f"before the learning rate first falls, measured on {measured}"
        ),
        stub=stub,
        columns=(*found, *(Column(f"Paper, {on} (%)", better="higher") for on in columns)),
        rows=rows(outcomes, cells, paper),
    )


def rows(
    outcomes: Sequence[Outcome],
    cells: Sequence[tuple[str, int]],
    paper: Mapping[str, Sequence[Summary]],
) -> tuple[Row, ...]:
    """Make a row for each arm: quantities after an epoch, and the paper's numbers."""
    found = {
        each.arm.title: [summary(each, name, epoch=epoch) for name, epoch in cells]
        for each in outcomes
    }
    return tuple(Row(title, (*here, *paper[title])) for title, here in found.items())


def from_first(
    outcomes: Sequence[Outcome],
    epochs: Sequence[int] = (),
    quantities: Mapping[str, int] = ACCURACY_AND_LOSSES,
) -> list[Table]:
    """Tabulate how arms differ from the first, by default at the end and before decays."""
    first, *others = outcomes
    epochs = epochs or (-1, first_decay(first.arm.settings))
    return [differences_from(first, others, quantities, epoch=each) for each in epochs]


def compared(
    outcomes: Sequence[Outcome],
    table: Table,
    said: str,
    differences: Sequence[Table],
    *quantities: str,
) -> Findings:
    """Add differences, what they decide and the curves to a table."""
    names = [name.format(outcomes[0].arm.settings.evaluated) for name in quantities]
    words = [against(each, *names) for each in differences]
    curves = training_curves(outcomes)
    return Findings(" ".join([said, *words]), (table, *differences), {"curves": curves})
