"""A grid of settings, each trained once for each seed: ``lookahead-ref sweep``."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lookahead_ref.experiments import optimizers, plugins, report, trials
from lookahead_ref.experiments.settings import (
    AXES,
    SweepSettings,
    TrainSettings,
    of_each_run,
)
from lookahead_ref.experiments.statistics import rows, summary
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import Column, Table

_LAST = ("validation_accuracy", "validation_loss", "train_accuracy", "train_loss")


def plan(settings: SweepSettings) -> Plan:
    """Make one arm for each point of the grid, in the order of the axes' values."""
    base, axes = settings.base, settings.axes
    own = dict(settings.hyperparameters)
    tried = axes.get("optimizer", (base.optimizer,))
    if own and not any(map(_of_the_user, tried)):
        raise ValueError(
            f"hyperparameter {next(iter(own))} is of optimizers of your own, got "
            f"{', '.join(tried)}"
        )
    for name in axes:
        if not any(optimizers.has(name, each, base.outer) for each in tried):
            raise ValueError(
                f"{name} must be a setting of an optimizer that is tried, got "
                f"{', '.join(tried)}" + (f" with outer {base.outer}" if base.outer else "")
            )
    arms: dict[TrainSettings, Arm] = {}
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        optimizer = chosen.pop("optimizer", base.optimizer)
        # What it has not, such as k where there is no Lookahead, is not varied for it.
        chosen = {
            name: value
            for name, value in chosen.items()
            if optimizers.has(name, optimizer, base.outer)
        }
        more = own if _of_the_user(optimizer) else {}
        for given in itertools.product(*more.values()):
            pairs = tuple(zip(more, given, strict=True))
            told = [f"{n.replace('_', ' ')} {v}" for n, v in [*chosen.items(), *pairs]]
            point = replace(base, optimizer=optimizer, hyperparameters=pairs, **chosen)
            point = optimizers.fitted(point)
            arms.setdefault(point, Arm(", ".join([optimizer, *told]), point))
    seeds = range(settings.seed, settings.seed + settings.seeds)
    setting = {
        name.replace("_", " ").capitalize(): value
        for name, value in of_each_run(settings).items()
        if name != "seed"  # the report has all of them
    }
    return Plan(tuple(arms.values()), seeds, setting)


def prepare(settings: SweepSettings) -> report.Job:
    """Try everything that can be wrong, before anything is trained or written."""
    planned = plan(settings)
    prepared = trials.check(planned)
    in_effect = {
        arm.title: each.settings for arm, each in zip(planned.arms, prepared, strict=True)
    }

    def find(outcomes: Sequence[Outcome]) -> report.Findings:
        best = outcomes[0].arm.title
        return report.Findings(f"The best is {best}.", (_table(planned, outcomes),))

    def line(outcome: Outcome, place: int) -> dict[str, Any]:
        found, run = in_effect[outcome.arm.title], outcome.runs[place]
        last = run["history"][-1] if run["error"] is None else {}
        own = dict(found.hyperparameters)
        return {
            **{
                name: getattr(found, name)
                if optimizers.has(name, found.optimizer, found.outer)
                else None
                for name in AXES
            },
            **{name: own.get(name) for name, _ in settings.hyperparameters},
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


def _rank(outcome: Outcome) -> tuple[float, ...]:
    # Those that diverged last; of equal accuracies that of the lower loss is better.
    if outcome.diverged:
        return outcome.diverged, 0.0, 0.0
    accuracy = summary(outcome, "validation_accuracy").mean
    return 0, -accuracy, summary(outcome, "validation_loss").mean


def _table(planned: Plan, outcomes: Sequence[Outcome]) -> Table:
    return Table(
        title="Sweep: the best first",
        caption=(
            f"At the end, on the slow weights or the average. {planned.shown}. NaN: a run "
            "diverged."
        ),
        stub="Trial",
        columns=(
            Column("Validation accuracy (%)", better="higher"),
            Column("Validation loss", better="lower", digits=4),
        ),
        rows=rows(outcomes, ("validation_accuracy", "validation_loss")),
    )
