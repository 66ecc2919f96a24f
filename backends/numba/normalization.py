"""Batch normalisation compiled by Numba: as few passes over memory as its sums allow.

Sums are taken over blocks of rows and the blocks' sums then added in float64, so results
are precise in float32 and do not depend on the number of threads.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .threads import Share

_BLOCK = 256  # rows whose sums are taken at once
_LEAST_PIECE = 32768  # elements for each thread, for which it is worth to be called


def moments(share: Share, x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute moments."""
    rows = _rows(x)
    count, channels = rows.shape
    blocks = -(-count // _BLOCK)
    means, squares = np.empty((2, blocks, channels), x.dtype)
    share(
        lambda start, stop: _moments(start, stop, rows, means, squares),
        blocks,
        _least(channels * _BLOCK),
    )
    sizes = np.full((blocks, 1), float(_BLOCK))
    sizes[-1] = count - (blocks - 1) * _BLOCK
    mean = np.sum(means * sizes, axis=0) / count
    between = np.sum((means - mean) ** 2 * sizes, axis=0)
    variance = (np.sum(squares, axis=0, dtype=np.float64) + between) / count
    return mean.astype(x.dtype), variance.astype(x.dtype)


def affine(
    share: Share,
    x: NDArray[Any],
    factor: NDArray[Any],
    term: NDArray[Any],
    residual: NDArray[Any] | None,
    *,
    rectify: bool,
) -> NDArray[Any]:
    """Scale and shift."""
    y = np.empty(x.shape, x.dtype)
    rows, result = _rows(x), _rows(y)
    if residual is None:
        share(
            lambda start, stop: _affine(start, stop, rows, factor, term, rectify, result),
            rows.shape[0],
            _least(rows.shape[1]),
        )
    else:
        added = _rows(residual)
        share(
            lambda start, stop: _affine_residual(
                start, stop, rows, factor, term, added, rectify, result
            ),
            rows.shape[0],
            _least(rows.shape[1]),
        )
    return y


def normalize_gradient(
    share: Share,
    g: NDArray[Any],
    y: NDArray[Any] | None,
    x: NDArray[Any],
    mean: NDArray[Any],
    inverse: NDArray[Any],
    scale: NDArray[Any],
    *,
    residual: bool,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Compute gradients."""
    x_gradient = np.empty(x.shape, x.dtype)
    rows, gradient, result = _rows(x), _rows(g), _rows(x_gradient)
    count, channels = rows.shape
    blocks = -(-count // _BLOCK)
    sums, products = np.empty((2, blocks, channels), x.dtype)
    if y is not None:
        passed = _rows(y)
        # The result that the second pass writes to is the place for what the first found.
        kept = np.empty(x.shape, x.dtype) if residual else x_gradient
        masked = _rows(kept)
        share(
            lambda start, stop: _mask_and_sum(
                start, stop, gradient, passed, rows, mean, masked, sums, products
            ),
            blocks,
            _least(channels * _BLOCK),
        )
        gradient = masked
    else:
        kept = g
        share(
            lambda start, stop: _sum(start, stop, gradient, rows, mean, sums, products),
            blocks,
            _least(channels * _BLOCK),
        )
    shift_gradient = np.sum(sums, axis=0, dtype=np.float64)
    product = np.sum(products, axis=0, dtype=np.float64)
    factor = (scale * inverse).astype(np.float64)
    slope = -factor * inverse.astype(np.float64) ** 2 * product / count
    term = -factor * shift_gradient / count
    factors = np.stack([factor, slope, term]).astype(x.dtype)
    share(
        lambda start, stop: _combine(start, stop, gradient, rows, mean, factors, result),
        count,
        _least(channels),
    )
    return (
        x_gradient,
        (product * inverse).astype(x.dtype),
        shift_gradient.astype(x.dtype),
        kept if residual else None,
    )


def _least(size: int) -> int:
    """Find how many units of a size a thread should have at least."""
    return -(-_LEAST_PIECE // size)


def _rows(x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _moments(start: int, stop: int, x: Any, means: Any, squares: Any) -> None:
    """Take the mean, and the sum of squares about it, of blocks of rows."""
    count, channels = x.shape
    for block in range(start, stop):
        first, last = block * _BLOCK, min((block + 1) * _BLOCK, count)
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


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _affine(
    start: int, stop: int, x: Any, factor: Any, term: Any, rectify: bool, y: Any
) -> None:
    for row in range(start, stop):
        if rectify:
            for c in range(x.shape[1]):
                value = x[row, c] * factor[c] + term[c]
                # What is not a number stays so.
                y[row, c] = 0 if value < 0 else value
        else:
            for c in range(x.shape[1]):
                y[row, c] = x[row, c] * factor[c] + term[c]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _affine_residual(
    start: int, stop: int, x: Any, factor: Any, term: Any, residual: Any, rectify: bool,
    y: Any,
) -> None:  # fmt: skip
    for row in range(start, stop):
        if rectify:
            for c in range(x.shape[1]):
                value = x[row, c] * factor[c] + term[c] + residual[row, c]
                y[row, c] = 0 if value < 0 else value
        else:
            for c in range(x.shape[1]):
                y[row, c] = x[row, c] * factor[c] + term[c] + residual[row, c]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _mask_and_sum(
    start: int, stop: int, g: Any, y: Any, x: Any, mean: Any, masked: Any, sums: Any,
    products: Any,
) -> None:  # fmt: skip
    """Stop a gradient where the result was rectified; sum it, and its products with x."""
    count, channels = x.shape
    for block in range(start, stop):
        total, product = sums[block], products[block]
        total[:] = 0
        product[:] = 0
        for row in range(block * _BLOCK, min((block + 1) * _BLOCK, count)):
            for c in range(channels):
                value = g[row, c] if y[row, c] > 0 else 0
                masked[row, c] = value
                total[c] += value
                product[c] += value * (x[row, c] - mean[c])


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _sum(
    start: int, stop: int, g: Any, x: Any, mean: Any, sums: Any, products: Any
) -> None:
    """Sum a gradient, and its products with x."""
    count, channels = x.shape
    for block in range(start, stop):
        total, product = sums[block], products[block]
        total[:] = 0
        product[:] = 0
        for row in range(block * _BLOCK, min((block + 1) * _BLOCK, count)):
            for c in range(channels):
                total[c] += g[row, c]
                product[c] += g[row, c] * (x[row, c] - mean[c])


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _combine(
    start: int, stop: int, g: Any, x: Any, mean: Any, factors: Any, result: Any
) -> None:
    for row in range(start, stop):
        for c in range(x.shape[1]):
            result[row, c] = (
                factors[0, c] * g[row, c]
                + factors[1, c] * (x[row, c] - mean[c])
                + factors[2, c]
            )
