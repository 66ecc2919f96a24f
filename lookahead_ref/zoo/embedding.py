"""The embedding: a row of a table for each token."""

from typing import Any

import autograd.numpy as np

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.arrays import check_indices
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["embedding"]


def _embedding(table: Any, *, tokens: Any) -> Any:
    # A product with one-hot rows: what an embedding is, though not how to compute it.
    return np.matmul(1.0 * (tokens[..., None] == np.arange(table.shape[0])), table)


def _forward(
    _wanted: Any, kernels: LayerKernels, table: Any, *, tokens: Any
) -> tuple[Any, Backward]:
    size, width = table.shape
    check_indices("tokens", tokens, size)

    def backward(g: Any) -> tuple[Any, ...]:
        rows = namespace(g).ascontiguousarray(g).reshape(-1, width)
        return (kernels.scatter(rows, tokens.reshape(-1), size),)

    return namespace(table).take(table, tokens, axis=0), backward


_fused = fused(_embedding, _forward)


def embedding(table: Any, tokens: Any, *, kernels: LayerKernels = GENERAL) -> Any:
    """Look up the rows of a table.

    Parameters
    ----------
    table : array, shape (vocabulary, width)
        One row for each token. Its gradient is an array of the same shape, to which only
        the rows that were looked up contribute.
    tokens : array of int, any shape
        From 0 to ``vocabulary - 1``.
    kernels : LayerKernels, optional
        What sums the gradients of the rows.

    Returns
    -------
    array, shape of the tokens and (width,)
        The rows.

    Raises
    ------
    TypeError, ValueError
        If a token in host memory is no integer, or out of range.

    Examples
    --------
    >>> embedding(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0]))
    array([[3., 4.],
           [3., 4.],
           [1., 2.]])
    """
    return _fused(table, tokens=tokens, kernels=kernels)
