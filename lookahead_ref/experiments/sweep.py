"""A grid of settings, each trained once for each seed: ``lookahead-ref sweep``."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lookahead_ref.experiments import optimizers, plugins, report, trials
from lookahead_ref.experiments.models import backend
from lookahead_ref.experiments.options import options
from lookahead_ref.experiments.settings import AXES, SweepSettings, TrainSettings
from lookahead_ref.experiments.statistics import quality_and_loss, rows, summary
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report import plots
from lookahead_ref.report.tables import Table

_LAST = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss")


def plan(settings: SweepSettings) -> Plan:
    """Make an arm for each point of the grid, in the order of the axes' values."""
    base, axes = replace(settings.base, workers=settings.workers), settings.axes
    own = dict(settings.hyperparameters)
    tried = axes.get("optimizer", (base.optimizer,))
    if own and not any(map(_of_the_user, tried)):
        raise ValueError(
            f"hyperparameter {next(iter(own))} is for optimizers of your own, got "
            f"{', '.join(tried)}"
        )
    for name in axes:
        if not any(optimizers.has(name, each, base.outer) for each in tried):
            raise ValueError(
                f"{name} must be a setting of an optimizer in the sweep, got "
                f"{', '.join(tried)}" + (f" with outer {base.outer}" if base.outer else "")
            )
    arms: dict[TrainSettings, Arm] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        optimizer = chosen.pop("optimizer", base.optimizer)
        optimizer = optimizers.canonical(optimizer, base.outer)
        # A setting that an optimizer lacks, such as k without Lookahead, is not varied.
        chosen = {
            name: value
            for name, value in chosen.items()
            if optimizers.has(name, optimizer, base.outer)
        }
        more = own if _of_the_user(optimizer) else {}
        for given in itertools.product(*more.values()):
            pairs = tuple(zip(more, given, strict=True))
            varied = [f"{n.replace('_', ' ')} {v}" for n, v in [*chosen.items(), *pairs]]
            point = replace(base, optimizer=optimizer, hyperparameters=pairs, **chosen)
            point = optimizers.fitted(point)
            arms.setdefault(point, Arm(", ".join([optimizer, *varied]), point))
    seeds = range(settings.seed, settings.seed + settings.seeds)
    setting = {
        name.removeprefix("base.").replace("_", " ").capitalize(): value
        for name, _, value in options(settings)
        if name.startswith("base.") and value not in (None, ())
    }
    setting["Backend"] = backend(base)
    if settings.workers != 1:
        setting["Workers"] = settings.workers
    return Plan(tuple(arms.values()), seeds, setting)


def prepare(settings: SweepSettings) -> report.Job:
    """Check everything before anything is trained or written."""
    planned = plan(settings)
    prepared = trials.check(planned)
    points = {
        arm.title: _point(each.settings, settings)
        for arm, each in zip(planned.arms, prepared, strict=True)
    }

    def find(outcomes: Sequence[Outcome]) -> report.Findings:
        table = _table(planned, outcomes)
        shown = [points[outcome.arm.title] for outcome in outcomes]
        best = f"The best is {outcomes[0].arm.title}."
        return report.Findings(best, (table,), _pictures(planned, shown, table))

    def line(outcome: Outcome, place: int) -> dict[str, Any]:
        run = outcome.runs[place]
        last = run["history"][-1] if run["error"] is None else {}
        return {
            **points[outcome.arm.title],
            "seed": planned.seeds[place],
            "steps": run["steps"],
            **{name: last.get(name) for name in _LAST},
            "error": run["error"],
        }

    return report.Job(
        "sweep", "Sweep", settings, planned, prepared, find, order=_rank, line=line
    )


def _of_the_user(optimizer: str) -> bool:
    return plugins.is_plugin(optimizers.inner_name(optimizer))


def _point(found: TrainSettings, asked: SweepSettings) -> dict[str, Any]:
    """Return the effective values of settings that may vary; None for those it lacks."""
    own = dict(found.hyperparameters)
    return {
        **{
            name: getattr(found, name)
            if optimizers.has(name, found.optimizer, found.outer)
            else None
            for name in AXES
        },
        **{name: own.get(name) for name, _ in asked.hyperparameters},
    }


def _rank(outcome: Outcome) -> tuple[float, ...]:
    # Arms that diverged come last; the loss decides between equal accuracies.
    if outcome.diverged:
        return outcome.diverged, 0.0, 0.0
    good = 0.0 if outcome.of_text else summary(outcome, "validation_accuracy").mean
    return 0, -good, summary(outcome, "validation_loss").mean


def _table(planned: Plan, outcomes: Sequence[Outcome]) -> Table:
    return Table(
        title="Sweep: the best first",
        caption=(
            "At the end, on the slow weights or the average. "
            f"{planned.shown.capitalize()}. NaN: a run diverged."
        ),
        stub="Trial",
        columns=quality_and_loss(outcomes),
        rows=rows(outcomes, ["validation_loss"]),
    )


def _pictures(
    planned: Plan, points: Sequence[Mapping[str, Any]], table: Table
) -> dict[str, report.Picture]:
    """Draw the grid: two settings as a map, more as lines."""
    varied = [n for n in points[0] if len({point[n] for point in points}) > 1]
    if not varied:
        return {}
    column = table.columns[0]
    values = [row.cells[0].mean for row in table.rows]
    places = [tuple(point[name] for name in varied) for point in points]
    # Places may coincide where an optimizer lacks a setting.
    draw = plots.heat_map if len(varied) <= 2 else plots.parallel_lines
    titles = [name.replace("_", " ") for name in varied]
    n, higher = len(planned.seeds), column.better == "higher"
    note = f"Mean of n = {n} seeds." if n > 1 else "One seed (n = 1)."
    caption = (
        f"{column.title} at the end, by {' and '.join(titles)}: {planned.shown}. The "
        "stronger the colour, the better; a cross or a dotted line: a run diverged."
    )

    def drawn(theme: plots.Theme) -> "plots.Figure":
        figure = draw(titles, places, values, column.title, higher=higher, theme=theme)
        return plots.noted(figure, note, theme)

    return {"grid": report.Picture(caption, drawn)}
