"""Convolution, with its gradients as convolutions.

The sum over a kernel's places that deep learning calls convolution: nothing is mirrored.
"""

from typing import Any

import autograd.numpy as np

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["convolution"]


def _convolution(x: Any, kernel: Any, *, stride: int, padding: int) -> Any:
    _, height, width, _ = _shape(x, kernel, stride, padding)
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x = np.pad(x, sides, mode="constant")
    total: Any = 0
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            seen = x[
                :,
                row : row + (height - 1) * stride + 1 : stride,
                column : column + (width - 1) * stride + 1 : stride,
            ]
            total = total + np.matmul(seen, kernel[row, column])
    return total


def _forward(
    wanted: tuple[bool, ...],
    kernels: LayerKernels,
    x: Any,
    kernel: Any,
    *,
    stride: int,
    padding: int,
) -> tuple[Any, Backward | None]:
    offset = (-padding, -padding)
    out = namespace(x).empty(_shape(x, kernel, stride, padding), dtype=x.dtype)
    kernels.correlate(x, kernel, out, stride, offset)

    def backward(g: Any) -> tuple[Any, ...]:
        return (
            _input_gradient(x, g, kernel, stride, padding, kernels) if wanted[0] else None,
            kernels.kernel_gradient(x, g, kernel.shape[:2], stride, offset)
            if wanted[1]
            else None,
        )

    return out, backward if any(wanted) else None


_fused = fused(_convolution, _forward)


def convolution(
    x: Any,
    kernel: Any,
    *,
    stride: int = 1,
    padding: int = 0,
    kernels: LayerKernels = GENERAL,
) -> Any:
    """Convolve pictures with a kernel.

    Parameters
    ----------
    x : array, shape (n, height, width, channels)
        The pictures, channels last.
    kernel : array, shape (rows, columns, channels, outputs)
        The kernel.
    stride : int, default 1
        Steps between the places of the kernel.
    padding : int, default 0
        Zeros on each side of the pictures.
    kernels : LayerKernels, optional
        What computes it.

    Returns
    -------
    array, shape (n, out_height, out_width, outputs)
        Of the dtype of the operands; ``out_height`` is
        ``(height + 2 * padding - rows) // stride + 1``.

    Raises
    ------
    ValueError
        If the channels of x and kernel differ, the kernel does not fit into the padded
        pictures, there are none, or stride or padding are out of range.
    TypeError
        If the dtypes of x and kernel differ.

    Examples
    --------
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> convolution(x, np.ones((3, 3, 1, 1)), padding=1)[0, :, :, 0]
    array([[ 8., 15., 12.],
           [21., 36., 27.],
           [20., 33., 24.]])
    """
    return _fused(x, kernel, stride=stride, padding=padding, kernels=kernels)


def _input_gradient(
    x: Any, g: Any, kernel: Any, stride: int, padding: int, kernels: LayerKernels
) -> Any:
    """Compute the gradient of the pictures, one correlation for each residue class.

    Pixels whose row and column leave the same remainders when divided by the stride are
    seen through the same part of the kernel. Their gradient is the correlation of `g`, its
    stride 1, with that part, mirrored, inputs and outputs exchanged.
    """
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
    """Find the first pixel seen by taps of a remainder, and where in `g` it looks first."""
    pixel = (remainder - padding) % stride
    return pixel, (pixel + padding - remainder) // stride - (taps - 1)


def _shape(x: Any, kernel: Any, stride: int, padding: int) -> tuple[int, int, int, int]:
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
