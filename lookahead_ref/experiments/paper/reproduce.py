"""A table or figure of the paper, from what is asked for to the report."""

import importlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, cast

from rich.console import Console

from lookahead_ref.experiments import report, trials
from lookahead_ref.experiments.settings import ReproduceSettings
from lookahead_ref.experiments.train import Prepared
from lookahead_ref.experiments.trials import Outcome, Plan
from lookahead_ref.experiments.workers import Pool
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

    def find(self, plan: Plan, outcomes: Sequence[Outcome]) -> report.Findings:
        """Make what came of them into tables beside the paper's, words and pictures."""


def experiment(name: str) -> Experiment:
    """Return the module of a table or figure."""
    option("name", name, tuple(NAMES))
    module = importlib.import_module(f"lookahead_ref.experiments.paper.{name}")
    return cast("Experiment", module)


def check(name: str, settings: ReproduceSettings) -> tuple[Plan, list[Prepared]]:
    """Try everything that can be wrong, before anything is trained or written."""
    plan = experiment(name).plan(settings)
    return plan, trials.check(plan)


def reproduce(
    name: str, settings: ReproduceSettings, folder: Path, workers: Pool, console: Console
) -> report.Report:
    """Do all runs of a table or figure that are not done yet, and write its report."""
    began = datetime.now().astimezone()
    module = experiment(name)
    plan = module.plan(settings)
    outcomes = trials.run(plan, folder / "trials", workers=workers, console=console)
    if all(outcome.diverged == len(outcome.runs) for outcome in outcomes):
        raise ArithmeticError(
            "every run diverged, there is nothing to compare: try a smaller learning rate"
        )
    findings = module.find(plan, outcomes)
    console.print("drawing the pictures, writing the report")
    return report.write(
        folder,
        NAMES[name],
        f"reproduce {name}",
        settings,
        plan,
        outcomes,
        findings,
        began,
        name=name,
    )
