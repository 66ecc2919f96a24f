"""Kernels for the layers of models on a device: `lookahead_ref.layers.LayerKernels`.

What a step of an LSTM does after its products would be twenty launches, each for little
work; here it is one. All else is a few of CuPy's functions on whole arrays: on a device
there is no cache to cut them for.
"""

from functools import cache
from typing import Any

import numpy as np

from . import _cuda

_TYPES = {"float32": "float", "float64": "double"}

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
    """Write a kernel.

    Parameters
    ----------
    body : str
        What one thread does for one unit of one row.
    dtype : str
        ``float32`` or ``float64``.

    Returns
    -------
    str
        The source.
    """
    return _CELL.format(
        scalar=_TYPES[dtype], threads=_cuda.THREADS, entry=_cuda.ENTRY, body=body
    )


class Layers:
    """What `lookahead_ref.layers.LayerKernels` describes.

    Parameters
    ----------
    cuda : object
        What knows the devices and runs kernels there.
    """

    dtypes = ("float32", "float64")

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._xp = cuda.library

    def activate(self, y: Any, bias: Any, activation: str | None) -> None:
        """Overwrite y by ``activation(y + bias)``."""
        y += bias
        if activation == "relu":
            self._xp.maximum(y, 0, out=y)
        elif activation == "tanh":
            self._xp.tanh(y, out=y)

    def activate_gradient(self, g: Any, y: Any, activation: str | None) -> tuple[Any, Any]:
        """Compute the gradients of what `activate` does."""
        if activation == "relu":
            g = g * (y > 0)
        elif activation == "tanh":
            g = g * (1 - y * y)
        return g, self._xp.sum(g, axis=0)

    def cross_entropy(self, logits: Any, bias: Any, labels: Any, *, gradient: bool) -> Any:
        """Compute softmax cross entropies, and overwrite the logits by their gradient."""
        n = logits.shape[0]
        rows = self._xp.arange(n)
        if bias is not None:
            logits += bias
        # The result does not depend on what is subtracted: nothing overflows.
        logits -= self._xp.max(logits, axis=1, keepdims=True)
        chosen = logits[rows, labels]
        self._xp.exp(logits, out=logits)
        total = self._xp.sum(logits, axis=1)
        if gradient:
            logits /= (total * n)[:, None]
            logits[rows, labels] -= 1 / n
        return self._xp.log(total) - chosen

    def scatter(self, indices: Any, rows: Any, size: int) -> Any:
        """Sum rows by their index."""
        sums = self._xp.zeros((size, rows.shape[1]), dtype=rows.dtype)
        self._xp.add.at(sums, indices, rows)
        return sums

    def lstm_cell(
        self,
        gates: Any,
        recurrent: Any,
        cell: Any,
        next_cell: Any,
        squashed: Any,
        hidden: Any,
    ) -> None:
        """Do what a step of an LSTM does after its matrix products."""
        self._run(_FORWARD, cell, (gates, recurrent, cell, next_cell, squashed, hidden))

    def lstm_cell_gradient(
        self,
        gates: Any,
        cell: Any,
        squashed: Any,
        output_gradient: Any,
        hidden_gradient: Any,
        cell_gradient: Any,
    ) -> None:
        """Compute the gradients of what `lstm_cell` does."""
        arrays = (gates, cell, squashed, output_gradient, hidden_gradient, cell_gradient)
        self._run(_BACKWARD, cell, arrays)

    def _run(self, body: str, like: Any, arrays: tuple[Any, ...]) -> None:
        table = np.zeros((), _TABLE)
        table["address"] = [array.data.ptr for array in arrays]
        table["rows"], table["units"] = like.shape
        with like.device:
            launch = self._cuda.launcher(source(body, str(like.dtype)))
            launch(-(-like.size // _cuda.THREADS), table)
