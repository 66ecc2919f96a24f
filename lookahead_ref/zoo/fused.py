"""Layers as single nodes of autograd's graph, and checks of what they are given.

Autograd costs a Python call, and an array, for each operation. A layer that is worth it
has two bodies. The function itself is plain ``autograd.numpy``: it says what the layer is
and is differentiable as often as one likes. Its *forward* computes the same value with
in-place operations and compiled kernels, and returns with it a function that computes the
gradients by hand. First derivatives come from that function, derivatives of derivatives
from the plain one; the tests hold one against the other.

Compiled kernels believe the shapes and the dtype that they are told: they would read past
the end of an array that is too short, where NumPy stretches it. So all is checked first.
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
"""From the gradient of the value to one gradient for each array, None where none is
wanted. It is called once at most and may overwrite what it keeps, but not what it is
given, which is of the value's dtype."""

Forward: TypeAlias = Callable[..., tuple[Any, ...]]
"""``forward(wanted, kernels, *arrays, **options)``: the value and a `Backward`, which may
be None where no gradient is wanted, then whatever else there is to return. ``wanted`` holds
a bool for each array."""

Layer: TypeAlias = Callable[..., Any]
Wanted: TypeAlias = tuple[bool, ...]


def fused(
    forward: Forward, *, result: Callable[..., Any] | None = None
) -> Callable[[Layer], Layer]:
    """Make a layer that autograd sees as one operation: a decorator of a plain function.

    What is decorated is ``function(*arrays, **options)``, written in ``autograd.numpy``;
    its positional parameters are the arrays that may be differentiated. `forward` computes
    the same value and how its gradients are computed: see `Forward`. `result` makes what
    the layer returns from the value and whatever else `forward` returned, which is without
    a gradient; by default the layer returns the value. It takes ``kernels=`` too.

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
        # Under a second differentiation these are boxes, and a backward pass by hand
        # would compute past the graph.
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
    """Return values as an array of another array's library and dtype; boxes as they are."""
    # What is differentiated has the dtype that its gradient shall have.
    if isbox(values):
        return values
    return namespace(array).asarray(values, dtype=getval(array).dtype)


def check(name: str, array: Any, shape: tuple[int, ...], dtype: Any = None) -> None:
    """Refuse an array of another shape or, where one is given, another dtype."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    if dtype is not None and array.dtype != dtype:
        raise TypeError(
            f"{name} must be of dtype {dtype}, as the weights are, got {array.dtype}"
        )


def check_inputs(inputs: Any, *shapes: tuple[int, ...]) -> None:
    """Refuse a batch whose examples have none of the shapes that a model takes."""
    if tuple(inputs.shape[1:]) not in shapes:
        known = " or ".join(f"(n, {', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(f"inputs must have shape {known}, got {tuple(inputs.shape)}")


def check_indices(name: str, indices: Any, size: int) -> None:
    """Refuse indices that are not from 0 to ``size - 1``, where looking costs nothing."""
    kind = getattr(getattr(indices, "dtype", None), "kind", None)
    if kind not in ("i", "u"):
        raise TypeError(f"{name} must be an array of integers, got {indices!r}")
    # A device would have to be waited for: there, what an index out of range gives is open.
    if namespace(indices).__name__ != "numpy" or not indices.size:
        return
    for extreme in (int(indices.min()), int(indices.max())):
        if not 0 <= extreme < size:
            raise ValueError(f"{name} must be from 0 to {size - 1}, got {extreme}")
