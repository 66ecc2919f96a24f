"""Figure 8: training loss with other inner learning rates and another inner momentum."""

from collections.abc import Sequence

from lookahead_ref.experiments.methods import Method
from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.paper.arms import Arm, Outcome, curves
from lookahead_ref.experiments.paper.findings import drawn, gap
from lookahead_ref.experiments.paper.plan import Findings, Plan, Request
from lookahead_ref.report import plots
from lookahead_ref.report.tables import Column, Row, Table

__all__ = ["MOMENTA", "RATES", "TITLE", "find", "plan"]

TITLE = "Figure 8: other learning rates and momentum of the inner optimizer"

RATES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Learning rates, as multiples of that which is otherwise used."""

MOMENTA = (0.8, 0.9, 0.95)
"""Of the inner optimizer."""

_METHODS = (
    Method("heavy-ball", "SGD", "", "plain"),
    Method("lookahead-heavy-ball", "Lookahead", "", "lookahead"),
)


def plan(request: Request) -> Plan:
    """Plan the runs.

    Parameters
    ----------
    request : Request
        What the user asks for.

    Returns
    -------
    Plan
        SGD with momentum, alone and inside Lookahead whose k and alpha stay as they are.
    """
    base = classifiers.base(request)
    rate = base.learning_rate or 0.0
    varied = {
        f"learning rate {factor * rate:g}": {"learning_rate": factor * rate}
        for factor in RATES
    } | {f"momentum {momentum}": {"momentum": momentum} for momentum in MOMENTA}
    arms = tuple(
        Arm(
            f"{method.title}, {family}",
            classifiers.changed(base, optimizer=method.name, **changes),
            family,
            method.role,
        )
        for family, changes in varied.items()
        for method in _METHODS
    )
    return Plan(
        arms=arms,
        seeds=request.seeds or (3 if request.full else 10),
        setting=classifiers.described(base),
        differs=(
            *classifiers.differs(request, "ResNet-18 on CIFAR-10"),
            (
                "The rates and momenta of the figure are not stated in the document; here "
                "they are multiples of the usual rate, and values around the usual "
                "momentum."
            ),
        ),
    )


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    """Make the table of final losses, and the curves.

    Parameters
    ----------
    plan : Plan
        From `plan`.
    outcomes : sequence of Outcome
        Of its arms, SGD and Lookahead by turns.

    Returns
    -------
    Findings
        What came out.
    """
    pairs = list(zip(outcomes[::2], outcomes[1::2], strict=True))
    table = Table(
        title="Training loss at the end, SGD against Lookahead",
        caption=(
            f"Mean ± sample standard deviation over {plan.over}; the last two "
            "columns are differences, Lookahead less SGD, seed by seed. NaN: a run "
            "diverged."
        ),
        stub="Inner optimizer",
        columns=(
            Column("SGD", better="neither", digits=5),
            Column("Lookahead", better="neither", digits=5),
            Column("Difference", better="neither", digits=5, sign="+"),
            Column("Validation accuracy (points)", better="neither", sign="+"),
        ),
        rows=tuple(
            Row(
                sgd.arm.family,
                (
                    sgd.summary("train_loss"),
                    lookahead.summary("train_loss"),
                    gap(lookahead, sgd, "train_loss"),
                    gap(lookahead, sgd, "validation_accuracy", factor=100.0),
                ),
            )
            for sgd, lookahead in pairs
        ),
    )
    lower = [sgd.arm.family for sgd, la in pairs if gap(la, sgd, "train_loss").mean < 0]
    survived = [sgd.arm.family for sgd, la in pairs if sgd.diverged > la.diverged]
    summary = (
        "The paper's figure shows Lookahead training well over a wider range of inner "
        "learning rates and momenta than SGD. Here Lookahead ends with a lower mean "
        f"training loss in {len(lower)} of {len(pairs)} settings"
        + (f" ({'; '.join(lower)})." if lower else ".")
    )
    if survived:
        summary += f" Where SGD diverged and Lookahead did not: {'; '.join(survived)}."
    loss = plots.Panel("training loss", curves(outcomes, "train_loss"), scale="log")
    return Findings(
        summary=summary,
        tables=(table,),
        pictures={
            "curves": (
                (
                    "Training loss; grey: the other settings. Line: mean over seeds; band: "
                    "one sample standard deviation to each side."
                ),
                drawn([loss], x_title="epoch"),
            )
        },
    )
