"""Table 1: final validation accuracy on CIFAR of SGD, Polyak averaging, Adam, Lookahead."""

from collections.abc import Sequence

from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.paper.classifiers import changed, stated
from lookahead_ref.experiments.report import Findings
from lookahead_ref.experiments.settings import ReproduceSettings
from lookahead_ref.experiments.statistics import differences_from
from lookahead_ref.experiments.trials import Arm, Outcome, Plan

PAPER = stated("table1")

_ADAM = {"small": 0.02, "middle": 0.003, "full": 3e-4}
"""Learning rates of Adam, found as SGD's."""


def plan(request: ReproduceSettings) -> Plan:
    sgd = changed(classifiers.base(request))
    adam = changed(sgd, learning_rate=_ADAM[request.size])
    if request.full:
        adam = changed(adam, weight_decay=1.0, weight_decay_kind="decoupled")
    lookahead = changed(sgd, optimizer="lookahead-heavy-ball")
    around_adam = changed(adam, optimizer="lookahead-adam")
    arms = (
        Arm("SGD", sgd, "SGD", "plain"),
        Arm("Polyak", changed(sgd, optimizer="polyak-heavy-ball"), "SGD", "other"),
        Arm("Adam", changed(adam, optimizer="adam"), "Adam", "plain"),
        Arm("Lookahead", lookahead, "SGD", "lookahead"),
        Arm("Lookahead (Adam)", around_adam, "Adam", "lookahead"),  # not in the paper's
    )
    return classifiers.plan(request, arms, "table1")


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    table = classifiers.accuracy_table(
        plan,
        outcomes,
        PAPER,
        stub="Optimizer",
        measured="the slow weights, or on the average. Paper: Table 1.",
        columns=("CIFAR-10", "CIFAR-100"),
    )
    said = (
        "In the paper Lookahead has the highest accuracy on both data sets, by less than "
        "the deviation on CIFAR-10, and converges faster throughout training."
    )
    *_, polyak, adam, lookahead, around_adam = outcomes
    differences = [
        *classifiers.from_first(outcomes),
        differences_from(polyak, [lookahead]),
        differences_from(adam, [lookahead, around_adam]),
    ]
    return classifiers.compared(outcomes, table, said, differences, "{} accuracy")
