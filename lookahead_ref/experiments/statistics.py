"""Means over seeds, differences seed by seed, and their intervals."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lookahead_ref.experiments.trials import Outcome
from lookahead_ref.extras import require
from lookahead_ref.report.tables import MISSING, Column, Row, Summary, Table, summarize
from lookahead_ref.report.words import several

ACCURACY_AND_LOSSES: Mapping[str, int] = {
    "validation_accuracy": 2,
    "validation_loss": 4,
    "train_loss": 4,
}
"""Fields of `EpochRecord` to the decimals shown."""

_TITLES = {
    "validation_accuracy": "{} accuracy (points)",
    "validation_top5_accuracy": "{} top-5 accuracy (points)",
    "validation_loss": "{} loss",
    "train_loss": "Training loss",
    "test_loss": "Test loss",
}


def summary(outcome: Outcome, quantity: str, *, epoch: int = -1) -> Summary:
    """Summarize a quantity over seeds after an epoch, the last by default; shares in %."""
    return summarized(outcome, _shown(outcome, quantity, epoch))


def perplexities(outcome: Outcome) -> tuple[Summary, ...]:
    """Summarize the runs' final perplexities: training, validation, test."""
    return tuple(
        summarized(outcome, [math.exp(x) for x in _shown(outcome, f"{split}_loss", -1)])
        for split in ("train", "validation", "test")
    )


def quality(outcome: Outcome) -> Summary:
    """Summarize the runs' final perplexity for a text, or accuracy in percent."""
    if outcome.of_text:
        return perplexities(outcome)[1]
    return summary(outcome, "validation_accuracy")


def quality_and_loss(outcomes: Sequence[Outcome]) -> tuple[Column, Column]:
    """Return the headings of `quality` and of the loss."""
    of = evaluated(outcomes)
    first = Column(f"{of} accuracy (%)", better="higher")
    if outcomes[0].of_text:
        first = Column(f"{of} perplexity", better="lower")
    return first, Column(f"{of} loss", better="lower", digits=4)


def evaluated(outcomes: Sequence[Outcome]) -> str:
    """Return the first word of a heading: the examples that were evaluated."""
    return outcomes[0].arm.settings.evaluated.capitalize()


def summarized(outcome: Outcome, values: Sequence[float]) -> Summary:
    """Summarize values of its runs; missing if they were not measured."""
    return summarize(values) if outcome.diverged or np.isfinite(values).any() else MISSING


def rows(outcomes: Sequence[Outcome], quantities: Iterable[str]) -> tuple[Row, ...]:
    """Make a row for each arm: its final quality, and summaries of quantities."""
    return tuple(
        Row(each.arm.title, (quality(each), *(summary(each, name) for name in quantities)))
        for each in outcomes
    )


def difference(one: Outcome, other: Outcome, quantity: str, *, epoch: int = -1) -> Summary:
    """Summarize the first minus the second, seed by seed; missing if a run diverged."""
    pairs = zip(_shown(one, quantity, epoch), _shown(other, quantity, epoch), strict=True)
    values = [a - b for a, b in pairs]
    return summarize(values) if np.isfinite(values).all() else MISSING


def _shown(outcome: Outcome, quantity: str, epoch: int) -> list[float]:
    if quantity.startswith("test_"):
        return outcome.test(quantity.removeprefix("test_"))
    values = outcome.final(quantity, epoch=epoch)
    return [100 * value for value in values] if "accuracy" in quantity else values


def measured(outcomes: Iterable[Outcome], quantity: str) -> bool:
    """Whether a run measured a quantity, even if it diverged later."""
    found = (_shown(x, quantity, epoch) for x in outcomes for epoch in x.measured)
    return any(np.isfinite(values).any() for values in found)


def interval(of: Summary) -> tuple[float, float] | None:
    """Return a mean's 95 % interval by Student's t; None unless two values differ."""
    if not of.deviation:
        return None
    special = require("scipy.special", "experiments", purpose="give intervals of means")
    half = float(special.stdtrit(of.n - 1, 0.975)) * of.deviation / of.n**0.5
    return of.mean - half, of.mean + half


_ORDER = ("seen", "not seen", "not decided", "not known, as runs diverged,").index


def verdict(gain: Summary, sign: int = 1) -> str:
    """Say whether the interval shows a difference of this sign."""
    found = interval(gain)
    if found is None or found[0] <= 0.0 <= found[1]:
        return "not decided"
    return "seen" if gain.mean * sign > 0.0 else "not seen"


def difference_table(
    pairs: Sequence[tuple[Outcome, Outcome]],
    quantities: Mapping[str, int],
    *,
    epoch: int = -1,
    **words: str,
) -> Table:
    """Make a row for each pair: the first minus the second."""
    titles = {name: _TITLES[name].format(evaluated(pairs[0])) for name in quantities}
    columns = (
        Column(titles[name], better="neither", digits=digits, sign="+")
        for name, digits in quantities.items()
    )
    rows = (
        Row(
            one.arm.title,
            tuple(difference(one, other, name, epoch=epoch) for name in quantities),
        )
        for one, other in pairs
    )
    return Table(columns=tuple(columns), rows=tuple(rows), **words)


LOSSES = {"train_loss": "training loss", "batch_loss": "loss of batches"}
"""What tells how well a method fits the training examples."""


def training_loss(outcomes: Iterable[Outcome]) -> str:
    """Return which of `LOSSES` was measured, preferably the first."""
    return "train_loss" if measured(outcomes, "train_loss") else "batch_loss"


def losses_table(
    pairs: Mapping[str, tuple[Outcome, Outcome]], names: tuple[str, str], **words: str
) -> Table:
    """Make a row for each pair of an optimizer alone and inside Lookahead: their losses."""
    words["caption"] += (
        "; the last two columns are differences, Lookahead minus the other, seed by seed. "
        "NaN: a run diverged."
    )
    of = evaluated(next(iter(pairs.values())))
    loss = training_loss(outcome for pair in pairs.values() for outcome in pair)
    columns = (
        *(Column(name, better="neither", digits=5) for name in names),
        Column("Difference", better="neither", digits=5, sign="+"),
        Column(f"{of} accuracy (points)", better="neither", sign="+"),
    )
    rows = tuple(
        Row(
            name,
            (
                *(summary(each, loss) for each in (alone, inside)),
                difference(inside, alone, loss),
                difference(inside, alone, "validation_accuracy"),
            ),
        )
        for name, (alone, inside) in pairs.items()
    )
    return Table(columns=columns, rows=rows, **words)


def paired(outcomes: Sequence[Outcome]) -> str:
    """Say what runs with the same seed have in common."""
    workers = {outcome.arm.settings.workers for outcome in outcomes}
    return "both start at the same point and see the same batches" + (
        ", except that each worker has its share of the data" * (len(workers) > 1)
    )


def differences_from(
    reference: Outcome,
    others: Sequence[Outcome],
    quantities: Mapping[str, int] = ACCURACY_AND_LOSSES,
    *,
    epoch: int = -1,
) -> Table:
    """Make the table of differences of arms from a reference, seed by seed."""
    title, outcomes = reference.arm.title, [reference, *others]
    shown = {name: n for name, n in quantities.items() if measured(outcomes, name)}
    spread = ": mean ± sample standard deviation of the differences, seed by seed"
    if len(reference.runs) == 1:
        spread = ", one seed"
    at_the_end = epoch in (-1, reference.arm.settings.epochs)
    when = "at the end" if at_the_end else f"after epoch {epoch}"
    return difference_table(
        [(other, reference) for other in others],
        shown,
        title=f"What differs from {title} {when}",
        caption=f"Value minus that of {title}{spread}: {paired(outcomes)}.",
        stub="Optimizer",
        epoch=epoch,
    )


def against(differences: Table, *quantities: str) -> str:
    """Say for which rows of `differences_from` each quantity shows an improvement."""
    compared = differences.title.removeprefix("What differs from ")
    names = [each.title.partition(" (")[0].lower() for each in differences.columns]
    said = []
    for name in quantities:
        sign, better = (1, "higher") if "accuracy" in name else (-1, "lower")
        effect = f"a {better} {name} than that of {compared}"
        if name not in names:
            said.append(f"Here, {effect} is not decided, as it was not measured.")
            continue
        at = names.index(name)
        gains = {row.name: row.cells[at] for row in differences.rows}
        said.append(verdicts(effect, gains, sign, differences.columns[at].digits))
    return " ".join(said)


def _ends(gain: Summary, digits: int) -> str:
    """Write its interval, with as many digits as show that an end is not zero."""
    if (found := interval(gain)) is None:
        return f"{gain.mean:+.{digits}f} with each seed"
    while any(end and not float(f"{end:.{digits}f}") for end in found):
        digits += 1
    return " to ".join(f"{end:+.{digits}f}" for end in found)


def verdicts(effect: str, gains: Mapping[str, Summary], sign: int, digits: int) -> str:
    """Say for which of some differences an effect is seen, by their intervals."""
    said = dict[str, list[str]]()
    for name, gain in gains.items():
        if gain.n == 0:
            said.setdefault("not known, as runs diverged,", []).append(name)
            continue
        said.setdefault(verdict(gain, sign), []).append(f"{name} ({_ends(gain, digits)})")
    parts = [f"{what} for {', '.join(said[what])}" for what in sorted(said, key=_ORDER)]
    n = max(gain.n for gain in gains.values())
    if n == 1:
        return f"Here, one seed gives no interval: {effect} is not decided."
    return (
        f"Here, by 95 % intervals over {several(n, 'seed')}, {effect} is "
        f"{'; '.join(parts)}."
    )
