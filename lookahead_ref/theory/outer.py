"""Outer steps of the whole family around SGD, on the noisy quadratic.

Lookahead, SlowMo, SNOO and DiLoCo give the pseudo-gradient phi - theta to an optimizer of
phi. After k steps of SGD it is c phi - xi, with c = 1 - (1 - gamma a)^k and xi of the
variance `noisy_quadratic.cycle_noise`: a noisy gradient of curvature c. So the outer
optimizer optimizes a noisy quadratic, at synchronizations, and so does one around it.
Proofs are in `docs/theory.md`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.hyperparameters import NON_NEGATIVE
from lookahead_ref.theory import powers
from lookahead_ref.theory.checks import (
    Counts,
    Numbers,
    Reals,
    check_broadcast,
    counts,
    finite,
    numbers,
    product,
    quiet,
    reals,
)
from lookahead_ref.theory.cycles import Cycle, Kind, outer_cycle, step_matrix


@dataclass(frozen=True, eq=False)
class PseudoGradient:
    """A noisy gradient, or phi - theta, for the optimizer around it.

    Made by `noisy_gradient`. All fields have the shape of the grid.
    """

    curvature: Numbers
    """The factor of the weight's distance from the optimum."""
    noise: Reals
    """The variance of the noise."""
    k: Counts
    """Its number of gradient evaluations; those of parallel workers count once."""

    @quiet
    def after(self, learning_rate: ArrayLike, k: ArrayLike = 1) -> "PseudoGradient":
        """Return phi - theta after k steps of SGD along this gradient.

        If this is a pseudo-gradient, each step is a cycle of Lookahead with the learning
        rate as alpha. So Lookahead can be nested to any depth.
        """
        check_broadcast(learning_rate=learning_rate, k=k, curvature=self.curvature.real)
        rate, k = reals("learning_rate", learning_rate, NON_NEGATIVE), counts("k", k)
        x = rate * self.curvature
        moved = powers.one_minus_power(x, k)
        noise = product(self.noise, rate**2 * powers.geometric(x, k))
        finite("curvature of the pseudo-gradient", np.abs(moved))
        return PseudoGradient(moved, finite("noise of a cycle", noise), self.k * k)

    def averaged(self, workers: ArrayLike) -> "PseudoGradient":
        """Return the mean over workers, which divides the noise by their number."""
        noise = self.noise / counts("workers", workers)
        return PseudoGradient(self.curvature, noise, self.k)

    @quiet
    def outer(
        self, kind: Kind, learning_rate: ArrayLike, momentum: ArrayLike = 0.0
    ) -> Cycle:
        """Return the step of an optimizer of phi on (phi, learning_rate * velocity).

        All arguments are the outer optimizer's; its learning rate may exceed 1. SGD is
        Lookahead, with the learning rate as alpha.
        """
        rate = reals("learning_rate", learning_rate, NON_NEGATIVE)
        check_broadcast(learning_rate=rate, curvature=self.curvature, momentum=momentum)
        contraction = finite("contraction", rate * self.curvature)
        noise = finite("noise of a cycle", rate**2 * self.noise)
        return outer_cycle(kind, contraction, momentum, noise=noise, k=self.k)

    def spectral_radius(
        self, kind: Kind, learning_rate: ArrayLike, momentum: ArrayLike = 0.0
    ) -> Reals:
        """Return the asymptotic factor of the error per step, in games too."""
        rate = reals("learning_rate", learning_rate, NON_NEGATIVE)
        curvature = self.curvature
        check_broadcast(learning_rate=rate, curvature=curvature.real, momentum=momentum)
        matrix = step_matrix(kind, rate * curvature, momentum)
        return np.asarray(np.abs(np.linalg.eigvals(matrix)).max(axis=-1))


def noisy_gradient(curvature: ArrayLike, noise: ArrayLike = 0.0) -> PseudoGradient:
    """Return the gradient of the noisy quadratic, (0.6), or of a game.

    `curvature` is a for each coordinate. In a game it may be complex: an eigenvalue of the
    Jacobian of the players' gradients, each of one's own loss by one's own weights. `noise`
    is sigma^2, the variance of the centres.

    Examples
    --------
    Nesterov around 5 steps of SGD on 4 workers, as in DiLoCo, and the variance of phi in
    the long run:

    >>> mean = noisy_gradient(1.0, noise=1.0).after(0.1, k=5).averaged(workers=4)
    >>> outer = mean.outer("nesterov", learning_rate=0.7, momentum=0.9)
    >>> float(outer.covariance_limit()[0, 0].round(4))
    0.0358
    """
    a, sigma2 = numbers("curvature", curvature), reals("noise", noise, NON_NEGATIVE)
    check_broadcast(curvature=a.real, noise=sigma2)
    return PseudoGradient(a, np.abs(a) ** 2 * sigma2, np.ones((), dtype=np.int64))
