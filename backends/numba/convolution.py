"""Convolution compiled by Numba: a product of small tiles held in registers.

Pictures have their channels last. A convolution is then a matrix product whose left matrix
is never formed: each of its rows, a patch of a picture, is a few runs of memory, one for
each row of the kernel. The innermost loop multiplies six of these rows by a panel of the
kernel a few vectors wide and keeps the sums in registers (for the kernel gradient: six
channels over many positions). It is written in LLVM's language, as LLVM does not find this
from plain loops; the vectors are as wide as the processor's.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic


def _registers() -> tuple[int, int]:
    """Return the bytes and the number of this processor's vector registers."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx"):
        return 32, 16
    return 16, 32 if binding.get_process_triple().startswith(("aarch64", "arm64")) else 16


VECTOR_BYTES, _REGISTERS = _registers()
ROWS = 6  # of a tile: six rows of four vectors are 24 sums, for 32 registers
_WIDTHS = (1, 2, 4) if _REGISTERS == 32 else (1, 2)  # of a tile, in vectors
_INTEGER = ir.IntType(64)
SCRATCH_BYTES = 1 << 19  # half of a common second-level cache
PACKED = 16  # channels packed at once
PLACES = 128  # over which a part of the kernel gradient is summed at once

compiled = njit(nogil=True, error_model="numpy", cache=True)


def panel(itemsize: int, outputs: int) -> tuple[int, int]:
    """Choose a tile's vectors and width for a number of outputs."""
    lanes = VECTOR_BYTES // itemsize
    fitting = [vectors for vectors in _WIDTHS if lanes * vectors >= outputs]
    vectors = fitting[0] if fitting else _WIDTHS[-1]
    return vectors, lanes * vectors


def integer(value: int) -> Any:
    return _INTEGER(value)


def _tile(*, steps: bool) -> Any:
    """Make the innermost loop, for a tile of six rows by some vectors."""
    # It computes, over q in range(length),
    #
    #     c[c_places[c_first + m] + c_shift + j] (+)= sum of A[m, q] B[q, j]
    #     A[m, q] = a[places[first + m] + shift + q]   where `places` are those of the rows
    #     A[m, q] = a[places[first + q] + shift + m]   where they are those of the steps
    #     B[q, j] = b[b_start + q * b_step + j]
    #
    # All arrays are indexed as their memory lies, without bounds.

    @intrinsic  # type: ignore[untyped-decorator, unused-ignore]
    def tile(
        _typing: Any, _vectors: Any, a: Any, places: Any, _first: Any, _shift: Any,
        _length: Any, b: Any, _b_start: Any, _b_step: Any, c: Any, c_places: Any,
        _c_first: Any, _c_shift: Any, _add: Any,
    ) -> Any:  # fmt: skip
        count = types.intp
        signature = types.void(
            count, a, places, count, count, count, b, count, count, c, c_places, count,
            count, types.boolean,
        )  # fmt: skip

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            operands = [
                context.make_array(kind)(context, builder, value).data
                if isinstance(kind, types.Array)
                else value
                for kind, value in zip(signature.args, values, strict=True)
            ]
            dtype = signature.args[1].dtype
            for vectors in _WIDTHS:
                wanted = builder.icmp_signed("==", operands[0], integer(vectors))
                with builder.if_then(wanted):
                    _multiply(
                        builder, context.get_data_type(dtype), dtype.bitwidth, vectors,
                        steps, *operands[1:],
                    )  # fmt: skip
            return context.get_dummy_value()

        return signature, generate

    return tile


def _multiply(
    builder: Any, scalar: Any, bits: int, vectors: int, steps: bool, a: Any, places: Any,
    first: Any, shift: Any, length: Any, b: Any, b_start: Any, b_step: Any, c: Any,
    c_places: Any, c_first: Any, c_shift: Any, add: Any,
) -> None:  # fmt: skip
    """Write the loop of a tile of a width in vectors: see `_tile`."""
    lanes = 8 * VECTOR_BYTES // bits
    vector = ir.VectorType(scalar, lanes)
    columns = [integer(j * lanes) for j in range(vectors)]
    insert: Any = cgutils.get_or_insert_function
    # Fused if the processor can, otherwise a product and a sum.
    muladd = insert(
        builder.module,
        ir.FunctionType(vector, [vector] * 3),
        f"llvm.fmuladd.v{lanes}f{bits}",
    )

    def place(table: Any, index: Any, shift: Any) -> Any:
        return builder.add(builder.load(builder.gep(table, [index])), shift)

    def as_vector(pointer: Any) -> Any:
        return builder.bitcast(pointer, vector.as_pointer())

    def load(pointer: Any) -> Any:
        return builder.load(as_vector(pointer), align=bits // 8)

    def broadcast(pointer: Any) -> Any:
        undefined = ir.Constant(vector, ir.Undefined)
        number = ir.IntType(32)
        one = builder.insert_element(undefined, builder.load(pointer), number(0))
        same = ir.Constant(ir.VectorType(number, lanes), [0] * lanes)
        return builder.shuffle_vector(one, undefined, same)

    targets = []
    rows = []
    for m in range(ROWS):
        target = place(c_places, builder.add(c_first, integer(m)), c_shift)
        row = builder.gep(c, [target])
        targets.append([builder.gep(row, [column]) for column in columns])
        if not steps:
            start = place(places, builder.add(first, integer(m)), shift)
            rows.append(builder.gep(a, [start]))
    b = builder.gep(b, [b_start])
    entry = builder.block
    earlier, body, done = (
        builder.append_basic_block(name) for name in ("earlier", "body", "done")
    )
    builder.cbranch(add, earlier, body)

    builder.position_at_end(earlier)
    before = [[load(pointer) for pointer in row] for row in targets]
    builder.branch(body)

    builder.position_at_end(body)
    q = builder.phi(_INTEGER)
    q.add_incoming(integer(0), entry)
    q.add_incoming(integer(0), earlier)
    sums = [[builder.phi(vector) for _ in columns] for _ in targets]
    step = builder.gep(b, [builder.mul(q, b_step)])
    factors = [load(builder.gep(step, [column])) for column in columns]
    if steps:
        start = place(places, builder.add(first, q), shift)
        ones = [builder.gep(a, [builder.add(start, integer(m))]) for m in range(ROWS)]
    else:
        ones = [builder.gep(row, [q]) for row in rows]
    after = []
    for one, totals in zip(ones, sums, strict=True):
        left = broadcast(one)
        after.append(
            [
                builder.call(muladd, [left, right, total])
                for right, total in zip(factors, totals, strict=True)
            ]
        )
    following = builder.add(q, integer(1))
    q.add_incoming(following, body)
    zero = ir.Constant(vector, [0.0] * lanes)
    for m in range(ROWS):
        for j in range(vectors):
            sums[m][j].add_incoming(zero, entry)
            sums[m][j].add_incoming(before[m][j], earlier)
            sums[m][j].add_incoming(after[m][j], body)
    builder.cbranch(builder.icmp_signed("<", following, length), body, done)

    builder.position_at_end(done)
    for m in range(ROWS):
        for j in range(vectors):
            builder.store(after[m][j], as_vector(targets[m][j]), align=bits // 8)


multiply_rows = _tile(steps=False)
multiply_steps = _tile(steps=True)


@compiled
def pack(start: int, stop: int, kernel: Any, packed: Any) -> None:
    """Order a kernel for the tiles: panel after panel, with zeros past the end."""
    # A few channels at a time, as the kernel may be the transpose of what lies in memory.
    panels, _, _, width = packed.shape
    _, columns, channels, outputs = kernel.shape
    groups = -(-channels // PACKED)
    for unit in range(start, stop):
        row, column = unit // groups // columns, unit // groups % columns
        first = unit % groups * PACKED
        for panel in range(panels):
            known = min(width, outputs - panel * width)
            for c in range(first, min(first + PACKED, channels)):
                place = column * channels + c
                for j in range(known):
                    found = kernel[row, column, c, panel * width + j]
                    packed[panel, row, place, j] = found
                for j in range(known, width):
                    packed[panel, row, place, j] = 0


@compiled
def copy_rows(x: Any, picture: int, top: int, left: int, target: Any) -> None:
    """Copy the visible part of a picture, with zeros around it."""
    # Slices would take long to compile.
    _, height, width, _ = x.shape
    rows, columns, channels = target.shape
    for row in range(rows):
        seen = top + row
        inside = 0 <= seen < height
        for column in range(columns):
            place = left + column
            if inside and 0 <= place < width:
                for c in range(channels):
                    target[row, column, c] = x[picture, seen, place, c]
            else:
                for c in range(channels):
                    target[row, column, c] = 0


@compiled
def multiples(count: int, step: int) -> Any:
    # arange would take long to compile.
    found = np.empty(count, np.int64)
    for place in range(count):
        found[place] = place * step
    return found


@compiled
def pad(start: int, stop: int, x: Any, padded: Any, top: int, left: int) -> None:
    for picture in range(start, stop):
        copy_rows(x, picture, top, left, padded[picture])


@compiled
def correlate(
    start: int, stop: int, x: Any, packed: Any, out: Any, shape: Any, strides: Any,
    vectors: int, columns: int, stride: int, top: int, left: int, pictures: int,
    block_rows: int,
) -> None:  # fmt: skip
    """Compute blocks of the result: some pictures, or some rows of one."""
    # The result is the memory `out`, with shape and strides in elements.
    n, height, width, outputs = shape
    of_picture, of_row, of_column = strides
    panels, rows, run, panel = packed.shape
    channels = x.shape[3]
    bands = -(-height // block_rows)
    seen_rows = (block_rows - 1) * stride + rows
    seen_columns = (width - 1) * stride + columns
    scratch = np.zeros((pictures, seen_rows, seen_columns, channels), x.dtype)
    most = pictures * block_rows * width + ROWS
    places = np.zeros(most, np.int64)
    targets = np.zeros(most, np.int64)
    place = 0
    for picture in range(pictures):
        for row in range(block_rows):
            for column in range(width):
                places[place] = channels * (
                    (picture * seen_rows + row * stride) * seen_columns + column * stride
                )
                targets[place] = picture * of_picture + row * of_row + column * of_column
                place += 1
    # For tiles that write too much: the last rows, and a panel wider than the rest.
    spare = np.empty((most if outputs % panel else ROWS) * panel, x.dtype)
    spare_places = multiples(len(spare) // panel, panel)
    row_length = seen_columns * channels
    for block in range(start, stop):
        first_picture = block // bands * pictures
        first_row = block % bands * block_rows
        here_pictures = min(pictures, n - first_picture)
        here_rows = min(block_rows, height - first_row)
        for picture in range(here_pictures):
            copy_rows(
                x, first_picture + picture, first_row * stride + top, left, scratch[picture]
            )
        count = here_pictures * here_rows * width
        origin = first_picture * of_picture + first_row * of_row
        for number in range(panels):
            known = min(panel, outputs - number * panel)
            shift = origin + number * panel
            tiled = count - count % ROWS if known == panel else 0
            # Written once, as each tile in the source takes long to compile.
            for first, last, to, to_places, to_shift in (
                (0, tiled, out, targets, shift),
                (tiled, count, spare, spare_places, 0),
            ):
                # A row of the kernel at a time, so that its part of the panel stays in the
                # cache.
                for row in range(rows):
                    b_start = (number * rows + row) * run * panel
                    for tile in range(first, last, ROWS):
                        multiply_rows(
                            vectors, scratch, places, tile, row * row_length, run, packed,
                            b_start, panel, to, to_places, tile - first, to_shift, row > 0,
                        )  # fmt: skip
            for place in range(tiled, count):
                for j in range(known):
                    out[targets[place] + shift + j] = spare[(place - tiled) * panel + j]


@compiled
def product(start: int, stop: int, rows: Any, packed: Any, out: Any, vectors: int) -> None:
    """Compute panels of the product of a few rows and a matrix."""
    count, length = rows.shape
    outputs = out.shape[1]
    panel = packed.shape[3]
    flat = packed.reshape(-1)
    places = np.minimum(np.arange(count + ROWS), count - 1) * length
    targets = np.arange(count) * outputs
    spare = np.empty(ROWS * panel, rows.dtype)
    spare_places = np.arange(ROWS) * panel
    for number in range(start, stop):
        known = min(panel, outputs - number * panel)
        b_start = number * length * panel
        for first in range(0, count, ROWS):
            if known == panel and first + ROWS <= count:
                multiply_rows(
                    vectors, rows, places, first, 0, length, flat, b_start, panel,
                    out, targets, first, number * panel, False,
                )  # fmt: skip
                continue
            multiply_rows(
                vectors, rows, places, first, 0, length, flat, b_start, panel,
                spare, spare_places, 0, 0, False,
            )  # fmt: skip
            for m in range(min(ROWS, count - first)):
                for j in range(known):
                    out[first + m, number * panel + j] = spare[m * panel + j]


@compiled
def kernel_gradient(
    start: int, stop: int, x: Any, grad: Any, result: Any, vectors: int, stride: int,
    seen_rows: int, seen_columns: int, channels: int,
) -> None:  # fmt: skip
    """Compute parts of a kernel gradient, each six channels of a row of the kernel."""
    n, height, width, outputs = grad.shape
    _, run, _ = result.shape
    tiles = run // ROWS
    lanes = outputs // (VECTOR_BYTES // grad.itemsize * vectors)
    panel = outputs // lanes
    count = n * height * width
    places = np.empty(min(count, PLACES), np.int64)
    rows = multiples(run, outputs)
    for first in range(0, count, PLACES):
        last = min(first + PLACES, count)
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
                multiply_steps(
                    vectors, x, places, 0,
                    row * seen_columns * channels + tile * ROWS, last - first,
                    grad, first * outputs + number * panel, outputs,
                    result, rows, tile * ROWS, row * run * outputs + number * panel,
                    first > 0,
                )  # fmt: skip
