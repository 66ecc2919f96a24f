"""How the learning rates of the main comparison were chosen.

Each inner optimizer, alone, is trained with each rate of a grid on three seeds that the
comparison does not use; the rate with the highest mean final validation accuracy is
taken, of equal ones the one with the lower validation loss. Run it again with::

    python -m lookahead_ref.experiments.learning_rates
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rich.console import Console

from lookahead_ref.data import Dataset, load_digits
from lookahead_ref.experiments import methods
from lookahead_ref.experiments.compare import Settings
from lookahead_ref.experiments.pool import available_cores, in_order
from lookahead_ref.report.tables import Column, Row, Summary, Table, summarize
from lookahead_ref.training import NonFiniteLossError, reporter, train

__all__ = ["GRID", "SEEDS", "Trial", "choose", "search", "table"]

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

SEEDS: tuple[int, ...] = (1000, 1001, 1002)
"""The seeds that they were tried on."""


@dataclass(frozen=True)
class Trial:
    """One learning rate of one optimizer, over all seeds."""

    name: str
    learning_rate: float
    accuracy: Summary
    """Final validation accuracy, from 0 to 1; NaN if a run diverged."""
    loss: Summary
    """Final validation loss, in nats; NaN if a run diverged."""


def search(settings: Settings, *, jobs: int, console: Console) -> list[Trial]:
    """Train every optimizer with every rate of its grid.

    Parameters
    ----------
    settings : Settings
        Of the comparison; its seeds are not used.
    jobs : int
        Number of processes.
    console : rich.console.Console
        Where to show progress.

    Returns
    -------
    list of Trial
        In the order of the grid.
    """
    data = load_digits()
    cases = [(name, rate) for name, rates in GRID.items() for rate in rates]
    tasks = [(settings, data, name, rate, seed) for name, rate in cases for seed in SEEDS]
    finals = []
    with reporter(len(tasks), "runs", console) as progress:
        for final in in_order(_final, tasks, jobs=jobs):
            finals.append(final)
            progress.advance()
    trials = []
    for number, (name, rate) in enumerate(cases):
        of = finals[number * len(SEEDS) : (number + 1) * len(SEEDS)]
        accuracies, losses = zip(*of, strict=True)
        trials.append(Trial(name, rate, summarize(accuracies), summarize(losses)))
    return trials


def choose(trials: Sequence[Trial]) -> dict[str, float]:
    """Take the best rate of each optimizer; a rate that diverged is never the best.

    Parameters
    ----------
    trials : sequence of Trial
        At least one for each optimizer.

    Returns
    -------
    dict
        Name to learning rate.

    Examples
    --------
    >>> def trial(rate, accuracy, loss):
    ...     return Trial("sgd", rate, summarize([accuracy]), summarize([loss]))
    >>> nan = float("nan")
    >>> choose([trial(0.1, 0.97, 0.2), trial(0.3, 0.98, 0.2), trial(1.0, nan, nan)])
    {'sgd': 0.3}
    """
    best: dict[str, Trial] = {}
    for trial in trials:
        if trial.accuracy.mean != trial.accuracy.mean:
            continue
        other = best.get(trial.name)
        if other is None or _quality(trial) > _quality(other):
            best[trial.name] = trial
    return {name: trial.learning_rate for name, trial in best.items()}


def table(trials: Sequence[Trial]) -> Table:
    """Show all trials.

    Parameters
    ----------
    trials : sequence of Trial
        From `search`.

    Returns
    -------
    Table
        A row each.
    """
    return Table(
        title="Learning rates tried",
        caption=f"Mean ± sample standard deviation over seeds {SEEDS[0]} to {SEEDS[-1]}.",
        stub="Optimizer, learning rate",
        columns=(
            Column("Validation accuracy (%)", better="neither"),
            Column("Validation loss", better="neither", digits=4),
        ),
        rows=tuple(
            Row(
                f"{methods.method(trial.name).title}, {trial.learning_rate:g}",
                (_percent(trial.accuracy), trial.loss),
            )
            for trial in trials
        ),
    )


def _final(task: tuple[Settings, Dataset, str, float, int]) -> tuple[float, float]:
    settings, data, name, rate, seed = task
    try:
        result = train(
            settings.make_model(data),
            data,
            methods.build(name, learning_rate=rate),
            seed=seed,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            backend=settings.backend,
        )
    except NonFiniteLossError:
        return float("nan"), float("nan")
    last = result.history[-1]
    return last.validation_accuracy, last.validation_loss


def _quality(trial: Trial) -> tuple[float, float]:
    return trial.accuracy.mean, -trial.loss.mean


def _percent(share: Summary) -> Summary:
    deviation = None if share.deviation is None else 100 * share.deviation
    return Summary(100 * share.mean, deviation, share.n)


def main() -> None:
    """Run the search, print every trial and the choice."""
    console = Console()
    trials = search(Settings(), jobs=available_cores(), console=Console(stderr=True))
    console.print(table(trials).rich())
    console.print(choose(trials))


if __name__ == "__main__":
    main()
