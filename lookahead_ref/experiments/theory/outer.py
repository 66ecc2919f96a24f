"""The effect of outer optimizers instead of Lookahead's own step, on losses and games."""

from typing import Any

import numpy as np

from lookahead_ref.experiments.theory import COLOURS, DASH_DOTTED, DASHED, INK, note
from lookahead_ref.experiments.theory.horizon import problem
from lookahead_ref.report import plots
from lookahead_ref.theory.cycles import Kind
from lookahead_ref.theory.noisy_quadratic import expected_loss
from lookahead_ref.theory.outer import noisy_gradient
from lookahead_ref.theory.planning import best_outer, least_outer_loss

KINDS: dict[Kind, str] = {
    "sgd": "SGD: Lookahead",
    "heavy-ball": "heavy ball",
    "nesterov": "Nesterov",
}
STEP, ALPHA, MOMENTUM = 0.1, 0.5, 0.5
"""Settings of the game: as in the documentation, and a momentum that is too large."""


def compute(
    k: int = 5, learning_rate: float = 0.5, workers: int = 1, longest: int = 10_000
) -> dict[str, Any]:
    """Find each outer optimizer's best loss by horizon and its stability; play a game."""
    if longest < 2 * k:
        raise ValueError(f"longest must be at least {2 * k} for this k, got {longest}")
    given = problem()
    a = given.curvature
    gradient = noisy_gradient(a, given.noise).after(learning_rate, k).averaged(workers)
    floor = float(expected_loss(0.0, 0.0, a, given.noise))
    # In a single cycle momentum acts like a larger learning rate.
    cycles = np.unique(np.geomspace(2, longest // k, 14).round().astype(int))
    found = {}
    for kind in KINDS:
        best = [
            best_outer(given, gradient, kind, int(n), points=16, rounds=4) for n in cycles
        ]
        found[kind] = {
            "excess_loss": [one.loss - floor for one in best],
            "learning_rate": [one.learning_rate for one in best],
            "momentum": [one.momentum for one in best],
        }
    least = [least_outer_loss(given, gradient, int(n)) - floor for n in cycles]

    mu = np.linspace(0.0, 1.0, 51)
    game = noisy_gradient(1j)
    cycle, played = game.after(STEP, k), np.arange(500 // k + 1)
    factors = {
        "descent and ascent": game.spectral_radius("sgd", STEP) ** k,
        f"Lookahead, α = {ALPHA:g}": cycle.spectral_radius("sgd", ALPHA),
        f"outer heavy ball, momentum {MOMENTUM:g}": cycle.spectral_radius(
            "heavy-ball", ALPHA, MOMENTUM
        ),
    }
    return {
        "k": k,
        "learning_rate": learning_rate,
        "workers": workers,
        "gradient_evaluations": (k * cycles).tolist(),
        "best": found,
        "least_excess_loss": least,
        "momentum": mu.tolist(),
        "largest_contraction": {
            "heavy-ball": (2.0 * (1.0 + mu)).tolist(),
            "nesterov": (2.0 * (1.0 + mu) / (1.0 + 2.0 * mu)).tolist(),
        },
        "game_steps": (k * played).tolist(),
        "game_distance": {
            name: (factor**played).tolist() for name, factor in factors.items()
        },
    }


def draw(numbers: dict[str, Any]) -> "plots.Figure":
    figure, grid = plots.panels(2, 2, width=10.4, height=7.6)
    share, momentum, border, game = grid.flat
    colours = dict(zip(KINDS, COLOURS, strict=False))
    dashes = dict(zip(KINDS, ["solid", DASHED, DASH_DOTTED], strict=True))
    steps, best = numbers["gradient_evaluations"], numbers["best"]
    of_lookahead = np.array(best["sgd"]["excess_loss"])
    for kind, words in KINDS.items():
        style = {"color": colours[kind], "linestyle": dashes[kind], "linewidth": 2.2}
        losses = np.array(best[kind]["excess_loss"]) / of_lookahead
        share.plot(steps, losses, label=words, **style)
        if kind != "sgd":
            momentum.plot(steps, best[kind]["momentum"], label=words, **style)
            limits = numbers["largest_contraction"][kind]
            border.plot(numbers["momentum"], limits, label=words, **style)
    bound = np.array(numbers["least_excess_loss"]) / of_lookahead
    dotted = {"color": INK, "linestyle": (0, (1, 1.5)), "linewidth": 1.8}
    share.plot(steps, bound, label="no outer optimizer is better", **dotted)
    border.plot(0.9, 0.7, "o", color=INK)
    beside: Any = {"xytext": (-8, -4), "textcoords": "offset points", "ha": "right"}
    border.annotate("DiLoCo: 0.7, momentum 0.9", (0.9, 0.7), **beside)
    of_game = zip([COLOURS[3], *COLOURS], [DASH_DOTTED, "solid", DASHED], strict=False)
    for (name, values), (colour, dash) in zip(
        numbers["game_distance"].items(), of_game, strict=True
    ):
        style = {"color": colour, "linestyle": dash, "linewidth": 2.2}
        game.plot(numbers["game_steps"], values, label=name, **style)
    for axes in (share, momentum):
        axes.set_xscale("log")
        plots.label(axes, x="horizon, in gradient evaluations of one worker")
    for axes in grid.flat:
        plots.grid_lines(axes)
        plots.legend_above(axes)
        if axes is game:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0.0)
    plots.label(share, y="excess loss ÷ that of Lookahead")
    plots.label(momentum, y="best outer momentum")
    plots.label(border, x="outer momentum", y="largest stable outer rate × c")
    plots.label(game, x="gradient evaluations", y="distance from the equilibrium")
    workers = "" if numbers["workers"] == 1 else f" on {numbers['workers']} workers"
    note(
        figure,
        f"Around {numbers['k']} steps of SGD{workers}. Above: learning rate "
        f"{numbers['learning_rate']:g}, on the noisy quadratic of theory horizon. "
        f"Below right: min max xy, steps of {STEP:g}.",
    )
    return figure


def summary(numbers: dict[str, Any]) -> str:
    of_lookahead = numbers["best"]["sgd"]["excess_loss"]
    shares = ", ".join(
        f"{KINDS[kind]} {best['excess_loss'][-1] / of_lookahead[-1]:.3f}"
        for kind, best in numbers["best"].items()
        if kind != "sgd"
    )
    game = ", ".join(
        f"{name} {values[-1]:.4g}" for name, values in numbers["game_distance"].items()
    )
    return (
        f"after {numbers['gradient_evaluations'][-1]} gradient evaluations the best "
        f"expected loss, above the noise's own, is that of Lookahead times: {shares}; from "
        f"the equilibrium of a game, 1 at the start, after {numbers['game_steps'][-1]} "
        f"steps: {game}"
    )
