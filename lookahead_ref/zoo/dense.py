"""The dense layer: an affine map and an activation."""

from typing import Any

import autograd.numpy as np

from lookahead_ref.kernels import LayerKernels, namespace
from lookahead_ref.zoo.activations import ACTIVATIONS
from lookahead_ref.zoo.arrays import check
from lookahead_ref.zoo.fused import Backward, fused

__all__ = ["dense"]


def _dense(
    x: Any,
    weight: Any,
    bias: Any,
    *,
    activation: str | None = None,
) -> Any:
    """Apply ``activation(x @ weight + bias)``.

    Parameters
    ----------
    x : array, shape (n, inputs)
        A batch.
    weight : array, shape (inputs, units)
        The weights.
    bias : array, shape (units,)
        Added to each row.
    activation : {"relu", "tanh"}, optional
        A name in `lookahead_ref.zoo.activations`; without one the layer is affine.
    kernels : LayerKernels, optional
        What computes all but the products; by default the general ones.

    Returns
    -------
    array, shape (n, units)
        Of the dtype of the operands.

    Raises
    ------
    ValueError, TypeError
        If the operands' shapes do not fit, or their dtypes differ.

    Examples
    --------
    >>> dense(np.eye(2), np.array([[1.0], [-2.0]]), np.zeros(1), activation="relu")
    array([[1.],
           [0.]])
    """
    y = np.matmul(x, weight) + bias
    return y if activation is None else ACTIVATIONS[activation](y)


def _forward(
    wanted: tuple[bool, ...],
    kernels: LayerKernels,
    x: Any,
    weight: Any,
    bias: Any,
    *,
    activation: str | None = None,
) -> tuple[Any, Backward | None]:
    xp = namespace(weight)
    check("x", x, (x.shape[0], weight.shape[0]), weight.dtype)
    check("bias", bias, weight.shape[1:], weight.dtype)
    y = xp.matmul(x, weight)
    kernels.activate(y, bias, activation)
    if not any(wanted):
        return y, None

    def backward(g: Any) -> tuple[Any, ...]:
        g, bias_gradient = kernels.activate_gradient(g, y, activation)
        return (
            xp.matmul(g, weight.T) if wanted[0] else None,
            xp.matmul(x.T, g) if wanted[1] else None,
            bias_gradient,
        )

    return y, backward


dense = fused(_dense, _forward)
