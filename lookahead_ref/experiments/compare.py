"""The main job: every optimizer on the handwritten digits, alone and inside Lookahead.

A table in the shape of the paper's Table 1 on data that needs no download. The paper
trains residual networks on CIFAR; this trains a small multilayer perceptron on 1258
pictures of 8 by 8 pixels. The shape of the table is comparable, its numbers are not.

The learning rate of each inner optimizer is the best of a grid, see
`lookahead_ref.experiments.learning_rates`, and is the same alone and inside Lookahead. It
was chosen by validation accuracy on the same validation examples (there are too few
digits for a third split) but on other seeds.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lookahead_ref.backend import load as load_backend
from lookahead_ref.data import BatchStream, Dataset, load_digits
from lookahead_ref.experiments import compare_report, methods
from lookahead_ref.experiments.environment import versions
from lookahead_ref.experiments.pool import in_order
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.tables import Table, summarize
from lookahead_ref.training import (
    EpochEnded,
    EpochRecord,
    Event,
    JsonLines,
    NonFiniteLossError,
    StepTaken,
    reporter,
    train,
)
from lookahead_ref.zoo import MLP

__all__ = ["Comparison", "Settings", "run"]


@dataclass(frozen=True)
class Settings:
    """Everything that decides the numbers.

    Parameters
    ----------
    seeds : int
        How many runs of each method, from `seed` on.
    seed : int
        The first seed.
    epochs, batch_size : int
        Of each run.
    hidden : tuple of int
        Units of the hidden layers.
    k, alpha, inner_state
        Of `lookahead_ref.Lookahead`.
    backend : str
        What makes the updates.

    Raises
    ------
    ValueError
        If the number of seeds is not positive. Everything else is checked where it is
        used.
    """

    seeds: int = 5
    seed: int = 0
    epochs: int = 30
    batch_size: int = 64
    hidden: tuple[int, ...] = (64, 64)
    k: int = 5
    alpha: float = 0.5
    inner_state: str = "maintain"
    backend: str = "numpy"

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")

    @property
    def command(self) -> str:
        """The command that repeats this comparison."""
        return (
            f"lookahead-ref compare --seeds {self.seeds} --seed {self.seed} "
            f"--epochs {self.epochs} --batch-size {self.batch_size} --k {self.k} "
            f"--alpha {self.alpha} --inner-state {self.inner_state} "
            f"--backend {self.backend}"
        )

    def check(self) -> None:
        """Try everything that can be wrong, before anything is trained or written.

        Raises
        ------
        TypeError, ValueError
            If a setting is out of range.
        lookahead_ref.backend.BackendUnavailableError
            If the backend cannot be used.
        """
        load_backend(self.backend)
        data = load_digits()
        BatchStream(data.train, self.batch_size, seed=0)
        params = self.model(data).init(self.seed)
        for method in methods.COMPARED:
            self.optimizer(method.name).init(params)

    def optimizer(self, name: str) -> Any:
        """Make the optimizer of a method."""
        return methods.build(name, k=self.k, alpha=self.alpha, inner_state=self.inner_state)

    def model(self, data: Dataset) -> MLP:
        """Make the model that fits the data."""
        return MLP((data.features, *self.hidden, data.classes))


@dataclass(frozen=True)
class Run:
    """One method on one seed."""

    method: methods.Method
    seed: int
    events: tuple[Event, ...]
    """All but the single steps."""
    error: NonFiniteLossError | None

    @property
    def history(self) -> list[EpochRecord]:
        """Its epochs, from epoch 0."""
        return [event.record for event in self.events if isinstance(event, EpochEnded)]


@dataclass(frozen=True)
class Comparison:
    """What came out."""

    folder: Path
    table: Table
    differences: Table
    """Lookahead less its inner optimizer, seed by seed."""
    summary: str
    """What was found, in words."""


def run(settings: Settings, folder: Path, *, jobs: int, console: Console) -> Comparison:
    """Train everything and write the run folder.

    Parameters
    ----------
    settings : Settings
        What to run.
    folder : pathlib.Path
        An empty folder, to hold ``results.json``, ``train.jsonl``, ``curves.png`` and
        ``report.html``.
    jobs : int
        Number of processes. It changes the time and nothing else.
    console : rich.console.Console
        Where to show progress.

    Returns
    -------
    Comparison
        The tables, and where everything is.

    Raises
    ------
    NonFiniteLossError
        If a run diverges; the message names the method and the seed.
    TypeError, ValueError
        If a setting is out of range.
    lookahead_ref.extras.MissingExtraError
        If matplotlib or scikit-learn is not installed.
    """
    started = datetime.now().astimezone()
    clock = time.perf_counter()
    data = load_digits()
    runs: list[Run] = []
    tasks = [
        (settings, data, method.name, seed)
        for method in methods.COMPARED
        for seed in range(settings.seed, settings.seed + settings.seeds)
    ]
    with reporter(len(tasks), "runs", console) as progress:
        for result in in_order(_train_one, tasks, jobs=jobs):
            with JsonLines(
                folder / "train.jsonl", method=result.method.name, seed=result.seed
            ) as log:
                for event in result.events:
                    log(event)
            if result.error is not None:
                error = result.error
                error.add_note(f"method {result.method.name}, seed {result.seed}")
                raise error
            runs.append(result)
            progress.advance(message=f"{result.method.title}, seed {result.seed}")

    console.print("drawing the curves, writing the report")
    table = compare_report.table(settings, runs)
    differences = compare_report.difference_table(settings, runs)
    summary = compare_report.summary(table, differences)
    comparison = Comparison(folder, table, differences, summary)
    results = _results(settings, data, runs)
    trained = time.perf_counter() - clock
    write_atomically(
        folder / "curves.png",
        plots.png(plots.curves_figure(compare_report.panels(runs), x_title="epoch")),
    )
    results["timing"] = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - clock,
        "training_seconds": trained,
        "jobs": jobs,
        "runs": [
            {"method": r.method.name, "seed": r.seed, "seconds": _seconds(r)} for r in runs
        ],
    }
    write_json(folder / "results.json", results)
    write_atomically(folder / "report.html", compare_report.html(comparison, results, runs))
    return comparison


def _train_one(task: tuple[Settings, Dataset, str, int]) -> Run:
    settings, data, name, seed = task
    events: list[Event] = []

    def keep(event: Event) -> None:
        if not isinstance(event, StepTaken):
            events.append(event)

    error = None
    try:
        train(
            settings.model(data),
            data,
            settings.optimizer(name),
            seed=seed,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            backend=settings.backend,
            callbacks=[keep],
        )
    except NonFiniteLossError as diverged:
        error = diverged
    return Run(methods.method(name), seed, tuple(events), error)


def _seconds(run: Run) -> float:
    return max(event.seconds for event in run.events if isinstance(event, EpochEnded))


def _results(settings: Settings, data: Dataset, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "format": "lookahead-ref compare",
        "format_version": 1,
        "command": settings.command,
        "configuration": {
            **asdict(settings),
            "data": {
                "name": data.name,
                "train": data.train.size,
                "validation": data.validation.size,
                "split_seed": 0,
            },
            "model": repr(settings.model(data)),
            "learning_rates": dict(methods.LEARNING_RATES),
        },
        "versions": versions("numpy", "autograd", "numba", "scikit-learn", "matplotlib"),
        "seeds": list(range(settings.seed, settings.seed + settings.seeds)),
        "methods": [
            {
                "name": method.name,
                "title": method.title,
                "optimizer": repr(settings.optimizer(method.name)),
                "final": {
                    quantity: summarize(
                        [getattr(r.history[-1], quantity) for r in of]
                    )._asdict()
                    for quantity in compare_report.FINAL
                },
                "runs": [
                    {"seed": r.seed, "history": [asdict(x) for x in r.history]} for r in of
                ],
            }
            for method, of in compare_report.by_method(runs)
        ],
    }
