"""The best expected loss for each horizon: SGD and Lookahead, both tuned."""

import math
from typing import Any

import numpy as np

from lookahead_ref.experiments.theory import COLOURS, DASH_DOTTED, DASHED, note
from lookahead_ref.report import plots
from lookahead_ref.theory.planning import Problem, best_hyperparameters


def problem() -> Problem:
    """Make a noisy quadratic with the spectrum a_i = 1/i and the noise 1 / a_i."""
    # The gradient's covariance is then A itself, as it is for a likelihood near its
    # optimum, where the Hessian is the Fisher information.
    curvature = 1.0 / np.arange(1, 101)
    return Problem(curvature, noise=1.0 / curvature, mean=10.0)


def compute(periods: tuple[int, ...] = (5, 20), longest: int = 10_000) -> dict[str, Any]:
    """Find the best hyperparameters for each horizon, counted in gradient evaluations."""
    if not periods:
        raise ValueError("k must be given at least once, got none")
    unit = math.lcm(*periods)
    if longest < unit:
        raise ValueError(f"longest must be at least {unit} for these k, got {longest}")
    given = problem()
    floor = 0.5 * float(np.sum(np.asarray(given.curvature) * np.asarray(given.noise)))
    # Whole cycles for every k, so that no horizon ends within one.
    horizons = unit * np.unique(np.geomspace(1, longest // unit, 21).round().astype(int))
    found: dict[str, Any] = {}
    for k in (1, *periods):
        best = [best_hyperparameters(given, int(steps), k, points=32) for steps in horizons]
        found["SGD" if k == 1 else f"Lookahead (SGD), k = {k}"] = {
            "k": k,
            "excess_loss": [one.loss - floor for one in best],
            "learning_rate": [one.learning_rate for one in best],
            "alpha": [one.alpha for one in best],
        }
    return {
        "problem": "a_i = 1/i, sigma_i^2 = i, theta_0 = 10, 100 coordinates",
        "gradient_evaluations": horizons.tolist(),
        "best": found,
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    figure, grid = plots.panels(2, 2, width=9.6, height=7.4, sharex=True)
    loss, share, rate, alpha = grid.flat
    steps = numbers["gradient_evaluations"]
    of_sgd = np.array(numbers["best"]["SGD"]["excess_loss"])
    for place, (name, best) in enumerate(numbers["best"].items()):
        style = {
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": [DASHED, "solid", DASH_DOTTED][place % 3],
            "linewidth": 2.2,
            "label": name,
        }
        loss.plot(steps, best["excess_loss"], **style)
        share.plot(steps, np.array(best["excess_loss"]) / of_sgd, **style)
        rate.plot(steps, best["learning_rate"], **style)
        if best["k"] > 1:
            alpha.plot(steps, best["alpha"], **style)
    titles = (
        "expected loss above the noise's own",
        "the same, divided by that of SGD",
        "best learning rate of the inner SGD, γ",
        "best step size of the slow weights, α",
    )
    for axes, title in zip(grid.flat, titles, strict=True):
        plots.label(axes, y=title)
        plots.grid_lines(axes)
        axes.set_xscale("log")
    for axes in grid[-1]:
        plots.label(axes, x="horizon, in gradient evaluations")
    loss.set_yscale("log")
    rate.set_yscale("log")
    share.set_ylim(0.0, 1.1)
    alpha.set_ylim(0.0, 1.05)
    plots.legend_above(loss)
    note(
        figure,
        "Noisy quadratic of 100 coordinates, i = 1 to 100: curvature 1/i, variance of the "
        "noise i, start 10. γ and α are the best for each horizon.",
    )
    return figure


def summary(numbers: dict[str, Any]) -> str:
    best, steps = numbers["best"], numbers["gradient_evaluations"][-1]
    of_sgd = best["SGD"]["excess_loss"][-1]
    shares = ", ".join(
        f"{case['excess_loss'][-1] / of_sgd:.3f} for k = {case['k']}"
        for case in best.values()
        if case["k"] > 1
    )
    return (
        f"after {steps} gradient evaluations the best expected loss of Lookahead, above "
        f"the noise's own, is that of SGD times {shares}"
    )
