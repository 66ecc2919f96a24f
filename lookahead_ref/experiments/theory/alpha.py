"""Proposition 1 in a picture: the line of a cycle, and alpha* on it."""

from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref import hyperparameters
from lookahead_ref.experiments.theory import COLOURS, DASHED, GHOST, INK
from lookahead_ref.report import plots
from lookahead_ref.theory import quadratic
from lookahead_ref.theory.noisy_quadratic import DivergenceError

MATRIX = ((1.0, 0.35), (0.35, 0.25))
LINEAR = (0.4, 0.2)
START = (-1.6, 2.6)
STABLE = 2.0 / float(np.linalg.eigvalsh(np.array(MATRIX))[-1])
FAR = 1e6
"""Largest weight that the picture can show."""


def compute(k: int = 5, learning_rate: float = 1.7, alpha: float = 0.5) -> dict[str, Any]:
    """Run one cycle of SGD on a quadratic of two weights, and compute loss on its line."""
    hyperparameters.positive("learning_rate", learning_rate)
    optimizer = la.Lookahead(la.SGD(learning_rate), k=k, alpha=alpha)
    params: Any = {"theta": np.array(START)}
    state = optimizer.init(params)
    inner, inner_state = optimizer.inner, state.inner
    path = [np.array(START)]
    for _ in range(k):
        grads = {"theta": quadratic.gradient(params["theta"], MATRIX, LINEAR)}
        params, inner_state = inner.step(params, grads, inner_state)
        path.append(np.asarray(params["theta"]))
        if np.abs(path[-1]).max() > FAR:
            raise DivergenceError(
                "the weights diverge: learning_rate must be below "
                f"{STABLE:.4g} to converge, got {learning_rate:g}"
            )
    first, last = path[0], path[-1]
    star = quadratic.optimal_alpha(first, last, MATRIX, LINEAR)

    def loss(step: float) -> float:
        return quadratic.loss(first + step * (last - first), MATRIX, LINEAR)

    reach = 0.2 * max(1.0, star)
    line = np.linspace(min(0.0, star) - reach, max(1.0, star) + reach, 121)
    return {
        "k": k,
        "learning_rate": learning_rate,
        "matrix": MATRIX,
        "linear": LINEAR,
        "optimum": quadratic.optimum(MATRIX, LINEAR).tolist(),
        "theta": [point.tolist() for point in path],
        "alpha_star": star,
        "line_alpha": line.tolist(),
        "line_loss": [loss(float(step)) for step in line],
        "marks": {
            "theta_0": [0.0, loss(0.0)],
            "theta_k": [1.0, loss(1.0)],
            "phi": [alpha, loss(alpha)],
            "star": [star, loss(star)],
        },
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    figure, grid = plots.panels(1, 2, width=10.4, height=5.0, width_ratios=[0.72, 1.0])
    plane, line = grid[0]
    path = np.array(numbers["theta"])
    first, last = path[0], path[-1]
    fast, slow, best, *_ = COLOURS
    marks = {
        "theta_0": ("o", INK, "start of the cycle, θ₀ (α = 0)"),
        "theta_k": ("s", fast, f"after {numbers['k']} inner steps (α = 1)"),
        "phi": ("D", slow, f"slow weights at α = {numbers['marks']['phi'][0]:g}"),
        "star": ("*", best, f"least loss on the line, α* = {numbers['alpha_star']:.2f}"),
    }

    low, high = path.min(axis=0), path.max(axis=0)
    low, high = np.minimum(low, numbers["optimum"]), np.maximum(high, numbers["optimum"])
    room = 0.15 * (high - low).max()
    x, y = (np.linspace(low[i] - room, high[i] + room, 121) for i in range(2))
    points = np.stack(np.meshgrid(x, y), axis=-1) - np.array(numbers["optimum"])
    matrix = np.array(numbers["matrix"])
    above = 0.5 * np.einsum("...i,ij,...j->...", points, matrix, points)
    levels = above.max() * np.linspace(0.02, 1.0, 12) ** 2
    plane.contour(x, y, above, levels=levels, colors=GHOST, linewidths=1.0)
    plane.plot(*path.T, color=fast, linewidth=1.4, marker=".", label="inner steps")
    steps = np.array([[numbers["line_alpha"][0]], [numbers["line_alpha"][-1]]])
    along = (first + steps * (last - first)).T
    dashed = {"color": INK, "linestyle": DASHED}
    plane.plot(*along, linewidth=1.2, label="line through start and end", **dashed)
    plane.plot(*numbers["optimum"], "x", color=INK, markersize=9, label="optimum, θ*")
    plane.set_aspect("equal", adjustable="box")
    plane.set_xlim(x[0], x[-1])
    plane.set_ylim(y[0], y[-1])
    line.plot(numbers["line_alpha"], numbers["line_loss"], linewidth=1.4, **dashed)
    for name, (marker, colour, words) in marks.items():
        step, loss = numbers["marks"][name]
        style = {
            "marker": marker,
            "color": colour,
            "linestyle": "none",
            "markersize": 14 if marker == "*" else 8,
            "markeredgecolor": "white",
            "zorder": 5,
        }
        plane.plot(*(first + step * (last - first)), **style)
        line.plot(step, loss, **style, label=words)
    plots.label(plane, x="first weight", y="second weight")
    plots.label(line, x="step size of the slow weights, α", y="loss")
    plots.grid_lines(line)
    plots.legend_above(plane, ncols=1)
    plots.legend_above(line)
    return figure


def summary(numbers: dict[str, Any]) -> str:
    marks = numbers["marks"]
    losses = ", ".join(
        f"{marks[name][1]:.4g} at alpha = {marks[name][0]:.4g}"
        for name in ("theta_0", "phi", "theta_k")
    )
    return (
        f"alpha* = {numbers['alpha_star']:.4g}, where the loss is {marks['star'][1]:.4g}; "
        f"it is {losses}"
    )
