"""Rational arithmetic and the library's optimizers, to check the theory against."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import lookahead_ref as la
from lookahead_ref.theory import noisy_quadratic
from lookahead_ref.theory.cycles import InnerStateKind, Kind

KINDS: tuple[Kind, ...] = ("heavy-ball", "nesterov")
STATES: tuple[InnerStateKind, ...] = ("maintain", "reset", "interpolate")

# Moments of Lookahead in rational numbers, from the definition: no formula of the
# library's. The state is (phi, anchor, theta, u): slow weights, the velocity after the last
# synchronization, fast weights, velocity times learning rate. Each step is a linear map of
# it and of the noise: each of these is a row of weights for the old state and the noise.
PHI, ANCHOR, THETA, U, NOISE = np.eye(5, dtype=object)


def exact_moments(
    kind: str,
    x: Fraction,
    mu: Fraction,
    sigma2: Fraction,
    k: int,
    alpha: Fraction,
    inner_state: str,
    cycles: int,
    mean: Fraction,
    variance: Fraction,
) -> tuple[Any, Any]:
    """Return mean and covariance of the state after cycles, from phi and no velocity."""
    gradient = x * THETA + NOISE
    velocity = mu * U + gradient
    moved = gradient + mu * velocity if kind == "nesterov" else velocity
    step = np.array([PHI, ANCHOR, THETA - moved, velocity])
    phi = (1 - alpha) * PHI + alpha * THETA
    after = {"maintain": U, "reset": 0 * U, "interpolate": (1 - alpha) * ANCHOR + alpha * U}
    sync = np.array([phi, after[inner_state], phi, after[inner_state]])
    start = (PHI + THETA)[:4]
    state, spread = mean * start, variance * np.outer(start, start)
    added = x * x * sigma2 * np.outer(step[:, 4], step[:, 4])
    step, sync = step[:, :4], sync[:, :4]
    for _ in range(cycles):
        for _ in range(k):
            state, spread = step @ state, step @ spread @ step.T + added
        state, spread = sync @ state, sync @ spread @ sync.T
    return state, spread


class Moments(NamedTuple):
    """Sample mean and variance over replicas, for each coordinate."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    replicas: int


def simulate(
    optimizer: la.Optimizer,
    curvature: NDArray[np.float64],
    noise: NDArray[np.float64],
    start: NDArray[np.float64],
    steps: int,
    *,
    replicas: int = 20_000,
    seed: int,
) -> Moments:
    """Run independent replicas of the model and measure the evaluation parameters."""
    generator = np.random.default_rng(seed)
    stepper = la.Stepper(optimizer, {"x": np.tile(start, (replicas, 1))})
    for _ in range(steps):
        centre = noisy_quadratic.sample_centre(generator, noise, (replicas,))
        x = stepper.params["x"]
        stepper.step({"x": noisy_quadratic.sampled_gradient(x, centre, curvature)})
    phi = stepper.evaluation_params()["x"]
    return Moments(phi.mean(axis=0), phi.var(axis=0, ddof=1), replicas)


def descend(
    optimizer: la.Optimizer, start: Any, gradient: Callable[[Any], Any], steps: int
) -> Iterator[Any]:
    """The parameters after each of some steps along a gradient."""
    stepper = la.Stepper(optimizer, {"x": np.array(start, float)})
    for _ in range(steps):
        stepper.step({"x": gradient(stepper.params["x"])})
        yield stepper.params["x"].copy()


def growth(optimizer: la.Optimizer, curvature: NDArray[np.float64]) -> float:
    """The factor of an error in a cycle of five steps without noise, in a long run."""
    ones = np.ones_like(curvature)
    points = [*descend(optimizer, ones, lambda x: curvature * x, 5 * 400)]
    sizes = np.abs(points[4::5]).max(axis=1)
    # Complex eigenvalues make it swing: peak against peak.
    return float((sizes[300:].max() / sizes[100:200].max()) ** (1 / 200))


DEVIATIONS = 5.0
"""How far an estimate may be off, in standard errors. The iterates are normal, so a right
value is rejected with a probability of 6e-7; seeds are fixed, so that what passes once
passes always."""


def assert_agree(found: Moments, mean: Any, variance: Any) -> None:
    """Check that moments are within `DEVIATIONS` standard errors of what is predicted."""
    of_mean = np.sqrt(variance / found.replicas)
    of_variance = variance * np.sqrt(2.0 / (found.replicas - 1))
    assert np.all(np.abs(found.mean - mean) <= DEVIATIONS * of_mean)
    assert np.all(np.abs(found.variance - variance) <= DEVIATIONS * of_variance)
