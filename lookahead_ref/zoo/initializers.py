"""Initial weights, by the names that the field gives them.

A weight of shape ``(fan_in, fan_out)`` is drawn independently and identically, with

====================  ============  =====================================
name                  distribution  standard deviation
====================  ============  =====================================
``he_normal``         normal        ``sqrt(2 / fan_in)``
``he_uniform``        uniform       ``sqrt(2 / fan_in)``
``glorot_normal``     normal        ``sqrt(2 / (fan_in + fan_out))``
``glorot_uniform``    uniform       ``sqrt(2 / (fan_in + fan_out))``
====================  ============  =====================================

References
----------
.. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
   feedforward neural networks", AISTATS 2010.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "INITIALIZERS",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
]

Initializer = Callable[[np.random.Generator, tuple[int, int], DTypeLike], NDArray[Any]]


def he_normal(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike
) -> NDArray[Any]:
    """Draw normal weights with variance ``2 / fan_in``: for rectified units [1]_.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        ``(fan_in, fan_out)``.
    dtype : dtype
        Of the result. The numbers are drawn in float64 and rounded once, so that
        float32 and float64 models start at the same point.

    Returns
    -------
    numpy.ndarray
        Of the given shape and dtype.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> weight = he_normal(np.random.default_rng(0), (1000, 50), np.float32)
    >>> weight.dtype, bool(abs(weight.std() - (2 / 1000) ** 0.5) < 1e-3)
    (dtype('float32'), True)
    """
    return _normal(rng, shape, dtype, math.sqrt(2 / shape[0]))


def he_uniform(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike
) -> NDArray[Any]:
    """Draw uniform weights with variance ``2 / fan_in``: see `he_normal`."""
    return _uniform(rng, shape, dtype, math.sqrt(2 / shape[0]))


def glorot_normal(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike
) -> NDArray[Any]:
    """Draw normal weights with variance ``2 / (fan_in + fan_out)``: see `he_normal`."""
    return _normal(rng, shape, dtype, math.sqrt(2 / sum(shape)))


def glorot_uniform(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike
) -> NDArray[Any]:
    """Draw uniform weights with variance ``2 / (fan_in + fan_out)``: see `he_normal`."""
    return _uniform(rng, shape, dtype, math.sqrt(2 / sum(shape)))


def _normal(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike, deviation: float
) -> NDArray[Any]:
    return (deviation * rng.standard_normal(shape)).astype(dtype)


def _uniform(
    rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike, deviation: float
) -> NDArray[Any]:
    limit = math.sqrt(3) * deviation
    return rng.uniform(-limit, limit, shape).astype(dtype)


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
}
"""The initializers by name."""
