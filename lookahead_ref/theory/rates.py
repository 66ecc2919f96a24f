"""How fast each optimizer converges on a quadratic without noise.

The error of a cycle of Lookahead is multiplied by a matrix (`lookahead_ref.theory.cycles`);
in the long run it shrinks by the spectral radius of that matrix, and for each gradient
evaluation by its k-th root. The slowest eigenvalue of the loss decides. Rates are those of
phi: the smaller the faster, 1 and above is no convergence. Parameters and
errors are those of `lookahead_ref.theory`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.hyperparameters import BELOW_ONE, NON_NEGATIVE, POSITIVE
from lookahead_ref.theory.checks import Reals, counts, reals
from lookahead_ref.theory.cycles import InnerState, Kind, cycle

__all__ = ["Tuned", "best_possible_rate", "convergence_rate", "tuned_rate"]


@dataclass(frozen=True)
class Tuned:
    """The best learning rate that a search has found."""

    rate: float
    """The rate of convergence for each gradient evaluation."""
    learning_rate: float
    """The learning rate, times the largest curvature."""


def convergence_rate(
    kind: Kind,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    momentum: ArrayLike = 0.0,
    *,
    k: int = 1,
    alpha: float = 1.0,
    inner_state: InnerState = "maintain",
) -> Reals:
    """Return what the error is multiplied by in the long run for each gradient evaluation.

    It is the rate of the slowest of the eigenvalues of the loss, which `curvature`, shape
    (n,), holds; 1 or more if one does not converge. The result has the shape of learning
    rate and momentum together.

    Examples
    --------
    >>> float(convergence_rate("sgd", 1.0, [1.0, 0.25]))
    0.75
    """
    gamma = reals("learning_rate", learning_rate, NON_NEGATIVE)
    a = reals("curvature", curvature, POSITIVE, ndim=1)
    mu = reals("momentum", momentum, BELOW_ONE)
    x = gamma[..., None] * a
    whole = cycle(kind, x, mu[..., None], k=k, alpha=alpha, inner_state=inner_state)
    return np.asarray(whole.rate.max(axis=-1))


def best_possible_rate(condition_number: ArrayLike) -> Reals:
    """Return the rate that no first-order method improves on, whatever the dimension.

    It is (sqrt(kappa) - 1) / (sqrt(kappa) + 1), where kappa is the largest eigenvalue over
    the smallest, >= 1; heavy ball reaches it with its square for momentum.

    References
    ----------
    Y. Nesterov, "Introductory lectures on convex optimization", 2004, theorem 2.1.13.
    """
    root = np.sqrt(_condition(condition_number))
    return np.asarray((root - 1.0) / (root + 1.0))


def tuned_rate(
    kind: Kind,
    condition_number: float,
    momentum: float = 0.0,
    *,
    k: int = 1,
    alpha: float = 1.0,
    inner_state: InnerState = "maintain",
    points: int = 48,
    rounds: int = 8,
) -> Tuned:
    """Find the learning rate with the best rate of convergence for a condition number.

    A grid of learning rates, then finer grids around its best point: `rounds` grids of
    `points` learning rates. Twice as many eigenvalues are spread evenly in logarithm from
    1 / kappa to 1, so that what happens between the ends counts too: Lookahead around
    momentum is often slowest there.

    Examples
    --------
    >>> tuned = tuned_rate("sgd", 9.0)
    >>> round(tuned.rate, 4), round(tuned.learning_rate, 4)
    (0.8, 1.8)
    """
    kappa = float(_condition(condition_number))
    points = int(counts("points", points, 5))
    eigenvalues = np.geomspace(1.0 / kappa, 1.0, 2 * points)
    low, high = np.log(1e-3), np.log(5.0)
    limits = low, high
    best = Tuned(np.inf, np.nan)
    for _ in range(int(counts("rounds", rounds))):
        tried = np.exp(np.linspace(low, high, points))
        rates = convergence_rate(
            kind, tried, eigenvalues, momentum, k=k, alpha=alpha, inner_state=inner_state
        )
        place = int(np.argmin(rates))
        if rates[place] < best.rate:
            best = Tuned(float(rates[place]), float(tried[place]))
        reach = 2.0 * (high - low) / (points - 1)
        low = max(np.log(best.learning_rate) - reach, limits[0])
        high = min(np.log(best.learning_rate) + reach, limits[1])
    return best


def _condition(condition_number: ArrayLike) -> Reals:
    kappa = reals("condition_number", condition_number)
    if not np.all(kappa >= 1.0):
        raise ValueError(f"condition_number must be >= 1, got {kappa.min().item()!r}")
    return kappa
