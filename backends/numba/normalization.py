"""Batch normalisation compiled by Numba, in as few passes as its sums allow.

An argument may be None: Numba then omits its operations.
"""

from typing import Any

from .convolution import compiled

BLOCK = 256  # rows summed at once


@compiled
def moments(start: int, stop: int, x: Any, means: Any, squares: Any) -> None:
    """Compute the mean of blocks of rows, and the sum of squares about it."""
    count, channels = x.shape
    for block in range(start, stop):
        first, last = block * BLOCK, min((block + 1) * BLOCK, count)
        mean, square = means[block], squares[block]
        mean[:] = 0
        square[:] = 0
        for row in range(first, last):
            for c in range(channels):
                mean[c] += x[row, c]
        for c in range(channels):
            mean[c] /= last - first
        for row in range(first, last):
            for c in range(channels):
                distance = x[row, c] - mean[c]
                square[c] += distance * distance


@compiled
def affine(
    start: int, stop: int, x: Any, factor: Any, term: Any, residual: Any, rectify: bool,
    y: Any,
) -> None:  # fmt: skip
    for row in range(start, stop):
        for c in range(x.shape[1]):
            value = x[row, c] * factor[c] + term[c]
            if residual is not None:
                value += residual[row, c]
            # Keep NaN.
            y[row, c] = 0 if rectify and value < 0 else value


@compiled
def mask_and_sum(
    start: int, stop: int, g: Any, y: Any, x: Any, mean: Any, masked: Any, sums: Any,
    products: Any,
) -> None:  # fmt: skip
    """Sum a gradient, masked by the rectified result y, and its products with x."""
    count, channels = x.shape
    for block in range(start, stop):
        total, product = sums[block], products[block]
        total[:] = 0
        product[:] = 0
        for row in range(block * BLOCK, min((block + 1) * BLOCK, count)):
            for c in range(channels):
                value = g[row, c]
                if y is not None:
                    value = value if y[row, c] > 0 else 0
                    masked[row, c] = value
                total[c] += value
                product[c] += value * (x[row, c] - mean[c])


@compiled
def combine(
    start: int, stop: int, g: Any, x: Any, mean: Any, factors: Any, result: Any
) -> None:
    for row in range(start, stop):
        for c in range(x.shape[1]):
            result[row, c] = (
                factors[0, c] * g[row, c]
                + factors[1, c] * (x[row, c] - mean[c])
                + factors[2, c]
            )
