"""Gradients of NumPy programs, by HIPS autograd, and their clipping.

The optimizers take gradients from anywhere. This is the one way that the library itself
computes them: reverse-mode differentiation of a function that is written in
``autograd.numpy``. Each leaf of the parameters is a root of autograd's graph, so the
function sees a plain dict, and a gradient takes an array of its leaf's size only.

For arrays of other libraries, such as CuPy's, an entry point in the group
``lookahead_ref.gradients`` registers the derivatives.
"""

import math
import warnings
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from array_api_compat import array_namespace

from lookahead_ref import hyperparameters, trees
from lookahead_ref.trees import Array, Tree

_GROUP = "lookahead_ref.gradients"
_SQUARED = 1e-12  # the squares of even a million smaller elements are negligible


def value_and_grad(
    fn: Callable[..., Any], has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Make a function that returns a scalar function's value and its gradient.

    Parameters
    ----------
    fn : callable
        ``fn(params, *args, **kwargs)``, written in ``autograd.numpy``. ``params`` is a
        dict of float arrays, nested to any depth. Returns a real scalar, or with
        `has_aux` a pair of a real scalar and anything else.
    has_aux : bool, default False
        Whether `fn` returns ``(value, aux)``.

    Returns
    -------
    callable
        Takes what `fn` takes and returns ``(value, grads)``, or with `has_aux`
        ``((value, aux), grads)``. ``grads`` has the structure, shapes and dtypes of
        ``params``: float32 stays float32. A parameter that the value does not depend on
        has a gradient of zeros; if none matters, there is a warning like autograd's own. No
        two gradients share memory.

    Raises
    ------
    TypeError
        From the returned function, if a leaf of ``params`` is not an array of real
        floating-point numbers, or `fn` returns something else than above.
    ValueError
        From the returned function, if ``params`` has no leaves.

    References
    ----------
    D. Maclaurin, D. Duvenaud and R. P. Adams, "Autograd: Effortless Gradients in NumPy",
    ICML 2015 AutoML Workshop.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> def loss(params, target):
    ...     return np.sum((params["weight"] - target) ** 2)
    >>> params = {"weight": np.array([1.0, 2.0], dtype=np.float32)}
    >>> value, grads = value_and_grad(loss)(params, np.zeros(2, dtype=np.float32))
    >>> float(value), grads["weight"]
    (5.0, array([2., 4.], dtype=float32))
    """
    if not callable(fn):
        raise TypeError(f"fn must be a function, got {type(fn).__name__}")

    def value_and_grads(params: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        # Here and not at the top: importing the library must not import autograd.
        from autograd.core import VJPNode, vspace
        from autograd.tracer import isbox, new_box, trace_stack

        leaves = trees.flatten(params, "params")
        if not leaves:
            raise ValueError("params must hold at least one array, got none")
        for path, leaf in leaves.items():
            _check_leaf(f"params[{path!r}]", leaf)
            _teach(type(leaf))

        with trace_stack.new_trace() as trace:
            roots = {path: VJPNode.new_root() for path in leaves}
            boxed = {
                path: new_box(leaf, trace, roots[path]) for path, leaf in leaves.items()
            }
            output = fn(trees.unflatten(params, boxed), *args, **kwargs)

        value, aux = _split(output) if has_aux else (output, None)
        traced = isbox(value) and value._trace == trace  # noqa: SLF001 - autograd's own field
        plain = value._value if traced else value  # noqa: SLF001
        _check_scalar(plain, has_aux)

        found: dict[Any, Any] = {}
        if traced:
            found = _backward(value._node, vspace(plain).ones(), set(roots.values()))  # noqa: SLF001
        else:
            name = getattr(fn, "__qualname__", "fn")
            warnings.warn(
                f"the value of {name} depends on no parameter: all gradients are zero",
                stacklevel=2,
            )
        grads: dict[str, Any] = {}
        owners: set[int] = set()
        for path, leaf in leaves.items():
            grad = found.get(roots[path])
            if grad is None:
                grad = vspace(leaf).zeros()
            # `a + b.T` gives both operands views of one array; the caller may write to it.
            root = id(trees.memory(grad))
            grads[path] = _like(grad, leaf, copy=root in owners)
            owners.add(root)

        gradient = trees.unflatten(params, grads)
        if has_aux:
            return (plain, _unboxed(aux, trace)), gradient
        return plain, gradient

    value_and_grads.__name__ = f"value_and_grad_of_{getattr(fn, '__name__', 'fn')}"
    return value_and_grads


def clip_by_global_norm(grads: Tree, max_norm: float) -> tuple[dict[str, Any], Array]:
    """Scale gradients down so that their joint norm is at most `max_norm`.

    Parameters
    ----------
    grads : dict
        The gradients: names to float32 or float64 arrays, possibly nested.
    max_norm : float
        The largest norm that is not clipped.

    Returns
    -------
    grads : dict
        The gradients, each multiplied by ``min(1, max_norm / norm)``: unchanged, to the
        bit, if the norm is at most `max_norm`.
    norm : array
        The norm before clipping, an array without dimensions that stays on its device. It
        is NaN or infinite if a gradient is: do not use the gradients then. It is also
        infinite if it is too large for the dtype; the gradients are then clipped.

    Raises
    ------
    TypeError, ValueError
        If `max_norm` is not a finite number > 0 in the widest dtype of `grads`, or `grads`
        is not a tree of such arrays.

    Notes
    -----
    The norm is computed relative to the largest element, so that squares neither overflow
    nor vanish. The sum depends on its order: across libraries it agrees to rounding, not to
    the bit.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, Algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> grads, norm = clip_by_global_norm({"x": np.array([3.0]), "y": np.array([4.0])}, 1.0)
    >>> float(norm), grads["x"].round(3), grads["y"].round(3)
    (5.0, array([0.6]), array([0.8]))
    """
    limit = hyperparameters.positive("max_norm", max_norm)
    found = trees.check_arrays(grads, "grads")
    leaves = [leaf for leaf in found.values() if 0 not in leaf.shape]
    if not leaves:
        raise ValueError("grads must hold at least one element, got none")
    xp = array_namespace(*leaves)
    widest = xp.result_type(*[leaf.dtype for leaf in leaves])
    limit = hyperparameters.round_to(str(widest), "max_norm", limit)
    # Reductions of NumPy return scalars, which are not arrays.
    largest = xp.max(
        xp.stack([xp.asarray(xp.astype(xp.max(xp.abs(leaf)), widest)) for leaf in leaves])
    )
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))

    def relative(leaf: Array) -> Array:
        return xp.astype(leaf, widest) / scale

    squares = [xp.asarray(xp.sum(relative(leaf) ** 2)) for leaf in leaves]
    root = xp.sqrt(xp.sum(xp.stack(squares)))
    norm = xp.where(largest > 0, scale * root, largest)
    clipped = limit / xp.where(largest > 0, root, xp.ones_like(root))
    return trees.map(
        lambda leaf: xp.where(
            norm > limit, xp.astype(relative(leaf) * clipped, leaf.dtype), leaf
        ),
        grads,
    ), norm


def clip_in_place(grads: Tree, squares: float, max_norm: float) -> bool:
    """Clip in place, but for rounding; return whether that was possible."""
    leaves = trees.flatten(grads).values()
    # If no important square underflows or overflows.
    safe = math.isfinite(squares) and max_norm > _SQUARED
    if not safe or not all(leaf.flags.writeable for leaf in leaves):
        return False
    if squares > max_norm**2:
        factor = max_norm / math.sqrt(squares)
        for leaf in leaves:
            leaf *= factor
    return True


def _teach(array_type: type) -> None:
    """Teach autograd a type of arrays, by the entry point named after its package."""
    from autograd.tracer import Box

    if array_type not in Box.type_mappings:
        package = array_type.__module__.partition(".")[0]
        for entry in entry_points(group=_GROUP, name=package):
            entry.load()(array_type)


def _backward(end: Any, outgrad: Any, roots: set[Any]) -> dict[Any, Any]:
    """Propagate `outgrad` from the node `end` back to the nodes `roots`."""
    from autograd.core import add_outgrads
    from autograd.tracer import toposort

    # Each gradient is paired with whether autograd may add to it in place.
    pending: dict[Any, Any] = {end: (outgrad, False)}
    found: dict[Any, Any] = {}
    for node in toposort(end):
        grad = pending.pop(node)
        if node in roots:
            found[node] = grad[0]
            continue
        for parent, ingrad in zip(node.parents, node.vjp(grad[0]), strict=True):
            pending[parent] = add_outgrads(pending.get(parent), ingrad)
    return found


def _check_leaf(name: str, leaf: Any) -> None:
    # Not trees.check_params: the leaf may be a box of an enclosing differentiation.
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or not hasattr(leaf, "shape"):
        raise TypeError(f"{name} must be an array of floats, got {type(leaf).__name__}")
    if getattr(dtype, "kind", None) != "f":
        raise TypeError(f"{name} must be an array of floats, got one of dtype {dtype}")


def _split(output: Any) -> tuple[Any, Any]:
    if not isinstance(output, tuple) or len(output) != 2:
        raise TypeError(
            "fn must return a pair (value, aux) because has_aux is True, "
            f"got {type(output).__name__}"
        )
    return output


def _check_scalar(value: Any, has_aux: bool) -> None:
    if isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool)):
        return
    wanted = "the value that fn returns must be a real scalar"
    shape = getattr(value, "shape", None)
    if shape is None:
        hint = "; for an auxiliary output pass has_aux=True"
        raise TypeError(
            f"{wanted}, got {type(value).__name__}"
            + (hint if isinstance(value, tuple) and not has_aux else "")
        )
    if tuple(shape) != ():
        raise TypeError(f"{wanted}, got an array of shape {tuple(shape)}")
    if getattr(value.dtype, "kind", None) not in ("f", "i", "u"):
        raise TypeError(f"{wanted}, got one of dtype {value.dtype}")


def _like(grad: Any, leaf: Any, *, copy: bool) -> Any:
    """`grad` as an array of the dtype of `leaf`."""
    if grad.dtype != leaf.dtype:
        return grad.astype(leaf.dtype)
    import numpy as np

    if isinstance(grad, np.generic):
        return np.asarray(grad)
    return grad.copy() if copy else grad


def _unboxed(aux: Any, trace: int) -> Any:
    """`aux` with the values in the place of the boxes of this trace."""
    from autograd.tracer import isbox

    if isbox(aux):
        return aux._value if aux._trace == trace else aux  # noqa: SLF001
    if isinstance(aux, dict):
        return {name: _unboxed(item, trace) for name, item in aux.items()}
    if isinstance(aux, tuple) and hasattr(aux, "_fields"):
        return type(aux)(*(_unboxed(item, trace) for item in aux))
    if isinstance(aux, (tuple, list)):
        return type(aux)(_unboxed(item, trace) for item in aux)
    return aux
