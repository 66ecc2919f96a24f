"""Reproduces a table or figure of the paper, from the request to the report."""

import importlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias, cast

from lookahead_ref.experiments import estimate, trials
from lookahead_ref.experiments.options import command, options
from lookahead_ref.experiments.parallel import one_thread
from lookahead_ref.experiments.report import Findings, Job
from lookahead_ref.experiments.resume import note
from lookahead_ref.experiments.settings import SIZES, ReproduceSettings, TrainSettings
from lookahead_ref.experiments.trials import Outcome, Plan, Speed
from lookahead_ref.hyperparameters import option
from lookahead_ref.report.files import jsonable, read_sealed, write_sealed
from lookahead_ref.report.words import duration
from lookahead_ref.training import Data

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

_ONE = "which has one setting"
_PATH = "which is evaluated along its path only"
_UNUSED: Mapping[str, Mapping[str, str]] = {
    "family": {"full": _ONE, "middle": _ONE, "learning_rate": "which has no SGD"},
    "fig1": {"evaluate_every": _PATH},
    "fig10": {"evaluate_every": _PATH},
}
"""Options that one of them does not use, and why."""

CHOSEN = "chosen.json"
"""The file in a folder with the settings chosen for a budget."""

_FORMAT = "lookahead-ref choice"
_OBJECT = {"type": "object"}

_Choice: TypeAlias = tuple[ReproduceSettings, Speed | None]

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


def plan(name: str, settings: ReproduceSettings) -> Plan:
    """Plan the runs; refuse an option that the table or figure does not use."""
    module, unused = experiment(name), _UNUSED.get(name, {})
    pairs = zip(options(settings), options(ReproduceSettings()), strict=True)
    for (place, _, given), (*_, usual) in pairs:
        if given != usual and (why := unused.get(field := place.rpartition(".")[2])):
            raise ValueError(f"{field} cannot be given with {name}, {why}; got {given}")
    return module.plan(settings)


def fitted(
    name: str, settings: ReproduceSettings, jobs: int, loaded: MutableMapping[object, Data]
) -> _Choice:
    """Choose the largest setting, and the most epochs, whose runs fit into a budget."""
    # It must fit with `_ENOUGH` epochs, unless it is the smallest for the data.
    budget, found, refused = settings.budget or 0.0, [], []
    for size in SIZES:
        asked = replace(settings, budget=None, full=size == "full", middle=size == "middle")
        try:
            planned = plan(name, replace(asked, epochs=1))
            runs = trials.check(planned, loaded)
        except ValueError as error:  # usually because its model does not take the data
            refused.append(error)
            continue
        note(f"measuring the {size} setting")
        with one_thread():  # as parallel runs have it
            speed = estimate.measured(runs[0])
        usual = plan(name, asked).arms[0].settings.epochs
        each = [estimate.estimate(run, speed, planned.evaluations) for run in runs]
        within = partial(estimate.epochs_within, budget, jobs, each)
        most = len(planned.seeds)
        found.append(asked)
        if within(most) >= min(_ENOUGH, usual):
            break
    if not found:
        raise refused[-1]
    seeds = next((n for n in (most, 2) if n <= most and within(n) >= 1), 1)
    epochs = min(within(seeds), usual)
    chosen = replace(found[-1], epochs=max(epochs, 1), seeds=seeds)
    if epochs < 1:
        raise ValueError(
            f"budget must be enough for an epoch with one seed, got {duration(budget)}: "
            f"{command(f'reproduce {name}', chosen)} --dry-run says how long that takes"
        )
    return chosen, speed


def _chosen(folder: Path | None, asked: ReproduceSettings) -> _Choice | None:
    """Return the settings chosen for the same request when a folder was begun."""
    if folder is None or not (folder / CHOSEN).exists():
        return None
    found = read_sealed(folder / CHOSEN, _FORMAT, asked=_OBJECT, settings=_OBJECT)
    if found["asked"] != jsonable(asdict(asked)):
        return None
    given = found["settings"]
    return ReproduceSettings(**{**given, "base": TrainSettings(**given["base"])}), None


def choice(name: str, asked: ReproduceSettings, chosen: ReproduceSettings) -> str:
    """Say what was chosen for a budget."""
    usual = len(plan(name, replace(chosen, seeds=asked.seeds)).seeds)
    said = f"chosen: {command(f'reproduce {name}', chosen)}"
    return said if chosen.seeds == usual else f"{said}; with {usual} seeds no epoch fits"


def prepare(
    name: str, settings: ReproduceSettings, jobs: int = 1, folder: Path | None = None
) -> Job:
    """Check everything before anything is trained or written; choose for a budget."""
    asked, loaded, speed = settings, dict[object, Data](), None
    if asked.budget is not None:
        settings, speed = _chosen(folder, asked) or fitted(name, asked, jobs, loaded)
    planned = plan(name, settings)

    def find(outcomes: Sequence[Outcome]) -> Findings:
        if all(outcome.diverged == len(outcome.runs) for outcome in outcomes):
            raise ArithmeticError(
                "every run diverged, there is nothing to compare: try a smaller learning "
                "rate"
            )
        return experiment(name).find(planned, outcomes)

    def begin(folder: Path) -> None:
        if asked.budget is not None:
            chosen = {"asked": asdict(asked), "settings": asdict(settings)}
            write_sealed(folder / CHOSEN, _FORMAT, chosen)

    return Job(
        f"reproduce {name}",
        NAMES[name],
        settings,
        planned,
        trials.check(planned, loaded),
        find,
        more=lambda _: {"name": name},
        begin=begin,
        speed=speed,
    )
