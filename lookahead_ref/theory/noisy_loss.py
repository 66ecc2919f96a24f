"""The noisy quadratic model, equations (0.6) and (0.7).

The loss is 1/2 (x - c)'A(x - c) with a new c ~ N(0, Sigma) at each step. A and Sigma are
diagonal, so that each coordinate goes its own way. A coordinate has

- `curvature`, a, an element of the diagonal of A, which is an eigenvalue;
- `noise`, sigma^2, an element of the diagonal of Sigma: a variance.
"""

import numpy as np
from numpy.typing import ArrayLike

from lookahead_ref.theory import arguments
from lookahead_ref.theory.arguments import Reals

__all__ = ["expected_loss", "sample_centre", "sampled_gradient", "sampled_loss"]


def sample_centre(
    generator: np.random.Generator, noise: ArrayLike, shape: tuple[int, ...] = ()
) -> Reals:
    """Draw centres c ~ N(0, Sigma) of the model, equation (0.6).

    Parameters
    ----------
    generator : numpy.random.Generator
        Where the randomness comes from.
    noise : array_like, shape (n,)
        sigma^2 of each coordinate.
    shape : tuple of int, default: ()
        How many.

    Returns
    -------
    ndarray, shape ``(*shape, n)``
        The centres.

    Raises
    ------
    TypeError, ValueError
        If `noise` is negative or not finite.
    """
    deviation = np.sqrt(arguments.non_negative("noise", noise))
    return np.asarray(generator.standard_normal((*shape, *deviation.shape)) * deviation)


def sampled_loss(x: ArrayLike, centre: ArrayLike, curvature: ArrayLike) -> Reals:
    """Return the loss for one centre, 1/2 (x - c)'A(x - c), equation (0.6).

    Parameters
    ----------
    x : array_like, shape (..., n)
        The points.
    centre : array_like, shape (..., n)
        The centres c.
    curvature : array_like, shape (n,)
        a of each coordinate.

    Returns
    -------
    ndarray, shape (...)
        The losses.

    Raises
    ------
    TypeError, ValueError
        If an argument does not hold finite numbers.
    """
    away = arguments.reals("x", x) - arguments.reals("centre", centre)
    return np.asarray(0.5 * (arguments.reals("curvature", curvature) * away**2).sum(-1))


def sampled_gradient(x: ArrayLike, centre: ArrayLike, curvature: ArrayLike) -> Reals:
    """Return the gradient of `sampled_loss`, A(x - c).

    Parameters
    ----------
    x : array_like, shape (..., n)
        The points.
    centre : array_like, shape (..., n)
        The centres c.
    curvature : array_like, shape (n,)
        a of each coordinate.

    Returns
    -------
    ndarray, shape (..., n)
        The gradients.

    Raises
    ------
    TypeError, ValueError
        If an argument does not hold finite numbers.
    """
    away = arguments.reals("x", x) - arguments.reals("centre", centre)
    return np.asarray(arguments.reals("curvature", curvature) * away)


def expected_loss(
    mean: ArrayLike, variance: ArrayLike, curvature: ArrayLike, noise: ArrayLike
) -> Reals:
    """Return the expected loss of random iterates, equation (0.7).

    It is 1/2 sum_i a_i (E[theta_i]^2 + V[theta_i] + sigma_i^2).

    Parameters
    ----------
    mean : array_like, shape (..., n)
        E[theta].
    variance : array_like, shape (..., n)
        V[theta], the variance of each coordinate.
    curvature : array_like, shape (n,)
        a of each coordinate.
    noise : array_like, shape (n,)
        sigma^2 of each coordinate.

    Returns
    -------
    ndarray, shape (...)
        The expected loss.

    Raises
    ------
    TypeError, ValueError
        If an argument does not hold finite numbers, or a variance is negative.

    Examples
    --------
    >>> float(expected_loss([2.0, 0.0], [0.0, 1.0], [1.0, 2.0], [1.0, 1.0]))
    4.5
    """
    second = (
        arguments.reals("mean", mean) ** 2
        + arguments.non_negative("variance", variance)
        + arguments.non_negative("noise", noise)
    )
    return np.asarray(0.5 * (arguments.reals("curvature", curvature) * second).sum(-1))
