"""Convolutions of 3 by 3 with 16 products for 2 by 2 results, instead of 36.

It is S. Winograd's F(2 x 2, 3 x 3) as in A. Lavin and S. Gray, "Fast Algorithms for
Convolutional Neural Networks", CVPR 2016. A tile of 2 by 2 results is ``A' [(G k G') * (B'
x B)] A``, where x are the 4 by 4 places that it sees and k is the kernel. The sums over
channels are 16 products of matrices, each with a row for every tile. The gradient with
respect to the kernel is ``G' [sum of (B' x B) * (A g A')] G``.
"""

from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import convolution
from .convolution import PLACES, ROWS, VECTOR_BYTES, compiled, integer, multiples

TILES = 96  # transformed at once


def pays(x: Any, kernel: tuple[int, ...], out: Any, stride: int) -> bool:
    """Tell whether this is possible, and faster than the convolution by its definition."""
    _, height, width, outputs = out.shape
    rows, columns, channels, _ = kernel
    whole = channels * x.itemsize % VECTOR_BYTES == outputs * x.itemsize % VECTOR_BYTES == 0
    large = min(channels, outputs) >= 32 and min(height, width) >= 4
    return (rows, columns, stride) == (3, 3, 1) and whole and large


def blocks(n: int, height: int, width: int) -> tuple[int, int, int]:
    """Choose how many pictures or rows of tiles to do at once, and count the blocks."""
    down, across = -(-height // 2), -(-width // 2)
    bands = -(-down // max(1, min(down, TILES // across)))
    groups = -(-n // max(1, min(n, TILES // (down * across))))
    # All about equally large.
    return -(-n // groups), -(-down // bands), bands * groups


def _transform(*matrix: tuple[float, ...]) -> Any:
    """Make rows `first` to `last` of ``matrix x matrix'``, for squares of vectors x."""
    # Element (i, j) begins at x_start + i * x_row + j * x_column, and so in the result. As
    # many as `length`, a multiple of a vector's width, lie side by side.

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def transform(
        _typing: Any, _first: Any, _last: Any, x: Any, _x_start: Any, _x_row: Any,
        _x_column: Any, y: Any, _y_start: Any, _y_row: Any, _y_column: Any, _length: Any,
    ) -> Any:  # fmt: skip
        count, bits = types.intp, x.dtype.bitwidth
        signature = types.void(*[count] * 2, x, *[count] * 3, y, *[count] * 4)

        def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            lanes = 8 * VECTOR_BYTES // bits
            vector = ir.VectorType(context.get_data_type(x.dtype), lanes)
            first, last, *_, length = values

            def place(of: int, i: int, j: int, offset: Any) -> Any:
                array, start, row, column = values[of : of + 4]
                data = context.make_array(signature.args[of])(context, builder, array).data
                for step, times in ((row, i), (column, j), (offset, 1)):
                    start = builder.add(start, builder.mul(step, integer(times)))
                return builder.bitcast(builder.gep(data, [start]), vector.as_pointer())

            def combined(weights: tuple[float, ...], parts: list[Any]) -> Any:
                used = [(w, part) for w, part in zip(weights, parts, strict=True) if w]
                factors = [ir.Constant(vector, [weight] * lanes) for weight, _ in used]
                terms = map(builder.fmul, factors, [part for _, part in used])
                return reduce(builder.fadd, terms)

            size = range(len(matrix[0]))
            for a, row in enumerate(matrix):
                begun = builder.icmp_signed("<=", first, integer(a))
                left = builder.icmp_signed("<", integer(a), last)
                ends = integer(0), length, integer(lanes)
                loop = cgutils.for_range_slice(builder, *ends, length.type)
                with builder.if_then(builder.and_(begun, left)), loop as (offset, _):
                    seen = [
                        [
                            builder.load(place(2, i, j, offset), align=bits // 8)
                            for i in size
                        ]
                        for j in size
                    ]
                    sums = [combined(row, column) for column in seen]
                    # Backwards: with a step of 0 only the first column remains.
                    for b in reversed(range(len(matrix))):
                        found = combined(matrix[b], sums)
                        builder.store(found, place(6, a, b, offset), align=bits // 8)
            return context.get_dummy_value()

        return signature, generate

    return transform


_kernel = (1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)
_expand = _transform(*_kernel)
_contract = _transform(*zip(*_kernel, strict=True))
_see = _transform((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))
_finish = _transform((1, 1, 1, 0), (0, 1, -1, -1))
_spread = _transform((1, 0), (1, 1), (1, -1), (0, -1))


@compiled
def expand(start: int, stop: int, packed: Any, kernel: Any) -> None:
    """Transform panels of a packed kernel."""
    size = kernel.shape[2] * kernel.shape[3]
    for panel in range(start, stop):
        _expand(
            0, 4, packed, panel * 9 * size, 3 * size, size,
            kernel, panel * 16 * size, 4 * size, size, size,
        )  # fmt: skip


@compiled
def contract(start: int, stop: int, sums: Any, result: Any) -> None:
    """Transform sums over tiles to the gradient of some channels of a kernel."""
    _, _, channels, outputs = result.shape
    size, step = channels * outputs, sums.shape[1] * outputs
    _contract(
        0, 3, sums, start * outputs, 4 * step, step,
        result, start * outputs, 3 * size, size, (stop - start) * outputs,
    )  # fmt: skip


@compiled
def correlate(
    start: int, stop: int, x: Any, kernel: Any, out: Any, shape: Any, strides: Any,
    vectors: int, top: int, left: int, pictures: int, block_rows: int,
) -> None:  # fmt: skip
    """Compute panels of outputs for some pictures, or some rows of tiles of one."""
    n, height, width, outputs = shape
    of_picture, of_row, of_column = strides
    panels, _, channels, panel = kernel.shape
    columns = (width + 1) // 2
    bands = -(-height // (2 * block_rows))
    scratch = np.empty((pictures, 2 * block_rows + 2, 2 * columns + 2, channels), x.dtype)
    most = -(-pictures * block_rows * columns // ROWS) * ROWS
    # The 16 matrices begin at different places of a page, so that they share a cache.
    size, product = most * channels + panel, (most + 1) * panel
    places = np.zeros(16 * size, x.dtype)
    products = np.empty(16 * product, x.dtype)
    starts, targets = multiples(most, channels), multiples(most, panel)
    loaded = -1
    for unit in range(start, stop):
        block, number = unit // panels, unit % panels
        first_picture = block // bands * pictures
        first_row = block % bands * block_rows * 2
        here = min(pictures, n - first_picture)
        count = here * min(block_rows, (height - first_row + 1) // 2) * columns
        if block != loaded:
            loaded = block
            for picture in range(here):
                convolution.copy_rows(
                    x, first_picture + picture, first_row + top, left, scratch[picture]
                )
            for tile in range(count):
                row = tile // columns
                row += row // block_rows
                origin = 2 * (row * (2 * columns + 2) + tile % columns) * channels
                _see(
                    0, 4, scratch, origin, (2 * columns + 2) * channels, channels,
                    places, tile * channels, 4 * size, size, channels,
                )  # fmt: skip
        for element in range(16):
            b_start = (number * 16 + element) * channels * panel
            for tile in range(0, count, ROWS):
                convolution.multiply_rows(
                    vectors, places, starts, tile, element * size, channels, kernel,
                    b_start, panel, products, targets, tile, element * product, False,
                )  # fmt: skip
        for tile in range(count):
            picture = first_picture + tile // (block_rows * columns)
            row = first_row + tile // columns % block_rows * 2
            column = tile % columns * 2
            origin = picture * of_picture + row * of_row + column * of_column
            _finish(
                0, min(2, height - row), products, tile * panel, 4 * product, product,
                out, origin + number * panel, of_row,
                of_column if column + 1 < width else 0,
                min(panel, outputs - number * panel),
            )  # fmt: skip


@compiled
def kernel_gradient(
    start: int, stop: int, x: Any, grad: Any, sums: Any, vectors: int, channels: int
) -> None:  # fmt: skip
    """Compute parts of the sums over tiles, each six channels of a row of elements."""
    # `x` is the memory of pictures with all the places that the tiles see.
    n, height, width, outputs = grad.shape
    columns = width // 2
    padded = sums.shape[1]
    parts = padded // ROWS
    panel = VECTOR_BYTES // grad.itemsize * vectors
    count = n * height * width // 4
    most = min(count, PLACES)
    size, grad_size = most * channels, most * outputs
    places = np.zeros(4 * size + ROWS, x.dtype)
    gradients = np.empty(4 * grad_size, x.dtype)
    starts, targets = multiples(most, channels), multiples(padded, outputs)
    for a in range(start // parts, -(-stop // parts)):
        for first in range(0, count, most):
            here = min(most, count - first)
            for tile in range(here):
                row, column = (first + tile) // columns, (first + tile) % columns
                seen = row + row // (height // 2)
                # Row `a` is written as if it were the first.
                _see(
                    a, a + 1, x, 2 * (seen * (width + 2) + column) * channels,
                    (width + 2) * channels, channels,
                    places, tile * channels - 4 * a * size, 4 * size, size, channels,
                )  # fmt: skip
                _spread(
                    a, a + 1, grad, 2 * (row * width + column) * outputs, width * outputs,
                    outputs, gradients, tile * outputs - 4 * a * grad_size, 4 * grad_size,
                    grad_size, outputs,
                )  # fmt: skip
            for b in range(4):
                for shift in range(0, outputs, panel):
                    for part in range(max(start, a * parts), min(stop, (a + 1) * parts)):
                        c = part % parts * ROWS
                        convolution.multiply_steps(
                            vectors, places, starts, 0, b * size + c, here, gradients,
                            b * grad_size + shift, outputs, sums, targets, c,
                            (4 * a + b) * padded * outputs + shift, first > 0,
                        )  # fmt: skip
