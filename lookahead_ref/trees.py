"""Dicts of arrays: walking them, and checking them with errors that name the parameter.

Parameters, gradients and optimizer slots are all *trees*: a plain dict from names to
arrays, in which a value may again be such a dict. A leaf is named by its path, the names
joined by ``/``.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from lookahead_ref.stepping.representative import Representative

Array: TypeAlias = Any
"""An array of any library that follows the Python array API standard."""

Tree: TypeAlias = Mapping[str, Any]
"""A dict from names to arrays or to further trees."""


def _is_tree(value: Any) -> bool:
    # The abstract class is slow to ask, and this is asked of every leaf at every step.
    return isinstance(value, dict) or (
        not hasattr(value, "dtype") and isinstance(value, Mapping)
    )


def _collect(name: str, tree: Tree, prefix: str, leaves: dict[str, Array]) -> None:
    key: Any  # whatever the caller's dict holds
    for key, value in tree.items():
        if not isinstance(key, str):
            place = prefix.removesuffix("/")
            where = f"{name}[{place!r}]" if place else name
            raise TypeError(f"the names in {where} must be strings, got {key!r}")
        path = prefix + key
        if _is_tree(value):
            _collect(name, value, f"{path}/", leaves)
        elif path in leaves:
            raise ValueError(f"two leaves of {name} have the path {path!r}")
        else:
            leaves[path] = value


def flatten(tree: Tree, name: str = "params") -> dict[str, Array]:
    """List the leaves of a tree by their paths.

    Parameters
    ----------
    tree : dict
        A tree of leaves of any kind.
    name : str, default: "params"
        What the tree is, for the error.

    Returns
    -------
    dict
        Path to leaf, in the order of the tree.

    Raises
    ------
    TypeError
        If `tree` is not a dict, or one of its names is not a string.
    ValueError
        If two leaves have the same path.

    Examples
    --------
    >>> flatten({"layer": {"weight": 1, "bias": 2}, "scale": 3})
    {'layer/weight': 1, 'layer/bias': 2, 'scale': 3}
    """
    if not isinstance(tree, Mapping):
        raise TypeError(f"{name} must be a dict of arrays, got {type(tree).__name__}")
    leaves: dict[str, Array] = {}
    _collect(name, tree, "", leaves)
    return leaves


def unflatten(
    template: Tree, leaves: Mapping[str, Array], prefix: str = ""
) -> dict[str, Any]:
    """Arrange leaves by path in the shape of another tree.

    Parameters
    ----------
    template : dict
        The tree whose structure is taken; its leaves do not matter.
    leaves : dict
        Path to leaf, with at least the paths of `template`.
    prefix : str, default: ""
        What stands before each path of the template.

    Returns
    -------
    dict
        A new tree.

    Examples
    --------
    >>> unflatten({"layer": {"weight": None}}, {"layer/weight": 1})
    {'layer': {'weight': 1}}
    """
    return {
        key: unflatten(value, leaves, f"{prefix}{key}/")
        if _is_tree(value)
        else leaves[prefix + key]
        for key, value in template.items()
    }


def map(function: Callable[[Array], Any], tree: Tree) -> dict[str, Any]:  # noqa: A001
    """Apply a function to each leaf.

    Parameters
    ----------
    function : callable
        Called with each leaf.
    tree : dict
        A tree.

    Returns
    -------
    dict
        A new tree of the results.

    Examples
    --------
    >>> map(abs, {"a": -1, "b": {"c": -2}})
    {'a': 1, 'b': {'c': 2}}
    """
    return {
        key: map(function, value) if _is_tree(value) else function(value)
        for key, value in tree.items()
    }


def copy(tree: Tree) -> dict[str, Any]:
    """Copy each leaf of a tree into new memory.

    Parameters
    ----------
    tree : dict
        A tree of arrays.

    Returns
    -------
    dict
        A new tree of new arrays, of the same libraries, shapes and dtypes.
    """
    return map(lambda leaf: array_namespace(leaf).asarray(leaf, copy=True), tree)


def check_params(params: Tree, name: str = "params") -> None:
    """Check that a tree can be optimized.

    Parameters
    ----------
    params : dict
        The tree to check.
    name : str, default: "params"
        What the tree is, for the error.

    Raises
    ------
    TypeError
        If a leaf is not an array, or neither float32 nor float64.
    ValueError
        If there is no leaf, or two leaves have the same path.
    """
    if type(params) is Representative:
        return
    leaves = flatten(params, name)
    if not leaves:
        raise ValueError(f"{name} must hold at least one array, got none")
    for path, leaf in leaves.items():
        _check_array(f"{name}[{path!r}]", leaf)


def check_like(tree: Tree, like: Tree, name: str) -> None:
    """Check that two trees agree in names, array libraries, dtypes and shapes.

    Parameters
    ----------
    tree : dict
        The tree to check, such as gradients.
    like : dict
        The tree that it must agree with: the parameters.
    name : str
        What `tree` is, for the error.

    Raises
    ------
    TypeError
        If a leaf is not an array, or of another library or dtype.
    ValueError
        If a leaf is missing, not expected, or of another shape.
    """
    if type(tree) is Representative and type(like) is Representative:
        return
    check_leaves_like(flatten(tree, name), flatten(like, "params"), name)


def check_leaves_like(
    leaves: Mapping[str, Array], expected: Mapping[str, Array], name: str
) -> None:
    """Check that the leaves of two trees agree, as `check_like` does.

    Parameters
    ----------
    leaves, expected : dict
        Path to array, from `flatten`.
    name : str
        What `leaves` is, for the error.

    Raises
    ------
    TypeError, ValueError
        As `check_like`.
    """
    if leaves.keys() != expected.keys():
        missing = [path for path in expected if path not in leaves]
        if missing:
            raise ValueError(
                f"{name} must have a leaf {missing[0]!r} as params has, got none"
            )
        extra = next(path for path in leaves if path not in expected)
        raise ValueError(f"{name} has a leaf {extra!r}, which params has not")
    for path, leaf in leaves.items():
        check_leaf_like(f"{name}[{path!r}]", leaf, expected[path])


def check_leaf_like(name: str, leaf: Array, like: Array) -> None:
    """Check that two arrays agree in library, dtype and shape.

    Parameters
    ----------
    name : str
        What `leaf` is, for the error.
    leaf : array
        The array to check.
    like : array
        The array that it must agree with.

    Raises
    ------
    TypeError
        If `leaf` is not an array, or of another library or dtype.
    ValueError
        If it has another shape.
    """
    if type(leaf) is not type(like):
        _check_array(name, leaf)
        came, wanted = array_namespace(leaf), array_namespace(like)
        if came is not wanted:
            raise TypeError(
                f"{name} must be an array of {_library(wanted)} as the parameter is, "
                f"got one of {_library(came)}"
            )
    if leaf.dtype != like.dtype:
        raise TypeError(
            f"{name} must be {like.dtype} as the parameter is, got {leaf.dtype}"
        )
    if leaf.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape {tuple(like.shape)} of the parameter, "
            f"got {tuple(leaf.shape)}"
        )


def _check_array(name: str, leaf: Array) -> None:
    if not is_array_api_obj(leaf):
        raise TypeError(f"{name} must be an array, got {type(leaf).__name__}")
    xp = array_namespace(leaf)
    if is_numpy_array(leaf) and type(leaf) not in (xp.ndarray, xp.memmap, leaf.dtype.type):
        # In a numpy.matrix `*` is a matrix product; a mask would be lost.
        raise TypeError(f"{name} must be a plain numpy.ndarray, got {type(leaf).__name__}")
    if leaf.dtype not in (xp.float32, xp.float64):
        raise TypeError(f"{name} must be float32 or float64, got {leaf.dtype}")


def _library(namespace: Any) -> str:
    return str(namespace.__name__).removeprefix("array_api_compat.").split(".")[0]
