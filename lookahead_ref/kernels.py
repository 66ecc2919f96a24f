"""The computations of layers, in NumPy; a backend overrides those that it does faster.

Layers of models do matrix products themselves, and everything else through a
`LayerKernels`. A backend may have an attribute ``layers``, an instance of a subclass.
"""

import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from autograd.tracer import getval

from lookahead_ref.stepping.backend import load

# Elements of the matrix of patches that a kernel sees, which should fit into a cache, and
# the least number of its rows, as BLAS is inefficient with fewer.
_GROUP, _ROWS = 1 << 18, 256


def namespace(array: Any) -> Any:
    """Return the module whose functions take an array; autograd may have boxed it.

    It is the array's own ``__array_namespace__`` or, without one, the package that defines
    its type.

    Examples
    --------
    >>> namespace(np.ones(2)).__name__
    'numpy'
    """
    value = getval(array)
    if type(value) is np.ndarray:
        return np  # ten times faster than the general way below
    own = getattr(value, "__array_namespace__", None)
    if own is not None:
        return own()
    return sys.modules[type(value).__module__.partition(".")[0]]


class LayerKernels:
    """Computations of layers, for arrays of any library that follows NumPy.

    Arrays have one dtype and are C-contiguous, except for pictures, whose memory may have
    any order; inputs may be read-only. ``n`` is the number of rows or pictures of a batch.
    Pictures have shape (n, height, width, channels): a product over channels reads memory
    in order. Convolution kernels have shape (rows, columns, channels, outputs).

    A subclass calls the method here for dtypes that its own does not support.

    Attributes
    ----------
    block : int
        The number of elements in a pass over rows, which should fit into the second-level
        cache.

    Examples
    --------
    >>> rows = np.array([[1.0], [2.0], [3.0]])
    >>> LayerKernels().scatter(rows, np.array([2, 0, 2]), 3)
    array([[2.],
           [0.],
           [4.]])
    >>> x, out = np.arange(4.0).reshape(1, 1, 4, 1), np.empty((1, 1, 4, 1))
    >>> LayerKernels().correlate(x, np.ones((1, 3, 1, 1)), out, 1, (0, -1))
    >>> out.ravel()
    array([1., 3., 6., 5.])
    """

    block = 131072

    def activate(self, y: Any, bias: Any, activation: str | None) -> None:
        """Overwrite y, shape (n, units), by ``activation(y + bias)``."""
        xp = namespace(y)
        y += bias
        if activation == "relu":
            xp.maximum(y, 0, out=y)
        elif activation == "tanh":
            xp.tanh(y, out=y)

    def activate_gradient(self, g: Any, y: Any, activation: str | None) -> tuple[Any, Any]:
        """Return the gradients of the product and the bias given to `activate`.

        `g` and `y`, shape (n, units), are the gradient of the output and the output.
        Without activation, the first gradient is `g` itself.
        """
        xp = namespace(g)
        if activation == "relu":
            g = g * (y > 0)
        elif activation == "tanh":
            slope = y * y
            xp.subtract(1, slope, out=slope)
            slope *= g
            g = slope
        return g, xp.sum(g, axis=0)

    def cross_entropy(self, logits: Any, bias: Any, labels: Any, *, gradient: bool) -> Any:
        """Return the softmax cross entropy of each row, in nats.

        The logits, shape (n, classes), are overwritten: with `gradient`, by the gradient of
        the mean cross entropy with respect to ``logits + bias``; otherwise by anything.
        `bias`, shape (classes,), may be None; `labels`, shape (n,), are int32 or
        int64 from 0 to ``classes - 1``.
        """
        xp = namespace(logits)
        n, classes = logits.shape
        losses = xp.empty(n, dtype=logits.dtype)
        block = max(1, self.block // classes)
        for start in range(0, n, block):
            z = logits[start : start + block]
            right = labels[start : start + block]
            rows = xp.arange(z.shape[0])
            if bias is not None:
                z += bias
            # Subtracting the maximum prevents overflow and does not change the result.
            z -= xp.max(z, axis=1, keepdims=True)
            chosen = z[rows, right]
            xp.exp(z, out=z)
            total = xp.sum(z, axis=1)
            losses[start : start + block] = xp.log(total) - chosen
            if gradient:
                z /= (total * n)[:, None]
                z[rows, right] -= 1 / n
        return losses

    def scatter(self, rows: Any, indices: Any, size: int) -> Any:
        """Return the sums, shape (size, width), of the rows that have each index.

        `rows` has shape (n, width), `indices` shape (n,), of int32 or int64.
        """
        xp = namespace(rows)
        sums = xp.zeros((size, rows.shape[1]), dtype=rows.dtype)
        xp.add.at(sums, indices, rows)
        return sums

    def packed(self, weight: Any) -> Any:
        """Return a matrix, possibly a transpose, in the layout that `product` reads."""
        return weight

    def product(self, rows: Any, packed: Any, out: Any) -> None:
        """Write the product of a few rows and a packed matrix."""
        namespace(rows).matmul(rows, packed, out=out)

    def lstm_cell(
        self,
        gates: Any,
        recurrent: Any,
        cell: Any,
        next_cell: Any,
        squashed: Any,
        hidden: Any,
        /,
    ) -> None:
        """Do a step of an LSTM after its matrix products.

        `gates` and `recurrent`, shape (n, 4 * units), are the products of the input, with
        the bias, and of the last hidden state. Their sum is overwritten, in `gates`, by the
        gates' values, in the order input, forget, candidate, output. `cell`, shape (n,
        units), is the last state of the cells. The next state, its hyperbolic tangent and
        the hidden state are written.
        """
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

    def lstm_cell_gradient(
        self,
        gates: Any,
        cell: Any,
        squashed: Any,
        output_gradient: Any,
        hidden_gradient: Any,
        cell_gradient: Any,
        /,
    ) -> None:
        """Compute the gradients of `lstm_cell`.

        `gates` is overwritten by the gradient of the sum of the products, and
        `cell_gradient`, that of the cells' new state from the next step, by that of their
        last one. The gradient of the hidden state has two parts: from the layer's output,
        and from the next step.
        """
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

    def correlate(
        self, x: Any, kernel: Any, out: Any, stride: int, offset: tuple[int, int]
    ) -> None:
        """Write the correlation of pictures with a kernel.

        ``out[n, i, j, o]`` becomes the sum over a, b and c of ``kernel[a, b, c, o]`` times
        ``x[n, i * stride + offset[0] + a, j * stride + offset[1] + b, c]``, where x is zero
        outside of the pictures. Only the last axis of `out` must be contiguous. A negative
        `offset` starts the kernel in the zeros around a picture.
        """
        # One matrix product for each group of pictures, whose patches are copied into rows.
        # That takes several times the pictures' memory, so a group fits into a cache.
        xp = namespace(x)
        rows, columns, channels, outputs = kernel.shape
        matrix = xp.reshape(kernel, (rows * columns * channels, outputs))
        for group, seen in _seen(x, out.shape, (rows, columns), stride, offset):
            out[group] = xp.reshape(xp.matmul(seen, matrix), out[group].shape)

    def kernel_gradient(
        self, x: Any, grad: Any, size: tuple[int, int], stride: int, offset: tuple[int, int]
    ) -> Any:
        """Return the gradient of `correlate` with respect to the kernel.

        `grad` is the gradient of its output, `size` the rows and columns of the kernel.
        """
        xp = namespace(x)
        channels, outputs = x.shape[3], grad.shape[3]
        total = xp.zeros((size[0] * size[1] * channels, outputs), dtype=x.dtype)
        for group, seen in _seen(x, grad.shape, size, stride, offset):
            total += xp.matmul(seen.T, xp.reshape(grad[group], (-1, outputs)))
        return xp.reshape(total, (*size, channels, outputs))

    def moments(self, x: Any) -> tuple[Any, Any]:
        """Return each channel's mean and population variance, over all places."""
        xp = namespace(x)
        flat = xp.reshape(x, (-1, x.shape[3]))
        mean = xp.mean(flat, axis=0)
        centred = flat - mean
        # Correct the rounding error of a float32 mean of many rows.
        rest = xp.mean(centred, axis=0)
        centred *= centred
        return mean + rest, xp.mean(centred, axis=0) - rest * rest

    def affine(
        self, x: Any, factor: Any, term: Any, residual: Any, *, rectify: bool
    ) -> Any:
        """Return ``x * factor + term + residual``, contiguous, with numbers per channel.

        The residual has the shape of x or is None; `rectify` makes negative results zero.
        """
        y = x * factor
        y += term
        if residual is not None:
            y += residual
        if rectify:
            namespace(y).maximum(y, 0, out=y)
        return y

    def normalize_gradient(
        self, g: Any, y: Any, x: Any, mean: Any, inverse: Any, scale: Any, *, residual: bool
    ) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of batch normalisation: of x, scale, shift and residual.

        It computes ``(x - mean) * inverse * scale + shift``, plus a residual, where mean
        and inverse deviation are those of the batch. `g` is the gradient of the result, and
        `y` the result, or None if it was not rectified. The gradient of the residual is g
        itself without rectification, and None if it is not needed.
        """
        xp = namespace(g)
        if y is not None:
            g = g * (y > 0)
        normalized = (x - mean) * inverse
        shift_gradient = xp.sum(g, axis=(0, 1, 2))
        scale_gradient = xp.sum(g * normalized, axis=(0, 1, 2))
        count = x.size // x.shape[3]
        normalized *= scale_gradient / count
        x_gradient = g - shift_gradient / count
        x_gradient -= normalized
        x_gradient *= scale * inverse
        return x_gradient, scale_gradient, shift_gradient, g if residual else None


def _gates(gates: Any) -> list[Any]:
    units = gates.shape[1] // 4
    return [gates[:, place * units : (place + 1) * units] for place in range(4)]


def _seen(
    x: Any,
    out_shape: tuple[int, ...],
    size: tuple[int, int],
    stride: int,
    offset: tuple[int, int],
) -> Iterator[tuple[slice, Any]]:
    """Yield groups of pictures, each with the matrix of its patches."""
    xp = namespace(x)
    n, height, width, _ = out_shape
    channels = x.shape[3]
    length = size[0] * size[1] * channels
    places = height * width
    group = max(1, min(n, max(_GROUP // (places * length), _ROWS // places)))
    seen_rows = (height - 1) * stride + size[0]
    seen_columns = (width - 1) * stride + size[1]
    if x.shape[1:3] != (seen_rows, seen_columns) or offset != (0, 0):
        x = _framed(x, (seen_rows, seen_columns), offset)
    windows = xp.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    # What a row of the kernel sees is one run of memory.
    windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    for start in range(0, n, group):
        part = slice(start, min(start + group, n))
        yield part, xp.reshape(windows[part], (-1, length))


def _framed(x: Any, size: tuple[int, int], offset: tuple[int, int]) -> Any:
    """Cut a window of a size out of pictures at an offset, with zeros outside."""
    xp = namespace(x)
    frame = xp.zeros((x.shape[0], *size, x.shape[3]), dtype=x.dtype)
    source, target = [], []
    for first, extent, length in zip(offset, size, x.shape[1:3], strict=True):
        low = max(first, 0)
        high = max(low, min(first + extent, length))
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    frame[:, target[0], target[1]] = x[:, source[0], source[1]]
    return frame


GENERAL = LayerKernels()
"""The kernels of backends without their own."""


@cache  # finding an entry point takes longer than a small model's step
def find(backend: str) -> LayerKernels:
    """Return a backend's kernels by its name, or the general ones.

    An unknown name is a ValueError; a backend that cannot run, BackendUnavailableError.

    Examples
    --------
    >>> find("numpy") is GENERAL
    True
    """
    offered: LayerKernels = getattr(load(backend), "layers", GENERAL)
    return offered
