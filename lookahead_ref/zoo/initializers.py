"""Initial weights, by the names that the field gives them.

A weight of shape ``(fan_in, fan_out)`` is drawn independently and identically, with

====================  ============  =====================================
name                  distribution  standard deviation
====================  ============  =====================================
``he_normal``         normal        ``sqrt(2 / fan_in)`` [1]_
``he_uniform``        uniform       ``sqrt(2 / fan_in)``
``glorot_normal``     normal        ``sqrt(2 / (fan_in + fan_out))`` [2]_
``glorot_uniform``    uniform       ``sqrt(2 / (fan_in + fan_out))``
``normal``            normal        `scale`
``uniform``           uniform       ``scale / sqrt(3)``: within ±`scale`
====================  ============  =====================================

``orthogonal`` weights are drawn together: their rows, or their columns where these are
fewer, are orthonormal [3]_. All are drawn in float64 and rounded once, so that float32 and
float64 models start at the same point.

References
----------
.. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
   feedforward neural networks", AISTATS 2010.
.. [3] A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of
   learning in deep linear neural networks", ICLR 2014.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

__all__ = [
    "INITIALIZERS",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "initializer",
    "normal",
    "orthogonal",
    "uniform",
]

Shape = tuple[int, int]
Initializer = Callable[[Generator, Shape, DTypeLike], NDArray[Any]]


def normal(rng: Generator, shape: Shape, dtype: DTypeLike, *, scale: float) -> NDArray[Any]:
    """Draw normal weights with the standard deviation `scale`.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    shape : tuple of int
        ``(fan_in, fan_out)``.
    dtype : dtype
        Of the result.
    scale : float
        The standard deviation.

    Returns
    -------
    numpy.ndarray
        Of the given shape and dtype.
    """
    return (scale * rng.standard_normal(shape)).astype(dtype)


def uniform(
    rng: Generator, shape: Shape, dtype: DTypeLike, *, scale: float
) -> NDArray[Any]:
    """Draw weights evenly from ``-scale`` to ``scale``: see `normal`."""
    return rng.uniform(-scale, scale, shape).astype(dtype)


def he_normal(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """Draw normal weights with variance ``2 / fan_in``, for rectified units: see `normal`.

    Examples
    --------
    >>> weight = he_normal(np.random.default_rng(0), (1000, 50), np.float32)
    >>> weight.dtype, bool(abs(weight.std() - (2 / 1000) ** 0.5) < 1e-3)
    (dtype('float32'), True)
    """
    return normal(rng, shape, dtype, scale=math.sqrt(2 / shape[0]))


def he_uniform(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """Draw uniform weights with variance ``2 / fan_in``: see `normal`."""
    return uniform(rng, shape, dtype, scale=math.sqrt(3) * math.sqrt(2 / shape[0]))


def glorot_normal(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """Draw normal weights with variance ``2 / (fan_in + fan_out)``: see `normal`."""
    return normal(rng, shape, dtype, scale=math.sqrt(2 / sum(shape)))


def glorot_uniform(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """Draw uniform weights with variance ``2 / (fan_in + fan_out)``: see `normal`."""
    return uniform(rng, shape, dtype, scale=math.sqrt(3) * math.sqrt(2 / sum(shape)))


def orthogonal(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    """Draw evenly from all matrices with orthonormal rows, or columns if these are fewer.

    Examples
    --------
    >>> weight = orthogonal(np.random.default_rng(0), (3, 5), np.float64)
    >>> bool(np.allclose(weight @ weight.T, np.eye(3)))
    True
    """
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    # The signs of R's diagonal are the decomposition's choice: without it Q is uniform.
    q *= np.sign(np.diagonal(r))
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T, dtype=dtype)


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "orthogonal": orthogonal,
}
"""The initializers by name that need nothing but the shape."""


def initializer(name: str, *, scale: float) -> Initializer:
    """Find an initializer by its name.

    Parameters
    ----------
    name : str
        One of the module's; others are a ValueError.
    scale : float
        For ``normal`` and ``uniform``; the others have their own.

    Returns
    -------
    callable
        ``draw(rng, shape, dtype)``.

    Examples
    --------
    >>> draw = initializer("uniform", scale=0.1)
    >>> bool((abs(draw(np.random.default_rng(0), (20, 5), np.float32)) < 0.1).all())
    True
    """
    scaled = {"normal": normal, "uniform": uniform}
    if name in scaled:
        return partial(scaled[name], scale=scale)
    if name not in INITIALIZERS:
        known = ", ".join(repr(each) for each in (*INITIALIZERS, *scaled))
        raise ValueError(f"initialization must be one of {known}, got {name!r}")
    return INITIALIZERS[name]
