"""Figure 10: test accuracy after each of 60 fast steps, with marked interpolations."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.paper.walk import BACK, FAST, SLOW, walking
from lookahead_ref.experiments.report import Findings, Picture
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.experiments.statistics import verdicts
from lookahead_ref.experiments.trials import Outcome, Plan
from lookahead_ref.report import plots
from lookahead_ref.report.plots import Theme
from lookahead_ref.report.tables import Column, Row, Table, summarize
from lookahead_ref.stopping import StopRequest

STEPS = 60
"""The number of fast steps shown, the last of the run."""

_EVALUATIONS = STEPS + STEPS // 5 + 1


def plan(request: ReproduceSettings) -> Plan:
    return classifiers.last_steps(
        request,
        "fig10",
        f"The document does not say where in training the {STEPS} steps are; here they are "
        "the last of the run, which has a constant learning rate.",
        measure=measure,
        evaluations=_EVALUATIONS,
        model="resnet32",
    )


def measure(settings: TrainSettings, folder: Path, request: StopRequest) -> dict[str, Any]:
    """Train, and measure the accuracy of theta and phi after each of the last steps."""
    visits = []
    slow = None
    with walking(settings, folder, request, _EVALUATIONS) as walk:
        steps = settings.epochs * walk.steps_per_epoch
        for visit in walk.visits(steps - STEPS + 1, steps):
            if slow is None or visit.synchronized:
                slow = walk.accuracy(visit.phi)
            of_step = {"step": visit.step, "synchronized": visit.synchronized}
            visits.append({**of_step, "theta": walk.accuracy(visit.theta), "phi": slow})
        return {"visits": visits, "seconds": walk.seconds, "error": None}


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    runs = [run["visits"] for run in outcomes[0].runs]
    of = outcomes[0].arm.settings.evaluated
    within = [100 * _mean(_drops(visits)) for visits in runs]
    back = [
        100 * _mean([v["phi"] - v["theta"] for v in visits if v["synchronized"]])
        for visits in runs
    ]
    table = Table(
        title="What an inner loop and its interpolation do to the accuracy",
        caption=(
            f"In points of {of} accuracy, mean over the cycles of {STEPS} steps; "
            f"{plan.shown}. The paper shows a picture and no numbers."
        ),
        stub="Change",
        columns=(Column("Accuracy (points)", better="neither", digits=3, sign="+"),),
        rows=(
            Row("Within the inner loop, first fast step to last", (summarize(within),)),
            Row("By the interpolation", (summarize(back),)),
        ),
    )
    falls, rises = summarize(within), summarize(back)
    lower = verdicts("a lower accuracy", {"the end of the inner loop": falls}, -1, 3)
    higher = verdicts("a higher accuracy", {"the interpolation": rises}, 1, 3)
    summary = (
        "In the paper the inner loop tends to degrade the accuracy and the interpolation "
        f"recovers it. {lower} {higher}"
    )
    picture = Picture(
        f"{of.capitalize()} accuracy of the fast weights after each step, seed 0; at the "
        "end of each cycle, also that of the slow weights.",
        lambda theme: _draw(runs[0], of, theme),
    )
    return Findings(summary, (table,), {"accuracy": picture})


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _drops(visits: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return each whole cycle's change of accuracy from its first to its last step."""
    ends = [place for place, visit in enumerate(visits) if visit["synchronized"]]
    return [
        visits[end]["theta"] - visits[start + 1]["theta"]
        for start, end in itertools.pairwise(ends)
    ]


def _draw(visits: Sequence[Mapping[str, Any]], of: str, theme: Theme) -> "plots.Figure":
    figure, ((axes,),) = plots.panels(1, 1, width=8.0, height=3.6, theme=theme)
    steps = [visit["step"] for visit in visits]
    fast, slow = plots.PALETTE[theme][:2]
    theta = [100 * visit["theta"] for visit in visits]
    axes.plot(steps, theta, color=fast, label="fast weights theta", **FAST)
    ends = [visit for visit in visits if visit["synchronized"]]
    at = [visit["step"] for visit in ends]
    phi = [100 * visit["phi"] for visit in ends]
    for step, before, after in zip(at, (v["theta"] for v in ends), phi, strict=True):
        axes.plot([step] * 2, [100 * before, after], color=slow, linewidth=1.2, **BACK)
    label = "slow weights phi after the interpolation"
    axes.plot(at, phi, color=slow, linestyle="none", label=label, **SLOW)
    plots.label(axes, theme, x="step", y=f"{of} accuracy (%)")
    plots.legend_above(axes, theme, ncols=2)
    note = "One run (n = 1, seed 0). Dotted: the interpolation, at the end of a cycle."
    return plots.noted(figure, note, theme)
