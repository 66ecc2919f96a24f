"""Table 1: final validation accuracy on CIFAR of SGD, Polyak averaging, Adam, Lookahead."""

from collections.abc import Sequence

from lookahead_ref.experiments.paper import classifiers, paper
from lookahead_ref.experiments.paper.arms import Arm, Outcome, percent
from lookahead_ref.experiments.paper.findings import (
    accuracy_panels,
    against,
    differences_from,
    drawn,
)
from lookahead_ref.experiments.paper.plan import Findings, Plan, Request
from lookahead_ref.report.tables import Column, Row, Table

__all__ = ["TITLE", "find", "plan"]

TITLE = "Table 1: classifiers at the end of training"


def plan(request: Request) -> Plan:
    """Plan the runs.

    Parameters
    ----------
    request : Request
        What the user asks for.

    Returns
    -------
    Plan
        SGD with momentum, its running average, Adam, and Lookahead around SGD.
    """
    base = classifiers.base(request)
    adam = (
        {"learning_rate": 3e-4, "weight_decay": 1.0, "weight_decay_kind": "decoupled"}
        if request.full
        else {"learning_rate": 0.02}
    )
    change = classifiers.changed
    return Plan(
        arms=(
            Arm("SGD", change(base), "SGD", "plain"),
            Arm("Polyak", change(base, optimizer="polyak-heavy-ball"), "SGD", "other"),
            Arm("Adam", change(base, optimizer="adam", **adam), "Adam", "plain"),
            Arm(
                "Lookahead",
                change(base, optimizer="lookahead-heavy-ball"),
                "SGD",
                "lookahead",
            ),
        ),
        seeds=request.seeds or (3 if request.full else 10),
        setting=classifiers.described(base),
        differs=classifiers.differs(request, "ResNet-18 on CIFAR-10 and CIFAR-100"),
    )


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    """Make the table beside the paper's, and the curves.

    Parameters
    ----------
    plan : Plan
        From `plan`.
    outcomes : sequence of Outcome
        Of its arms.

    Returns
    -------
    Findings
        What came out.
    """
    early = classifiers.first_decay(outcomes[0].arm.settings)
    table = Table(
        title="Final validation accuracy",
        caption=(
            f"Here: mean ± sample standard deviation over {plan.over}, at the end "
            "and before the learning rate first falls, measured on "
            "the slow weights, or on the average. Paper: Table 1."
        ),
        stub="Optimizer",
        columns=(
            Column("Here (%)", better="higher"),
            Column(f"Here, epoch {early} (%)", better="higher"),
            Column("Paper, CIFAR-10 (%)", better="higher"),
            Column("Paper, CIFAR-100 (%)", better="higher"),
        ),
        rows=tuple(
            Row(
                outcome.arm.title,
                (
                    percent(outcome.final("validation_accuracy")),
                    percent(outcome.final("validation_accuracy", epoch=early)),
                    *paper.TABLE_1[outcome.arm.title],
                ),
            )
            for outcome in outcomes
        ),
    )
    sgd, *others = outcomes
    quantities = {"validation_accuracy": 100.0, "validation_loss": 1.0, "train_loss": 1.0}
    at_the_end = differences_from(sgd, others, quantities)
    on_the_way = differences_from(sgd, others, quantities, epoch=early)
    return Findings(
        summary=(
            "In the paper Lookahead has the highest accuracy on both data sets, by less "
            "than the deviation on CIFAR-10. "
            + " ".join(against(x, "validation accuracy") for x in (at_the_end, on_the_way))
        ),
        tables=(table, at_the_end, on_the_way),
        pictures={
            "curves": (
                (
                    "Training loss and validation accuracy. Line: mean over seeds; band: "
                    "one sample standard deviation to each side."
                ),
                drawn(accuracy_panels(outcomes), x_title="epoch"),
            )
        },
    )
