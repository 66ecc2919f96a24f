"""What the reproductions say of their runs in the same way: differences, words, curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lookahead_ref.experiments.paper.arms import Outcome, curves, difference, stands_out
from lookahead_ref.report import plots
from lookahead_ref.report.tables import Column, Row, Summary, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lookahead_ref.experiments.paper.plan import Theme

__all__ = ["accuracy_panels", "against", "differences_from", "drawn", "gap"]

_TITLES = {
    "validation_accuracy": ("Validation accuracy (points)", 2),
    "validation_loss": ("Validation loss", 4),
    "train_loss": ("Training loss", 4),
}


def differences_from(
    reference: Outcome,
    others: Sequence[Outcome],
    quantities: Mapping[str, float],
    *,
    epoch: int = -1,
) -> Table:
    """Make the table of arms less one that they are compared with, seed by seed.

    Parameters
    ----------
    reference : Outcome
        What is subtracted.
    others : sequence of Outcome
        A row for each.
    quantities : dict
        Fields of `lookahead_ref.training.EpochRecord` to what they are multiplied by.
    epoch : int, optional
        After which epoch; at the end if not given.

    Returns
    -------
    Table
        A dash stands where a run diverged.
    """
    return Table(
        title=(
            f"What differs from {reference.arm.title} "
            + ("at the end" if epoch == -1 else f"after epoch {epoch}")
        ),
        caption=(
            f"Value less that of {reference.arm.title}: mean ± sample standard deviation "
            "of the differences, seed by seed; both start at the same point and see the "
            "same batches."
        ),
        stub="Optimizer",
        columns=tuple(
            Column(_TITLES[name][0], better="neither", digits=_TITLES[name][1], sign="+")
            for name in quantities
        ),
        rows=tuple(
            Row(
                other.arm.title,
                tuple(
                    gap(other, reference, name, factor=factor, epoch=epoch)
                    for name, factor in quantities.items()
                ),
            )
            for other in others
        ),
    )


def gap(
    one: Outcome,
    other: Outcome,
    quantity: str,
    *,
    factor: float = 1.0,
    epoch: int = -1,
) -> Summary:
    """Summarize how two arms differ, seed by seed.

    Parameters
    ----------
    one, other : Outcome
        The second is subtracted from the first.
    quantity : str
        A field of `lookahead_ref.training.EpochRecord`.
    factor : float, default: 1.0
        What the values are multiplied by.
    epoch : int, optional
        After which epoch; at the end if not given.

    Returns
    -------
    Summary
        Missing if a run of either diverged.
    """
    return difference(
        [factor * value for value in one.final(quantity, epoch=epoch)],
        [factor * value for value in other.final(quantity, epoch=epoch)],
    )


def against(differences: Table, quantity: str) -> str:
    """Say in words how arms differ from what they are compared with, and how clearly.

    Parameters
    ----------
    differences : Table
        From `differences_from`; its first column is told.
    quantity : str
        What that column holds, as in "validation accuracy".

    Returns
    -------
    str
        Two sentences.
    """
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


def accuracy_panels(outcomes: Sequence[Outcome]) -> list[plots.Panel]:
    """Collect the curves of training loss and validation accuracy.

    Parameters
    ----------
    outcomes : sequence of Outcome
        The arms.

    Returns
    -------
    list of lookahead_ref.report.plots.Panel
        Two.
    """
    accuracy = curves(outcomes, "validation_accuracy", factor=100.0)
    return [
        plots.Panel("training loss", curves(outcomes, "train_loss"), scale="log"),
        plots.Panel(
            "validation accuracy (%)", accuracy, limits=plots.late_limits(accuracy)
        ),
    ]


def drawn(panels: Sequence[plots.Panel], *, x_title: str) -> "Callable[[Theme], Figure]":
    """Return a function that draws curves for a light or a dark page."""
    return lambda theme: plots.curves_figure(panels, x_title=x_title, theme=theme)
