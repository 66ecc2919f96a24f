"""Figure 1: the path of fast and slow weights in a plane, over the accuracy there.

Three points of weight space span the plane: the slow weights before the drawn cycles, the
fast weights at the end of the first cycle, and the slow weights after the last. All other
points of the path are projected onto it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import trees
from lookahead_ref.experiments.paper import classifiers
from lookahead_ref.experiments.paper.walk import BACK, FAST, SLOW, Walk, walking
from lookahead_ref.experiments.report import Findings, Picture
from lookahead_ref.experiments.settings import ReproduceSettings, TrainSettings
from lookahead_ref.experiments.statistics import verdicts
from lookahead_ref.experiments.trials import Outcome, Plan
from lookahead_ref.report import plots
from lookahead_ref.report.plots import Theme
from lookahead_ref.report.tables import Column, Row, Table, summarize
from lookahead_ref.stopping import StopRequest

CYCLES = 4
"""The number of cycles drawn, the last of the run."""

_GRID = 31
_EVALUATIONS = _GRID**2 + CYCLES * (5 + 1) + 1  # of fast and slow weights, k = 5


class Plane:
    """The plane through three points that do not lie on a line."""

    def __init__(
        self,
        origin: NDArray[np.float64],
        first: NDArray[np.float64],
        second: NDArray[np.float64],
    ) -> None:
        self._origin = origin
        spanning = np.stack([first - origin, second - origin], axis=1)
        axes, lengths = np.linalg.qr(spanning)
        if not abs(lengths[1, 1]) > 1e-9 * np.linalg.norm(spanning[:, 1]):
            raise ValueError("origin, first and second must not lie on a line")
        self._axes = (axes * np.sign(np.diag(lengths))).T

    def coordinates(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coordinates of a point's projection onto the plane."""
        return np.asarray(self._axes @ (point - self._origin))

    def distance(self, point: NDArray[np.float64]) -> float:
        """Return the distance of a point from the plane."""
        return float(np.linalg.norm(point - self.point(self.coordinates(point))))

    def point(self, coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the point of weight space at two coordinates."""
        return np.asarray(self._origin + coordinates @ self._axes)


def plan(request: ReproduceSettings) -> Plan:
    return classifiers.last_steps(
        request,
        "fig1",
        "The document does not say which three points span its plane, nor where in "
        f"training its cycles are; here they are the last {CYCLES} of the run.",
        measure=measure,
        evaluations=_EVALUATIONS,
        alpha=0.5,
        model="resnet32",
    )


def measure(settings: TrainSettings, folder: Path, request: StopRequest) -> dict[str, Any]:
    """Train, and measure the accuracy around the last cycles and along their path."""
    with walking(settings, folder, request, _EVALUATIONS) as walk:
        return _mapped(walk, settings.epochs * walk.steps_per_epoch, settings.k)


def _mapped(walk: Walk, steps: int, k: int) -> dict[str, Any]:
    steps = steps // k * k
    first = steps - CYCLES * k
    theta, phi = [], []
    template: Any = None
    for visit in walk.visits(first, steps):
        if visit.step > first:
            theta.append(_flat(visit.theta))
        if visit.synchronized:
            phi.append(_flat(visit.phi))
        template = visit.phi
    plane = Plane(phi[0], theta[k - 1], phi[-1])

    def accuracy(point: NDArray[np.float64]) -> float:
        return walk.accuracy(_unflat(point, template))

    path = np.array([plane.coordinates(point) for point in [*theta, *phi]])
    low, high = path.min(axis=0), path.max(axis=0)
    room = 0.25 * (high - low).max()
    x, y = (np.linspace(low[axis] - room, high[axis] + room, _GRID) for axis in range(2))
    surface = [[accuracy(plane.point(np.array([a, b]))) for a in x] for b in y]
    extent = float(np.linalg.norm(high - low))
    return {
        "theta": [[*plane.coordinates(point), accuracy(point)] for point in theta],
        "phi": [[*plane.coordinates(point), accuracy(point)] for point in phi],
        "x": x.tolist(),
        "y": y.tolist(),
        "accuracy": surface,
        "off_plane": max(plane.distance(point) for point in [*theta, *phi]) / extent,
        "k": k,
        "seconds": walk.seconds,
        "error": None,
    }


def find(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    runs, of = outcomes[0].runs, outcomes[0].arm.settings.evaluated
    fast = [100 * float(np.mean([a for *_, a in run["theta"]])) for run in runs]
    slow = [100 * float(np.mean([a for *_, a in run["phi"]])) for run in runs]
    gain = summarize([s - f for s, f in zip(slow, fast, strict=True)])
    table = Table(
        title=f"Accuracy along the path of the last {CYCLES} cycles",
        caption=(
            f"Mean {of} accuracy of the points of the path, in weight space and not "
            f"projected; {plan.shown}. The paper shows a picture and no numbers."
        ),
        stub="Weights",
        columns=(Column("Accuracy (%)", better="higher", digits=3),),
        rows=(
            Row("Fast weights, after each step", (summarize(fast),)),
            Row("Slow weights, after each synchronization", (summarize(slow),)),
        ),
    )
    best = [100 * max(max(row) for row in run["accuracy"]) for run in runs]
    off = max(run["off_plane"] for run in runs)
    better = "a higher mean accuracy along the path than that of the fast weights"
    summary = (
        "In the paper the fast weights explore around the minimum and the slow weights go "
        "to an area of better accuracy. "
        f"{verdicts(better, {'the slow weights': gain}, 1, 3)} The best of the plane is "
        f"{summarize(best).mean:.2f} %. The path leaves the plane by up to "
        f"{100 * off:.0f} % of its extent."
    )
    picture = Picture(
        f"{of.capitalize()} accuracy in the plane, seed 0, with the path of fast and slow "
        "weights projected onto it.",
        lambda theme: _draw(runs[0], of, theme),
    )
    return Findings(summary, (table,), {"plane": picture})


def _flat(params: Any) -> NDArray[np.float64]:
    leaves = trees.flatten(params).values()
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])


def _unflat(point: NDArray[np.float64], template: Any) -> dict[str, Any]:
    leaves, start = {}, 0
    for path, leaf in trees.flatten(template).items():
        values = point[start : start + leaf.size].reshape(leaf.shape)
        leaves[path] = values.astype(leaf.dtype)
        start += leaf.size
    return trees.unflatten(template, leaves)


def _draw(run: Mapping[str, Any], of: str, theme: Theme) -> "plots.Figure":
    figure, ((axes,),) = plots.panels(1, 1, width=6.8, height=5.4, theme=theme)
    accuracy = 100 * np.array(run["accuracy"])
    levels = plots.round_steps(accuracy.min(), accuracy.max(), 14)
    filled = axes.contourf(run["x"], run["y"], accuracy, levels, cmap="Greys_r", alpha=0.8)
    fast, slow = plots.PALETTE[theme][:2]
    theta, phi = (np.array(run[name])[:, :2] for name in ("theta", "phi"))
    k = run["k"]
    for cycle in range(len(phi) - 1):
        points = np.vstack([phi[cycle], theta[cycle * k : (cycle + 1) * k]])
        label = "fast weights theta" if cycle == 0 else None
        axes.plot(*points.T, color=fast, label=label, **FAST)
        back = np.vstack([points[-1], phi[cycle + 1]])
        axes.plot(*back.T, color=slow, linewidth=1.0, **BACK)
    axes.plot(*phi.T, color=slow, linewidth=2.0, label="slow weights phi", **SLOW)
    axes.set_aspect("equal")
    plots.label(axes, theme, x="first axis of the plane", y="second axis")
    plots.legend_above(axes, theme, ncols=2)
    bar = figure.colorbar(filled, ax=axes, shrink=0.85)
    ink = plots.INK[theme]
    bar.set_label(f"{of} accuracy (%)", fontsize=11, color=ink)
    bar.ax.tick_params(colors=ink, labelsize=10)
    bar.outline.set_edgecolor(ink)
    note = f"One run (n = 1, seed 0), its last {CYCLES} cycles. Dotted: the interpolation."
    return plots.noted(figure, note, theme)
