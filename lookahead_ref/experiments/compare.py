"""The main job: every optimizer on the handwritten digits, alone and inside Lookahead.

A table in the shape of the paper's Table 1 on data that needs no download. The paper
trains residual networks on CIFAR; this trains a small multilayer perceptron on 1258
pictures of 8 by 8 pixels. The shape of the table is comparable, its numbers are not.

The learning rate of each inner optimizer is the best of a grid, see
`lookahead_ref.experiments.learning_rates`, and is the same alone and inside Lookahead. It
was chosen by validation accuracy on the same validation examples (there are too few
digits for a third split) but on other seeds.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lookahead_ref.backend import load as load_backend
from lookahead_ref.data import BatchStream, Dataset, load_digits
from lookahead_ref.experiments import methods
from lookahead_ref.experiments.environment import versions
from lookahead_ref.experiments.pool import in_order
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.page import (
    Section,
    code,
    definitions,
    page,
    paragraph,
    picture,
)
from lookahead_ref.report.tables import Column, Row, Table, summarize
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

_FINAL = ("validation_accuracy", "validation_loss", "train_loss")


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
        self.model(data)
        for method in methods.COMPARED:
            self.optimizer(method.name)

    def optimizer(self, name: str) -> Any:
        """Make the optimizer of a method."""
        return methods.build(name, k=self.k, alpha=self.alpha, inner_state=self.inner_state)

    def model(self, data: Dataset) -> MLP:
        """Make the model that fits the data."""
        features = data.train.inputs.shape[1]
        return MLP((features, *self.hidden, data.classes))


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

    table, differences = _table(settings, runs), _differences(settings, runs)
    comparison = Comparison(folder, table, differences, _summary(table, differences))
    results = _results(settings, data, runs)
    trained = time.perf_counter() - clock
    write_atomically(
        folder / "curves.png",
        plots.png(plots.curves_figure(_panels(runs), x_title="epoch")),
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
    write_atomically(folder / "report.html", _page(comparison, results, runs))
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


def _by_method(runs: Sequence[Run]) -> Iterator[tuple[methods.Method, list[Run]]]:
    for method in methods.COMPARED:
        yield method, [r for r in runs if r.method == method]


def _final(run: Run, quantity: str) -> float:
    value: float = getattr(run.history[-1], quantity)
    return 100 * value if quantity.endswith("accuracy") else value


def _table(settings: Settings, runs: Sequence[Run]) -> Table:
    return Table(
        title="Handwritten digits: final validation accuracy",
        caption=(
            f"{_over_seeds(settings)}, after {settings.epochs} epochs; best in bold. "
            "Measured on the slow weights, or on the average."
        ),
        stub="Optimizer",
        columns=(
            Column("Validation accuracy (%)", better="higher"),
            Column("Validation loss", better="lower", digits=4),
            Column("Training loss", better="lower", digits=5),
        ),
        rows=tuple(
            Row(
                method.title,
                tuple(summarize([_final(r, quantity) for r in of]) for quantity in _FINAL),
            )
            for method, of in _by_method(runs)
        ),
    )


def _differences(settings: Settings, runs: Sequence[Run]) -> Table:
    found = {(r.method.name, r.seed): r for r in runs}
    rows = []
    for method in methods.COMPARED:
        if method.role != "lookahead":
            continue
        inner = methods.method(methods.inner_name(method.name))
        seeds = [r.seed for r in runs if r.method == method]
        cells = tuple(
            summarize(
                [
                    _final(found[method.name, seed], quantity)
                    - _final(found[inner.name, seed], quantity)
                    for seed in seeds
                ]
            )
            for quantity in _FINAL
        )
        rows.append(Row(method.title, cells))
    return Table(
        title="What Lookahead changes: its value less that of its inner optimizer",
        caption=(
            f"{_over_seeds(settings)}. Differences are taken seed by seed: both start "
            "at the same point and see the same batches."
        ),
        stub="Lookahead less inner",
        columns=(
            Column("Validation accuracy (points)", better="neither", sign="+"),
            Column("Validation loss", better="neither", digits=4, sign="+"),
            Column("Training loss", better="neither", digits=5, sign="+"),
        ),
        rows=tuple(rows),
    )


def _over_seeds(settings: Settings) -> str:
    if settings.seeds == 1:
        return "One seed"
    return f"Mean ± sample standard deviation over {settings.seeds} seeds"


def _summary(table: Table, differences: Table) -> str:
    best = [
        row.name
        for row, cells in zip(table.rows, table.cells(), strict=True)
        if cells[0].bold
    ]
    top = table.rows[[row.name for row in table.rows].index(best[0])].cells[0]
    verb = "has" if len(best) == 1 else "have"
    gains = [row.cells[0] for row in differences.rows]
    higher = sum(gain.mean > 0 for gain in gains)
    text = (
        f"{' and '.join(best)} {verb} the highest mean validation accuracy, "
        f"{top.mean:.2f} %. Lookahead has a higher mean than its inner optimizer in "
        f"{higher} of {len(gains)} cases"
    )
    if top.n == 1:
        return text + "; one seed says nothing about the spread."
    # A mean of n differences spreads by their deviation over the root of n.
    clear = sum(
        abs(gain.mean) > 2 * (gain.deviation or 0.0) / gain.n**0.5 for gain in gains
    )
    return (
        f"{text}; in {clear} of {len(gains)} the difference, up or down, is more than "
        "twice its standard error."
    )


def _panels(runs: Sequence[Run]) -> list[plots.Panel]:
    def curves(quantity: str, factor: float) -> tuple[plots.Curve, ...]:
        return tuple(
            plots.Curve(
                label=method.title,
                family=method.family,
                role=method.role,
                x=np.array([record.epoch for record in of[0].history]),
                values=factor
                * np.array([[getattr(x, quantity) for x in r.history] for r in of]),
            )
            for method, of in _by_method(runs)
        )

    accuracy = curves("validation_accuracy", 100.0)
    return [
        plots.Panel("training loss", curves("train_loss", 1.0), scale="log"),
        plots.Panel("validation accuracy (%)", accuracy, limits=_accuracy_limits(accuracy)),
    ]


def _accuracy_limits(curves: Sequence[plots.Curve]) -> tuple[float, float]:
    """Limits that show the differences at the end, not the climb at the start."""
    late = slice(len(curves[0].x) // 6, None)
    low = min(float(curve.mean[late].min()) for curve in curves)
    high = max(float((curve.mean + curve.deviation)[late].max()) for curve in curves)
    middle = statistics.median(float(curve.mean[-1]) for curve in curves)
    low = max(low, middle - 4 * max(high - middle, 0.5))
    return low, min(high, 100.0)


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
                    for quantity in _FINAL
                },
                "runs": [
                    {"seed": r.seed, "history": [asdict(x) for x in r.history]} for r in of
                ],
            }
            for method, of in _by_method(runs)
        ],
    }


def _page(comparison: Comparison, results: Mapping[str, Any], runs: Sequence[Run]) -> str:
    configuration, timing = results["configuration"], results["timing"]

    def curves(panel: plots.Panel, caption: str) -> str:
        light, dark = (
            plots.png(
                plots.curves_figure([panel], x_title="epoch", columns=2, theme=theme),
                dpi=130,
            )
            for theme in ("light", "dark")
        )
        return picture(light, dark, alternative=f"Curves: {panel.title}.", caption=caption)

    loss, accuracy = _panels(runs)
    band = "Line: mean over seeds; band: one sample standard deviation to each side."
    return page(
        "Lookahead on handwritten digits",
        comparison.summary,
        [
            Section(
                "Final validation accuracy",
                comparison.table.html()
                + paragraph(
                    "The table has the shape of Table 1 of the paper. Its numbers do not "
                    "compare with the paper's, which are of residual networks on CIFAR."
                ),
            ),
            Section("What Lookahead changes", comparison.differences.html()),
            Section(
                "Training loss",
                curves(loss, f"Loss over the training examples, logarithmic. {band}"),
            ),
            Section(
                "Validation accuracy",
                curves(
                    accuracy,
                    f"The axis begins where the methods can be told apart. {band}",
                ),
            ),
            Section(
                "Configuration",
                definitions(
                    {
                        "Data": (
                            f"{configuration['data']['name']}, "
                            f"{configuration['data']['train']} for training, "
                            f"{configuration['data']['validation']} for validation"
                        ),
                        "Model": configuration["model"],
                        "Batch size": configuration["batch_size"],
                        "Epochs": configuration["epochs"],
                        "Seeds": ", ".join(str(seed) for seed in results["seeds"]),
                        "Backend": configuration["backend"],
                    }
                ),
            ),
            Section(
                "Optimizers",
                paragraph(
                    "The learning rate of each inner optimizer is the best of a grid, by "
                    "validation accuracy on other seeds, and is the same alone and inside "
                    "Lookahead."
                )
                + definitions({m["title"]: m["optimizer"] for m in results["methods"]}),
            ),
            Section(
                "Versions",
                definitions(
                    {
                        **results["versions"],
                        "Run at": timing["started"],
                        "Took": f"{timing['seconds']:.1f} s, {timing['jobs']} processes",
                    }
                ),
            ),
            Section("Repeat it", code(results["command"])),
        ],
    )
