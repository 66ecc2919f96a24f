"""Convolution compiled by Numba: a product of small tiles held in registers.

Pictures lie with their channels last. A convolution is then a product of matrices whose
left one is never formed: each row of it, what the kernel sees from one place, is some runs
of memory, one for each row of the kernel. The innermost loop multiplies six of these rows
by a panel of the kernel a few vectors wide and keeps the sums in registers (the kernel
gradient: six channels over many places). LLVM is told so in its own language, since from
plain loops it does not find this; the width of the vectors is that of the processor.

Work is cut into pieces for several threads such that no sum is cut: results do not depend
on the number of threads.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

Share = Callable[[Callable[[int, int], None], int], None]
"""``share(work, count)`` calls ``work(start, stop)`` for the parts of a range, on threads."""


def _registers() -> tuple[int, int]:
    """Find the bytes of a vector register of this processor, and how many there are."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    return 16, 32 if binding.get_process_triple().startswith(("aarch64", "arm64")) else 16


_VECTOR_BYTES, _REGISTERS = _registers()
_ROWS = 6  # of a tile: six rows of four vectors are 24 sums, for 32 registers
_WIDEST = 4 if _REGISTERS == 32 else 2
_SCRATCH_BYTES = 1 << 19  # half of a common second-level cache
_PLACES = 128  # over which a part of the kernel gradient is summed at once


class Convolution:
    """Kernels for arrays of shape (n, height, width, channels).

    Parameters
    ----------
    share : callable
        ``share(work, count)`` runs ``work(start, stop)`` over the parts of
        ``range(count)``.
    """

    def __init__(self, share: Share) -> None:
        self._share = share

    def correlate(
        self,
        x: NDArray[Any],
        kernel: NDArray[Any],
        out: NDArray[Any],
        stride: int,
        offset: tuple[int, int],
    ) -> None:
        """Write a correlation: see `lookahead_ref.layers.ConvolutionKernels`."""
        n, height, width, _ = out.shape
        rows, columns, channels, _ = kernel.shape
        vectors, panel = _panel(kernel)
        x = np.ascontiguousarray(x)
        panels = -(-out.shape[3] // panel)
        packed = np.empty((panels, rows, columns * channels, panel), x.dtype)
        self._share(
            lambda start, stop: _pack(start, stop, kernel, packed), panels * rows * columns
        )
        # As many pictures, or as many rows of one, as the cache holds what they see of.
        row_bytes = ((width - 1) * stride + columns) * channels * x.itemsize
        seen = (height - 1) * stride + rows
        block_rows = max(1, min(height, (_SCRATCH_BYTES // row_bytes - rows) // stride + 1))
        pictures = max(1, min(n // 8, _SCRATCH_BYTES // (row_bytes * seen)))
        blocks = -(-height // block_rows) * -(-n // pictures)

        def work(start: int, stop: int) -> None:
            _correlate(
                start, stop, x, packed, out, vectors, columns, stride, *offset,
                pictures, block_rows,
            )  # fmt: skip

        self._share(work, blocks)

    def kernel_gradient(
        self,
        x: NDArray[Any],
        grad: NDArray[Any],
        size: tuple[int, int],
        stride: int,
        offset: tuple[int, int],
    ) -> NDArray[Any]:
        """Compute a kernel gradient: see `lookahead_ref.layers.ConvolutionKernels`."""
        n, height, width, outputs = grad.shape
        rows, columns = size
        channels = x.shape[3]
        vectors, panel = _panel(grad)
        padded_outputs = -(-outputs // panel) * panel
        if padded_outputs == outputs:
            grad = np.ascontiguousarray(grad)
        else:
            grad = np.pad(grad, ((0, 0),) * 3 + ((0, padded_outputs - outputs),))
        seen = ((height - 1) * stride + rows, (width - 1) * stride + columns)
        # The last tile reads, in vain, up to six elements past the end.
        memory = np.empty(n * seen[0] * seen[1] * channels + _ROWS, x.dtype)
        memory[-_ROWS:] = 0
        padded = memory[:-_ROWS].reshape(n, *seen, channels)
        x = np.ascontiguousarray(x)
        self._share(lambda start, stop: _pad(start, stop, x, padded, *offset), n)
        run = columns * channels
        tiles = -(-run // _ROWS)
        result = np.zeros((rows, tiles * _ROWS, padded_outputs), x.dtype)

        def work(start: int, stop: int) -> None:
            _kernel_gradient(
                start, stop, memory, grad, result, vectors, stride, *seen, channels
            )

        self._share(work, rows * tiles)
        cut = result[:, :run, :outputs]
        return np.ascontiguousarray(cut).reshape(rows, columns, channels, outputs)


def _panel(like: NDArray[Any]) -> tuple[int, int]:
    """Choose the vectors of a tile, and its width, for so many outputs."""
    lanes = _VECTOR_BYTES // like.itemsize
    vectors = _WIDEST
    while vectors > 1 and lanes * vectors // 2 >= like.shape[3]:
        vectors //= 2
    return vectors, lanes * vectors


def _tile(vectors: int, *, steps: bool) -> Any:
    """Make the innermost loop, for a tile of six rows by some vectors.

    ``tile(a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
    c_shift, add)`` computes, over q in ``range(length)``,

        c[c_places[c_first + m] + c_shift + j] (+)= sum of A[m, q] B[q, j]
        A[m, q] = a[places[first + m] + shift + q]   where `places` are those of the rows
        A[m, q] = a[places[first + q] + shift + m]   where they are those of the steps
        B[q, j] = b[b_start + q * b_step + j]

    All arrays are indexed as their memory lies, without bounds.
    """

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def tile(
        _typing: Any, a: Any, places: Any, first: Any, shift: Any, length: Any, b: Any,
        b_start: Any, b_step: Any, c: Any, c_places: Any, c_first: Any, c_shift: Any,
        add: Any,
    ) -> Any:  # fmt: skip
        count = types.intp
        signature = types.void(
            a, places, count, count, count, b, count, count, c, c_places, count, count,
            types.boolean,
        )  # fmt: skip

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            def data(place: int) -> Any:
                kind = signature.args[place]
                return context.make_array(kind)(context, builder, values[place]).data

            scalar = context.get_data_type(signature.args[0].dtype)
            bits = signature.args[0].dtype.bitwidth
            lanes = 8 * _VECTOR_BYTES // bits
            vector = ir.VectorType(scalar, lanes)
            integer, number = ir.IntType(64), ir.IntType(32)
            muladd = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                # Fused where the processor does so, else a product and a sum.
                f"llvm.fmuladd.v{lanes}f{bits}",
            )
            base, left, right = data(8), data(0), data(5)
            left_places, right_places = data(1), data(9)
            first, shift, length = values[2:5]
            b_start, b_step = values[6:8]
            c_first, c_shift, add = values[10:13]

            def place(table: Any, index: Any, shift: Any) -> Any:
                return builder.add(builder.load(builder.gep(table, [index])), shift)

            def lanes_at(pointer: Any) -> Any:
                return builder.bitcast(pointer, vector.as_pointer())

            def load(pointer: Any) -> Any:
                loaded = builder.load(lanes_at(pointer))
                loaded.align = bits // 8
                return loaded

            def row_start(m: int) -> Any:
                index = builder.add(c_first, integer(m))
                return builder.gep(base, [place(right_places, index, c_shift)])

            targets = [
                [builder.gep(row, [integer(j * lanes)]) for j in range(vectors)]
                for row in map(row_start, range(_ROWS))
            ]
            if not steps:
                lefts = [
                    builder.gep(
                        left,
                        [place(left_places, builder.add(first, integer(m)), shift)],
                    )
                    for m in range(_ROWS)
                ]
            right = builder.gep(right, [b_start])
            zero = ir.Constant(vector, [0.0] * lanes)
            entry = builder.block
            earlier = builder.append_basic_block("earlier")
            body = builder.append_basic_block("body")
            done = builder.append_basic_block("done")
            builder.cbranch(add, earlier, body)

            builder.position_at_end(earlier)
            before = [[load(pointer) for pointer in row] for row in targets]
            builder.branch(body)

            builder.position_at_end(body)
            q = builder.phi(integer)
            q.add_incoming(integer(0), entry)
            q.add_incoming(integer(0), earlier)
            sums = [[builder.phi(vector) for _ in row] for row in targets]
            for row, starts in zip(sums, before, strict=True):
                for total, start in zip(row, starts, strict=True):
                    total.add_incoming(zero, entry)
                    total.add_incoming(start, earlier)
            step = builder.gep(right, [builder.mul(q, b_step)])
            factors = [
                load(builder.gep(step, [integer(j * lanes)])) for j in range(vectors)
            ]
            if steps:
                seen = builder.gep(
                    left, [place(left_places, builder.add(first, q), shift)]
                )
            undefined = ir.Constant(vector, ir.Undefined)
            same = ir.Constant(ir.VectorType(number, lanes), [0] * lanes)
            after = []
            for m in range(_ROWS):
                pointer = (
                    builder.gep(seen, [integer(m)])
                    if steps
                    else builder.gep(lefts[m], [q])
                )
                one = builder.insert_element(undefined, builder.load(pointer), number(0))
                factor = builder.shuffle_vector(one, undefined, same)
                after.append(
                    [
                        builder.call(muladd, [factor, each, total])
                        for each, total in zip(factors, sums[m], strict=True)
                    ]
                )
            following = builder.add(q, integer(1))
            q.add_incoming(following, body)
            for row, results in zip(sums, after, strict=True):
                for total, result in zip(row, results, strict=True):
                    total.add_incoming(result, body)
            builder.cbranch(builder.icmp_signed("<", following, length), body, done)

            builder.position_at_end(done)
            for row, results in zip(targets, after, strict=True):
                for pointer, result in zip(row, results, strict=True):
                    builder.store(result, lanes_at(pointer)).align = bits // 8
            return context.get_dummy_value()

        return signature, generate

    return tile


_rows_1, _rows_2, _rows_4 = (_tile(vectors, steps=False) for vectors in (1, 2, 4))
_steps_1, _steps_2, _steps_4 = (_tile(vectors, steps=True) for vectors in (1, 2, 4))


@njit(nogil=True, error_model="numpy", cache=True, inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _rows(
    vectors: int, a: Any, places: Any, first: int, shift: int, length: int, b: Any,
    b_start: int, b_step: int, c: Any, c_places: Any, c_first: int, c_shift: int, add: bool,
) -> None:  # fmt: skip
    if vectors == 4:
        _rows_4(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip
    elif vectors == 2:
        _rows_2(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip
    else:
        _rows_1(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip


@njit(nogil=True, error_model="numpy", cache=True, inline="always")  # type: ignore[untyped-decorator, unused-ignore]
def _steps(
    vectors: int, a: Any, places: Any, first: int, shift: int, length: int, b: Any,
    b_start: int, b_step: int, c: Any, c_places: Any, c_first: int, c_shift: int, add: bool,
) -> None:  # fmt: skip
    if vectors == 4:
        _steps_4(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip
    elif vectors == 2:
        _steps_2(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip
    else:
        _steps_1(
            a, places, first, shift, length, b, b_start, b_step, c, c_places, c_first,
            c_shift, add,
        )  # fmt: skip


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _pack(start: int, stop: int, kernel: Any, packed: Any) -> None:
    """Order a kernel as the tiles read it: panel after panel, zeros past the end."""
    panels, rows, _, width = packed.shape
    _, columns, channels, outputs = kernel.shape
    for unit in range(start, stop):
        panel = unit // (rows * columns)
        row = unit // columns % rows
        column = unit % columns
        known = min(width, outputs - panel * width)
        for first in range(0, channels, 16):
            for low in range(0, width, 16):
                for j in range(low, min(low + 16, width)):
                    for c in range(first, min(first + 16, channels)):
                        packed[panel, row, column * channels + c, j] = (
                            kernel[row, column, c, panel * width + j] if j < known else 0
                        )


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _copy_rows(x: Any, picture: int, top: int, left: int, target: Any) -> None:
    """Copy what is seen of a picture, zeros around it, to (rows, columns, channels)."""
    height, width, channels = x.shape[1:]
    rows, columns, _ = target.shape
    # `first` to `last` are the columns of the target that lie in the picture.
    first = min(max(0, -left), columns)
    last = max(first, min(columns, width - left))
    for row in range(rows):
        seen = top + row
        if seen < 0 or seen >= height:
            target[row] = 0
            continue
        target[row, :first] = 0
        target[row, first:last] = x[picture, seen, first + left : last + left]
        target[row, last:] = 0


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _pad(start: int, stop: int, x: Any, padded: Any, top: int, left: int) -> None:
    for picture in range(start, stop):
        _copy_rows(x, picture, top, left, padded[picture])


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _correlate(
    start: int, stop: int, x: Any, packed: Any, out: Any, vectors: int, columns: int,
    stride: int, top: int, left: int, pictures: int, block_rows: int,
) -> None:  # fmt: skip
    """Compute blocks of the result: some pictures, or some rows of one."""
    n, height, width, outputs = out.shape
    panels, rows, run, panel = packed.shape
    channels = x.shape[3]
    bands = -(-height // block_rows)
    seen_rows = (block_rows - 1) * stride + rows
    seen_columns = (width - 1) * stride + columns
    scratch = np.zeros((pictures, seen_rows, seen_columns, channels), x.dtype)
    flat = packed.reshape(-1)
    places = np.zeros(pictures * block_rows * width + _ROWS, np.int64)
    targets = np.zeros_like(places)
    place = 0
    size = out.itemsize
    for picture in range(pictures):
        for row in range(block_rows):
            for column in range(width):
                places[place] = channels * (
                    (picture * seen_rows + row * stride) * seen_columns + column * stride
                )
                targets[place] = (
                    picture * out.strides[0]
                    + row * out.strides[1]
                    + column * out.strides[2]
                ) // size
                place += 1
    spare = np.empty(_ROWS * panel, x.dtype)
    spare_places = np.arange(_ROWS) * panel
    row_length = seen_columns * channels
    for block in range(start, stop):
        first_picture = block // bands * pictures
        first_row = block % bands * block_rows
        here_pictures = min(pictures, n - first_picture)
        here_rows = min(block_rows, height - first_row)
        for picture in range(here_pictures):
            _copy_rows(
                x, first_picture + picture, first_row * stride + top, left, scratch[picture]
            )
        count = here_pictures * here_rows * width
        whole = count - count % _ROWS
        origin = (first_picture * out.strides[0] + first_row * out.strides[1]) // size
        for number in range(panels):
            known = min(panel, outputs - number * panel)
            shift = origin + number * panel
            tiled = whole if known == panel else 0
            # A row of the kernel at a time: that much of the panel stays in the cache.
            for row in range(rows):
                b_start = (number * rows + row) * run * panel
                for first in range(0, tiled, _ROWS):
                    _rows(
                        vectors, scratch, places, first, row * row_length, run, flat,
                        b_start, panel, out, targets, first, shift, row > 0,
                    )  # fmt: skip
            for first in range(tiled, count, _ROWS):
                for row in range(rows):
                    b_start = (number * rows + row) * run * panel
                    _rows(
                        vectors, scratch, places, first, row * row_length, run, flat,
                        b_start, panel, spare, spare_places, 0, 0, row > 0,
                    )  # fmt: skip
                for m in range(min(_ROWS, count - first)):
                    place = first + m
                    picture = first_picture + place // (here_rows * width)
                    row = first_row + place // width % here_rows
                    for j in range(known):
                        out[picture, row, place % width, number * panel + j] = spare[
                            m * panel + j
                        ]


@njit(nogil=True, error_model="numpy", cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _kernel_gradient(
    start: int, stop: int, x: Any, grad: Any, result: Any, vectors: int, stride: int,
    seen_rows: int, seen_columns: int, channels: int,
) -> None:  # fmt: skip
    """Compute parts of a kernel gradient, each six channels of a row of the kernel."""
    n, height, width, outputs = grad.shape
    _, run, _ = result.shape
    tiles = run // _ROWS
    lanes = outputs // (_VECTOR_BYTES // grad.itemsize * vectors)
    panel = outputs // lanes
    count = n * height * width
    places = np.empty(min(count, _PLACES), np.int64)
    rows = np.arange(run) * outputs
    for first in range(0, count, _PLACES):
        last = min(first + _PLACES, count)
        for place in range(first, last):
            picture = place // (height * width)
            row = place // width % height
            column = place % width
            places[place - first] = channels * (
                (picture * seen_rows + row * stride) * seen_columns + column * stride
            )
        for number in range(lanes):
            for unit in range(start, stop):
                row = unit // tiles
                tile = unit % tiles
                _steps(
                    vectors, x, places, 0,
                    row * seen_columns * channels + tile * _ROWS, last - first,
                    grad, first * outputs + number * panel, outputs,
                    result, rows, tile * _ROWS, row * run * outputs + number * panel,
                    first > 0,
                )  # fmt: skip
