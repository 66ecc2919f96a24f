"""How the learning rates of the main comparison were chosen.

Each inner optimizer, alone, is trained with each rate of a grid on three seeds that the
comparison does not use; the rate with the highest mean final validation accuracy is
taken, of equal ones the one with the lower validation loss. Run it again with::

    python -m lookahead_ref.experiments.learning_rates
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from rich.console import Console

from lookahead_ref.experiments import engine, optimizers
from lookahead_ref.experiments.engine import Arm, Outcome, Plan
from lookahead_ref.experiments.settings import TrainSettings
from lookahead_ref.experiments.statistics import rows, summary
from lookahead_ref.experiments.workers import choose_workers
from lookahead_ref.report.tables import Column, Table

__all__ = ["GRID", "SEEDS", "choose", "plan", "table"]

GRID: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "sgd": (0.03, 0.1, 0.3, 1.0),
        "heavy-ball": (0.003, 0.01, 0.03, 0.1, 0.3),
        "nesterov": (0.003, 0.01, 0.03, 0.1, 0.3),
        "adagrad": (0.01, 0.03, 0.1, 0.3),
        "adam": (0.001, 0.003, 0.01, 0.03),
    }
)
"""The rates that were tried, for each inner optimizer."""

SEEDS = (1000, 1001, 1002)
"""The seeds that they were tried on."""


def plan() -> Plan:
    """Try every optimizer with every rate of its grid."""
    return Plan(
        tuple(
            Arm(
                f"{optimizers.method(name).title}, {rate:g}",
                TrainSettings(optimizer=name, learning_rate=rate),
            )
            for name, rates in GRID.items()
            for rate in rates
        ),
        SEEDS,
    )


def choose(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Take the best rate of each optimizer; a rate that diverged is never the best."""
    best: dict[str, tuple[float, float, float]] = {}
    for outcome in outcomes:
        settings = outcome.arm.settings
        accuracy = summary(outcome, "validation_accuracy").mean
        loss = summary(outcome, "validation_loss").mean
        found = accuracy, -loss, settings.learning_rate or 0.0
        other = best.get(settings.optimizer)
        if not math.isnan(accuracy) and (other is None or found[:2] > other[:2]):
            best[settings.optimizer] = found
    return {name: rate for name, (_, _, rate) in best.items()}


def table(outcomes: Sequence[Outcome]) -> Table:
    """Show every rate that was tried."""
    return Table(
        title="Learning rates tried",
        caption=f"Mean ± sample standard deviation over seeds {SEEDS[0]} to {SEEDS[-1]}.",
        stub="Optimizer, learning rate",
        columns=(
            Column("Validation accuracy (%)", better="neither"),
            Column("Validation loss", better="neither", digits=4),
        ),
        rows=rows(outcomes, ("validation_accuracy", "validation_loss")),
    )


def main() -> None:
    """Run the search, print every rate and the choice."""
    with TemporaryDirectory() as folder:
        outcomes = engine.run(
            plan(),
            Path(folder),
            workers=choose_workers(None, None),
            console=Console(stderr=True),
        )
    console = Console()
    console.print(table(outcomes).rich())
    console.print(choose(outcomes))


if __name__ == "__main__":
    main()
