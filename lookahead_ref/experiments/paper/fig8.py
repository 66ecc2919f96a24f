"""Figure 8: training loss with other inner learning rates and momenta."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.report import Findings, drawn, training_panel
from lookahead_ref.experiments.settings import ReproduceSettings
from lookahead_ref.experiments.statistics import (
    LOSSES,
    losses_table,
    training_loss,
    verdicts,
)
from lookahead_ref.experiments.trials import Arm, Outcome, Plan
from lookahead_ref.report.tables import summarize
from lookahead_ref.report.words import several

RATES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Learning rates, as multiples of the usual one."""

MOMENTA = (0.8, 0.9, 0.95)
"""Momenta of the inner optimizer."""


def plan(request: ReproduceSettings) -> Plan:
    base = classifiers.base(request)
    rates = [factor * (base.learning_rate or 0.0) for factor in RATES]
    varied: dict[str, dict[str, Any]] = {
        **{f"learning rate {rate:g}": {"learning_rate": rate} for rate in rates},
        **{f"momentum {momentum}": {"momentum": momentum} for momentum in MOMENTA},
    }
    arms = []
    for family, changes in varied.items():
        sgd = classifiers.changed(base, **changes)
        lookahead = classifiers.changed(sgd, optimizer="lookahead-heavy-ball")
        arms.append(Arm(f"SGD, {family}", sgd, family, "plain"))
        arms.append(Arm(f"Lookahead, {family}", lookahead, family, "lookahead"))
    return classifiers.plan(
        request,
        arms,
        "fig8",
        "The rates and momenta of the figure are not stated in the document; here they are "
        "multiples of the usual rate, and values around the usual momentum.",
        found=f"multiples of {base.learning_rate:g}, {classifiers.FOUND[request.size]}",
    )


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    pairs = {
        sgd.arm.family: (sgd, lookahead)
        for sgd, lookahead in zip(outcomes[::2], outcomes[1::2], strict=True)
    }
    loss = LOSSES[training_loss(outcomes)]
    table = losses_table(
        pairs,
        ("SGD", "Lookahead"),
        title=f"{loss.capitalize()} at the end, SGD against Lookahead",
        caption=plan.shown.capitalize(),
        stub="Inner optimizer",
    )
    said = (
        "The paper's figure shows Lookahead training well over a wider range of inner "
        "learning rates and momenta than SGD. "
    )
    said += _breadth(outcomes, training_loss(outcomes))
    gains = {row.name: row.cells[2] for row in table.rows}
    said += " " + verdicts(f"a lower {loss} with Lookahead at the end", gains, -1, 5)
    picture = drawn([training_panel(outcomes)], f"The {loss}, logarithmic.")
    return Findings(said, (table,), {"curves": picture})


def _breadth(outcomes: Sequence[Outcome], loss: str) -> str:
    """Say whether more settings train well with Lookahead, which diverged runs do not."""
    # The usual learning rate and the usual momentum are one setting.
    each = {outcome.arm.settings: outcome for outcome in outcomes}.values()
    ends = np.array([outcome.final(loss) for outcome in each])
    ends = ends[:, np.isfinite(ends).any(axis=0)]
    inside = [[outcome.arm.role == "lookahead"] for outcome in each]
    good = ends <= 2 * np.nanmin(ends, axis=0)
    gain = summarize(np.where(inside, good, -1 * good).sum(axis=0).tolist())
    of = several(len(ends) // 2, "setting")
    effect = f"a {LOSSES[loss]} of at most twice the lowest in more of the {of} than SGD"
    return verdicts(effect, {"Lookahead": gain}, 1, 2)
