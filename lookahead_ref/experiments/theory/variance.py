"""How much less the slow weights vary than SGD does: equation (0.9) over (0.8)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookahead_ref.report import plots
from lookahead_ref.theory.noisy_quadratic import variance_ratio


def compute(periods: Sequence[int] = (1, 2, 5, 10)) -> dict[str, Any]:
    """Compute the ratio of the fixed points over gamma a, alpha and k."""
    if not periods:
        raise ValueError("k must be given at least once, got none")
    x = np.linspace(0.01, 1.99, 100)
    alpha = np.linspace(0.02, 1.0, 50)
    return {
        "gamma_a": x.tolist(),
        "alpha": alpha.tolist(),
        "ratio": {
            str(k): variance_ratio(x, 1.0, k, alpha[:, None]).round(6).tolist()
            for k in periods
        },
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    ratios = numbers["ratio"]
    columns = min(len(ratios), 4)
    rows = -(-len(ratios) // columns)
    figure, grid = plots.panels(
        rows, columns, width=3.1 * columns + 1.2, height=3.3 * rows + 0.4, sharey=True
    )
    levels = np.linspace(0.0, 1.0, 11)
    for axes in grid.flat[len(ratios) :]:
        axes.set_visible(False)
    for place, (k, ratio) in enumerate(ratios.items()):
        axes = grid.flat[place]
        filled = axes.contourf(
            numbers["gamma_a"], numbers["alpha"], ratio, levels=levels, cmap="viridis"
        )
        lines = axes.contour(
            numbers["gamma_a"],
            numbers["alpha"],
            ratio,
            levels=levels[1:-1:2],
            # White is invisible on the bright end of the map.
            colors=["white"] * 3 + ["black"] * 2,
            linewidths=0.9,
        )
        axes.clabel(lines, fmt="%.1f", fontsize=10)
        plots.label(
            axes,
            x="learning rate × curvature, γa",
            y="step size of the slow weights, α" if place % columns == 0 else "",
            title=f"k = {k}",
        )
        axes.set_xlim(0.0, 2.0)
        axes.set_xticks([0.0, 0.5, 1.0, 1.5, 2.0])
    bar = figure.colorbar(filled, ax=grid, ticks=levels[::2], pad=0.02)
    bar.set_label(
        "variance of the slow weights ÷\nvariance of SGD, in the long run", fontsize=11
    )
    return figure


def summary(numbers: dict[str, Any]) -> str:
    alpha = np.array(numbers["alpha"])
    row = int(np.argmin(np.abs(alpha - 0.5)))
    ranges = ", ".join(
        f"{min(ratio[row]):.2f} to {max(ratio[row]):.2f} for k = {k}"
        for k, ratio in numbers["ratio"].items()
    )
    return f"at alpha = {alpha[row]:g} the slow weights vary {ranges} times as much as SGD"
