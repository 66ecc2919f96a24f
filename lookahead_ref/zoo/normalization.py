"""Batch normalisation, fused with the rectifier and the residual that follow it.

Each channel is shifted and scaled to mean 0 and variance 1 over the batch and all places,
then scaled and shifted by two parameters [1]_. In training the mean and the variance are
functions of the batch, and gradients flow through them. To evaluate, fixed ones take their
place: `Moments` says how those of many batches combine.

References
----------
.. [1] S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by
   Reducing Internal Covariate Shift", ICML 2015.
"""

import math
from typing import Any, NamedTuple

import autograd.numpy as np

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.arrays import check, like
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["Moments", "Normalized", "batch_norm", "fixed_norm"]


class Moments(NamedTuple):
    """How many numbers each channel was seen with, their mean and their variance."""

    size: int
    """Pictures times places."""
    mean: Any
    """Array, shape (channels,)."""
    variance: Any
    """Array, shape (channels,): of the population, divided by `size`."""

    def combine(self, other: "Moments") -> "Moments":
        """Return the moments of both populations taken together, exactly.

        The variance of the whole is the mean variance of the parts, and the variance of
        their means.

        Parameters
        ----------
        other : Moments
            Of other numbers.

        Returns
        -------
        Moments
            Of all.

        Examples
        --------
        >>> x = np.array([[0.0], [1.0], [5.0], [2.0], [7.0]])
        >>> parts = [Moments(len(p), p.mean(0), p.var(0)) for p in (x[:2], x[2:])]
        >>> whole = parts[0].combine(parts[1])
        >>> np.allclose([whole.mean, whole.variance], [x.mean(0), x.var(0)])
        True
        """
        size = self.size + other.size
        share = other.size / size
        distance = other.mean - self.mean
        return Moments(
            size,
            self.mean + share * distance,
            (1 - share) * self.variance
            + share * other.variance
            + share * (1 - share) * distance * distance,
        )


class Normalized(NamedTuple):
    """What batch normalisation made of pictures, and the moments that it used."""

    y: Any
    """Array of the shape of the pictures."""
    moments: Moments
    """Of each channel, over the batch."""


def _batch_norm(
    x: Any, scale: Any, shift: Any, *residual: Any, epsilon: float, rectify: bool
) -> Any:
    count = x.shape[0] * x.shape[1] * x.shape[2]
    axes = (0, 1, 2)
    centred = x - np.sum(x, axis=axes) / count
    variance = np.sum(centred * centred, axis=axes) / count
    y = centred / np.sqrt(variance + epsilon) * scale + shift
    for each in residual:
        y = y + each
    return y * (y > 0) if rectify else y


def _forward(
    wanted: tuple[bool, ...],
    kernels: LayerKernels,
    x: Any,
    scale: Any,
    shift: Any,
    *residual: Any,
    epsilon: float,
    rectify: bool,
) -> tuple[Any, Backward | None, Any, Any]:
    _check(x, scale, shift, *residual)
    mean, variance = kernels.moments(x)
    inverse = 1 / namespace(x).sqrt(variance + epsilon)
    factor = scale * inverse
    added = residual[0] if residual else None
    y = kernels.affine(x, factor, shift - mean * factor, added, rectify=rectify)

    def backward(g: Any) -> tuple[Any, ...]:
        return kernels.normalize_gradient(
            g, y if rectify else None, x, mean, inverse, scale, residual=bool(residual)
        )

    return y, backward if any(wanted) else None, mean, variance


_fused = fused(_batch_norm, _forward)


def batch_norm(
    x: Any,
    scale: Any,
    shift: Any,
    residual: Any = None,
    *,
    epsilon: float = 1e-5,
    rectify: bool = False,
    kernels: LayerKernels = GENERAL,
) -> Normalized:
    """Normalise pictures by the moments of the batch.

    Parameters
    ----------
    x : array, shape (n, height, width, channels)
        The pictures, channels last.
    scale, shift : array, shape (channels,)
        Parameters.
    residual : array of the shape of x, optional
        What is added.
    epsilon : float, default 1e-5
        Added to the variance.
    rectify : bool, default False
        Whether negative results become zero.
    kernels : LayerKernels, optional
        What computes it.

    Returns
    -------
    Normalized
        ``(x - mean) / sqrt(variance + epsilon) * scale + shift + residual``, and the
        moments. Gradients flow through the first alone, there through the moments too.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or dtypes differ.

    Examples
    --------
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> y, moments = batch_norm(x, np.ones(1), np.zeros(1), epsilon=0.0)
    >>> y.ravel(), moments.mean
    (array([-1.,  1.]), array([2.]))
    """
    arrays = (x, scale, shift) if residual is None else (x, scale, shift, residual)
    y, mean, variance = _fused(*arrays, epsilon=epsilon, rectify=rectify, kernels=kernels)
    return Normalized(y, Moments(math.prod(x.shape[:3]), mean, variance))


def fixed_norm(
    x: Any,
    scale: Any,
    shift: Any,
    residual: Any,
    *,
    mean: Any,
    variance: Any,
    epsilon: float,
    rectify: bool,
    kernels: LayerKernels = GENERAL,
) -> Any:
    """Normalise pictures by fixed moments, as to evaluate.

    Parameters
    ----------
    x, scale, shift, epsilon, rectify, kernels
        As `batch_norm` takes them.
    residual : array of the shape of x, or None
        What is added.
    mean, variance : array, shape (channels,)
        The moments.

    Returns
    -------
    array
        Of the shape of x. Not differentiable.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or dtypes differ; moments may be of another dtype.

    Examples
    --------
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> moments = {"mean": np.zeros(1), "variance": np.array([4.0])}
    >>> one, none = np.ones(1), np.zeros(1)
    >>> fixed_norm(x, one, none, None, **moments, epsilon=0.0, rectify=False).ravel()
    array([0.5, 1.5])
    """
    _check(x, scale, shift, *([] if residual is None else [residual]))
    mean, variance = like(scale, mean), like(scale, variance)
    for name, moment in (("mean", mean), ("variance", variance)):
        check(name, moment, scale.shape)
    factor = scale / namespace(x).sqrt(variance + epsilon)
    return kernels.affine(x, factor, shift - mean * factor, residual, rectify=rectify)


def _check(x: Any, scale: Any, shift: Any, *residual: Any) -> None:
    if 0 in x.shape:
        raise ValueError(f"x must hold at least one picture, got shape {x.shape}")
    check("scale", scale, x.shape[3:], x.dtype)
    check("shift", shift, x.shape[3:], x.dtype)
    for each in residual:
        check("residual", each, x.shape, x.dtype)
