"""How fast each optimizer converges without noise, by the condition number."""

import math
from typing import Any

import numpy as np

from lookahead_ref.experiments.theory import (
    COLOURS,
    DASH_DOTTED,
    DASHED,
    DOTTED,
    GHOST,
    INK,
    STATES,
    note,
)
from lookahead_ref.report import plots
from lookahead_ref.theory.cycles import Kind
from lookahead_ref.theory.rates import best_possible_rate, tuned_rate

TITLES: dict[Kind, str] = {"sgd": "SGD", "heavy-ball": "Heavy ball", "nesterov": "Nesterov"}


def compute(
    momentum: float = 0.9, k: int = 5, alpha: float = 0.5, points: int = 17
) -> dict[str, Any]:
    """Tune the learning rate of every optimizer for each condition number."""
    conditions = np.geomspace(2.0, 1e5, points)
    found: dict[str, Any] = {}
    for kind, title in TITLES.items():
        mu = 0.0 if kind == "sgd" else momentum
        cases: dict[str, dict[str, Any]] = {f"{title} alone": {}}
        # Without a velocity, maintain and reset are the same.
        for state in list(STATES)[:1] if kind == "sgd" else STATES:
            name = "Lookahead" if kind == "sgd" else f"Lookahead, velocity {STATES[state]}"
            cases[name] = {"k": k, "alpha": alpha, "inner_state": state}
        found[title] = {}
        for name, options in cases.items():
            tuned = [tuned_rate(kind, float(kappa), mu, **options) for kappa in conditions]
            found[title][name] = {
                "rate": [one.rate for one in tuned],
                "learning_rate": [one.learning_rate for one in tuned],
            }
    return {
        "momentum": momentum,
        "k": k,
        "alpha": alpha,
        "condition_number": conditions.tolist(),
        "best_possible_rate": best_possible_rate(conditions).tolist(),
        "optimizers": found,
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    figure, grid = plots.panels(1, 3, width=12.6, height=5.0, sharey=True)
    conditions = numbers["condition_number"]
    # A line style for each state, as colour alone is not enough.
    styles = [(INK, DASHED), *zip(COLOURS, ["solid", DOTTED, DASH_DOTTED], strict=False)]
    for axes, (title, cases) in zip(grid.flat, numbers["optimizers"].items(), strict=True):
        best, label = _steps(numbers["best_possible_rate"]), "best possible, first order"
        axes.plot(conditions, best, color=GHOST, linewidth=4.0, label=label)
        for (name, case), (colour, dashes) in zip(cases.items(), styles, strict=False):
            style: Any = {"color": colour, "linestyle": dashes, "linewidth": 2.0}
            axes.plot(conditions, _steps(case["rate"]), label=name, **style)
        momentum = "" if title == "SGD" else f", momentum {numbers['momentum']:g}"
        plots.label(axes, x="condition number")
        plots.grid_lines(axes)
        axes.set_xscale("log")
        axes.set_yscale("log")
        plots.legend_above(axes, title=f"{title}{momentum}", alignment="left")
    plots.label(
        grid[0, 0], y="gradient evaluations for each\ntenfold reduction of the error"
    )
    note(
        figure,
        f"Lookahead with k = {numbers['k']}, α = {numbers['alpha']:g}. "
        "All learning rates are the best for each condition number.",
    )
    return figure


def summary(numbers: dict[str, Any]) -> str:
    condition = numbers["condition_number"][-1]
    inner = [
        ", ".join(f"{name} {_steps(case['rate'])[-1]:.3g}" for name, case in cases.items())
        for cases in numbers["optimizers"].values()
    ]
    return (
        "gradient evaluations for each tenfold reduction of the error at a condition "
        f"number of {condition:g}: {'; '.join(inner)}"
    )


def _steps(rates: list[float]) -> list[float]:
    """Turn rates into steps per tenfold reduction; NaN for a rate of 1 or more."""
    return [math.log(0.1) / math.log(rate) if rate < 1.0 else math.nan for rate in rates]
