"""A table or figure of the paper, from what is asked for to the report."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from lookahead_ref.experiments import trials
from lookahead_ref.experiments.report import Findings, Job
from lookahead_ref.experiments.settings import ReproduceSettings
from lookahead_ref.experiments.trials import Outcome, Plan
from lookahead_ref.hyperparameters import option

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
"""What can be reproduced, and the title of its report."""


class Experiment(Protocol):
    """What each module that `NAMES` names has."""

    def plan(self, settings: ReproduceSettings) -> Plan:
        """Plan the runs."""

    def find(self, plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
        """Make what came of them into tables beside the paper's, words and pictures."""


def experiment(name: str) -> Experiment:
    """Return the module of a table or figure."""
    option("name", name, tuple(NAMES))
    # Figure 9 shows the runs of Table 5 on the way.
    module = importlib.import_module(
        f"lookahead_ref.experiments.paper.{'table5' if name == 'fig9' else name}"
    )
    return cast("Experiment", module)


def prepare(name: str, settings: ReproduceSettings) -> Job:
    """Try everything that can be wrong, before anything is trained or written."""
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
