"""The convergence rate of each optimizer on a quadratic without noise.

A cycle of Lookahead multiplies the error by a matrix (`lookahead_ref.theory.cycles`). In
the long run the error shrinks by its spectral radius per cycle, and by the k-th root per
gradient evaluation. The slowest eigenvalue of the loss decides. Rates are those of phi:
smaller is faster, and 1 or more is no convergence.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.hyperparameters import (
    BELOW_ONE,
    NON_NEGATIVE,
    POSITIVE,
    STEP_SIZE,
    InnerStateKind,
    at_least,
)
from lookahead_ref.theory.checks import Reals, counts, finite, quiet, reals
from lookahead_ref.theory.cycles import Kind, log_rate


@dataclass(frozen=True)
class Tuned:
    """The best learning rate found by a search."""

    rate: float
    """The rate of convergence per gradient evaluation."""
    learning_rate: float
    """The learning rate times the largest curvature."""


@quiet
def convergence_rate(
    kind: Kind,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    momentum: ArrayLike = 0.0,
    *,
    k: int = 1,
    alpha: float = 1.0,
    inner_state: InnerStateKind = "maintain",
) -> Reals:
    """Return the asymptotic factor of the error per gradient evaluation.

    It is that of the slowest eigenvalue of the loss in `curvature`, shape (n,); 1 or more
    if one does not converge. The result has the broadcast shape of learning rate and
    momentum.

    Examples
    --------
    >>> float(convergence_rate("sgd", 1.0, [1.0, 0.25]))
    0.75
    """
    gamma = reals("learning_rate", learning_rate, NON_NEGATIVE)
    a = reals("curvature", curvature, POSITIVE, ndim=1)
    mu = reals("momentum", momentum, BELOW_ONE)
    x = finite("learning_rate times curvature", gamma[..., None] * a, "")
    logs = log_rate(kind, x, mu[..., None], k=k, alpha=alpha, inner_state=inner_state)
    return np.asarray(np.exp(logs.max(axis=-1)))


def best_possible_rate(condition_number: ArrayLike) -> Reals:
    """Return the best rate of all first-order methods, uniformly over dimensions.

    It is (sqrt(kappa) - 1) / (sqrt(kappa) + 1), where kappa is the largest eigenvalue over
    the smallest, >= 1; heavy ball reaches it with its square as momentum. In n dimensions
    the bound holds for the first steps, as conjugate gradients are exact after n (Y.
    Nesterov, "Introductory lectures on convex optimization", 2004, theorem 2.1.13).
    """
    kappa = reals("condition_number", condition_number, at_least(1))
    return np.asarray((kappa - 1.0) / (np.sqrt(kappa) + 1.0) ** 2)


def tuned_rate(
    kind: Kind,
    condition_number: float,
    momentum: float = 0.0,
    *,
    k: int = 1,
    alpha: float = 1.0,
    inner_state: InnerStateKind = "maintain",
) -> Tuned:
    """Find the learning rate with the best rate of convergence for a condition number.

    The eigenvalues may lie anywhere from 1 / kappa to 1, and Lookahead around momentum is
    often slowest, or unstable, in between. So the search uses a dense grid of x = gamma a:
    the best gamma is the end of the interval from gamma / kappa to gamma with the least
    maximum of the spectral radius. With momentum there are up to k tongues of instability;
    each has 64 points up to k = 2,000, and fewer beyond.

    Examples
    --------
    >>> tuned = tuned_rate("sgd", 9.0)
    >>> round(tuned.rate, 4), round(tuned.learning_rate, 4)
    (0.8, 1.8)
    """
    kappa = float(reals("condition_number", condition_number, at_least(1)))
    mu = float(reals("momentum", momentum, BELOW_ONE, ndim=0))
    alpha = float(reals("alpha", alpha, STEP_SIZE, ndim=0))
    k = int(counts("k", k, ndim=0))

    def logs(x: Reals) -> Reals:
        return log_rate(kind, x, mu, k=k, alpha=alpha, inner_state=inner_state)

    # Below `low` the radius falls with x, above `top` every cycle is unstable.
    low, top = 1e-4 * ((1.0 - mu) / k) ** 2, 2.0 * (1.0 + mu) / alpha
    points = 4000 + 64 * min(k, 2000)
    # The tongues of instability are evenly spaced in the angle of the eigenvalues.
    angles = (1.0 + mu) * (1.0 - np.cos(np.linspace(0.0, np.pi, points)[1:]))
    x = np.unique(np.append(np.geomspace(low / kappa, top, points), angles))
    y = logs(x)
    for _ in range(3):
        x, y = _refined(logs, x, y, _turns(y))
    for _ in range(12):
        first, last = _best_stretch(x, y, kappa)
        x, y = _refined(logs, x, y, np.array([first, last]))
    first, last = _best_stretch(x, y, kappa)
    # If a peak in between decides, many are equally good: the middle one is safest.
    gamma = np.sqrt(x[first] * kappa) * np.sqrt(x[last])
    return Tuned(float(np.exp(y[first : last + 1].max())), float(gamma))


def _turns(y: Reals) -> NDArray[np.intp]:
    """Return the local maxima and minima of a sequence, but for rounding."""
    before, after = np.diff(y[:-1]), np.diff(y[1:])
    seen = np.maximum(np.abs(before), np.abs(after)) > 1e-8 * np.abs(y[1:-1])
    return np.flatnonzero(seen & (before * after <= 0.0)) + 1


def _refined(
    logs: Callable[[Reals], Reals], x: Reals, y: Reals, places: NDArray[np.intp]
) -> tuple[Reals, Reals]:
    """Add 16 points on both sides of each place."""
    gaps = np.unique(np.clip(np.append(places - 1, places), 0, len(x) - 2))
    more = np.linspace(x[gaps], x[gaps + 1], 18)[1:-1].ravel()
    x, order = np.unique(np.append(x, more), return_index=True)
    return x, np.append(y, logs(more))[order]


def _best_stretch(x: Reals, y: Reals, kappa: float) -> tuple[int, int]:
    """Return the ends of the interval of ratio >= kappa with the least maximum."""
    levels = np.unique(y)

    def widest(level: float) -> tuple[float, int, int]:
        inside = np.concatenate([[False], y <= level, [False]])
        first, past = np.flatnonzero(np.diff(inside)).reshape(-1, 2).T
        ratios = x[past - 1] / x[first]
        best = int(np.argmax(ratios))
        return float(ratios[best]), int(first[best]), int(past[best]) - 1

    place = bisect_left(levels, kappa, key=lambda level: widest(level)[0])
    return widest(levels[place])[1:]
