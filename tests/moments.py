"""What the theory is checked against: rational arithmetic and the library's optimizers."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import lookahead_ref as la
from lookahead_ref.theory import noisy_quadratic
from lookahead_ref.theory.cycles import InnerState, Kind

KINDS: tuple[Kind, ...] = ("heavy-ball", "nesterov")
STATES: tuple[InnerState, ...] = ("maintain", "reset", "interpolate")

# Moments of Lookahead in rational numbers, from the definition: no formula of the
# library's. The state is (phi, anchor, theta, u): slow weights, the velocity after the last
# synchronization, fast weights, velocity times learning rate. Each step is a linear map of
# it and of the noise.

Vector = list[Fraction]
Matrix = list[Vector]

PHI, ANCHOR, THETA, U = range(4)


def apply(rows: Matrix, mean: Vector, covariance: Matrix) -> tuple[Vector, Matrix]:
    size = range(4)
    half = [
        [sum((rows[i][m] * covariance[m][j] for m in size), Fraction(0)) for j in size]
        for i in size
    ]
    return (
        [sum((rows[i][m] * mean[m] for m in size), Fraction(0)) for i in size],
        [
            [sum((half[i][m] * rows[j][m] for m in size), Fraction(0)) for j in size]
            for i in size
        ],
    )


def identity() -> Matrix:
    return [[Fraction(int(i == j)) for j in range(4)] for i in range(4)]


def inner_step(kind: str, x: Fraction, mu: Fraction) -> tuple[Matrix, Vector]:
    """Return the map of a step, and how -x c, the noise, enters."""
    rows = identity()
    # u <- mu u + (x theta + n)
    rows[U] = [Fraction(0), Fraction(0), x, mu]
    noise = [Fraction(0), Fraction(0), Fraction(0), Fraction(1)]
    # theta <- theta - u, or theta - (x theta + n) - mu u, with the new u
    theta = [Fraction(0), Fraction(0), Fraction(1), Fraction(0)]
    factor = mu if kind == "nesterov" else Fraction(1)
    theta = [t - factor * u for t, u in zip(theta, rows[U], strict=True)]
    enters = -factor * noise[U]
    if kind == "nesterov":
        theta[THETA] -= x
        enters -= 1
    rows[THETA], noise[THETA] = theta, enters
    return rows, noise


def synchronization(alpha: Fraction, inner_state: str) -> Matrix:
    rows = identity()
    rows[PHI] = [1 - alpha, Fraction(0), alpha, Fraction(0)]
    rows[THETA] = rows[PHI]
    if inner_state == "reset":
        rows[U] = [Fraction(0)] * 4
    elif inner_state == "interpolate":
        rows[U] = [Fraction(0), 1 - alpha, Fraction(0), alpha]
    rows[ANCHOR] = rows[U]
    return rows


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
) -> tuple[Vector, Matrix]:
    """Return mean and covariance of the state after cycles, from phi and no velocity."""
    state = [mean, Fraction(0), mean, Fraction(0)]
    spread = [
        [
            variance if i in (PHI, THETA) and j in (PHI, THETA) else Fraction(0)
            for j in range(4)
        ]
        for i in range(4)
    ]
    rows, enters = inner_step(kind, x, mu)
    sync = synchronization(alpha, inner_state)
    for _ in range(cycles):
        for _ in range(k):
            state, spread = apply(rows, state, spread)
            for i in range(4):
                for j in range(4):
                    spread[i][j] += x * x * sigma2 * enters[i] * enters[j]
        state, spread = apply(sync, state, spread)
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


def assert_agree(
    found: Moments, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> None:
    """Check that moments are within `DEVIATIONS` standard errors of what is predicted."""
    of_mean = np.sqrt(variance / found.replicas)
    of_variance = variance * np.sqrt(2.0 / (found.replicas - 1))
    assert np.all(np.abs(found.mean - mean) <= DEVIATIONS * of_mean)
    assert np.all(np.abs(found.variance - variance) <= DEVIATIONS * of_variance)
