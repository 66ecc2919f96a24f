"""Layers as single nodes of autograd's graph, and checks of their arguments.

Autograd costs a Python call and an array for each operation. So an important layer has two
bodies. The function itself is plain ``autograd.numpy``: it defines the layer and can be
differentiated any number of times. Its *forward* computes the same value with in-place
operations and compiled kernels, and also returns a function that computes the gradients by
hand. First derivatives come from that function, higher ones from the plain function; the
tests compare the two.

Compiled kernels trust shapes and dtypes: they would read past the end of an array that is
too short, where NumPy broadcasts it. So all arguments are checked first.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from autograd.builtins import tuple as traced_tuple
from autograd.core import make_vjp
from autograd.extend import defvjp_argnums, primitive
from autograd.tracer import getval, isbox

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace

Backward: TypeAlias = Callable[[Any], tuple[Any, ...]]
"""From the gradient of the value, of the same dtype, to a gradient for each array, or None
if not needed. It is called at most once and may overwrite what it keeps, but not its
argument."""

Forward: TypeAlias = Callable[..., tuple[Any, ...]]
"""``forward(wanted, kernels, *arrays, **options)`` returns the value, a `Backward`, and
other results. ``wanted`` says of each array whether its gradient is."""

Layer: TypeAlias = Callable[..., Any]
Wanted: TypeAlias = tuple[bool, ...]


def fused(
    forward: Forward, *, result: Callable[..., Any] | None = None
) -> Callable[[Layer], Layer]:
    """Make a layer that autograd sees as one operation: a decorator of a plain function.

    It decorates ``function(*arrays, **options)``, written in ``autograd.numpy``, whose
    positional parameters are the differentiable arrays. `forward` computes the same value
    and its gradients: see `Forward`. `result` makes the layer's result from the value and
    `forward`'s other results, which have no gradient; by default it is the value. The
    layer also takes ``kernels=``.

    Examples
    --------
    >>> import numpy as np
    >>> from lookahead_ref.gradients import value_and_grad
    >>> def forward(wanted, kernels, x):
    ...     return np.dot(x, x) / 2, lambda g: (g * x,)
    >>> @fused(forward)
    ... def half_square(x):
    ...     return (x * x).sum() / 2
    >>> value_and_grad(lambda p: half_square(p["x"]))({"x": np.array([3.0, 4.0])})
    (np.float64(12.5), {'x': array([3., 4.])})
    """

    def run(*arrays: Any, call: dict[str, Any]) -> Any:
        value, call["backward"], *call["rest"] = forward(
            call["wanted"], call["kernels"], *arrays, **call["options"]
        )
        return value

    def make(plain: Layer) -> Layer:
        node = primitive(run)
        defvjp_argnums(node, lambda *given: _pullback(plain, *given))
        specification = inspect.getfullargspec(plain)
        names, defaults = specification.args, specification.kwonlydefaults or {}

        @wraps(plain)
        def layer(*arrays: Any, kernels: LayerKernels = GENERAL, **options: Any) -> Any:
            for name in names[len(arrays) :]:
                if name not in options:
                    break
                arrays = (*arrays, options.pop(name))
            call: dict[str, Any] = {
                "wanted": tuple(isbox(array) for array in arrays),
                "kernels": kernels,
                "options": {**defaults, **options},
            }
            value = node(*arrays, call=call)
            return value if result is None else result(value, *call["rest"])

        return layer

    return make


def _pullback(plain: Layer, argnums: Any, value: Any, arrays: Any, keywords: Any) -> Any:
    """Return the function that pulls a gradient of the value back to the arrays."""
    call = keywords["call"]

    def pull(g: Any) -> Any:
        # In a second differentiation these are boxes, which a backward pass by hand
        # would not trace.
        traced = isbox(g) or any(isbox(array) for array in arrays)
        backward = None if traced else call.pop("backward", None)
        if backward is not None:
            # Autograd lets a float64 gradient come back to a float32 value that was
            # multiplied by a float64 array; compiled kernels take arrays of one dtype.
            wanted = getattr(value, "dtype", None)
            came = getattr(g, "dtype", wanted)
            found = backward(g if came == wanted else g.astype(wanted))
            return [found[number] for number in argnums]

        def restricted(chosen: Any) -> Any:
            given = list(arrays)
            for place, number in enumerate(argnums):
                given[number] = chosen[place]
            return plain(*given, **call["options"])

        pull_plain, _ = make_vjp(restricted, traced_tuple([arrays[n] for n in argnums]))
        found = pull_plain(g)
        return [found[place] for place in range(len(argnums))]

    return pull


def like(array: Any, values: Any) -> Any:
    """Return values in another array's library and dtype; boxes are unchanged."""
    # A box already has the dtype that its gradient needs.
    if isbox(values):
        return values
    return namespace(array).asarray(values, dtype=getval(array).dtype)


def check(name: str, array: Any, shape: tuple[int, ...], dtype: Any = None) -> None:
    """Refuse an array of another shape or, if given, dtype."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if dtype is not None and array.dtype != dtype:
        raise TypeError(
            f"{name} must be of dtype {dtype}, like the weights, got {array.dtype}"
        )


def check_inputs(inputs: Any, *shapes: tuple[int, ...]) -> None:
    """Refuse a batch whose examples have none of a model's shapes."""
    if tuple(inputs.shape[1:]) not in shapes:
        known = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(f"inputs must have shape {known}, got {tuple(inputs.shape)}")


def check_indices(name: str, indices: Any, size: int) -> None:
    """Refuse indices outside of 0 to ``size - 1``, unless they are on a device."""
    kind = getattr(getattr(indices, "dtype", None), "kind", None)
    if kind not in ("i", "u"):
        raise TypeError(f"{name} must be an array of integers, got {indices!r}")
    # A device would have to be waited for; there the result is undefined.
    if namespace(indices).__name__ != "numpy" or not indices.size:
        return
    for extreme in (int(indices.min()), int(indices.max())):
        if not 0 <= extreme < size:
            raise ValueError(f"{name} must be from 0 to {size - 1}, got {extreme}")
