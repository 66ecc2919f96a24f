"""Lemma 1 and Proposition 2: Lookahead around SGD on the noisy quadratic model.

The loss is 1/2 (x - c)'A(x - c) with a new c ~ N(0, Sigma) at each step, equation (0.6). A
and Sigma are diagonal, so that each coordinate goes its own way. A coordinate has

- `curvature`, a, an element of the diagonal of A, which is an eigenvalue;
- `noise`, sigma^2, an element of the diagonal of Sigma: a variance.

SGD's error is multiplied by 1 - gamma a at each step, that of Lookahead's slow weights by 1
- alpha + alpha (1 - gamma a)^k at each synchronization. All variances of Lookahead are
those of phi at synchronizations. Every function broadcasts its arguments against each
other, over coordinates as over grids of hyperparameters, and keeps its accuracy where gamma
a is tiny.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.theory import arguments, powers
from lookahead_ref.theory.arguments import Reals

__all__ = [
    "DivergenceError",
    "check_stable",
    "cycle_contraction",
    "cycle_factor",
    "cycle_noise",
    "is_stable",
    "lookahead_mean",
    "lookahead_variance",
    "lookahead_variance_limit",
    "sgd_mean",
    "sgd_variance",
    "sgd_variance_limit",
    "variance_ratio",
]


class DivergenceError(ArithmeticError):
    """What was asked for is beyond the range of numbers: the iteration diverges."""


def cycle_contraction(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return 1 minus `cycle_factor`: to Lookahead what gamma a is to SGD.

    It is alpha (1 - (1 - gamma a)^k), accurate also where the factor is next to 1.

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    k : array_like of int, default: 1
        The synchronization period.
    alpha : array_like, default: 1.0
        The slow weights' step size.

    Returns
    -------
    ndarray
        What a cycle takes off the mean, as a share; inf where it is beyond the range of
        numbers.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> float(cycle_contraction(1e-20, 1.0, k=5, alpha=0.5))
    2.5e-20
    """
    x = _product(learning_rate, curvature)
    k, alpha = arguments.counts("k", k), arguments.step_size("alpha", alpha)
    return np.asarray(alpha * powers.one_minus_power(x, k))


def cycle_factor(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return what a cycle multiplies the mean by, equation (0.12).

    It is 1 - alpha + alpha (1 - gamma a)^k. With k = 1 and alpha = 1, the defaults, it is
    that of a step of SGD, (0.10).

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    k : array_like of int, default: 1
        The synchronization period.
    alpha : array_like, default: 1.0
        The slow weights' step size.

    Returns
    -------
    ndarray
        The factor.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the factor exceeds the range of numbers.

    Examples
    --------
    >>> float(cycle_factor(0.5, 1.0, k=2, alpha=0.5))
    0.625
    """
    return _finite(
        "cycle_factor", 1.0 - cycle_contraction(learning_rate, curvature, k, alpha)
    )


def is_stable(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> NDArray[np.bool_]:
    """Tell where a cycle contracts: ``|1 - alpha + alpha (1 - gamma a)^k| < 1``.

    For SGD (k = 1, alpha = 1) that is 0 < gamma a < 2, which Proposition 2 assumes. It is
    enough for Lookahead, but with an odd k and alpha < 1 more than is needed.

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    k : array_like of int, default: 1
        The synchronization period.
    alpha : array_like, default: 1.0
        The slow weights' step size.

    Returns
    -------
    ndarray of bool
        Whether it contracts.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> is_stable(2.2, 1.0, k=[1, 4, 5], alpha=[1.0, 0.5, 0.5])
    array([False, False,  True])
    """
    loss = cycle_contraction(learning_rate, curvature, k, alpha)
    return np.asarray((loss > 0.0) & (loss < 2.0))


def check_stable(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike, alpha: ArrayLike
) -> None:
    """Check that a cycle contracts.

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    k : array_like of int
        The synchronization period.
    alpha : array_like
        The slow weights' step size.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the cycle does not contract (`is_stable`).
    """
    arguments.positive("learning_rate", learning_rate)
    arguments.positive("curvature", curvature)
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
    """Return E[x] after steps of SGD, equation (0.10): (1 - gamma a)^steps E[x].

    Parameters
    ----------
    mean : array_like
        E[x] before.
    learning_rate : array_like
        gamma.
    curvature : array_like
        a of each coordinate.
    steps : array_like of int, default: 1
        The number of steps.

    Returns
    -------
    ndarray
        E[x] after.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the result exceeds the range of numbers.
    """
    steps = arguments.counts("steps", steps, 0)
    return lookahead_mean(mean, learning_rate, curvature, 1, 1.0, steps)


def sgd_variance(
    variance: ArrayLike,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    steps: ArrayLike = 1,
) -> Reals:
    """Return V[x] after steps of SGD, equation (0.11).

    One step makes (1 - gamma a)^2 V[x] + gamma^2 a^2 sigma^2 of V[x].

    Parameters
    ----------
    variance : array_like
        V[x] before.
    learning_rate : array_like
        gamma.
    curvature : array_like
        a of each coordinate.
    noise : array_like
        sigma^2 of each coordinate.
    steps : array_like of int, default: 1
        The number of steps.

    Returns
    -------
    ndarray
        V[x] after.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the result exceeds the range of numbers.

    Examples
    --------
    >>> float(sgd_variance(4.0, 0.5, 1.0, 1.0))
    1.25
    """
    steps = arguments.counts("steps", steps, 0)
    return lookahead_variance(variance, learning_rate, curvature, noise, 1, 1.0, steps)


def sgd_variance_limit(
    learning_rate: ArrayLike, curvature: ArrayLike, noise: ArrayLike
) -> Reals:
    """Return the fixed point of SGD's variance, equation (0.8).

    gamma^2 a^2 sigma^2 / (1 - (1 - gamma a)^2) is gamma a sigma^2 / (2 - gamma a).

    Parameters
    ----------
    learning_rate : array_like
        gamma, where 0 < gamma a < 2.
    curvature : array_like
        a of each coordinate.
    noise : array_like
        sigma^2 of each coordinate.

    Returns
    -------
    ndarray
        The variance.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or SGD diverges.

    Examples
    --------
    >>> float(sgd_variance_limit(1.0, 1.0, 3.0))
    3.0
    """
    check_stable(learning_rate, curvature, 1, 1.0)
    x = _product(learning_rate, curvature)
    return np.asarray(arguments.non_negative("noise", noise) * x / (2.0 - x))


def lookahead_mean(
    mean: ArrayLike,
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
    cycles: ArrayLike = 1,
) -> Reals:
    """Return E[phi] after cycles of Lookahead around SGD, equation (0.12).

    Parameters
    ----------
    mean : array_like
        E[phi] before, just after a synchronization.
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    k : array_like of int
        The synchronization period.
    alpha : array_like
        The slow weights' step size.
    cycles : array_like of int, default: 1
        The number of synchronizations.

    Returns
    -------
    ndarray
        E[phi] after.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the result exceeds the range of numbers.

    Examples
    --------
    >>> float(lookahead_mean(8.0, 0.5, 1.0, k=2, alpha=0.5))
    5.0
    """
    mean = arguments.reals("mean", mean)
    loss = cycle_contraction(learning_rate, curvature, k, alpha)
    factor = powers.power(loss, arguments.counts("cycles", cycles, 0))
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite("mean", factor * mean)


def cycle_noise(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike = 1,
    alpha: ArrayLike = 1.0,
) -> Reals:
    """Return the variance that a cycle adds, the last term of equation (0.13).

    It is alpha^2 gamma^2 a^2 sigma^2 sum_{i<k} (1 - gamma a)^{2i}.

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    noise : array_like
        sigma^2 of each coordinate.
    k : array_like of int, default: 1
        The synchronization period.
    alpha : array_like, default: 1.0
        The slow weights' step size.

    Returns
    -------
    ndarray
        The variance that is added.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the result exceeds the range of numbers.
    """
    x = _product(learning_rate, curvature)
    sigma2 = arguments.non_negative("noise", noise)
    k, alpha = arguments.counts("k", k), arguments.step_size("alpha", alpha)
    with np.errstate(over="ignore"):
        return _finite(
            "noise of a cycle", (alpha * x) ** 2 * sigma2 * powers.geometric(x, k)
        )


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

    Parameters
    ----------
    variance : array_like
        V[phi] before, just after a synchronization.
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    noise : array_like
        sigma^2 of each coordinate.
    k : array_like of int
        The synchronization period.
    alpha : array_like
        The slow weights' step size.
    cycles : array_like of int, default: 1
        The number of synchronizations.

    Returns
    -------
    ndarray
        V[phi] after.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    DivergenceError
        If the result exceeds the range of numbers.

    Examples
    --------
    >>> float(lookahead_variance(0.0, 1.0, 1.0, 4.0, k=5, alpha=0.5))
    1.0
    """
    variance = arguments.non_negative("variance", variance)
    added = cycle_noise(learning_rate, curvature, noise, k, alpha)
    loss = cycle_contraction(learning_rate, curvature, k, alpha)
    cycles = arguments.counts("cycles", cycles, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        kept = powers.power(loss, cycles) ** 2 * variance
        return _finite("variance", kept + added * powers.geometric(loss, cycles))


def lookahead_variance_limit(
    learning_rate: ArrayLike,
    curvature: ArrayLike,
    noise: ArrayLike,
    k: ArrayLike,
    alpha: ArrayLike,
) -> Reals:
    """Return the fixed point of the slow weights' variance, equation (0.9).

    It exists wherever the cycle contracts (`is_stable`), also where SGD by itself diverges
    and (0.8) means nothing.

    Parameters
    ----------
    learning_rate : array_like
        gamma, the inner optimizer's.
    curvature : array_like
        a of each coordinate.
    noise : array_like
        sigma^2 of each coordinate.
    k : array_like of int
        The synchronization period.
    alpha : array_like
        The slow weights' step size.

    Returns
    -------
    ndarray
        The variance of phi.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the cycle does not contract.

    Examples
    --------
    >>> float(lookahead_variance_limit(1.0, 1.0, 3.0, k=5, alpha=0.5))
    1.0
    """
    check_stable(learning_rate, curvature, k, alpha)
    loss = cycle_contraction(learning_rate, curvature, k, alpha)
    added = cycle_noise(learning_rate, curvature, noise, k, alpha)
    return np.asarray(added / (loss * (2.0 - loss)))


def variance_ratio(
    learning_rate: ArrayLike, curvature: ArrayLike, k: ArrayLike, alpha: ArrayLike
) -> Reals:
    """Return the fixed point (0.9) over that of SGD, (0.8).

    With q = (1 - gamma a)^k the fraction in (0.9) is alpha (1 + q) / (2 - alpha (1 - q)): a
    common factor alpha (1 - q) of both its parts is cancelled. It is below 1 for alpha < 1,
    because alpha + alpha q < (2 - alpha) + alpha q. For tiny gamma a it is alpha.

    Parameters
    ----------
    learning_rate : array_like
        gamma, where 0 < gamma a < 2.
    curvature : array_like
        a of each coordinate.
    k : array_like of int
        The synchronization period.
    alpha : array_like
        The slow weights' step size.

    Returns
    -------
    ndarray
        The ratio, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or SGD diverges.

    Examples
    --------
    >>> float(variance_ratio(1e-12, 1.0, k=5, alpha=0.5).round(9))
    0.5
    """
    check_stable(learning_rate, curvature, 1, 1.0)
    x = _product(learning_rate, curvature)
    k, alpha = arguments.counts("k", k), arguments.step_size("alpha", alpha)
    one_plus = powers.one_plus_power(x, k)
    return np.asarray(alpha * one_plus / (2.0 - alpha * powers.one_minus_power(x, k)))


def _product(learning_rate: ArrayLike, curvature: ArrayLike) -> Reals:
    """Return gamma a, on which everything depends."""
    return np.asarray(
        arguments.non_negative("learning_rate", learning_rate)
        * arguments.non_negative("curvature", curvature)
    )


def _finite(name: str, values: Reals) -> Reals:
    values = np.asarray(values)
    if not np.all(np.isfinite(values)):
        raise DivergenceError(
            f"the {name} exceeds the range of numbers: the iteration diverges, because "
            "learning_rate lies outside of the stable region"
        )
    return values
