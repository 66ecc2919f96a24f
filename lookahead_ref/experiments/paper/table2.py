"""Table 2: top-1 and top-5 accuracy on ImageNet at two points of a shortened schedule.

The paper divides the learning rate by ten after epochs 30, 48 and 58 of 60 and looks at
epochs 50 and 60; other numbers of epochs are divided in the same proportion.
"""

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

TITLE = "Table 2: a shortened schedule"


def plan(request: Request) -> Plan:
    """Plan the runs.

    Parameters
    ----------
    request : Request
        What the user asks for.

    Returns
    -------
    Plan
        SGD with momentum, alone and inside Lookahead.
    """
    base = classifiers.base(
        request,
        model="resnet50",
        learning_rate=0.1,
        weight_decay=1e-4,
        epochs=60,
        batch_size=256,
    )
    base = classifiers.changed(base, schedule="shortened", alpha=0.5)
    return Plan(
        arms=(
            Arm("SGD", base, "SGD", "plain"),
            Arm(
                "Lookahead",
                classifiers.changed(base, optimizer="lookahead-heavy-ball", alpha=0.5),
                "SGD",
                "lookahead",
            ),
        ),
        seeds=request.seeds or (1 if request.full else 10),
        setting=classifiers.described(base),
        differs=(
            *classifiers.differs(request, "ResNet-50 on ImageNet"),
            "The paper shortens the schedule of Lookahead; SGD has the same schedule here.",
        ),
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
    epochs = outcomes[0].arm.settings.epochs
    points = (round(epochs * 50 / 60), epochs)
    kinds = (("top-1", "validation_accuracy"), ("top-5", "validation_top5_accuracy"))
    table = Table(
        title="Validation accuracy before the end and at the end",
        caption=(
            f"Here: mean ± sample standard deviation over {plan.over}, measured "
            "on the slow weights. Paper: Table 2, single crops of ImageNet."
        ),
        stub="Optimizer",
        columns=tuple(
            Column(f"{where} epoch {epoch}, {kind} (%)", better="higher")
            for where, at in (("Here,", points), ("Paper,", (50, 60)))
            for epoch in at
            for kind, _ in kinds
        ),
        rows=tuple(
            Row(
                outcome.arm.title,
                (
                    *(
                        percent(outcome.final(quantity, epoch=epoch))
                        for epoch in points
                        for _, quantity in kinds
                    ),
                    *paper.TABLE_2[outcome.arm.title],
                ),
            )
            for outcome in outcomes
        ),
    )
    sgd, lookahead = outcomes
    quantities = {"validation_accuracy": 100.0, "validation_loss": 1.0, "train_loss": 1.0}
    differences = differences_from(sgd, [lookahead], quantities)
    return Findings(
        summary=(
            "In the paper Lookahead is ahead of SGD at both points but for top-5 at the "
            "end. " + against(differences, "final validation accuracy")
        ),
        tables=(table, differences),
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
