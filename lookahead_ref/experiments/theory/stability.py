"""Where Lookahead makes a stable heavy ball unstable, and where it does not."""

from typing import Any

import numpy as np

from lookahead_ref.experiments.theory import COLOURS, GHOST, INK, STATES
from lookahead_ref.extras import require
from lookahead_ref.report import plots
from lookahead_ref.theory.cycles import cycle


def compute(k: int = 5, alpha: float = 0.5) -> dict[str, Any]:
    """Compute the spectral radius of a cycle over gamma a and the momentum."""
    x = np.linspace(0.02, 4.0, 200)
    momentum = np.linspace(0.0, 0.99, 67)
    mu = momentum[:, None]
    example: dict[str, Any] = {"gamma_a": 2.62, "momentum": 0.9}
    around = {}
    for state in STATES:
        whole = cycle("heavy-ball", x, mu, k=k, alpha=alpha, inner_state=state)
        around[state] = whole.spectral_radius.round(6).tolist()
        one = cycle("heavy-ball", 2.62, 0.9, k=k, alpha=alpha, inner_state=state)
        example[state] = float(one.spectral_radius)
    return {
        "k": k,
        "alpha": alpha,
        "gamma_a": x.tolist(),
        "momentum": momentum.tolist(),
        "heavy_ball": cycle("heavy-ball", x, mu).spectral_radius.round(6).tolist(),
        "cycle": around,
        "example": example,
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    figure, grid = plots.panels(1, 3, width=12.6, height=4.4, sharey=True)
    colours = require("matplotlib.colors", "experiments", purpose="draw pictures")
    patches = require("matplotlib.patches", "experiments", purpose="draw pictures")
    alone = np.array(numbers["heavy_ball"]) < 1.0
    gained, lost, *_ = COLOURS
    kinds = (
        (GHOST, "stable, alone and in Lookahead"),
        (lost, "stable alone, unstable in Lookahead"),
        (gained, "unstable alone, stable in Lookahead"),
        ("white", "unstable, alone and in Lookahead"),
    )
    for axes, (state, radius) in zip(grid.flat, numbers["cycle"].items(), strict=True):
        around = np.array(radius) < 1.0
        which = np.select([alone & around, alone & ~around, ~alone & around], [0, 1, 2], 3)
        axes.pcolormesh(
            numbers["gamma_a"],
            numbers["momentum"],
            which,
            cmap=colours.ListedColormap([colour for colour, _ in kinds]),
            vmin=-0.5,
            vmax=3.5,
            rasterized=True,
        )
        example = numbers["example"]
        axes.plot(example["gamma_a"], example["momentum"], "o", color=INK)
        axes.annotate(
            f"error × {example[state]:.3f}\nin a cycle",
            (example["gamma_a"], example["momentum"]),
            xytext=(-8, -6),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=10.5,
            color=INK,
        )
        velocity = f"velocity {STATES[state]}"
        plots.label(axes, x="learning rate × curvature, γa", title=velocity)
    plots.label(grid[0, 0], y="momentum of the heavy ball")
    figure.legend(
        handles=[
            patches.Patch(facecolor=colour, edgecolor=INK, linewidth=0.6, label=words)
            for colour, words in kinds
        ],
        title=(
            f"Lookahead around a heavy ball, k = {numbers['k']}, α = {numbers['alpha']:g}"
        ),
        loc="outside upper left",
        ncols=2,
        frameon=False,
        fontsize=10.5,
        title_fontsize=11.5,
        alignment="left",
        labelcolor=INK,
    )
    return figure


def summary(numbers: dict[str, Any]) -> str:
    alone = np.array(numbers["heavy_ball"]) < 1.0
    shares = ", ".join(
        f"{100.0 * np.mean(np.array(radius)[alone] >= 1.0):.1f} % {STATES[state]}"
        for state, radius in numbers["cycle"].items()
    )
    return f"of the points where a heavy ball is stable, unstable in Lookahead: {shares}"
