"""The layers of networks for pictures: convolution, batch normalisation, pooling.

Pictures, ``x``, have the shape (n, height, width, channels) with n >= 1. Convolution and
normalisation take ``kernels=``, which compute them. Windows move by the ``stride`` over
pictures with ``padding`` on each side, so that the result has ``(height + 2 * padding -
size) // stride + 1`` rows.
"""

import math
from typing import Any, NamedTuple

import autograd.numpy as np

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.fused import Backward, Wanted, check, fused, like


def _convolution_forward(
    wanted: Wanted, kernels: LayerKernels, x: Any, kernel: Any, *, stride: int, padding: int
) -> tuple[Any, Backward]:
    offset = (-padding, -padding)
    out = namespace(x).empty(_out_shape(x, kernel, stride, padding), dtype=x.dtype)
    kernels.correlate(x, kernel, out, stride, offset)

    def backward(g: Any) -> tuple[Any, ...]:
        dx = dkernel = None
        if wanted[0]:
            dx = _input_gradient(x, g, kernel, stride, padding, kernels)
        if wanted[1]:
            dkernel = kernels.kernel_gradient(x, g, kernel.shape[:2], stride, offset)
        return dx, dkernel

    return out, backward


@fused(_convolution_forward)
def convolution(x: Any, kernel: Any, *, stride: int = 1, padding: int = 0) -> Any:
    """Convolve pictures with a kernel, without mirroring it, as usual in deep learning.

    The kernel has the shape (rows, columns, channels, outputs), the result (n, out_height,
    out_width, outputs). The padding is of zeros.

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> convolution(x, np.ones((3, 3, 1, 1)), padding=1)[0, :, :, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]])
    """
    _, height, width, _ = _out_shape(x, kernel, stride, padding)
    x = np.pad(x, _sides(padding), mode="constant")
    total: Any = 0
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            rows = slice(row, row + (height - 1) * stride + 1, stride)
            columns = slice(column, column + (width - 1) * stride + 1, stride)
            total = total + np.matmul(x[:, rows, columns], kernel[row, column])
    return total


def _sides(padding: int) -> tuple[tuple[int, int], ...]:
    return ((0, 0), (padding, padding), (padding, padding), (0, 0))


def _out_shape(x: Any, kernel: Any, stride: int, padding: int) -> tuple[int, int, int, int]:
    n, height, width, channels = x.shape
    rows, columns, inputs, outputs = kernel.shape
    if stride < 1 or padding < 0:
        raise ValueError(
            f"stride must be at least 1 and padding at least 0, got {stride} and {padding}"
        )
    if n == 0:
        raise ValueError("x must hold at least one picture, got none")
    if kernel.dtype != x.dtype:
        raise TypeError(f"kernel must be of x's dtype {x.dtype}, got {kernel.dtype}")
    if channels != inputs:
        raise ValueError(
            f"x must have the kernel's {inputs} channels, last, got shape {x.shape}"
        )
    space = (height + 2 * padding - rows, width + 2 * padding - columns)
    if min(space) < 0:
        raise ValueError(
            f"kernel of {rows} rows and {columns} columns must fit into pictures of "
            f"{height} by {width} with {padding} zeros on each side"
        )
    return n, space[0] // stride + 1, space[1] // stride + 1, outputs


def _input_gradient(
    x: Any, g: Any, kernel: Any, stride: int, padding: int, kernels: LayerKernels
) -> Any:
    # Pixels with equal remainders of row and column by the stride use the same part of the
    # kernel. Their gradient is the correlation of `g`, with stride 1, with that part,
    # mirrored and with inputs and outputs exchanged.
    gradient = namespace(x).empty(x.shape, dtype=x.dtype)
    for row in range(stride):
        for column in range(stride):
            part = kernel[row::stride, column::stride]
            top, first_row = _first(row, part.shape[0], stride, padding)
            left, first_column = _first(column, part.shape[1], stride, padding)
            target = gradient[:, top::stride, left::stride]
            if 0 in part.shape:
                target[...] = 0
            elif 0 not in target.shape:
                mirrored = part[::-1, ::-1].transpose(0, 1, 3, 2)
                kernels.correlate(g, mirrored, target, 1, (first_row, first_column))
    return gradient


def _first(remainder: int, taps: int, stride: int, padding: int) -> tuple[int, int]:
    """Find the first pixel of a remainder's taps, and its first position in `g`."""
    pixel = (remainder - padding) % stride
    return pixel, (pixel + padding - remainder) // stride - (taps - 1)


class Moments(NamedTuple):
    """The number of values of each channel, their mean and their variance."""

    size: int
    """Number of pictures times positions."""
    mean: Any
    """Array, shape (channels,)."""
    variance: Any
    """Array, shape (channels,): of the population, so divided by `size`."""

    def combine(self, other: "Moments") -> "Moments":
        """Return the exact moments of both populations together."""
        # The mean variance of the parts, and the variance of their means.
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
    """The result of batch normalisation, and the moments used."""

    y: Any
    """Array of the shape of the pictures."""
    moments: Moments
    """Of each channel, over the batch; without a gradient."""


def _norm_forward(
    _wanted: Any,
    kernels: LayerKernels,
    x: Any,
    scale: Any,
    shift: Any,
    residual: Any = None,
    *,
    epsilon: float,
    rectify: bool,
) -> tuple[Any, Backward, Moments]:
    _check_norm(x, scale, shift, residual)
    mean, variance = kernels.moments(x)
    inverse = 1 / namespace(x).sqrt(variance + epsilon)
    factor = scale * inverse
    y = kernels.affine(x, factor, shift - mean * factor, residual, rectify=rectify)

    def backward(g: Any) -> tuple[Any, ...]:
        rectified = y if rectify else None
        return kernels.normalize_gradient(
            g, rectified, x, mean, inverse, scale, residual=residual is not None
        )

    moments = Moments(math.prod(x.shape[:3]), mean, variance)
    return y, backward, moments


@fused(_norm_forward, result=Normalized)
def batch_norm(
    x: Any,
    scale: Any,
    shift: Any,
    residual: Any = None,
    *,
    epsilon: float = 1e-5,
    rectify: bool = False,
) -> Any:
    """Normalise pictures by the moments of the batch, add a residual, and rectify.

    That is ``(x - mean) / sqrt(variance + epsilon) * scale + shift + residual``, with
    `scale` and `shift` of shape (channels,) and an optional residual of the shape of `x`;
    `rectify` replaces negative values by zero. In the result, gradients flow through the
    pictures alone, including the moments in them.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", ICML 2015.

    Examples
    --------
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> y, moments = batch_norm(x, np.ones(1), np.zeros(1), epsilon=0.0)
    >>> y.ravel(), moments.mean
    (array([-1.,  1.]), array([2.]))
    """
    count = x.shape[0] * x.shape[1] * x.shape[2]
    axes = (0, 1, 2)
    centred = x - np.sum(x, axis=axes) / count
    variance = np.sum(centred * centred, axis=axes) / count
    y = centred / np.sqrt(variance + epsilon) * scale + shift
    if residual is not None:
        y = y + residual
    return y * (y > 0) if rectify else y


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
    """Normalise pictures by fixed moments, of any dtype and of shape (channels,).

    Other arguments are as for `batch_norm`; the result is not differentiable.
    """
    _check_norm(x, scale, shift, residual)
    mean, variance = like(scale, mean), like(scale, variance)
    for name, moment in (("mean", mean), ("variance", variance)):
        check(name, moment, scale.shape)
    factor = scale / namespace(x).sqrt(variance + epsilon)
    return kernels.affine(x, factor, shift - mean * factor, residual, rectify=rectify)


def _check_norm(x: Any, scale: Any, shift: Any, residual: Any) -> None:
    if 0 in x.shape:
        raise ValueError(f"x must hold at least one picture, got shape {x.shape}")
    check("scale", scale, x.shape[3:], x.dtype)
    check("shift", shift, x.shape[3:], x.dtype)
    if residual is not None:
        check("residual", residual, x.shape, x.dtype)


def _mean_forward(_wanted: Any, _kernels: Any, x: Any) -> tuple[Any, Backward]:
    xp = namespace(x)
    places = x.shape[1] * x.shape[2]

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.empty(x.shape, dtype=x.dtype)
        gradient[...] = (g / places)[:, None, None, :]
        return (gradient,)

    return xp.sum(x, axis=(1, 2)) / places, backward


@fused(_mean_forward)
def mean_pool(x: Any) -> Any:
    """Average each channel over a picture; the result has shape (n, channels).

    Examples
    --------
    >>> mean_pool(np.arange(4.0).reshape(1, 2, 2, 1))
    array([[1.5]])
    """
    # Not np.mean, whose derivative is computed in float64.
    return np.sum(x, axis=(1, 2)) / (x.shape[1] * x.shape[2])


def _max_forward(
    _wanted: Any, _kernels: Any, x: Any, *, size: int, stride: int, padding: int
) -> tuple[Any, Backward]:
    xp = namespace(x)
    n, height, width, channels = x.shape
    if min(height, width) + 2 * padding < size:
        raise ValueError(
            f"size {size} must fit into pictures of {height} by {width} with {padding} "
            "places on each side"
        )
    frame = (n, height + 2 * padding, width + 2 * padding, channels)
    rows, columns = slice(padding, padding + height), slice(padding, padding + width)
    padded = xp.full(frame, -xp.inf, dtype=x.dtype)
    padded[:, rows, columns] = x
    views = _views(padded, size, stride)
    best = xp.array(views[0], copy=True)
    chosen = xp.zeros(best.shape, dtype=xp.int8 if size * size < 128 else xp.int32)
    for number, view in enumerate(views[1:], start=1):
        better = _better(view, best)
        best = xp.where(better, view, best)
        chosen = xp.where(better, chosen.dtype.type(number), chosen)

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.zeros(frame, dtype=x.dtype)
        for number, view in enumerate(_views(gradient, size, stride)):
            view += g * (chosen == number)
        return (gradient[:, rows, columns],)

    return best, backward


@fused(_max_forward)
def max_pool(x: Any, *, size: int, stride: int, padding: int = 0) -> Any:
    """Take the maximum of each window of `size` rows and columns.

    The padding, less than `size`, is never the maximum. The gradient goes to the first of
    equal maxima.

    Examples
    --------
    >>> max_pool(np.arange(16.0).reshape(1, 4, 4, 1), size=2, stride=2).ravel()
    array([ 5.,  7., 13., 15.])
    """
    padded = np.pad(x, _sides(padding), mode="constant", constant_values=-np.inf)
    best, *others = _views(padded, size, stride)
    for view in others:
        best = np.where(_better(view, best), view, best)
    return best


def _better(view: Any, best: Any) -> Any:
    # Keep NaN, which a maximum might hide.
    return (view > best) | (view != view)


def _views(x: Any, size: int, stride: int) -> list[Any]:
    """List a view of the pictures for each position in a window."""
    height, width = x.shape[1:3]
    last_row, last_column = height - size + 1, width - size + 1
    return [
        x[:, row : row + last_row : stride, column : column + last_column : stride]
        for row in range(size)
        for column in range(size)
    ]


def _identity_forward(
    _wanted: Any, _kernels: Any, x: Any, *, stride: int, channels: int
) -> tuple[Any, Backward]:
    xp = namespace(x)
    some = x[:, ::stride, ::stride]
    result = xp.zeros((*some.shape[:3], channels), dtype=x.dtype)
    result[..., : x.shape[3]] = some

    def backward(g: Any) -> tuple[Any, ...]:
        gradient = xp.zeros(x.shape, dtype=x.dtype)
        gradient[:, ::stride, ::stride] = g[..., : x.shape[3]]
        return (gradient,)

    return result, backward


@fused(_identity_forward)
def padded_identity(x: Any, *, stride: int, channels: int) -> Any:
    """Take every `stride`-th pixel in both directions; new channels are zero.

    It is the shortcut A of K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for
    Image Recognition", CVPR 2016.

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> padded_identity(x, stride=2, channels=2)[0, :, :, 0]
    array([[0., 2.],
           [6., 8.]])
    """
    some = x[:, ::stride, ::stride]
    more = channels - x.shape[3]
    return np.pad(some, ((0, 0), (0, 0), (0, 0), (0, more)), mode="constant")
