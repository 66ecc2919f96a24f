"""Layers as single nodes of autograd's graph.

Autograd costs a Python call, and an array, for each operation. A layer that is worth it is
therefore written twice. Its *twin* is a plain function of ``autograd.numpy``, which says
what the layer is and is differentiable as often as one likes. Its *forward* computes the
same value with in-place operations and compiled kernels, and returns with it a function
that computes the gradients by hand. First derivatives come from that function, derivatives
of derivatives from the twin; the tests hold one against the other.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from autograd.builtins import tuple as traced_tuple
from autograd.core import make_vjp
from autograd.extend import defvjp_argnums, primitive
from autograd.tracer import isbox

from lookahead_ref.kernels import GENERAL, LayerKernels

__all__ = ["Backward", "Forward", "fused"]

Backward: TypeAlias = Callable[[Any], tuple[Any, ...]]
"""From the gradient of the value to one gradient for each array, None where none is
wanted. It is called once at most and may overwrite what it keeps, but not what it is
given, which is of the value's dtype."""

Forward: TypeAlias = Callable[..., tuple[Any, ...]]
"""``forward(wanted, kernels, *arrays, **options)``: the value and a `Backward`, which may
be None where no gradient is wanted, then whatever else there is to return. ``wanted`` holds
a bool for each array."""


def fused(twin: Callable[..., Any], forward: Forward) -> Callable[..., Any]:
    """Make a layer that autograd sees as one operation.

    Parameters
    ----------
    twin : callable
        ``twin(*arrays, **options)``, in ``autograd.numpy``.
    forward : callable
        The same value and how its gradients are computed: see `Forward`.

    Returns
    -------
    callable
        The layer, ``layer(*arrays, kernels=GENERAL, **options)``. Positional
        arguments are the arrays that may be differentiated, others are not. It returns the
        value or, where `forward` has more to return, a tuple of the value and that, as it
        is and without a gradient.

    Examples
    --------
    >>> import numpy as np
    >>> from lookahead_ref.gradients import value_and_grad
    >>> def half_square(x):
    ...     return (x * x).sum() / 2
    >>> def forward(wanted, kernels, x):
    ...     return np.dot(x, x) / 2, lambda g: (g * x,)
    >>> layer = fused(half_square, forward)
    >>> value_and_grad(lambda p: layer(p["x"]))({"x": np.array([3.0, 4.0])})
    (np.float64(12.5), {'x': array([3., 4.])})
    """

    def run(*arrays: Any, call: dict[str, Any]) -> Any:
        value, call["backward"], *call["rest"] = forward(
            call["wanted"], call["kernels"], *arrays, **call["options"]
        )
        return value

    def gradients(argnums: Any, value: Any, arrays: Any, keywords: Any) -> Any:
        call = keywords["call"]

        def vjp(g: Any) -> Any:
            # Under a second differentiation these are boxes, and a backward pass by hand
            # would compute past the graph.
            traced = isbox(g) or any(isbox(array) for array in arrays)
            backward = None if traced else call.pop("backward", None)
            if backward is not None:
                found = backward(_of_dtype(g, value))
                return [found[number] for number in argnums]

            def restricted(chosen: Any) -> Any:
                given = list(arrays)
                for place, number in enumerate(argnums):
                    given[number] = chosen[place]
                return twin(*given, **call["options"])

            pull, _ = make_vjp(restricted, traced_tuple([arrays[n] for n in argnums]))
            found = pull(g)
            return [found[place] for place in range(len(argnums))]

        return vjp

    node = primitive(run)
    defvjp_argnums(node, gradients)

    @wraps(twin)
    def layer(*arrays: Any, kernels: LayerKernels = GENERAL, **options: Any) -> Any:
        wanted = tuple(isbox(array) for array in arrays)
        call: dict[str, Any] = {"wanted": wanted, "kernels": kernels, "options": options}
        value = node(*arrays, call=call)
        return (value, *call["rest"]) if call["rest"] else value

    return layer


def _of_dtype(g: Any, value: Any) -> Any:
    # Autograd lets a float64 gradient come back to a float32 value that was multiplied by
    # a float64 array; compiled kernels take arrays of one dtype.
    wanted = getattr(value, "dtype", None)
    came = getattr(g, "dtype", wanted)
    return g if came == wanted else g.astype(wanted)
