"""Table 2: top-1 and top-5 accuracy on ImageNet at two points of a shortened schedule.

The paper divides the learning rate by ten after epochs 30, 48 and 58 of 60 and reports
epochs 50 and 60; other numbers of epochs are divided in proportion.
"""

from collections.abc import Sequence

from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.paper.classifiers import changed, stated
from lookahead_ref.experiments.report import Findings
from lookahead_ref.experiments.settings import ReproduceSettings
from lookahead_ref.experiments.statistics import ACCURACY_AND_LOSSES, against, evaluated
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import Column, Table

PAPER = stated("table2")


def plan(request: ReproduceSettings) -> Plan:
    base = classifiers.base(
        request,
        model="resnet50",
        validation=None,
        learning_rate=0.1,
        weight_decay=1e-4,
        epochs=60,
        batch_size=256,
    )
    sgd = changed(base, schedule="shortened", alpha=0.5)
    lookahead = changed(sgd, optimizer="lookahead-heavy-ball", alpha=0.5)
    return classifiers.plan(
        request,
        (Arm("SGD", sgd, "SGD", "plain"), Arm("Lookahead", lookahead, "SGD", "lookahead")),
        "table2",
        "The paper shortens the schedule of Lookahead; SGD has the same schedule here.",
        seeds=(1, 10),
        found="usual for ImageNet, not tuned" if request.full else "",
    )


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    *measured, end = outcomes[0].measured[1:]
    early = [epoch for epoch in measured if epoch <= end * 50 / 60]
    points = (*early[-1:], end)
    kinds = {"top-1": "validation_accuracy", "top-5": "validation_top5_accuracy"}
    table = Table(
        title=f"{evaluated(outcomes)} accuracy before the end and at the end",
        caption=(
            f"Here: {plan.shown}, measured "
            "on the slow weights. Paper: Table 2, single crops of ImageNet."
        ),
        stub="Optimizer",
        columns=tuple(
            Column(f"{where} epoch {epoch}, {kind} (%)", better="higher")
            for where, at in (("Here,", points), ("Paper,", (50, 60)))
            for epoch in at
            for kind in kinds
        ),
        rows=classifiers.rows(
            outcomes,
            [(quantity, epoch) for epoch in points for quantity in kinds.values()],
            PAPER,
        ),
    )
    said = "In the paper Lookahead is ahead of SGD at both points, except top-5 at the end."
    if len(points) == 1:
        said += " Here, the earlier point is the end: a run of so few epochs has one."
    quantities = {**ACCURACY_AND_LOSSES, "validation_top5_accuracy": 2}
    differences = classifiers.from_first(outcomes, points, quantities)
    if len(points) > 1:
        near = f"{outcomes[0].arm.settings.evaluated} top-5 accuracy"
        said += f" {against(differences[0], near)}"
    return classifiers.compared(outcomes, table, said, differences, "{} accuracy")
