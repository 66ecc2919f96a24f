"""The layers of perceptrons and of language models: dense, embedding, dropout, LSTM.

All but dropout take ``kernels=``.
"""

from typing import Any, NamedTuple

import autograd.numpy as np
from autograd.extend import defvjp, primitive
from autograd.tracer import getval
from numpy.random import Generator

from lookahead_ref.kernels import LayerKernels, namespace
from lookahead_ref.zoo.fused import Backward, Wanted, check, check_indices, fused, like

# Autograd's own derivatives turn float32 into float64 or overflow far from zero; these do
# not, and need only the value, not the input.
relu = primitive(lambda x: np.maximum(x, 0))
tanh = primitive(np.tanh)
defvjp(relu, lambda value, _x: lambda g: g * (value > 0))
defvjp(tanh, lambda value, _x: lambda g: g * (1 - value * value))

ACTIVATIONS = {"relu": relu, "tanh": tanh}


def _dense_forward(
    wanted: Wanted,
    kernels: LayerKernels,
    x: Any,
    weight: Any,
    bias: Any,
    *,
    activation: Any,
) -> tuple[Any, Backward]:
    xp = namespace(weight)
    check("x", x, (x.shape[0], weight.shape[0]), weight.dtype)
    check("bias", bias, weight.shape[1:], weight.dtype)
    y = xp.matmul(x, weight)
    kernels.activate(y, bias, activation)

    def backward(g: Any) -> tuple[Any, ...]:
        g, bias_gradient = kernels.activate_gradient(g, y, activation)
        return (
            xp.matmul(g, weight.T) if wanted[0] else None,
            xp.matmul(x.T, g) if wanted[1] else None,
            bias_gradient,
        )

    return y, backward


@fused(_dense_forward)
def dense(x: Any, weight: Any, bias: Any, *, activation: str | None = None) -> Any:
    """Compute ``activation(x @ weight + bias)`` for `x` of shape (n, inputs).

    `activation` is ``"relu"`` or ``"tanh"``; without one the layer is affine. The result
    has the shape (n, units).

    Examples
    --------
    >>> dense(np.eye(2), np.array([[1.0], [-2.0]]), np.zeros(1), activation="relu")
    array([[1.],
           [0.]])
    """
    y = np.matmul(x, weight) + bias
    return y if activation is None else ACTIVATIONS[activation](y)


def dropout(
    x: Any, rate: float, rng: Generator, *, shape: tuple[int, ...] | None = None
) -> Any:
    """Set random elements to zero, and scale up the others so that the mean is unchanged.

    `rate`, in [0, 1), is the probability of zero. Numbers are drawn from `rng` in host
    memory and in float32 for any dtype of `x`, so that every backend drops the same units;
    at rate 0 none is drawn. `shape` is that of the mask: where it is 1, as for the steps of
    a text, all elements along the axis share the mask.

    References
    ----------
    N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: A
    Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014; with one mask
    for all steps, Y. Gal and Z. Ghahramani, "A Theoretically Grounded Application of
    Dropout in Recurrent Neural Networks", NeurIPS 2016.

    Examples
    --------
    >>> dropout(np.ones(6), 0.5, np.random.default_rng(0))
    array([2., 2., 2., 0., 0., 0.])
    """
    if rate == 0:
        return x
    kept = rng.random(x.shape if shape is None else shape, dtype=np.float32) >= rate
    dtype = getval(x).dtype
    return x * like(x, kept * np.asarray(1 / (1 - rate), dtype))


def _embedding_forward(
    _wanted: Any, kernels: LayerKernels, table: Any, tokens: Any
) -> tuple[Any, Backward]:
    size, width = table.shape
    check_indices("tokens", tokens, size)

    def backward(g: Any) -> tuple[Any, ...]:
        rows = namespace(g).ascontiguousarray(g).reshape(-1, width)
        return (kernels.scatter(rows, tokens.reshape(-1), size),)

    return namespace(table).take(table, tokens, axis=0), backward


@fused(_embedding_forward)
def embedding(table: Any, tokens: Any) -> Any:
    """Look up rows of a table, shape (vocabulary, width), for tokens of any shape.

    The result has the shape of the tokens and (width,). Tokens are from 0 to
    ``vocabulary - 1``; others are a ValueError in host memory.

    Examples
    --------
    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    # An embedding's definition, a product with one-hot rows, would be slow.
    return np.matmul(1.0 * (tokens[..., None] == np.arange(table.shape[0])), table)


class LayerOutput(NamedTuple):
    """The result of a layer of long short-term memory."""

    outputs: Any
    """Array, shape (steps, batch, units): the hidden state after each step."""
    hidden: Any
    """Array, shape (batch, units): the last hidden state, without a gradient."""
    cell: Any
    """Array, shape (batch, units): the last state of the cells, without a gradient."""


def _lstm_forward(
    wanted: Wanted,
    kernels: LayerKernels,
    x: Any,
    hidden: Any,
    cell: Any,
    input_weight: Any,
    recurrent_weight: Any,
    bias: Any,
) -> tuple[Any, Backward, Any, Any]:
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
    # Kernels need one dtype, and some cannot check it.
    x = xp.ascontiguousarray(x, dtype=dtype).reshape(-1, inputs)

    # One product for the inputs of all steps.
    gates = xp.matmul(x, input_weight)
    gates += bias
    gates = gates.reshape(steps, batch, 4 * units)
    # Before the first step, and after each.
    hiddens = xp.empty((steps + 1, batch, units), dtype=dtype)
    cells = xp.empty((steps + 1, batch, units), dtype=dtype)
    squashed = xp.empty((steps, batch, units), dtype=dtype)
    recurrent = xp.empty((batch, 4 * units), dtype=dtype)
    hiddens[0], cells[0] = hidden, cell
    onward = kernels.packed(recurrent_weight)
    for step in range(steps):
        kernels.product(hiddens[step], onward, recurrent)
        before, after = cells[step], cells[step + 1]
        kernels.lstm_cell(
            gates[step], recurrent, before, after, squashed[step], hiddens[step + 1]
        )
    # Copied, or the carried state would keep the memory of all steps.
    last_hidden, last_cell = hiddens[-1].copy(), cells[-1].copy()

    def backward(g: Any) -> tuple[Any, ...]:
        g = xp.ascontiguousarray(g, dtype=dtype)
        dh = xp.zeros((batch, units), dtype=dtype)
        dc = xp.zeros((batch, units), dtype=dtype)
        back = kernels.packed(recurrent_weight.T)
        for step in reversed(range(steps)):
            kernels.lstm_cell_gradient(
                gates[step], cells[step], squashed[step], g[step], dh, dc
            )
            kernels.product(gates[step], back, dh)
        dgates = gates.reshape(-1, 4 * units)
        earlier = hiddens[:-1].reshape(-1, units)
        dx = None
        if wanted[0]:
            dx = xp.matmul(dgates, input_weight.T).reshape(steps, batch, inputs)
        return (
            dx,
            dh,
            dc,
            xp.matmul(x.T, dgates) if wanted[3] else None,
            xp.matmul(earlier.T, dgates) if wanted[4] else None,
            kernels.activate_gradient(dgates, dgates, None)[1] if wanted[5] else None,
        )

    return hiddens[1:], backward, last_hidden, last_cell


@fused(_lstm_forward, result=LayerOutput)
def lstm_layer(
    x: Any, hidden: Any, cell: Any, input_weight: Any, recurrent_weight: Any, bias: Any
) -> Any:
    """Run a layer of long short-term memory over a batch of sequences: a `LayerOutput`.

    At each step, with the input ``x`` and the hidden state ``h`` and cells ``c`` of the
    last step::

        i, f, g, o = split(x @ input_weight + h @ recurrent_weight + bias)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)

    `x` has the shape (steps, batch, inputs); `hidden` and `cell`, the state before the
    first step, (batch, units). The columns of `input_weight`, shape (inputs, 4 * units), of
    `recurrent_weight`, (units, 4 * units), and of the bias, (4 * units,), belong to the
    gates in the order input, forget, candidate, output, a quarter to each.

    Gradients flow from the output alone to all arguments. Input and state are converted to
    the weights' dtype.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8),
    1997; with the forget gate of F. Gers, J. Schmidhuber and F. Cummins, "Learning to
    Forget", Neural Computation 12(10), 2000.

    Examples
    --------
    >>> x, state = np.ones((5, 2, 3)), np.zeros((2, 4))
    >>> out = lstm_layer(x, state, state, np.ones((3, 16)), np.ones((4, 16)), np.zeros(16))
    >>> out.outputs.shape, bool((out.outputs[-1] == out.hidden).all())
    ((5, 2, 4), True)
    """

    def sigmoid(x: Any) -> Any:
        return 0.5 * np.tanh(0.5 * x) + 0.5

    outputs, units = [], hidden.shape[1]
    for step in range(x.shape[0]):
        products = np.matmul(x[step], input_weight) + np.matmul(hidden, recurrent_weight)
        gates = products + bias
        i, f, g, o = [gates[:, n * units : (n + 1) * units] for n in range(4)]
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs)
