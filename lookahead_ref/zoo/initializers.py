"""Initial weights by their usual names.

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

``orthogonal`` weights have orthonormal rows, or columns if these are fewer [3]_. All are
drawn in float64 and rounded once, so that float32 and float64 models start at the same
point.

.. [1] K. He, X. Zhang, S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015.
.. [2] X. Glorot and Y. Bengio, "Understanding the difficulty of training deep
   feedforward neural networks", AISTATS 2010.
.. [3] A. Saxe, J. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of
   learning in deep linear neural networks", ICLR 2014.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike, NDArray

from lookahead_ref import hyperparameters

Initialization = Literal[
    "uniform",
    "normal",
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "orthogonal",
]

Shape = tuple[int, int]
Initializer = Callable[[Generator, Shape, DTypeLike], NDArray[Any]]


def initializer(name: str, *, scale: float = 1.0) -> Initializer:
    """Find ``draw(rng, shape, dtype)`` by its name, one of those above.

    It draws an array from a NumPy generator. `scale` is that of ``normal`` and ``uniform``;
    the others have their own.

    Examples
    --------
    >>> draw = initializer("he_normal")
    >>> weight = draw(np.random.default_rng(0), (1000, 50), np.float32)
    >>> weight.dtype, bool(abs(weight.std() - (2 / 1000) ** 0.5) < 1e-3)
    (dtype('float32'), True)
    """
    hyperparameters.option("initialization", name, get_args(Initialization))
    if name == "orthogonal":
        return _orthogonal
    rule, _, distribution = name.rpartition("_")

    def draw(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
        deviation = scale
        if rule:
            deviation = math.sqrt(2 / (shape[0] if rule == "he" else sum(shape)))
        if distribution == "normal":
            return (deviation * rng.standard_normal(shape)).astype(dtype)
        limit = math.sqrt(3) * deviation if rule else scale
        return rng.uniform(-limit, limit, shape).astype(dtype)

    return draw


def _orthogonal(rng: Generator, shape: Shape, dtype: DTypeLike) -> NDArray[Any]:
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    # Fix the signs of R's diagonal, which the decomposition chooses, to make Q uniform.
    q *= np.sign(np.diagonal(r))
    return np.ascontiguousarray(q if shape[0] >= shape[1] else q.T, dtype=dtype)
