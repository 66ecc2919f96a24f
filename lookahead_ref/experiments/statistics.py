"""Means over seeds, differences seed by seed, and how clearly a difference stands out."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lookahead_ref.experiments.trials import Outcome
from lookahead_ref.report.tables import MISSING, Column, Row, Summary, Table, summarize

ACCURACY_AND_LOSSES: Mapping[str, int] = {
    "validation_accuracy": 2,
    "validation_loss": 4,
    "train_loss": 4,
}
"""Fields of `EpochRecord`, and how many decimals of them are shown."""

_TITLES = {
    "validation_accuracy": "Validation accuracy (points)",
    "validation_loss": "Validation loss",
    "train_loss": "Training loss",
}


def summary(outcome: Outcome, quantity: str, *, epoch: int = -1) -> Summary:
    """Summarize a quantity over seeds, at the end or after an epoch; shares as percents."""
    return summarize(_shown(outcome, quantity, epoch))


def rows(
    outcomes: Sequence[Outcome], quantities: Iterable[str] = ACCURACY_AND_LOSSES
) -> tuple[Row, ...]:
    """Make a row for each arm: the summaries of quantities at the end."""
    return tuple(
        Row(outcome.arm.title, tuple(summary(outcome, each) for each in quantities))
        for outcome in outcomes
    )


def difference(one: Outcome, other: Outcome, quantity: str, *, epoch: int = -1) -> Summary:
    """Summarize the first less the second, seed by seed; missing if a run diverged."""
    values = [
        a - b
        for a, b in zip(
            _shown(one, quantity, epoch), _shown(other, quantity, epoch), strict=True
        )
    ]
    return summarize(values) if np.isfinite(values).all() else MISSING


def _shown(outcome: Outcome, quantity: str, epoch: int) -> list[float]:
    values = outcome.final(quantity, epoch=epoch)
    return [100 * value for value in values] if "accuracy" in quantity else values


def stands_out(gain: Summary) -> bool:
    """Tell whether a mean difference is more than twice its standard error."""
    # A mean of n differences spreads by their deviation over the root of n.
    if gain.deviation is None:
        return False
    return bool(abs(gain.mean) > 2 * gain.deviation / gain.n**0.5)


def difference_table(
    pairs: Sequence[tuple[Outcome, Outcome]],
    quantities: Mapping[str, int],
    *,
    title: str,
    caption: str,
    stub: str,
    epoch: int = -1,
) -> Table:
    """Make a row for each pair: the first less the second."""
    return Table(
        title=title,
        caption=caption,
        stub=stub,
        columns=tuple(
            Column(_TITLES[name], better="neither", digits=digits, sign="+")
            for name, digits in quantities.items()
        ),
        rows=tuple(
            Row(
                one.arm.title,
                tuple(difference(one, other, name, epoch=epoch) for name in quantities),
            )
            for one, other in pairs
        ),
    )


def differences_from(
    reference: Outcome,
    others: Sequence[Outcome],
    quantities: Mapping[str, int] = ACCURACY_AND_LOSSES,
    *,
    epoch: int = -1,
) -> Table:
    """Make the table of arms less one that they are compared with, seed by seed."""
    title = reference.arm.title
    when = "at the end" if epoch == -1 else f"after epoch {epoch}"
    return difference_table(
        [(other, reference) for other in others],
        quantities,
        title=f"What differs from {title} {when}",
        caption=(
            f"Value less that of {title}: mean ± sample standard deviation of the "
            "differences, seed by seed; both start at the same point and see the same "
            "batches."
        ),
        stub="Optimizer",
        epoch=epoch,
    )


def against(differences: Table, quantity: str) -> str:
    """Say in words how the first column of `differences_from` differs, and how clearly."""
    compared = differences.title.removeprefix("What differs from ")
    gains = {row.name: row.cells[0] for row in differences.rows}
    above = [name for name, gain in gains.items() if gain.mean > 0]
    clear = [name for name, gain in gains.items() if stands_out(gain)]
    lost = [name for name, gain in gains.items() if gain.n == 0]
    text = (
        f"Here the mean {quantity} is above that of {compared} in {len(above)} of "
        f"{len(gains)} cases; the difference, up or down, is more than twice its standard "
        f"error in {len(clear)}"
    )
    if clear:
        listed = "; ".join(
            f"{name} {gains[name].mean:+.{differences.columns[0].digits}f}"
            for name in clear
        )
        text += f" ({listed})"
    if lost:
        text += f". Nothing can be said of {', '.join(lost)}: runs diverged"
    if any(gain.n == 1 for gain in gains.values()):
        text += ". One seed says nothing about the spread"
    return text + "."
