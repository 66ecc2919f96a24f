"""The one place where a rule meets the leaves of trees.

Scalars are computed on the host in float64 and rounded once to the dtype of each leaf.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from array_api_compat import array_namespace

from lookahead_ref import trees
from lookahead_ref.stepping.recording import Rule, Symbol, as_tuple
from lookahead_ref.stepping.representative import SOLE, Representative
from lookahead_ref.trees import Array, Tree

_FLOAT32 = struct.Struct("<f")


def interpolate(xp: Any) -> Any:  # noqa: ARG001
    """Move a fraction of the way to another array: slow + alpha (fast - slow)."""

    def move(slow: Array, fast: Array, alpha: float) -> Array:
        return slow + alpha * (fast - slow)

    return move


def round_to(dtype: str, name: str, value: float) -> float:
    """Round a scalar to the dtype of the arrays that it meets.

    Parameters
    ----------
    dtype : str
        ``float32`` or ``float64``, possibly after the name of a library and a dot.
    name : str
        The scalar, for the error.
    value : float
        Its value in float64.

    Returns
    -------
    float
        The value of that dtype nearest to it, ties to even.

    Raises
    ------
    ValueError
        If a finite value that is not zero rounds to zero or to infinity.

    Examples
    --------
    >>> round_to("float32", "alpha", 0.1)
    0.10000000149011612
    >>> round_to("float32", "epsilon", 1e-50)
    Traceback (most recent call last):
    ...
    ValueError: epsilon = 1e-50 rounds to 0 in float32
    """
    if not dtype.endswith("float32"):
        return value
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        raise ValueError(f"{name} = {value!r} rounds to infinity in float32") from None
    if rounded == 0.0 and value != 0.0:
        raise ValueError(f"{name} = {value!r} rounds to 0 in float32")
    return float(rounded)


def round_scalars(scalars: Mapping[str, float], path: str, leaf: Array) -> dict[str, float]:
    """Round scalars to the dtype of a leaf.

    Parameters
    ----------
    scalars : dict
        Name to value.
    path : str
        The leaf, for the error.
    leaf : array
        The leaf.

    Returns
    -------
    dict
        Name to rounded value.

    Raises
    ------
    ValueError
        As `round_to`.
    """
    dtype = str(leaf.dtype)
    return {
        name: round_to(dtype, f"{name} (for params[{path!r}])", value)
        for name, value in scalars.items()
    }


def zeros_like(tree: Tree) -> dict[str, Any]:
    """Make a tree of zeros in the shape of another.

    Parameters
    ----------
    tree : dict
        A tree of arrays.

    Returns
    -------
    dict
        A new tree of zeros, of the same libraries, shapes and dtypes.
    """

    def zeros(leaf: Array) -> Array:
        if isinstance(leaf, Symbol):
            return leaf.tape.zero()
        return array_namespace(leaf).zeros_like(leaf)

    return trees.map(zeros, tree)


def apply(
    rule: Rule, coefficients: Mapping[str, float], *operands: Tree
) -> tuple[Any, ...]:
    """Apply a rule to the corresponding leaves of trees.

    Parameters
    ----------
    rule : callable
        A function of an array namespace that returns the arithmetic, a function of one
        array from each tree and of the coefficients by name.
    coefficients : dict
        The scalars, in float64.
    *operands : dict
        Trees of arrays, all like the first.

    Returns
    -------
    tuple of dict
        One new tree for each array that the rule returns.

    Raises
    ------
    TypeError, ValueError
        If the trees differ in names, libraries, dtypes or shapes, or a coefficient that is
        not zero rounds to zero in the dtype of a leaf.
    """
    if type(operands[0]) is Representative:
        symbols = [each[SOLE] for each in operands]
        recorded = symbols[0].tape.record(rule, symbols, coefficients)
        return tuple([result.tree for result in recorded])
    first, *others = [trees.flatten(each) for each in operands]
    for other in others:
        if other.keys() != first.keys():
            path = next(iter(first.keys() ^ other.keys()))
            raise ValueError(
                f"params and the optimizer's state differ in the leaf {path!r}"
            )
    results = {
        path: _apply_to_leaf(
            rule, coefficients, path, [leaf, *[other[path] for other in others]]
        )
        for path, leaf in first.items()
    }
    count = len(next(iter(results.values())))
    return tuple(
        trees.unflatten(
            operands[0], {path: result[number] for path, result in results.items()}
        )
        for number in range(count)
    )


def evaluate(function: Callable[..., Any], *operands: Tree) -> list[Any]:
    """Call a function with the corresponding leaves of trees: where a step needs values.

    Unlike a rule it may do anything with the arrays, and what it returns stays with the
    caller. While a step is recorded, the values are computed first.

    Parameters
    ----------
    function : callable
        A function of one array from each tree, each of one dimension.
    *operands : dict
        Trees of arrays, all like the first.

    Returns
    -------
    list
        What it returns for each leaf, in the order of the first tree.
    """
    first, *others = [trees.flatten(each) for each in operands]
    results = []
    for path, leaf in first.items():
        leaves = [leaf, *[other[path] for other in others]]
        if isinstance(leaf, Symbol):
            results += leaf.tape.evaluate(function, leaves)
        else:
            xp = array_namespace(leaf)
            # In the order of the elements, whatever that of the memory.
            results.append(function(*[xp.reshape(each, (-1,)) for each in leaves]))
    return results


def _apply_to_leaf(
    rule: Rule, coefficients: Mapping[str, float], path: str, leaves: list[Array]
) -> tuple[Array, ...]:
    leaf = leaves[0]
    if isinstance(leaf, Symbol):
        return tuple(leaf.tape.record(rule, leaves, coefficients))
    for other in leaves[1:]:
        trees.check_leaf_like(f"the optimizer's state for {path!r}", other, leaf)
    scalars = round_scalars(coefficients, path, leaf)
    xp = array_namespace(leaf)
    results = as_tuple(rule(xp)(*leaves, **scalars))
    # NumPy's arithmetic returns a scalar, not an array, where there are no dimensions.
    return tuple(xp.asarray(result) for result in results) if leaf.shape == () else results
