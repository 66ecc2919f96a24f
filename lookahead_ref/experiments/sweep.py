"""A grid of settings, each trained once for each seed: ``lookahead-ref sweep``."""

import csv
import io
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lookahead_ref.experiments import methods, single
from lookahead_ref.experiments.environment import machine, versions
from lookahead_ref.experiments.paper.arms import Arm, Outcome, percent, run
from lookahead_ref.experiments.plugins import is_plugin
from lookahead_ref.experiments.pool import Workers
from lookahead_ref.report.files import write_atomically, write_json
from lookahead_ref.report.tables import Column, Row, Table
from lookahead_ref.training import reporter

__all__ = ["AXES", "Grid", "Sweep", "sweep"]

AXES = ("optimizer", "learning_rate", "momentum", "k", "alpha")
"""What a grid may vary, besides the seed: fields of `single.Settings`."""


@dataclass(frozen=True)
class Grid:
    """What is tried.

    Parameters
    ----------
    base : lookahead_ref.experiments.single.Settings
        What all trials share.
    axes : dict
        Names in `AXES` to the values that are tried, each with each.
    seeds : int
        Runs of each trial, from the seed of `base` on.
    hyperparameters : dict
        More axes, for optimizers of the user's own: what they are made with.

    Raises
    ------
    ValueError
        If there is no such axis, an axis has no values or one twice, or the number of seeds
        is not positive.
    """

    base: single.Settings
    axes: Mapping[str, Sequence[Any]]
    seeds: int = 1
    hyperparameters: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        for name in self.axes:
            if name not in AXES:
                raise ValueError(f"axes must be of {', '.join(AXES)}; got {name!r}")
        for name, values in [*self.axes.items(), *self.hyperparameters.items()]:
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must have values, each once; got {list(values)}")
        tried = self.axes.get("optimizer", (self.base.optimizer,))
        if self.hyperparameters and not any(map(_of_the_user, tried)):
            raise ValueError(
                f"hyperparameter {next(iter(self.hyperparameters))} is of optimizers of "
                f"your own, got {', '.join(tried)}"
            )

    def arms(self) -> tuple[Arm, ...]:
        """Return one arm for each point of the grid, in the order of the axes' values.

        What an optimizer has not, such as k where there is no Lookahead, is not varied for
        it.
        """
        arms: dict[single.Settings, Arm] = {}
        for values in itertools.product(*self.axes.values()):
            chosen = dict(zip(self.axes, values, strict=True))
            optimizer = chosen.pop("optimizer", self.base.optimizer)
            chosen = {n: v for n, v in chosen.items() if _matters(n, optimizer)}
            own = self.hyperparameters if _of_the_user(optimizer) else {}
            for more in itertools.product(*own.values()):
                pairs = tuple(zip(own, more, strict=True))
                told = [f"{n.replace('_', ' ')} {v}" for n, v in [*chosen.items(), *pairs]]
                settings = replace(
                    self.base, optimizer=optimizer, hyperparameters=pairs, **chosen
                )
                arms.setdefault(settings, Arm(", ".join([optimizer, *told]), settings))
        return tuple(arms.values())


def _of_the_user(optimizer: str) -> bool:
    return is_plugin(methods.inner_name(optimizer))


def _matters(name: str, optimizer: str) -> bool:
    if name in ("k", "alpha"):
        return optimizer.startswith("lookahead-")
    if name == "momentum":
        return methods.inner_name(optimizer) in ("heavy-ball", "nesterov")
    return True


@dataclass(frozen=True)
class Sweep:
    """What a sweep leaves behind."""

    folder: Path
    """Where everything is."""
    table: Table
    """A row for each point of the grid, the best first."""
    outcomes: tuple[Outcome, ...]
    """In the order of the table."""


def sweep(
    grid: Grid, folder: Path, *, workers: Workers, command: str, console: Console
) -> Sweep:
    """Train every point of a grid that is not done yet, and write the results of all.

    Parameters
    ----------
    grid : Grid
        What is tried.
    folder : pathlib.Path
        To hold ``results.json``, ``results.csv``, and in ``trials`` the result of each run
        as it came. What is there is not done again, so that a grid can be widened too.
    workers : Workers
        Who trains.
    command : str
        What repeats it.
    console : rich.console.Console
        Where to show progress.

    Returns
    -------
    Sweep
        The table, and where everything is.

    Raises
    ------
    lookahead_ref.experiments.trials.TrialsLostError
        If the workers of some runs died whenever they were tried; the others are kept.
    """
    started = datetime.now().astimezone()
    clock = time.perf_counter()
    arms = grid.arms()
    seeds = range(grid.base.seed, grid.base.seed + grid.seeds)
    with reporter(len(arms) * len(seeds), "runs", console) as progress:
        outcomes = run(arms, seeds, folder / "trials", workers, progress)
    # Those that diverged last; sorting keeps the order of the grid among equals.
    outcomes.sort(key=_rank)
    write_json(
        folder / "results.json",
        {
            "format": "lookahead-ref sweep",
            "format_version": 1,
            "command": command,
            "base": asdict(grid.base),
            "axes": {name: list(values) for name, values in grid.axes.items()},
            "hyperparameters": {n: list(v) for n, v in grid.hyperparameters.items()},
            "seeds": list(seeds),
            "machine": machine(),
            "versions": versions("numpy", "autograd", "numba", "scikit-learn"),
            "timing": {
                "started": started.isoformat(timespec="seconds"),
                "seconds": time.perf_counter() - clock,
            },
            "trials": [
                {
                    "title": outcome.arm.title,
                    "settings": asdict(outcome.arm.settings),
                    "runs": [
                        {"seed": seed, **each}
                        for seed, each in zip(seeds, outcome.runs, strict=True)
                    ],
                }
                for outcome in outcomes
            ],
        },
    )
    text = _csv(outcomes, seeds, tuple(grid.hyperparameters))
    write_atomically(folder / "results.csv", text)
    return Sweep(folder, _table(outcomes, grid.seeds), tuple(outcomes))


def _shown(axis: str, settings: single.Settings) -> Any:
    """Return a setting as it was in effect; nothing where the optimizer has it not."""
    if not _matters(axis, settings.optimizer):
        return None
    if axis == "learning_rate" and settings.learning_rate is None:
        # Filled in by what the model and the optimizer decide.
        return single.prepare(settings).settings.learning_rate
    return getattr(settings, axis)


def _rank(outcome: Outcome) -> tuple[int, float]:
    accuracy = percent(outcome.final("validation_accuracy")).mean
    return outcome.diverged, -accuracy if outcome.diverged == 0 else 0.0


def _table(outcomes: Sequence[Outcome], seeds: int) -> Table:
    over = (
        "One seed."
        if seeds == 1
        else (f"Mean ± sample standard deviation over {seeds} seeds. NaN: a run diverged.")
    )
    return Table(
        title="Sweep: the best first",
        caption=f"At the end, on the slow weights or the average. {over}",
        stub="Trial",
        columns=(
            Column("Validation accuracy (%)", better="higher"),
            Column("Validation loss", better="lower", digits=4),
        ),
        rows=tuple(
            Row(
                outcome.arm.title,
                (
                    percent(outcome.final("validation_accuracy")),
                    outcome.summary("validation_loss"),
                ),
            )
            for outcome in outcomes
        ),
    )


def _csv(outcomes: Sequence[Outcome], seeds: Sequence[int], own: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    last = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*AXES, *own, "seed", "steps", *last, "error"])
    for outcome in outcomes:
        for seed, each in zip(seeds, outcome.runs, strict=True):
            final = each["history"][-1] if each["error"] is None else {}
            writer.writerow(
                [
                    *(_shown(axis, outcome.arm.settings) for axis in AXES),
                    *(dict(outcome.arm.settings.hyperparameters).get(n) for n in own),
                    seed,
                    each["steps"],
                    *(final.get(quantity) for quantity in last),
                    each["error"],
                ]
            )
    return text.getvalue()
