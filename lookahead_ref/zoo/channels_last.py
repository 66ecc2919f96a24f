"""The general kernels of models of pictures, for arrays of any library that follows NumPy.

They are what the methods of `lookahead_ref.convolution.ConvolutionKernels` mean; a backend
may offer faster ones. A convolution is one product of matrices for each group of pictures:
what the kernel sees from a place is copied into a row. That takes a multiple of the
pictures' memory, so a group is as large as a cache.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from lookahead_ref.convolution import ConvolutionKernels
from lookahead_ref.stepping.backend import load
from lookahead_ref.zoo.arrays import namespace

__all__ = ["GeneralConvolution", "find"]

# Elements of a group's matrix. Much less and BLAS does not get going, much more and the
# matrix goes to memory and back.
_GROUP = 1 << 20


class GeneralConvolution:
    """Kernels in terms of array functions: see `ConvolutionKernels`.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(1, 1, 4, 1)
    >>> out = np.empty((1, 1, 4, 1))
    >>> GeneralConvolution.correlate(x, np.ones((1, 3, 1, 1)), out, 1, (0, -1))
    >>> out.ravel()
    array([1., 3., 6., 5.])
    """

    dtypes = ("float32", "float64")

    @staticmethod
    def correlate(
        x: Any, kernel: Any, out: Any, stride: int, offset: tuple[int, int]
    ) -> None:
        """Write what a kernel sees of pictures from every place."""
        xp = namespace(x)
        rows, columns, channels, outputs = kernel.shape
        matrix = xp.reshape(kernel, (rows * columns * channels, outputs))
        for group, seen in _seen(x, out.shape, (rows, columns), stride, offset):
            out[group] = xp.reshape(xp.matmul(seen, matrix), out[group].shape)

    @staticmethod
    def kernel_gradient(
        x: Any,
        grad: Any,
        size: tuple[int, int],
        stride: int,
        offset: tuple[int, int],
    ) -> Any:
        """Compute the gradient of `correlate` with respect to the kernel."""
        xp = namespace(x)
        channels, outputs = x.shape[3], grad.shape[3]
        total = xp.zeros((size[0] * size[1] * channels, outputs), dtype=x.dtype)
        for group, seen in _seen(x, grad.shape, size, stride, offset):
            total += xp.matmul(seen.T, xp.reshape(grad[group], (-1, outputs)))
        return xp.reshape(total, (*size, channels, outputs))

    @staticmethod
    def moments(x: Any) -> tuple[Any, Any]:
        """Compute the mean and the variance of each channel."""
        xp = namespace(x)
        flat = xp.reshape(x, (-1, x.shape[3]))
        mean = xp.mean(flat, axis=0)
        centred = flat - mean
        # By what a float32 mean of many rows is off.
        rest = xp.mean(centred, axis=0)
        centred *= centred
        return mean + rest, xp.mean(centred, axis=0) - rest * rest

    @staticmethod
    def affine(x: Any, factor: Any, term: Any, residual: Any, *, rectify: bool) -> Any:
        """Compute ``x * factor + term + residual``, each channel with its own numbers."""
        y = x * factor
        y += term
        if residual is not None:
            y += residual
        if rectify:
            namespace(y).maximum(y, 0, out=y)
        return y

    @staticmethod
    def normalize_gradient(
        g: Any, y: Any, x: Any, mean: Any, inverse: Any, scale: Any, *, residual: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Compute the gradients of batch normalisation."""
        xp = namespace(g)
        if y is not None:
            g = g * (y > 0)
        normalized = (x - mean) * inverse
        shift_gradient = xp.sum(g, axis=(0, 1, 2))
        scale_gradient = xp.sum(g * normalized, axis=(0, 1, 2))
        count = x.size // x.shape[3]
        normalized *= scale_gradient / count
        x_gradient = g - shift_gradient / count
        x_gradient -= normalized
        x_gradient *= scale * inverse
        return x_gradient, scale_gradient, shift_gradient, g if residual else None


def _seen(
    x: Any,
    out_shape: tuple[int, ...],
    size: tuple[int, int],
    stride: int,
    offset: tuple[int, int],
) -> Iterator[tuple[slice, Any]]:
    """Yield groups of pictures, each with the matrix whose rows are what a kernel sees."""
    xp = namespace(x)
    n, height, width, _ = out_shape
    channels = x.shape[3]
    length = size[0] * size[1] * channels
    group = max(1, min(n, _GROUP // (height * width * length)))
    seen_rows = (height - 1) * stride + size[0]
    seen_columns = (width - 1) * stride + size[1]
    for start in range(0, n, group):
        part = slice(start, min(start + group, n))
        pictures = x[part]
        if pictures.shape[1:3] != (seen_rows, seen_columns) or offset != (0, 0):
            pictures = _framed(pictures, (seen_rows, seen_columns), offset)
        views = [
            pictures[
                :,
                row : row + (height - 1) * stride + 1 : stride,
                column : column + (width - 1) * stride + 1 : stride,
            ]
            for row in range(size[0])
            for column in range(size[1])
        ]
        one = views[0] if len(views) == 1 else xp.concatenate(views, axis=3)
        yield part, xp.reshape(one, (-1, length))


def _framed(x: Any, size: tuple[int, int], offset: tuple[int, int]) -> Any:
    """Cut a frame of a size out of pictures, at an offset, with zeros outside of them."""
    xp = namespace(x)
    frame = xp.zeros((x.shape[0], *size, x.shape[3]), dtype=x.dtype)
    source, target = [], []
    for first, extent, length in zip(offset, size, x.shape[1:3], strict=True):
        low = max(first, 0)
        high = max(low, min(first + extent, length))
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    frame[:, target[0], target[1]] = x[:, source[0], source[1]]
    return frame


def find(backend: str, dtype: Any) -> ConvolutionKernels:
    """Find the kernels that a backend offers, or the general ones.

    Parameters
    ----------
    backend : str
        The name of a registered backend.
    dtype : dtype
        Of the arrays.

    Returns
    -------
    ConvolutionKernels
        The backend's where it has them for this dtype.

    Raises
    ------
    ValueError
        If there is no backend of this name.
    BackendUnavailableError
        If it cannot run here.

    Examples
    --------
    >>> find("numpy", "float32")
    <class 'lookahead_ref.zoo.channels_last.GeneralConvolution'>
    """
    offered = _offered(backend)
    if offered is None or str(dtype) not in offered.dtypes:
        return GeneralConvolution
    return offered


@cache  # to find an entry point takes longer than a layer of a small model
def _offered(backend: str) -> ConvolutionKernels | None:
    return getattr(load(backend), "convolution", None)
