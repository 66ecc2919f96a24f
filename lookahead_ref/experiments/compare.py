"""The main job: every optimizer on the handwritten digits, alone and inside Lookahead.

A table in the shape of the paper's Table 1 on data that needs no download. The paper
trains residual networks on CIFAR; this trains a small multilayer perceptron on 1258
pictures of 8 by 8 pixels, so the numbers cannot be compared with the paper's.

Each inner optimizer has the best learning rate of a grid, see
`lookahead_ref.experiments.optimizers.where_from`, alone and inside Lookahead.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lookahead_ref.experiments import optimizers, plugins, report, statistics, trials
from lookahead_ref.experiments.settings import CompareSettings
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import Column, Table
from lookahead_ref.report.words import several
from lookahead_ref.training.loop import described

# Fields of `EpochRecord` to the decimals shown.
_LOSSES = {"validation_loss": 4, "train_loss": 5}
_FINAL = {"validation_accuracy": 2, **_LOSSES}


_RANGED = ("heavy-ball", "lookahead-heavy-ball")
_RANGE = "over learning rates"
BEST = optimizers.LEARNING_RATES["mlp"]["heavy-ball"]
TOO_LARGE = (0.2, 0.3, 0.4)
"""Learning rates of heavy ball that the default comparison tries besides the best."""


def methods(settings: CompareSettings) -> tuple[optimizers.Method, ...]:
    """Return the compared methods, in the order of the table."""
    if not settings.optimizers:
        return tuple(map(optimizers.method, _each_once(optimizers.COMPARED, settings)))
    names = tuple(dict.fromkeys(settings.optimizers))
    for name in names:
        inner = optimizers.inner_name(name)
        if name.startswith("lookahead-"):
            raise ValueError(
                "optimizer must be an inner one, to be compared alone and inside "
                f"Lookahead, got {name!r}: give {inner!r}"
            )
    around = tuple(name for name in names if name.startswith(("polyak-", "snoo-")))
    alone = tuple(name for name in names if name not in around)
    if not alone:
        raise ValueError(
            "optimizer must name at least one to compare alone and inside Lookahead, got "
            f"{', '.join(names)}"
        )
    inside = tuple(f"lookahead-{name}" for name in alone)
    all_names = _each_once((*alone, *around, *inside), settings)
    found = [optimizers.method(name) for name in all_names]
    # The full name distinguishes the user's own Adam from the library's.
    often = Counter(method.title for method in found)
    return tuple(
        method
        if often[method.title] == 1 or not plugins.is_plugin(method.name)
        else replace(method, title=method.name)
        for method in found
    )


def _is_default(settings: CompareSettings) -> bool:
    """Whether optimizers, model and data are all the defaults."""
    base = settings.base
    chosen = (settings.optimizers, settings.learning_rates, base.model, base.data)
    return chosen == ((), (), "mlp", "digits") and base.outer is None


def _each_once(names: Sequence[str], settings: CompareSettings) -> tuple[str, ...]:
    return tuple({optimizers.canonical(name, settings.base.outer): None for name in names})


def inner_names(settings: CompareSettings) -> tuple[str, ...]:
    """Return the names of the innermost optimizers, each once."""
    names = (optimizers.inner_name(method.name) for method in methods(settings))
    return tuple(dict.fromkeys(names))


def given_rate(settings: CompareSettings, name: str) -> float | None:
    """Return the learning rate given for an optimizer, or None."""
    given = dict(settings.learning_rates)
    return given.get(optimizers.inner_name(name), given.get(""))


def prepare(settings: CompareSettings) -> report.Job:
    """Check everything before anything is trained or written."""
    inner = inner_names(settings)
    for name, _ in settings.learning_rates:
        if name and name not in inner:
            raise ValueError(
                f"learning_rate must be of one of {', '.join(inner)}, got {name!r}"
            )
    base = replace(settings.base, workers=settings.workers)
    arms, of_range = list[Arm](), list[Arm]()
    for method in methods(settings):
        rate = given_rate(settings, method.name)
        own = replace(base, optimizer=method.name, learning_rate=rate)
        own = optimizers.fitted(own)
        arms.append(Arm(method.title, own, method.family, method.role, may_diverge=False))
        if own.optimizer in _RANGED and _is_default(settings):
            of_range += [
                Arm(f"{method.title}, {rate:g}", replace(own, learning_rate=rate), _RANGE)
                for rate in TOO_LARGE
            ]
    seeds = range(settings.seed, settings.seed + settings.seeds)
    plan = Plan((*arms, *of_range), seeds)
    prepared = trials.check(plan)
    for each in prepared:
        name = each.settings.optimizer
        if name in inner and hasattr(each.optimizer, "inner"):
            raise ValueError(
                f"optimizer {name!r} must not wrap another, as Lookahead is put around "
                f"it, got {type(each.optimizer).__name__}"
            )
    plan = _explained(plan, settings, prepared)
    digits = base.data == "digits"
    heading = "Handwritten digits" if digits else str(prepared[0].data.name)
    return report.Job(
        "compare",
        f"{heading}: Lookahead and others",
        settings,
        plan,
        prepared,
        partial(find, plan, settings, heading),
        more=lambda outcomes: {
            "learning_rates": _rates(prepared),
            "final": {
                outcome.arm.title: {
                    quantity: statistics.summary(outcome, quantity)._asdict()
                    for quantity in _FINAL
                }
                for outcome in outcomes
            },
        },
        logs=_labels,
    )


def find(
    plan: Plan, settings: CompareSettings, heading: str, outcomes: Sequence[Outcome]
) -> report.Findings:
    """Make the tables and curves, and summarize the tables."""
    ranged = [outcome for outcome in outcomes if outcome.arm.family == _RANGE]
    outcomes = outcomes[: len(outcomes) - len(ranged)]
    found = {outcome.arm.settings.optimizer: outcome for outcome in outcomes}
    finals = _final_table(plan, settings, heading, outcomes)
    differences = statistics.difference_table(
        [
            (outcome, found[optimizers.inner_name(name)])
            for name, outcome in found.items()
            if outcome.arm.role == "lookahead"
        ],
        _LOSSES if outcomes[0].of_text else _FINAL,
        title="What Lookahead changes: its value minus that of its inner optimizer",
        caption=(
            f"{plan.shown.capitalize()}. Differences are taken seed by seed: "
            f"{statistics.paired(outcomes)}."
        ),
        stub="Lookahead minus inner",
    )
    curves = report.training_curves(outcomes, columns=2)
    words = in_words(finals, differences)
    if not ranged:
        return report.Findings(words, (finals, differences), {"curves": curves})
    table, first = _over_rates(plan, [found[name] for name in _RANGED], ranged)
    tables = (finals, differences, table)
    return report.Findings(f"{first} {words}", tables, {"curves": curves})


def _over_rates(
    plan: Plan, best: Sequence[Outcome], ranged: Sequence[Outcome]
) -> tuple[Table, str]:
    """Tabulate heavy ball, alone and in Lookahead, over learning rates, and summarize."""
    half = len(ranged) // 2
    pairs = [best, *zip(ranged[:half], ranged[half:], strict=True)]
    table = statistics.losses_table(
        {f"{r:g}": (a, b) for r, (a, b) in zip((BEST, *TOO_LARGE), pairs, strict=True)},
        ("Training loss, alone", "in Lookahead"),
        title="What Lookahead is for: heavy ball with learning rates that are too large",
        caption=f"{plan.shown.capitalize()}. The first is the best of a grid",
        stub="Learning rate",
    )
    at_best, at_largest = (
        [statistics.summary(each, "validation_accuracy").mean for each in pair]
        for pair in (pairs[0], pairs[-1])
    )
    accuracies = [outcome.final("validation_accuracy") for outcome in pairs[-1]]
    # Also counts NaN, the accuracy of a run that diverged.
    failed = [sum(not share >= 0.5 for share in each) for each in accuracies]
    words = (
        f"With a learning rate {TOO_LARGE[-1] / BEST:g} times the best, heavy ball reaches "
        f"a mean of {at_largest[0]:.1f} % validation accuracy alone and "
        f"{at_largest[1]:.1f} % inside Lookahead; "
        f"with the best, {at_best[0]:.1f} % and {at_best[1]:.1f} %. "
        f"Of {several(len(accuracies[0]), 'seed')} with the larger, {failed[0]} diverged "
        f"or stayed below 50 % alone, and {failed[1]} inside."
    )
    return table, words


def in_words(finals: Table, differences: Table) -> str:
    """Summarize the tables in words."""
    rows = zip(finals.rows, finals.cells(), strict=True)
    found = [row for row, cells in rows if cells[0].bold]
    best, top = [row.name for row in found], found[0].cells[0]
    verb = "has" if len(best) == 1 else "have"
    gains = [row.cells[0] for row in differences.rows]
    higher = finals.columns[0].better == "higher"
    # The margin ignores rounding between equal values.
    better = sum((gain.mean if higher else -gain.mean) > 1e-9 for gain in gains)
    # The heading of its column, as "Validation accuracy (%)".
    quality = finals.columns[0].title.partition(" (")[0].lower()
    value = f"{top.mean:.2f} %" if higher else f"{top.mean:.2f}"

    def share(count: int) -> str:
        return f" in {count or 'none'} of {len(gains)} pairs" if len(gains) > 1 else ""

    text = (
        f"{_enumerated(best)} {verb} the {'highest' if higher else 'lowest'} mean "
        f"{quality}, {value}. Lookahead has {'a' if better or share(0) else 'no'} "
        f"{'higher mean' if higher else 'lower mean loss'} than its inner optimizer"
        f"{share(better)}"
    )
    if top.n == 1:
        return text + "; one seed says nothing about the spread."
    clear = sum(statistics.verdict(gain) != "not decided" for gain in gains)
    return (
        f"{text}; over {top.n} seeds, the 95 % interval of the difference "
        f"{'excludes' if clear or share(0) else 'includes'} zero{share(clear)}."
    )


def learning_rates(settings: CompareSettings) -> str:
    """Say where the learning rates come from."""
    given, own, chosen = list[str](), list[str](), list[str]()
    for name in inner_names(settings):
        by_default = own if plugins.is_plugin(name) else chosen
        (by_default if given_rate(settings, name) is None else given).append(name)
    said = []
    if chosen:
        of = "each inner optimizer" if not (given or own) else _enumerated(chosen)
        where = optimizers.where_from(settings.base.model)
        others = settings.base.data not in ("digits", "pydoc")
        but = " It was not tuned for these data." * others
        said.append(f"The learning rate of {of} is {where}.{but}")
    if given:
        said.append(
            f"The learning rate of {_enumerated(given)} was given with the command."
        )
    if own:
        names = _enumerated(own)
        said.append(f"No learning rate was given for {names}: its own default is taken.")
    if given or own:
        said.append("Nothing was searched here.")
    return " ".join([*said, "Each rate is the same alone and inside Lookahead."])


def _enumerated(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _final_table(
    plan: Plan, settings: CompareSettings, heading: str, outcomes: Sequence[Outcome]
) -> Table:
    base = settings.base
    rates = "" if _is_default(settings) else f" {learning_rates(settings)}"
    return Table(
        title=f"{heading}: at the end of training",
        caption=(
            f"{plan.shown.capitalize()}, after {several(base.epochs, 'epoch')}; best in "
            f"bold. Measured on the slow weights, or on the average.{rates}"
        ),
        stub="Optimizer",
        columns=(
            *statistics.quality_and_loss(outcomes),
            Column("Training loss", better="lower", digits=5),
        ),
        rows=statistics.rows(outcomes, _LOSSES),
    )


def _explained(plan: Plan, settings: CompareSettings, prepared: Sequence[Prepared]) -> Plan:
    """Add to the plan what a reader of the report has to know."""
    first = prepared[0]
    setting = {
        "Data": first.data.name,
        "Model": described(first.model),
        "Batch size": first.batch_size,
        "Epochs": settings.base.epochs,
        "Backend": first.settings.backend,
        **({"Workers in Lookahead": settings.workers} if settings.workers != 1 else {}),
        **{
            arm.title: described(each.optimizer)
            for arm, each in zip(plan.arms, prepared, strict=True)
        },
    }
    notes = {
        "What differs from the paper": [
            "The table has the form of the paper's Table 1.",
            "Its numbers cannot be compared: the paper trains residual networks on CIFAR.",
        ],
        "Learning rates": [learning_rates(settings)],
    }
    return replace(plan, setting=setting, notes=notes)


def _rates(prepared: Sequence[Prepared]) -> dict[str, Any]:
    """Return the effective learning rate of each innermost optimizer."""
    rates: dict[str, Any] = {}
    for each in prepared:
        innermost = getattr(each.optimizer, "inner", each.optimizer)
        rate = getattr(innermost, "learning_rate", None)
        known = rate is None or isinstance(rate, float | int)
        name = optimizers.inner_name(each.settings.optimizer)
        rates.setdefault(name, rate if known else described(rate))
    return rates


def _labels(arm: Arm) -> dict[str, Any]:
    ranged = {"learning_rate": arm.settings.learning_rate} if arm.family == _RANGE else {}
    return {"method": arm.settings.optimizer, **ranged}
