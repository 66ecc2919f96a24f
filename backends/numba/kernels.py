"""Layers compiled by Numba, divided into parts for several threads.

The loops are in `layers`, `convolution` and `normalization`. Sums over rows are computed
for blocks of rows and added in order, and no other sum is divided, so that results do not
depend on the number of threads.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ...kernels import LayerKernels
from . import convolution, layers, normalization, winograd
from .threads import Share

P = ParamSpec("P")
R = TypeVar("R")

# Costs are counted in additions of numbers in the cache.
_EXP = 8  # with what goes with it
_MOVE = 4  # to move a number to or from memory

_ACTIVATIONS = {None: 0, "relu": 1, "tanh": 2}


def _takes(*dtypes: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Use the general kernel if the first array has another dtype."""
    taken = {np.dtype(dtype) for dtype in dtypes}

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        general: Callable[P, R] = getattr(LayerKernels, method.__name__)

        @wraps(method)
        def kernel(*args: P.args, **options: P.kwargs) -> R:
            first: Any = args[1]
            return (method if first.dtype in taken else general)(*args, **options)

        return kernel

    return decorate


class NumbaLayers(LayerKernels):
    """Compiled kernels; `share` divides work among threads."""

    def __init__(self, share: Share) -> None:
        self._share = share

    @_takes(np.float32)
    def activate(self, y: Any, bias: Any, activation: str | None) -> None:
        self._share(layers.activate, *y.shape, y, bias, _ACTIVATIONS[activation])

    @_takes(np.float32)
    def activate_gradient(self, g: Any, y: Any, activation: str | None) -> tuple[Any, Any]:
        n, units = g.shape
        blocks = -(-n // layers.BLOCK)
        number = _ACTIVATIONS[activation]
        product = g if activation is None else np.empty_like(y)
        sums = np.zeros((blocks, units), y.dtype)
        cost = units * layers.BLOCK
        self._share(layers.activate_gradient, blocks, cost, g, y, number, product, sums)
        return product, sums[0] if blocks == 1 else np.sum(sums, axis=0)

    @_takes(np.float32)
    def cross_entropy(self, logits: Any, bias: Any, labels: Any, *, gradient: bool) -> Any:
        n, classes = logits.shape
        losses = np.empty(n, logits.dtype)
        right = np.ascontiguousarray(labels, np.int64)
        added = np.zeros(classes, logits.dtype) if bias is None else bias
        given = (logits, added, right, gradient, losses)
        self._share(layers.cross_entropy, n, _EXP * classes, *given)
        return losses

    @_takes(np.float32)
    def scatter(self, rows: Any, indices: Any, size: int) -> Any:
        sums = np.zeros((size, rows.shape[1]), rows.dtype)
        layers.scatter(np.ascontiguousarray(indices, np.int64), rows, sums)
        return sums

    @_takes(np.float32, np.float64)
    def packed(self, weight: Any) -> Any:
        return self._packed(weight[None, None])

    @_takes(np.float32, np.float64)
    def product(self, rows: Any, packed: Any, out: Any) -> None:
        _check_dtype(rows, packed, out)
        vectors, _ = convolution.panel(rows.itemsize, out.shape[1])
        panels, _, _, panel = packed.shape
        given = (rows, packed, out, vectors)
        self._share(convolution.product, panels, rows.size * panel // 2, *given)

    @_takes(np.float32)
    def lstm_cell(self, *arrays: Any) -> None:
        n, gates = arrays[0].shape
        self._share(layers.lstm_cell, n, _EXP * gates, *arrays)

    @_takes(np.float32)
    def lstm_cell_gradient(self, *arrays: Any) -> None:
        n, gates = arrays[0].shape
        self._share(layers.lstm_cell_gradient, n, 2 * gates, *arrays)

    @_takes(np.float32, np.float64)
    def correlate(
        self, x: Any, kernel: Any, out: Any, stride: int, offset: tuple[int, int]
    ) -> None:
        _check_dtype(x, kernel, out)
        n, height, width, outputs = out.shape
        rows, columns, channels, _ = kernel.shape
        vectors, _ = convolution.panel(x.itemsize, outputs)
        x = np.ascontiguousarray(x)
        packed = self._packed(kernel)
        loop: Any = convolution.correlate
        if winograd.pays(x, kernel.shape, out, stride):
            loop, taps = winograd.correlate, packed
            panels, _, _, panel = taps.shape
            packed = np.empty((panels, 16, channels, panel), x.dtype)
            cost = _MOVE * 25 * channels * panel
            self._share(winograd.expand, panels, cost, taps, packed)
            pictures, block_rows, blocks = winograd.blocks(n, height, width)
            blocks *= panels
            shape: tuple[int, ...] = (vectors, *offset, pictures, block_rows)
        else:
            # As many pictures, or rows of one, as fit into the cache with their input.
            scratch = convolution.SCRATCH_BYTES
            row_bytes = ((width - 1) * stride + columns) * channels * x.itemsize
            seen = (height - 1) * stride + rows
            block_rows = max(1, min(height, (scratch // row_bytes - rows) // stride + 1))
            pictures = max(1, min(n // 8, scratch // (row_bytes * seen)))
            blocks = -(-height // block_rows) * -(-n // pictures)
            shape = (vectors, columns, stride, *offset, pictures, block_rows)
        # Two products cost as much as an addition.
        cost = out.size * rows * columns * channels // blocks // 2
        # Flat memory beside its strides, so that another order is not another type.
        steps = tuple(step // out.itemsize for step in out.strides)
        span = 1 + sum(s * (size - 1) for s, size in zip(steps, out.shape, strict=True))
        flat = np.lib.stride_tricks.as_strided(out, (span,), (out.itemsize,))
        arrays = (x, packed, flat, out.shape, steps[:3])
        self._share(loop, blocks, cost, *arrays, *shape)

    def _packed(self, kernel: Any) -> Any:
        """Order a kernel for the tiles."""
        rows, columns, channels, outputs = kernel.shape
        _, panel = convolution.panel(kernel.itemsize, outputs)
        panels = -(-outputs // panel)
        packed = np.empty((panels, rows, columns * channels, panel), kernel.dtype)
        units = rows * columns * -(-channels // convolution.PACKED)
        cost = _MOVE * convolution.PACKED * outputs
        self._share(convolution.pack, units, cost, kernel, packed)
        return packed

    @_takes(np.float32, np.float64)
    def kernel_gradient(
        self, x: Any, grad: Any, size: tuple[int, int], stride: int, offset: tuple[int, int]
    ) -> Any:
        _check_dtype(x, grad)
        n, height, width, outputs = grad.shape
        rows, columns = size
        channels = x.shape[3]
        tiled = winograd.pays(x, (*size, channels, outputs), grad, stride)
        vectors, panel = convolution.panel(x.itemsize, outputs)
        tile_places = 2 if tiled else 1
        padding = (0, -height % tile_places, -width % tile_places, -outputs % panel)
        if any(padding):
            grad = np.pad(grad, [(0, each) for each in padding])
        else:
            grad = np.ascontiguousarray(grad)
        _, height, width, padded_outputs = grad.shape
        seen = ((height - 1) * stride + rows, (width - 1) * stride + columns)
        # The last tile may read past the end, up to a tile's rows.
        tile = convolution.ROWS
        memory = np.empty(n * seen[0] * seen[1] * channels + tile, x.dtype)
        memory[-tile:] = 0
        padded = memory[:-tile].reshape(n, *seen, channels)
        x = np.ascontiguousarray(x)
        self._share(convolution.pad, n, _MOVE * padded.size // n, x, padded, *offset)
        cost = grad.size * tile // 2
        if tiled:
            parts = -(-channels // tile)
            sums = np.empty((16, parts * tile, padded_outputs), x.dtype)
            first = (memory, grad, sums, vectors, channels)
            self._share(winograd.kernel_gradient, 4 * parts, cost, *first)
            found = np.empty((3, 3, channels, padded_outputs), x.dtype)
            self._share(winograd.contract, channels, _MOVE * 25 * outputs, sums, found)
            return np.ascontiguousarray(found[..., :outputs])
        run = columns * channels
        tiles = -(-run // tile)
        result = np.zeros((rows, tiles * tile, padded_outputs), x.dtype)
        given = (memory, grad, result, vectors, stride, *seen, channels)
        self._share(convolution.kernel_gradient, rows * tiles, cost, *given)
        cut = result[:, :run, :outputs]
        return np.ascontiguousarray(cut).reshape(rows, columns, channels, outputs)

    @_takes(np.float32, np.float64)
    def moments(self, x: Any) -> tuple[Any, Any]:
        rows = _rows(x)
        count, channels = rows.shape
        block = normalization.BLOCK
        blocks = -(-count // block)
        means, squares = np.empty((2, blocks, channels), x.dtype)
        cost = _MOVE * channels * block
        self._share(normalization.moments, blocks, cost, rows, means, squares)
        # Blocks' sums are added in float64, for precise float32 results.
        sizes = np.full((blocks, 1), float(block))
        sizes[-1] = count - (blocks - 1) * block
        mean = np.sum(means * sizes, axis=0) / count
        between = np.sum((means - mean) ** 2 * sizes, axis=0)
        variance = (np.sum(squares, axis=0, dtype=np.float64) + between) / count
        return mean.astype(x.dtype), variance.astype(x.dtype)

    @_takes(np.float32, np.float64)
    def affine(
        self, x: Any, factor: Any, term: Any, residual: Any, *, rectify: bool
    ) -> Any:
        y = np.empty(x.shape, x.dtype)
        rows, result = _rows(x), _rows(y)
        added = None if residual is None else _rows(residual)
        given = (rows, factor, term, added, rectify, result)
        self._share(normalization.affine, len(rows), _MOVE * rows.shape[1], *given)
        return y

    @_takes(np.float32, np.float64)
    def normalize_gradient(
        self, g: Any, y: Any, x: Any, mean: Any, inverse: Any, scale: Any, *, residual: bool
    ) -> tuple[Any, Any, Any, Any]:
        x_gradient = np.empty(x.shape, x.dtype)
        rows, gradient, result = _rows(x), _rows(g), _rows(x_gradient)
        count, channels = rows.shape
        blocks = -(-count // normalization.BLOCK)
        sums, products = np.empty((2, blocks, channels), x.dtype)
        passed = None if y is None else _rows(y)
        # The first pass stores its findings in the memory of the second pass's result.
        kept = g if y is None else np.empty(x.shape, x.dtype) if residual else x_gradient
        masked = gradient if y is None else _rows(kept)
        first = (gradient, passed, rows, mean, masked, sums, products)
        cost = _MOVE * channels * normalization.BLOCK
        self._share(normalization.mask_and_sum, blocks, cost, *first)
        shift_gradient = np.sum(sums, axis=0, dtype=np.float64)
        product = np.sum(products, axis=0, dtype=np.float64)
        factor = (scale * inverse).astype(np.float64)
        slope = -factor * inverse.astype(np.float64) ** 2 * product / count
        term = -factor * shift_gradient / count
        factors = np.stack([factor, slope, term]).astype(x.dtype)
        second = (masked, rows, mean, factors, result)
        self._share(normalization.combine, count, _MOVE * channels, *second)
        return (
            x_gradient,
            (product * inverse).astype(x.dtype),
            shift_gradient.astype(x.dtype),
            kept if residual else None,
        )


def _check_dtype(first: Any, *others: Any) -> None:
    # The innermost loops use raw memory: with another dtype they would write past its end.
    for each in others:
        if each.dtype != first.dtype:
            raise TypeError(f"arrays must be of one dtype, got {first.dtype}, {each.dtype}")


def _rows(x: Any) -> Any:
    return np.ascontiguousarray(x).reshape(-1, x.shape[-1])
