"""Dropout: units that are left out at random while a model is trained."""

from typing import Any

import numpy as np

from lookahead_ref.zoo.arrays import like
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["dropout"]


def _masked(x: Any, *, mask: Any) -> Any:
    return x * mask


def _forward(_wanted: Any, _kernels: Any, x: Any, *, mask: Any) -> tuple[Any, Backward]:
    return x * mask, lambda g: (g * mask,)


_fused = fused(_masked, _forward)


def dropout(x: Any, rate: float, rng: np.random.Generator) -> Any:
    """Set elements to zero with a probability, and scale up the others to make up for it.

    Parameters
    ----------
    x : array
        The units' values.
    rate : float
        The probability, from 0 to less than 1; at 0 nothing is drawn.
    rng : numpy.random.Generator
        Where the numbers come from, drawn in host memory and in float32 whatever the dtype
        of `x`, so that every backend leaves out the same units.

    Returns
    -------
    array
        Like `x`; its expectation is `x`.

    References
    ----------
    .. [1] N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov,
       "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> dropout(np.ones(6), 0.5, np.random.default_rng(0))
    array([2., 2., 2., 0., 0., 0.])
    """
    if rate == 0:
        return x
    kept = rng.random(x.shape, dtype=np.float32) >= rate
    return _fused(x, mask=like(x, kept / (1 - rate)))
