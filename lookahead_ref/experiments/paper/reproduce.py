"""Reproduces a table or figure of the paper, from the request to the report."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from lookahead_ref.experiments import trials
from lookahead_ref.experiments.estimate import epochs_within
from lookahead_ref.experiments.report import Findings, Job
from lookahead_ref.experiments.settings import SIZES, ReproduceSettings, command
from lookahead_ref.experiments.trials import Outcome, Plan
from lookahead_ref.hyperparameters import option
from lookahead_ref.report.words import duration

NAMES: Mapping[str, str] = {
    "table1": "Table 1: classifiers at the end of training",
    "table2": "Table 2: a shortened schedule",
    "table3": "Table 3: language models",
    "table5": "Table 5: Lookahead for several k and alpha",
    "fig1": "Figure 1: fast and slow weights over the accuracy around them",
    "fig8": "Figure 8: other learning rates and momentum of the inner optimizer",
    "fig9": "Figure 9: training loss and final accuracy for several k and alpha",
    "fig10": "Figure 10: accuracy within the inner loops",
    "family": "The family: outer steps on a language model",
}
"""Tables and figures, and the titles of their reports."""

_ENOUGH = 10
"""The fewest epochs with which a larger setting is preferred to a smaller one."""


class Experiment(Protocol):
    """The functions of each module in `NAMES`."""

    def plan(self, settings: ReproduceSettings) -> Plan:
        """Plan the runs."""

    def find(self, plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
        """Turn outcomes into tables beside the paper's, words and pictures."""


def experiment(name: str) -> Experiment:
    """Return the module of a table or figure."""
    option("name", name, tuple(NAMES))
    # Figure 9 shows the curves of Table 5's runs.
    module = importlib.import_module(
        f"lookahead_ref.experiments.paper.{'table5' if name == 'fig9' else name}"
    )
    return cast("Experiment", module)


def fitted(name: str, settings: ReproduceSettings, jobs: int) -> ReproduceSettings:
    """Choose the largest setting, and the most epochs, whose runs fit into a budget."""
    # It must fit with `_ENOUGH` epochs, unless it is the smallest for the data.
    budget = settings.budget or math.inf
    module = experiment(name)
    found, refused = [], []
    for size in SIZES:
        asked = replace(settings, budget=None, full=size == "full", middle=size == "middle")
        plan = module.plan(replace(asked, epochs=1))
        try:
            runs = trials.check(plan)
        except ValueError as error:  # usually because its model does not take the data
            refused.append(error)
            continue
        seconds = budget * min(jobs, len(plan.trials()))
        usual = module.plan(asked).arms[0].settings.epochs
        epochs = min(epochs_within(seconds, runs, len(plan.seeds)), usual)
        found.append((replace(asked, epochs=max(epochs, 1), seeds=len(plan.seeds)), epochs))
        if epochs >= min(_ENOUGH, usual):
            break
    if not found:
        raise refused[-1]
    chosen, epochs = found[-1]
    if epochs < 1:
        raise ValueError(
            f"budget must be enough for one epoch of all runs, got {duration(budget)}: "
            f"{command(f'reproduce {name}', chosen)} --dry-run says how long they take"
        )
    return chosen


def prepare(name: str, settings: ReproduceSettings) -> Job:
    """Check everything before anything is trained or written."""
    module = experiment(name)
    plan = module.plan(settings)

    def find(outcomes: Sequence[Outcome]) -> Findings:
        if all(outcome.diverged == len(outcome.runs) for outcome in outcomes):
            raise ArithmeticError(
                "every run diverged, there is nothing to compare: try a smaller learning "
                "rate"
            )
        return module.find(plan, outcomes)

    return Job(
        f"reproduce {name}",
        NAMES[name],
        settings,
        plan,
        trials.check(plan),
        find,
        more=lambda _: {"name": name},
    )
