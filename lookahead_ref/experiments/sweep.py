"""A grid of settings, each trained once for each seed: ``lookahead-ref sweep``."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lookahead_ref.experiments import optimizers, plugins, report, train, trials
from lookahead_ref.experiments.models import backend
from lookahead_ref.experiments.settings import AXES, SweepSettings, TrainSettings, options
from lookahead_ref.experiments.statistics import quality_column, rows, summary
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.experiments.workers import Pool
from lookahead_ref.report import plots
from lookahead_ref.report.tables import Column, Table

_LAST = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss")


def plan(settings: SweepSettings) -> Plan:
    """Make one arm for each point of the grid, in the order of the axes' values."""
    base, axes = replace(settings.base, workers=settings.workers), settings.axes
    own = dict(settings.hyperparameters)
    tried = axes.get("optimizer", (base.optimizer,))
    if own and not any(map(_of_the_user, tried)):
        raise ValueError(
            f"hyperparameter {next(iter(own))} is of optimizers of your own, got "
            f"{', '.join(tried)}"
        )
    for name in axes:
        if not any(_matters(name, each, base.outer) for each in tried):
            raise ValueError(
                f"{name} must be a setting of an optimizer that is tried, got "
                f"{', '.join(tried)}" + (f" with outer {base.outer}" if base.outer else "")
            )
    arms: dict[TrainSettings, Arm] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        optimizer = chosen.pop("optimizer", base.optimizer)
        optimizer = optimizers.canonical(optimizer, base.outer)
        # What it has not, such as k where there is no Lookahead, is not varied for it.
        chosen = {n: v for n, v in chosen.items() if _matters(n, optimizer, base.outer)}
        more = own if _of_the_user(optimizer) else {}
        for given in itertools.product(*more.values()):
            pairs = tuple(zip(more, given, strict=True))
            told = [f"{n.replace('_', ' ')} {v}" for n, v in [*chosen.items(), *pairs]]
            point = replace(base, optimizer=optimizer, hyperparameters=pairs, **chosen)
            point = optimizers.fitted(point)
            arms.setdefault(point, Arm(", ".join([optimizer, *told]), point))
    seeds = range(settings.seed, settings.seed + settings.seeds)
    setting = {
        name.removeprefix("base.").replace("_", " ").capitalize(): value
        for name, _, value in options(settings)
        if name.startswith("base.") and value not in (None, ())
    }
    setting["Backend"] = backend(base)
    if settings.workers > 1:
        setting["Workers"] = settings.workers
    return Plan(tuple(arms.values()), seeds, setting)


def sweep(
    settings: SweepSettings, folder: Path, workers: Pool, console: Console
) -> report.Report:
    """Train every point of a grid that is not done yet, and write the results of all."""
    began = datetime.now().astimezone()
    planned = plan(settings)
    outcomes = trials.run(planned, folder / "trials", workers=workers, console=console)
    # Those that diverged last; of equal accuracies that of the lower loss is better.
    outcomes.sort(key=_rank)
    best = outcomes[0].arm.title
    table = _table(planned, outcomes)
    own = [name for name, _ in settings.hyperparameters]
    points = [_point(outcome.arm.settings, own) for outcome in outcomes]
    pictures = _pictures(planned, points, table)
    findings = report.Findings(f"The best is {best}.", (table,), pictures)
    return report.write(
        folder,
        "Sweep",
        "sweep",
        settings,
        planned,
        outcomes,
        findings,
        began,
        _lines(outcomes, points, planned.seeds),
    )


def _of_the_user(optimizer: str) -> bool:
    return plugins.is_plugin(optimizers.inner_name(optimizer))


def _matters(name: str, optimizer: str, outer: str | None) -> bool:
    outer = optimizers.outer_name(optimizer, outer)
    if name == "k":
        return optimizer.startswith(("lookahead-", "snoo-"))
    if name == "alpha":
        return optimizer.startswith("lookahead-") and outer is None
    if name == "momentum":
        return optimizers.inner_name(optimizer) in optimizers.WITH_MOMENTUM
    if name == "outer_momentum":
        return outer in optimizers.WITH_MOMENTUM
    return name != "outer_learning_rate" or outer is not None


def _shown(axis: str, settings: TrainSettings) -> Any:
    """Return a setting as it was in effect; nothing where the optimizer has it not."""
    if not _matters(axis, settings.optimizer, settings.outer):
        return None
    if axis == "learning_rate" and settings.learning_rate is None:
        # Filled in by what the model and the optimizer decide.
        return train.prepare(settings).settings.learning_rate
    return getattr(settings, axis)


def _rank(outcome: Outcome) -> tuple[float, ...]:
    if outcome.diverged:
        return outcome.diverged, 0.0, 0.0
    good = 0.0 if outcome.of_text else summary(outcome, "validation_accuracy").mean
    return 0, -good, summary(outcome, "validation_loss").mean


def _table(planned: Plan, outcomes: Sequence[Outcome]) -> Table:
    return Table(
        title="Sweep: the best first",
        caption=(
            f"At the end, on the slow weights or the average. {planned.shown}. NaN: a run "
            "diverged."
        ),
        stub="Trial",
        columns=(
            quality_column(outcomes),
            Column("Validation loss", better="lower", digits=4),
        ),
        rows=rows(outcomes, ["validation_loss"]),
    )


def _point(settings: TrainSettings, own: Sequence[str]) -> dict[str, Any]:
    pairs = dict(settings.hyperparameters)
    return {
        **{axis: _shown(axis, settings) for axis in AXES},
        **{name: pairs.get(name) for name in own},
    }


def _lines(
    outcomes: Sequence[Outcome], points: Sequence[Mapping[str, Any]], seeds: Sequence[int]
) -> list[dict[str, Any]]:
    lines = []
    for outcome, point in zip(outcomes, points, strict=True):
        for seed, run in zip(seeds, outcome.runs, strict=True):
            last = run["history"][-1] if run["error"] is None else {}
            numbers = {"steps": run["steps"], **{n: last.get(n) for n in _LAST}}
            lines.append({**point, "seed": seed, **numbers, "error": run["error"]})
    return lines


def _pictures(
    planned: Plan, points: Sequence[Mapping[str, Any]], table: Table
) -> dict[str, report.Picture]:
    """Draw the grid: a map over two settings, lines through more."""
    varied = [n for n in points[0] if len({point[n] for point in points}) > 1]
    if not varied:
        return {}
    column = table.columns[0]
    values = [row.cells[0].mean for row in table.rows]
    places = [tuple(point[name] for name in varied) for point in points]
    # Where an optimizer has not a setting, places may coincide.
    draw = plots.heat_map if len(varied) <= 2 else plots.parallel_lines
    titles = [name.replace("_", " ") for name in varied]
    caption = (
        f"{column.title} at the end, by {' and '.join(titles)}: {planned.shown.lower()}"
    )
    return {
        "grid": report.Picture(
            f"{caption}. The stronger the colour, the better; a cross or a dotted line: "
            "a run diverged.",
            lambda theme: draw(
                titles,
                places,
                values,
                column.title,
                higher=column.better == "higher",
                theme=theme,
            ),
        )
    }
