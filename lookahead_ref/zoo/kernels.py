"""The general kernels of layers, for arrays of any library that follows NumPy.

They are what the methods of `lookahead_ref.layers.LayerKernels` mean; a backend may offer
faster ones.
"""

from functools import cache
from typing import Any

from lookahead_ref.layers import LayerKernels
from lookahead_ref.stepping.backend import load
from lookahead_ref.zoo.arrays import namespace

__all__ = ["GeneralKernels", "find", "suited"]

# Passes over rows that stay in the second-level cache cost a fraction of those that do not.
_BLOCK = 131072


class GeneralKernels:
    """Kernels in terms of array functions: see `lookahead_ref.layers.LayerKernels`.

    Examples
    --------
    >>> import numpy as np
    >>> GeneralKernels.scatter(np.array([2, 0, 2]), np.array([[1.0], [2.0], [3.0]]), 3)
    array([[2.],
           [0.],
           [4.]])
    """

    dtypes = ("float32", "float64")

    @staticmethod
    def activate(y: Any, bias: Any, activation: str | None) -> None:
        """Overwrite y by ``activation(y + bias)``."""
        xp = namespace(y)
        y += bias
        if activation == "relu":
            xp.maximum(y, 0, out=y)
        elif activation == "tanh":
            xp.tanh(y, out=y)

    @staticmethod
    def activate_gradient(g: Any, y: Any, activation: str | None) -> tuple[Any, Any]:
        """Compute the gradients of what `activate` does."""
        xp = namespace(g)
        if activation == "relu":
            g = g * (y > 0)
        elif activation == "tanh":
            slope = y * y
            xp.subtract(1, slope, out=slope)
            slope *= g
            g = slope
        return g, xp.sum(g, axis=0)

    @staticmethod
    def cross_entropy(logits: Any, bias: Any, labels: Any, *, gradient: bool) -> Any:
        """Compute softmax cross entropies, and overwrite the logits by their gradient."""
        xp = namespace(logits)
        n, classes = logits.shape
        losses = xp.empty(n, dtype=logits.dtype)
        block = max(1, _BLOCK // classes)
        for start in range(0, n, block):
            z = logits[start : start + block]
            right = labels[start : start + block]
            rows = xp.arange(z.shape[0])
            if bias is not None:
                z += bias
            # The result does not depend on what is subtracted: nothing overflows.
            z -= xp.max(z, axis=1, keepdims=True)
            chosen = z[rows, right]
            xp.exp(z, out=z)
            total = xp.sum(z, axis=1)
            losses[start : start + block] = xp.log(total) - chosen
            if gradient:
                z /= (total * n)[:, None]
                z[rows, right] -= 1 / n
        return losses

    @staticmethod
    def scatter(indices: Any, rows: Any, size: int) -> Any:
        """Sum rows by their index."""
        xp = namespace(rows)
        sums = xp.zeros((size, rows.shape[1]), dtype=rows.dtype)
        xp.add.at(sums, indices, rows)
        return sums

    @staticmethod
    def lstm_cell(
        gates: Any,
        recurrent: Any,
        cell: Any,
        next_cell: Any,
        squashed: Any,
        hidden: Any,
    ) -> None:
        """Do what a step of an LSTM does after its matrix products."""
        xp = namespace(gates)
        gates += recurrent
        entry, forget, candidate, exit_ = _gates(gates)
        # The logistic function as (1 + tanh(x / 2)) / 2: it cannot overflow, and one
        # tangent serves all four gates.
        gates *= 0.5
        candidate *= 2
        xp.tanh(gates, out=gates)
        for gate in (entry, forget, exit_):
            gate *= 0.5
            gate += 0.5
        xp.multiply(forget, cell, out=next_cell)
        next_cell += entry * candidate
        xp.tanh(next_cell, out=squashed)
        xp.multiply(exit_, squashed, out=hidden)

    @staticmethod
    def lstm_cell_gradient(
        gates: Any,
        cell: Any,
        squashed: Any,
        output_gradient: Any,
        hidden_gradient: Any,
        cell_gradient: Any,
    ) -> None:
        """Compute the gradients of what `lstm_cell` does."""
        entry, forget, candidate, exit_ = _gates(gates)
        dh = output_gradient + hidden_gradient
        dc = cell_gradient
        dc += dh * exit_ * (1 - squashed * squashed)
        exit_ *= (1 - exit_) * squashed * dh
        d_entry = dc * candidate * entry * (1 - entry)
        candidate[...] = dc * entry * (1 - candidate * candidate)
        entry[...] = d_entry
        kept = dc * forget
        forget[...] = kept * (1 - forget) * cell
        dc[...] = kept


def _gates(gates: Any) -> list[Any]:
    units = gates.shape[1] // 4
    return [gates[:, place * units : (place + 1) * units] for place in range(4)]


@cache  # to find an entry point takes longer than a step of a small model
def find(backend: str, dtype: Any) -> LayerKernels:
    """Find the kernels that a backend offers, or the general ones.

    Parameters
    ----------
    backend : str
        The name of a registered backend.
    dtype : dtype
        Of the arrays.

    Returns
    -------
    LayerKernels
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
    <class 'lookahead_ref.zoo.kernels.GeneralKernels'>
    """
    offered: LayerKernels | None = getattr(load(backend), "layers", None)
    return GeneralKernels if offered is None else suited(offered, dtype)


def suited(kernels: LayerKernels, dtype: Any) -> LayerKernels:
    """Return kernels where they take a dtype, else the general ones.

    Parameters
    ----------
    kernels : LayerKernels
        What is wanted.
    dtype : dtype
        Of the arrays.

    Returns
    -------
    LayerKernels
        Either.

    Examples
    --------
    >>> suited(GeneralKernels, "float64") is GeneralKernels
    True
    """
    return kernels if str(dtype) in kernels.dtypes else GeneralKernels
