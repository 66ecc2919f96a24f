"""A layer of long short-term memory, whole over time.

At each step, with ``x`` the input and ``h`` and ``c`` the hidden state and the cells that
the last step left::

    i, f, g, o = split(x @ input_weight + h @ recurrent_weight + bias)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)

The columns of the weights, and the bias, belong to the four gates in the order input,
forget, candidate, output, a quarter to each. The hidden states of all steps are the output.
"""

from typing import Any, NamedTuple

import autograd.numpy as np

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.arrays import check
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["LayerOutput", "lstm_layer"]


class LayerOutput(NamedTuple):
    """What a layer makes of a sequence."""

    outputs: Any
    """Array, shape (steps, batch, units): the hidden state after each step."""
    hidden: Any
    """Array, shape (batch, units): the last hidden state, without a gradient."""
    cell: Any
    """Array, shape (batch, units): the last state of the cells, without a gradient."""


def _lstm(
    x: Any,
    hidden: Any,
    cell: Any,
    input_weight: Any,
    recurrent_weight: Any,
    bias: Any,
) -> Any:
    units = hidden.shape[1]
    outputs = []
    for step in range(x.shape[0]):
        gates = (
            np.matmul(x[step], input_weight) + np.matmul(hidden, recurrent_weight) + bias
        )
        i, f, g, o = [gates[:, n * units : (n + 1) * units] for n in range(4)]
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        hidden = _sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)


def _sigmoid(x: Any) -> Any:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _forward(
    wanted: tuple[bool, ...],
    kernels: LayerKernels,
    x: Any,
    hidden: Any,
    cell: Any,
    input_weight: Any,
    recurrent_weight: Any,
    bias: Any,
) -> tuple[Any, Backward | None, Any, Any]:
    xp = namespace(input_weight)
    steps, batch, inputs = x.shape
    units = recurrent_weight.shape[0]
    dtype = input_weight.dtype
    check("x", x, (steps, batch, input_weight.shape[0]))
    for name, state in (("hidden", hidden), ("cell", cell)):
        check(name, state, (batch, units))
    check("input_weight", input_weight, (inputs, 4 * units))
    check("recurrent_weight", recurrent_weight, (units, 4 * units), dtype)
    check("bias", bias, (4 * units,), dtype)
    # Kernels take arrays of one dtype, and some cannot tell that they got others.
    x = xp.ascontiguousarray(x, dtype=dtype).reshape(-1, inputs)

    # What the inputs contribute is one product for all steps.
    gates = xp.matmul(x, input_weight)
    gates += bias
    gates = gates.reshape(steps, batch, 4 * units)
    # Before the first step, and after each.
    hiddens = xp.empty((steps + 1, batch, units), dtype=dtype)
    cells = xp.empty((steps + 1, batch, units), dtype=dtype)
    squashed = xp.empty((steps, batch, units), dtype=dtype)
    recurrent = xp.empty((batch, 4 * units), dtype=dtype)
    hiddens[0], cells[0] = hidden, cell
    for step in range(steps):
        xp.matmul(hiddens[step], recurrent_weight, out=recurrent)
        kernels.lstm_cell(
            gates[step],
            recurrent,
            cells[step],
            cells[step + 1],
            squashed[step],
            hiddens[step + 1],
        )
    # Copied, or what is carried on would hold the memory of all steps.
    last_hidden, last_cell = hiddens[-1].copy(), cells[-1].copy()
    if not any(wanted):
        return hiddens[1:], None, last_hidden, last_cell

    def backward(g: Any) -> tuple[Any, ...]:
        g = xp.ascontiguousarray(g, dtype=dtype)
        dh = xp.zeros((batch, units), dtype=dtype)
        dc = xp.zeros((batch, units), dtype=dtype)
        back = recurrent_weight.T
        for step in reversed(range(steps)):
            kernels.lstm_cell_gradient(
                gates[step], cells[step], squashed[step], g[step], dh, dc
            )
            xp.matmul(gates[step], back, out=dh)
        dgates = gates.reshape(-1, 4 * units)
        before = hiddens[:-1].reshape(-1, units)
        return (
            xp.matmul(dgates, input_weight.T).reshape(steps, batch, inputs)
            if wanted[0]
            else None,
            dh,
            dc,
            xp.matmul(x.T, dgates) if wanted[3] else None,
            xp.matmul(before.T, dgates) if wanted[4] else None,
            xp.sum(dgates, axis=0) if wanted[5] else None,
        )

    return hiddens[1:], backward, last_hidden, last_cell


_fused = fused(_lstm, _forward)


def lstm_layer(
    x: Any,
    hidden: Any,
    cell: Any,
    input_weight: Any,
    recurrent_weight: Any,
    bias: Any,
    *,
    kernels: LayerKernels = GENERAL,
) -> LayerOutput:
    """Run a layer of long short-term memory over a batch of sequences.

    Parameters
    ----------
    x : array, shape (steps, batch, inputs)
        The sequences, steps first.
    hidden, cell : array, shape (batch, units)
        The state before the first step.
    input_weight : array, shape (inputs, 4 * units)
        From the input to the gates; see the module for their order.
    recurrent_weight : array, shape (units, 4 * units)
        From the last hidden state to the gates.
    bias : array, shape (4 * units,)
        Of the gates.
    kernels : LayerKernels, optional
        What computes all but the products.

    Returns
    -------
    LayerOutput
        The output and the last state. Gradients flow through the output alone, to
        everything that was given.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or the weights' dtypes differ. Input and state of another
        dtype are made of that of the weights.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation
       9(8), 1997; with the forget gate of F. Gers, J. Schmidhuber and F. Cummins,
       "Learning to Forget", Neural Computation 12(10), 2000.

    Examples
    --------
    >>> x, state = np.ones((5, 2, 3)), np.zeros((2, 4))
    >>> out = lstm_layer(x, state, state, np.ones((3, 16)), np.ones((4, 16)), np.zeros(16))
    >>> out.outputs.shape, bool((out.outputs[-1] == out.hidden).all())
    ((5, 2, 4), True)
    """
    return LayerOutput(
        *_fused(x, hidden, cell, input_weight, recurrent_weight, bias, kernels=kernels)
    )
