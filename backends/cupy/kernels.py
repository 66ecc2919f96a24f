"""Layers on a device, each as one launch instead of many small ones."""

import sys
from functools import cache
from typing import Any

import numpy as np

from ...kernels import LayerKernels
from . import compiler

_CELL = """\
// Written by lookahead_ref; safe to delete.
typedef {scalar} scalar;
struct Table {{
    unsigned long long address[6];
    long long rows;
    long long units;
}};

__device__ __forceinline__ scalar logistic(scalar x)
{{
    // Cannot overflow.
    return scalar(0.5) * tanh(scalar(0.5) * x) + scalar(0.5);
}}

extern "C" __global__ void __launch_bounds__({threads}) {entry}(const Table table)
{{
    const long long units = table.units;
    const long long place = (long long)blockIdx.x * {threads} + threadIdx.x;
    if (place >= table.rows * units)
        return;
    const long long first = place / units * 4 * units + place % units;
    scalar *const gates = (scalar *)table.address[0] + first;
    {body}
}}
"""

_FORWARD = """\
const scalar *const recurrent = (const scalar *)table.address[1] + first;
    const scalar entry = logistic(gates[0] + recurrent[0]);
    const scalar forget = logistic(gates[units] + recurrent[units]);
    const scalar candidate = tanh(gates[2 * units] + recurrent[2 * units]);
    const scalar exit = logistic(gates[3 * units] + recurrent[3 * units]);
    const scalar last = ((const scalar *)table.address[2])[place];
    const scalar next = forget * last + entry * candidate;
    const scalar squashed = tanh(next);
    gates[0] = entry;
    gates[units] = forget;
    gates[2 * units] = candidate;
    gates[3 * units] = exit;
    ((scalar *)table.address[3])[place] = next;
    ((scalar *)table.address[4])[place] = squashed;
    ((scalar *)table.address[5])[place] = exit * squashed;"""

_BACKWARD = """\
const scalar entry = gates[0], forget = gates[units];
    const scalar candidate = gates[2 * units], exit = gates[3 * units];
    const scalar last = ((const scalar *)table.address[1])[place];
    const scalar squashed = ((const scalar *)table.address[2])[place];
    scalar *const of_cell = (scalar *)table.address[5] + place;
    const scalar of_hidden = ((const scalar *)table.address[3])[place]
        + ((const scalar *)table.address[4])[place];
    const scalar one = scalar(1);
    const scalar through = *of_cell + of_hidden * exit * (one - squashed * squashed);
    gates[0] = through * candidate * entry * (one - entry);
    gates[units] = through * forget * (one - forget) * last;
    gates[2 * units] = through * entry * (one - candidate * candidate);
    gates[3 * units] = of_hidden * squashed * exit * (one - exit);
    *of_cell = through * forget;"""

_TABLE = np.dtype([("address", np.uint64, 6), ("rows", np.int64), ("units", np.int64)])


@cache  # asked for at every step of a sequence
def source(body: str, dtype: str) -> str:
    """Write a kernel; its body is a thread's work for one unit of one row."""
    scalar, threads = compiler.TYPES[dtype], compiler.THREADS
    return _CELL.format(scalar=scalar, threads=threads, entry=compiler.ENTRY, body=body)


class CupyLayers(LayerKernels):
    """Kernels on CUDA devices."""

    block = sys.maxsize  # no cache: each launch does all

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda

    def lstm_cell(self, *arrays: Any) -> None:
        if not self._run(_FORWARD, arrays[2], arrays):
            super().lstm_cell(*arrays)

    def lstm_cell_gradient(self, *arrays: Any) -> None:
        if not self._run(_BACKWARD, arrays[1], arrays):
            super().lstm_cell_gradient(*arrays)

    def _run(self, body: str, cell: Any, arrays: tuple[Any, ...]) -> bool:
        """Run a kernel, unless there is none for the dtype."""
        if str(cell.dtype) not in compiler.TYPES:
            return False
        table = np.zeros((), _TABLE)
        table["address"] = [array.data.ptr for array in arrays]
        table["rows"], table["units"] = cell.shape
        with cell.device:
            launch = self._cuda.launcher(source(body, str(cell.dtype)))
            launch(-(-cell.size // compiler.THREADS), table)
        return True
