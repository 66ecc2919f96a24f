"""The main job: every optimizer on the handwritten digits, alone and inside Lookahead.

A table in the shape of the paper's Table 1 on data that needs no download. The paper
trains residual networks on CIFAR; this trains a small multilayer perceptron on 1258
pictures of 8 by 8 pixels. The shape of the table is comparable, its numbers are not.

The learning rate of each inner optimizer is the best of a grid, see
`lookahead_ref.experiments.learning_rates`, and is the same alone and inside Lookahead. It
was chosen by validation accuracy on the same validation examples (there are too few
digits for a third split) but on other seeds.

Optimizers, model and data may be the user's own, see `lookahead_ref.experiments.plugins`;
the report then says where each learning rate comes from.
"""

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lookahead_ref.experiments import compare_report, methods, models, plugins
from lookahead_ref.experiments.environment import versions
from lookahead_ref.experiments.pool import in_order
from lookahead_ref.report import plots
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.tables import Table, summarize
from lookahead_ref.stepping.backend import load as load_backend
from lookahead_ref.training import (
    EpochEnded,
    EpochRecord,
    Event,
    JsonLines,
    Model,
    NonFiniteLossError,
    StepTaken,
    reporter,
    train,
)
from lookahead_ref.training.loop import described

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
    optimizers : tuple of str
        What is compared, each alone and inside Lookahead: names as
        `lookahead_ref.experiments.methods.method` takes them, without ``lookahead-``. One
        with ``polyak-`` before it is compared as it is. If none are given, those of
        `lookahead_ref.experiments.methods.COMPARED`.
    learning_rates : tuple of (str, float)
        Of an optimizer by its name, or by an empty name of all that are not named; by
        default that of the main comparison, or of the user's own its own.
    model : str
        ``mlp``, or the user's own.
    data : str
        Labelled examples that `lookahead_ref.data.load` takes, or the user's own.

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
    optimizers: tuple[str, ...] = ()
    learning_rates: tuple[tuple[str, float], ...] = ()
    model: str = "mlp"
    data: str = "digits"

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")

    @property
    def command(self) -> str:
        """The command that repeats this comparison."""
        options = [
            *(("--optimizer", name) for name in self.optimizers),
            *(
                ("--learning-rate", f"{name}={rate}" if name else str(rate))
                for name, rate in self.learning_rates
            ),
            *([("--model", self.model)] if self.model != "mlp" else []),
            *([("--data", self.data)] if self.data != "digits" else []),
        ]
        chosen = "".join(f" {option} {shlex.quote(value)}" for option, value in options)
        return (
            f"lookahead-ref compare --seeds {self.seeds} --seed {self.seed} "
            f"--epochs {self.epochs} --batch-size {self.batch_size} --k {self.k} "
            f"--alpha {self.alpha} --inner-state {self.inner_state} "
            f"--backend {self.backend}{chosen}"
        )

    @property
    def methods(self) -> tuple[methods.Method, ...]:
        """What is compared, in the order of the table.

        Raises
        ------
        ValueError
            If an optimizer is not known, is one that is compared with itself, or none is
            to be inside Lookahead.
        """
        if not self.optimizers:
            return methods.COMPARED
        names = tuple(dict.fromkeys(self.optimizers))
        for name in names:
            methods.inner_name(name)
            if name.startswith("lookahead-"):
                raise ValueError(
                    "optimizer must be what is compared alone and inside Lookahead, got "
                    f"{name!r}: give {methods.inner_name(name)!r}"
                )
        averages = tuple(name for name in names if name.startswith("polyak-"))
        inner = tuple(name for name in names if name not in averages)
        if not inner:
            raise ValueError(
                "optimizer must name at least one that is compared alone and inside "
                f"Lookahead, got {', '.join(names)}"
            )
        found = [
            methods.method(name)
            for name in (*inner, *averages, *(f"lookahead-{name}" for name in inner))
        ]
        # An Adam of the user's own beside this library's is told by where it is.
        often = Counter(method.title for method in found)
        return tuple(
            method
            if often[method.title] == 1 or not plugins.is_plugin(method.name)
            else replace(method, title=method.name)
            for method in found
        )

    @property
    def inner_names(self) -> tuple[str, ...]:
        """The innermost optimizers that are compared, each once."""
        return tuple(dict.fromkeys(methods.inner_name(m.name) for m in self.methods))

    def learning_rate(self, name: str) -> float | None:
        """Return the rate that is given for an optimizer, None where none is."""
        given = dict(self.learning_rates)
        return given.get(methods.inner_name(name), given.get(""))

    def check(self) -> None:
        """Try everything that can be wrong, before anything is trained or written.

        Raises
        ------
        TypeError, ValueError
            If a setting is out of range.
        lookahead_ref.stepping.backend.BackendUnavailableError
            If the backend cannot be used.
        """
        load_backend(self.backend)
        if self.model != "mlp" and not plugins.is_plugin(self.model):
            raise ValueError(
                "model must be mlp, or your own as module:name or file.py:name; got "
                f"{self.model!r}"
            )
        for name, _ in self.learning_rates:
            if name and name not in self.inner_names:
                raise ValueError(
                    f"learning_rate must be of one of {', '.join(self.inner_names)}, got "
                    f"{name!r}"
                )
        optimizers = {m.name: self.make_optimizer(m.name) for m in self.methods}
        for name in self.inner_names:
            if plugins.is_plugin(name) and hasattr(optimizers[name], "inner"):
                raise ValueError(
                    f"optimizer {name!r} must be what is put inside Lookahead, got "
                    f"{type(optimizers[name]).__name__}, which wraps another"
                )
        data = self.load_data()
        with plugins.blamed("data", self.data):
            data.stream(self.batch_size, 0)
        plugins.try_out(
            (self.model, self.make_model(data)),
            (self.data, data),
            optimizers,
            seed=self.seed,
            batch_size=self.batch_size,
            backend=self.backend,
        )

    def make_optimizer(self, name: str) -> Any:
        """Make the optimizer of a method."""
        rate = self.learning_rate(name)
        if rate is None:
            rate = methods.default_learning_rate(name, self.model)
        return methods.build(
            name,
            learning_rate=rate,
            k=self.k,
            alpha=self.alpha,
            inner_state=self.inner_state,
        )

    def load_data(self) -> Any:
        """Load the data, which must be labelled examples."""
        data = plugins.load_data(self.data)
        if hasattr(data, "vocabulary"):
            raise ValueError(
                f"data must be labelled examples, as digits, got {self.data!r}, a text"
            )
        return data

    def make_model(self, data: Any) -> Model:
        """Make the model that fits the data."""
        # The user's data may have nothing that a model of this library asks for.
        with plugins.blamed("data", self.data):
            return models.make(self.model, data, "numpy", {"hidden": self.hidden})


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
    data = settings.load_data()
    runs: list[Run] = []
    # Digits are small; other data may be large, or of a class that only its file knows.
    sent = data if settings.data == "digits" else None
    tasks = [
        (settings, sent, method, seed)
        for method in settings.methods
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
    table = compare_report.table(settings, data.name, runs)
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
    write_atomically(
        folder / "report.html", compare_report.html(settings, comparison, results, runs)
    )
    return comparison


def _train_one(task: tuple[Settings, Any, methods.Method, int]) -> Run:
    settings, sent, method, seed = task
    data = settings.load_data() if sent is None else sent
    events: list[Event] = []

    def keep(event: Event) -> None:
        if not isinstance(event, StepTaken):
            events.append(event)

    error = None
    own = {
        "model": settings.model,
        "data": settings.data,
        "optimizer": methods.inner_name(method.name),
    }
    try:
        with plugins.told_where(**own):
            train(
                settings.make_model(data),
                data,
                settings.make_optimizer(method.name),
                seed=seed,
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                backend=settings.backend,
                callbacks=[keep],
            )
    except NonFiniteLossError as diverged:
        error = diverged
    return Run(method, seed, tuple(events), error)


def _seconds(run: Run) -> float:
    return max(event.seconds for event in run.events if isinstance(event, EpochEnded))


def _rate(optimizer: Any) -> Any:
    rate = getattr(optimizer, "learning_rate", None)
    return rate if rate is None or isinstance(rate, float | int) else described(rate)


def _results(settings: Settings, data: Any, runs: Sequence[Run]) -> dict[str, Any]:
    return {
        "format": "lookahead-ref compare",
        "format_version": 1,
        "command": settings.command,
        "configuration": {
            **asdict(settings),
            "data": {
                "name": data.name,
                "train": getattr(data.train, "size", None),
                "validation": getattr(data.validation, "size", None),
                **({"split_seed": 0} if settings.data == "digits" else {}),
            },
            "model": described(settings.make_model(data)),
            "learning_rates": {
                name: _rate(settings.make_optimizer(name)) for name in settings.inner_names
            },
        },
        "versions": versions("numpy", "autograd", "numba", "scikit-learn", "matplotlib"),
        "seeds": list(range(settings.seed, settings.seed + settings.seeds)),
        "methods": [
            {
                "name": method.name,
                "title": method.title,
                "optimizer": described(settings.make_optimizer(method.name)),
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
