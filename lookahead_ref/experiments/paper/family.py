"""The family of one outer step on a text: Adam alone, in Lookahead, SNOO and DiLoCo."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lookahead_ref.experiments.optimizers import Method
from lookahead_ref.experiments.paper.classifiers import DIFFERS, asked, shown
from lookahead_ref.experiments.report import Findings, training_curves
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.experiments.statistics import against, differences_from, perplexities
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import Column, Row, Table

_BASE = TrainSettings(
    model="lstm", data="pydoc", hidden=64, layers=1, epochs=4, batch_size=20, clip=0.25
)
_OURS = {"k": 5, "alpha": 0.5}
_K = {"k": 20, "outer_momentum": 0.5}
_ARMS: Mapping[str, tuple[Method, Mapping[str, Any]]] = {
    "Adam": (Method("adam", "Adam", "Adam", "plain"), {}),
    "Lookahead": (Method("lookahead-adam", "Lookahead", "Adam", "lookahead"), _OURS),
    "SNOO": (Method("snoo-adam", "SNOO", "SNOO", "lookahead"), _K),
    "DiLoCo": (Method("snoo-adam", "DiLoCo", "DiLoCo", "lookahead"), {**_K, "workers": 2}),
}
_FOUND = "the better of 0.003 and 0.01 on seed 1000 after an epoch of Penn Treebank"


def plan(request: ReproduceSettings) -> Plan:
    base = asked(replace(_BASE, evaluate_train=False), request)
    arms = []
    for title, (method, changed) in _ARMS.items():
        given: Any = {"optimizer": method.name, "learning_rate": 0.01, **changed}
        arms.append(Arm(title, replace(base, **given), method.family, method.role))
    count = request.seeds or 3
    found = f"{_FOUND}; DiLoCo has SNOO's"
    setting = shown(arms, count, found, Outer="Nesterov, learning rate 0.7, k = 20")
    setting["Model"] = f"LSTM, {base.layers} layer of {base.hidden}"
    notes = {
        DIFFERS: [
            "This is not an experiment of the paper: SNOO and DiLoCo are later methods.",
            "They were made for large language models, and this is a small one.",
            "DiLoCo's two workers each read half of the text in an epoch: half the steps.",
        ]
    }
    return Plan(tuple(arms), range(count), setting, notes)


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    table = Table(
        title="Perplexity at the end of training",
        caption=f"{plan.shown.capitalize()}, on the slow weights.",
        stub="Method",
        columns=(Column("Validation", better="lower"), Column("Test", better="lower")),
        rows=tuple(Row(each.arm.title, perplexities(each)[1:]) for each in outcomes),
    )
    differences = differences_from(outcomes[0], outcomes[1:], {"validation_loss": 4})
    summary = against(differences, "validation loss")
    return Findings(summary, (table, differences), {"curves": training_curves(outcomes)})
