"""Lemma 1 and Proposition 2: Lookahead around SGD on the noisy quadratic model.

The loss is 1/2 (x - c)'A(x - c) with a new c ~ N(0, Sigma) at each step, equation (0.6). A
and Sigma are diagonal, so that coordinates are independent. SGD's error is multiplied
by 1 - gamma a at each step, that of Lookahead's slow weights by 1 - alpha + alpha (1 -
gamma a)^k at each synchronization. All variances of Lookahead are those of phi at
synchronizations.

All functions are accurate for tiny gamma a.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.hyperparameters import NON_NEGATIVE, POSITIVE, STEP_SIZE
from lookahead_ref.theory import powers
from lookahead_ref.theory.checks import (
    Counts,
    Reals,
    check_broadcast,
    counts,
    finite,
    product,
    quiet,
    reals,
)
from lookahead_ref.theory.checks import DivergenceError as DivergenceError


def sample_centre(
    generator: np.random.Generator, noise: ArrayLike, shape: tuple[int, ...] = ()
) -> Reals:
    """Draw centres c ~ N(0, Sigma) of the model, (0.6), of shape ``(*shape, n)``."""
    deviation = np.sqrt(reals("noise", noise, NON_NEGATIVE))
    return np.asarray(generator.standard_normal((*shape, *deviation.shape)) * deviation)


@quiet
def sampled_loss(x: ArrayLike, centre: ArrayLike, curvature: ArrayLike) -> Reals:
    """Return the loss for one centre, 1/2 (x - c)'A(x - c), equation (0.6).

    Points, centres and curvature have shape (..., n), the losses shape (...).
    """
    check_broadcast(x=x, centre=centre, curvature=curvature)
    away = reals("x", x) - reals("centre", centre)
    losses = 0.5 * product(reals("curvature", curvature), away**2).sum(-1)
    return finite("loss", losses, "")


@quiet
def sampled_gradient(x: ArrayLike, centre: ArrayLike, curvature: ArrayLike) -> Reals:
    """Return the gradient of `sampled_loss`, A(x - c)."""
    check_broadcast(x=x, centre=centre, curvature=curvature)
    away = reals("x", x) - reals("centre", centre)
    return finite("gradient", product(reals("curvature", curvature), away), "")


@quiet
def expected_loss(
    mean: ArrayLike, variance: ArrayLike, curvature: ArrayLike, noise: ArrayLike
) -> Reals:
    """Return the expected loss of random iterates, equation (0.7).

    It is 1/2 sum_i a_i (E[theta_i]^2 + V[theta_i] + sigma_i^2), over the last dimension.

    Examples
    --------
    >>> float(expected_loss([2.0, 0.0], [0.0, 1.0], [1.0, 2.0], [1.0, 1.0]))
    4.5
    """
    check_broadcast(mean=mean, variance=variance, curvature=curvature, noise=noise)
    mean = reals("mean", mean)
    spread = reals("variance", variance, NON_NEGATIVE)
    sigma2 = reals("noise", noise, NON_NEGATIVE)
    a = reals("curvature", curvature)
    square = mean**2 + spread + sigma2
    return finite("expected loss", 0.5 * product(a, square).sum(-1))


@quiet
def cycle_contraction(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike = 1, alpha: ArrayLike = 1.0
) -> Reals:
    """Return 1 minus `cycle_factor`: Lookahead's counterpart of SGD's gamma a.

    It is alpha (1 - (1 - gamma a)^k), accurate even if the factor is near 1, and inf beyond
    the range of numbers.

    Examples
    --------
    >>> float(cycle_contraction(1e-20, 1.0, k=5, alpha=0.5))
    2.5e-20
    """
    x, k, alpha = _checked(learning_rate, curvature, k, alpha)
    return np.asarray(alpha * powers.one_minus_power(x, k))


def cycle_factor(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike = 1, alpha: ArrayLike = 1.0
) -> Reals:
    """Return the factor by which a cycle multiplies the mean, equation (0.12).

    It is 1 - alpha + alpha (1 - gamma a)^k; by default that of a step of SGD, (0.10).

    Examples
    --------
    >>> float(cycle_factor(0.5, 1.0, k=2, alpha=0.5))
    0.625
    """
    return finite("cycle_factor", factor_power(learning_rate, curvature, k, alpha, 1))


@quiet
def factor_power(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    cycles: ArrayLike,
) -> Reals:
    """Return a power of `cycle_factor`, inf beyond the range of numbers."""
    x, k, alpha = _checked(learning_rate, curvature, k, alpha, cycles=cycles)
    cycles = counts("cycles", cycles, 0)
    near_1 = powers.power(alpha * powers.one_minus_power(x, k), cycles)
    # In 1 minus the factor, a factor near 0 would be lost.
    factor = (1.0 - alpha) + alpha * powers.power(x, k)
    near_0 = np.minimum(np.abs(factor), 1.0) ** cycles
    near_0 = np.where((factor < 0.0) & (cycles % 2 == 1), -near_0, near_0)
    return np.where(np.abs(factor) < 0.5, near_0, near_1)


@quiet
def is_stable(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike = 1, alpha: ArrayLike = 1.0
) -> NDArray[np.bool_]:
    """Return whether a cycle contracts: ``|1 - alpha + alpha (1 - gamma a)^k| < 1``.

    For SGD (k = 1, alpha = 1) that is 0 < gamma a < 2, which Proposition 2 assumes. This is
    sufficient for Lookahead, but not necessary if k is odd and alpha < 1.

    Examples
    --------
    >>> is_stable(2.2, 1.0, k=[1, 4, 5], alpha=[1.0, 0.5, 0.5])
    array([False, False,  True])
    """
    x, k, alpha = _checked(learning_rate, curvature, k, alpha)
    return np.asarray((powers.one_minus_power(x, k) > 0.0) & (_margin(x, k, alpha) > 0.0))


def check_stable(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike, alpha: ArrayLike
) -> None:
    """Raise a `ValueError` if a cycle does not contract (`is_stable`)."""
    reals("learning_rate", learning_rate, POSITIVE)
    reals("curvature", curvature, POSITIVE)
    stable = is_stable(learning_rate, curvature, k, alpha)
    if np.all(stable):
        return
    given = np.broadcast_arrays(stable, learning_rate, curvature, k, alpha)
    gamma, a, period, step = [each[~stable].ravel()[0].item() for each in given[1:]]
    condition = (
        "0 < learning_rate * curvature < 2"
        if (period, step) == (1, 1.0)
        else "|1 - alpha + alpha (1 - learning_rate * curvature)^k| < 1"
    )
    raise ValueError(
        f"learning_rate must be in the stable region, {condition}, got {gamma!r} with "
        f"curvature {a!r}, k = {period!r}, alpha = {step!r}: the variance diverges"
    )


def sgd_mean(
    mean: ArrayLike, learning_rate: ArrayLike, curvature: ArrayLike, steps: ArrayLike = 1
) -> Reals:
    """Return E[x] after steps of SGD, equation (0.10): (1 - gamma a)^steps E[x]."""
    steps = counts("steps", steps, 0)
    return lookahead_mean(mean, learning_rate, curvature, 1, 1.0, steps)


def sgd_variance(
    variance: ArrayLike,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    steps: ArrayLike = 1,
) -> Reals:
    """Return V[x] after steps of SGD, equation (0.11).

    A step is V[x] <- (1 - gamma a)^2 V[x] + gamma^2 a^2 sigma^2.

    Examples
    --------
    >>> float(sgd_variance(4.0, 0.5, 1.0, 1.0))
    1.25
    """
    steps = counts("steps", steps, 0)
    return lookahead_variance(variance, learning_rate, curvature, noise, 1, 1.0, steps)


@quiet
def sgd_variance_limit(
    learning_rate: ArrayLike, curvature: ArrayLike, noise: ArrayLike
) -> Reals:
    """Return the fixed point of SGD's variance, equation (0.8), if it converges.

    gamma^2 a^2 sigma^2 / (1 - (1 - gamma a)^2) is gamma a sigma^2 / (2 - gamma a).

    Examples
    --------
    >>> float(sgd_variance_limit(1.0, 1.0, 3.0))
    3.0
    """
    check_stable(learning_rate, curvature, 1, 1.0)
    x, _, _ = _checked(learning_rate, curvature, noise=noise)
    return finite("variance", reals("noise", noise, NON_NEGATIVE) * x / (2.0 - x))


def lookahead_mean(
    mean: ArrayLike,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    cycles: ArrayLike = 1,
) -> Reals:
    """Return E[phi] after cycles of Lookahead around SGD, equation (0.12).

    Examples
    --------
    >>> float(lookahead_mean(8.0, 0.5, 1.0, k=2, alpha=0.5))
    5.0
    """
    _checked(learning_rate, curvature, k, alpha, mean=mean, cycles=cycles)
    factor = factor_power(learning_rate, curvature, k, alpha, cycles)
    return finite("mean", product(reals("mean", mean), factor))


def cycle_noise(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return the variance that a cycle adds, the last term of equation (0.13).

    It is alpha^2 gamma^2 a^2 sigma^2 sum_{i<k} (1 - gamma a)^{2i}.
    """
    added = added_variance(learning_rate, curvature, noise, k, alpha, 1)
    return finite("noise of a cycle", added)


@quiet
def lookahead_variance(
    variance: ArrayLike,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    cycles: ArrayLike = 1,
) -> Reals:
    """Return V[phi] after cycles of Lookahead around SGD, equation (0.13).

    Examples
    --------
    >>> float(lookahead_variance(0.0, 1.0, 1.0, 4.0, k=5, alpha=0.5))
    1.0
    """
    _checked(learning_rate, curvature, k, alpha, variance=variance, cycles=cycles)
    variance = reals("variance", variance, NON_NEGATIVE)
    added = added_variance(learning_rate, curvature, noise, k, alpha, cycles)
    factor = factor_power(learning_rate, curvature, k, alpha, cycles)
    return finite("variance", product(variance, factor**2) + added)


@quiet
def added_variance(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    cycles: ArrayLike,
) -> Reals:
    """Return `lookahead_variance` from 0, inf beyond the range of numbers."""
    x, k, alpha = _checked(learning_rate, curvature, k, alpha, noise=noise, cycles=cycles)
    sigma2 = reals("noise", noise, NON_NEGATIVE)
    of_cycle = product(sigma2, (alpha * x) ** 2 * powers.geometric(x, k))
    contraction = alpha * powers.one_minus_power(x, k)
    times = powers.geometric(contraction, counts("cycles", cycles, 0))
    # Without noise, or without cycles, none is added, however large the other.
    return np.where(times == 0.0, 0.0, product(of_cycle, times))


@quiet
def lookahead_variance_limit(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
) -> Reals:
    """Return the fixed point of the slow weights' variance, equation (0.9).

    It exists if the cycle contracts (`is_stable`), even if SGD alone diverges, so that
    (0.8) does not exist.

    Examples
    --------
    >>> float(lookahead_variance_limit(1.0, 1.0, 3.0, k=5, alpha=0.5))
    1.0
    """
    check_stable(learning_rate, curvature, k, alpha)
    x, k, alpha = _checked(learning_rate, curvature, k, alpha, noise=noise)
    sigma2 = reals("noise", noise, NON_NEGATIVE)
    # The noise of a cycle over 1 - factor^2, without the common alpha gamma a, whose square
    # would underflow.
    per_step = x / powers.one_minus_power(x, k)
    margin = _margin(x, k, alpha)
    limit = per_step * alpha * x * powers.geometric(x, k) / margin
    return finite("variance", sigma2 * limit)


@quiet
def variance_ratio(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike, alpha: ArrayLike
) -> Reals:
    """Return the fixed point (0.9) over that of SGD, (0.8), if SGD converges.

    It is alpha (1 + q) / (2 - alpha (1 - q)) with q = (1 - gamma a)^k: below 1 for alpha <
    1, and about alpha for tiny gamma a.

    Examples
    --------
    >>> float(variance_ratio(1e-12, 1.0, k=5, alpha=0.5).round(9))
    0.5
    """
    check_stable(learning_rate, curvature, 1, 1.0)
    x, k, alpha = _checked(learning_rate, curvature, k, alpha)
    return np.asarray(alpha * powers.one_plus_power(x, k) / _margin(x, k, alpha))


@quiet
def _checked(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
    **others: ArrayLike,
) -> tuple[Reals, Counts, Reals]:
    """Check arguments, and return gamma a, k and alpha."""
    check_broadcast(
        **others, learning_rate=learning_rate, curvature=curvature, k=k, alpha=alpha
    )
    gamma = reals("learning_rate", learning_rate, NON_NEGATIVE)
    x = np.asarray(gamma * reals("curvature", curvature, NON_NEGATIVE))
    return x, counts("k", k), reals("alpha", alpha, STEP_SIZE)


def _margin(x: Reals, k: Counts, alpha: Reals) -> Reals:
    """Return 1 plus the cycle's factor, accurate even if that is near -1."""
    return np.asarray(2.0 * (1.0 - alpha) + alpha * powers.one_plus_power(x, k))
