"""Activation functions, each a single differentiable primitive.

Autograd's own derivatives of ``maximum`` and ``tanh`` leave float32 (the first) and
overflow far from zero (the second); these do neither.
"""

from typing import Any

import autograd.numpy as np
from autograd.extend import defvjp, primitive

__all__ = ["ACTIVATIONS", "relu", "tanh"]


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _tanh(x: Any) -> Any:
    return np.tanh(x)


relu = primitive(_relu)
"""The rectifier, max(x, 0), elementwise; its derivative at 0 is 0."""
# `ans` and not `x`: the input need not be kept for the backward pass.
defvjp(relu, lambda ans, _x: lambda g: g * (ans > 0))

tanh = primitive(_tanh)
"""The hyperbolic tangent, elementwise."""
defvjp(tanh, lambda ans, _x: lambda g: g * (1 - ans * ans))

ACTIVATIONS = {"relu": relu, "tanh": tanh}
"""The activation functions by name."""
