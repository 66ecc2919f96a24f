"""Dicts of arrays: walking them, checking them, and applying a rule to their leaves.

Parameters, gradients and optimizer slots are *trees*: a plain dict from names to arrays, in
which a value may again be such a dict. A leaf is named by its path, the names joined by
``/``. A *rule* is a function of an array namespace that returns arithmetic: a function of
one array from each tree, and of scalars by their names.

`lookahead_ref.stepping` records a step by calling it with trees of one leaf, a symbol that
stands for all leaves and has a tape. Such trees need no checks.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from lookahead_ref.hyperparameters import round_scalars

Array: TypeAlias = Any  # of any library that follows the Python array API standard
Tree: TypeAlias = Mapping[str, Any]  # from names to arrays or to further trees
Rule: TypeAlias = Callable[[Any], Callable[..., Any]]  # from a namespace to arithmetic

RULE_FUNCTIONS = ("sqrt", "abs", "maximum", "minimum", "sign")
"""What a rule may call: like ``+ - * /``, these have the same bits in every executor.

`maximum` and `minimum` return NaN if an operand is NaN, and the second of two zeros; `sign`
of NaN is NaN, and `sign` of both zeros is 0.
"""

SOLE = ""  # the name of the leaf of a tree on which a step is recorded

_DEEPEST = 100  # far below Python's recursion limit


def flatten(tree: Tree, name: str = "params") -> dict[str, Array]:
    """List the leaves of a tree by their paths, in the order of the tree.

    >>> flatten({"layer": {"weight": 1, "bias": 2}, "scale": 3})
    {'layer/weight': 1, 'layer/bias': 2, 'scale': 3}
    """
    if not isinstance(tree, Mapping):
        raise TypeError(f"{name} must be a dict of arrays, got {type(tree).__name__}")
    leaves: dict[str, Array] = {}
    for path, value in _walk(tree, name, name, "", _DEEPEST):
        if path in leaves:
            raise ValueError(f"two leaves of {name} have the path {path!r}")
        leaves[path] = value
    return leaves


# Not within `flatten`: a recursive closure would keep the arrays until collected.
def _walk(
    tree: Mapping[Any, Any], name: str, place: str, prefix: str, levels: int
) -> Iterator[tuple[str, Array]]:
    if levels == 0:
        raise ValueError(
            f"{name} must be nested at most {_DEEPEST} deep, got deeper or circular dicts"
        )
    for key, value in tree.items():
        if not isinstance(key, str):
            raise TypeError(f"the names in {place} must be strings, got {key!r}")
        path = prefix + key
        if _is_tree(value):
            yield from _walk(value, name, f"{name}[{path!r}]", f"{path}/", levels - 1)
        else:
            yield path, value


def unflatten(
    template: Tree, leaves: Mapping[str, Array], prefix: str = ""
) -> dict[str, Any]:
    """Arrange leaves, by path after a prefix, in the shape of another tree.

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
    """Apply a function to each leaf, and return a new tree of the results.

    >>> map(abs, {"a": -1, "b": {"c": -2}})
    {'a': 1, 'b': {'c': 2}}
    """
    return {
        key: map(function, value) if _is_tree(value) else function(value)
        for key, value in tree.items()
    }


def copy(tree: Tree) -> dict[str, Any]:
    """Copy each array of a tree into new memory."""
    return map(lambda leaf: array_namespace(leaf).asarray(leaf, copy=True), tree)


def zeros_like(tree: Tree) -> dict[str, Any]:
    """Make a tree of zeros in the shape of another."""
    if (tape := tape_of(tree)) is not None:
        zeros: dict[str, Any] = tape.zero().tree
        return zeros
    return map(lambda leaf: array_namespace(leaf).zeros_like(leaf), tree)


def tape_of(tree: Tree) -> Any:
    """Return the tape of a tree on which a step is recorded; None for any other."""
    return getattr(tree.get(SOLE), "tape", None) if isinstance(tree, dict) else None


def apply(
    rule: Rule, coefficients: Mapping[str, float], *operands: Tree
) -> tuple[dict[str, Any], ...]:
    """Apply a rule to the corresponding leaves of trees: one new tree for each result.

    The operands must agree in names, libraries, dtypes and shapes. `coefficients`, the
    rule's scalars in float64, are rounded once to the dtype of each leaf; they must fit it.
    """
    if (tape := tape_of(operands[0])) is not None:
        symbols = tape.record(rule, [each[SOLE] for each in operands], coefficients)
        return tuple([symbol.tree for symbol in symbols])
    first, *others = [flatten(each) for each in operands]
    for other in others:
        if differing := other.keys() ^ first.keys():
            path = min(differing)
            raise ValueError(
                f"params and the optimizer's state differ in the leaf {path!r}"
            )
    results = []
    for path, leaf in first.items():
        rest = [other[path] for other in others]
        for each in rest:
            check_leaf_like(f"the optimizer's state for {path!r}", each, leaf)
        xp = array_namespace(leaf)
        result = rule(_functions(xp, leaf.dtype))(
            leaf, *rest, **round_scalars(coefficients, path, leaf)
        )
        arrays = result if isinstance(result, tuple) else (result,)
        # NumPy's arithmetic returns scalars for arrays without dimensions.
        results.append([xp.asarray(x) for x in arrays] if leaf.shape == () else arrays)
    return tuple(
        unflatten(operands[0], dict(zip(first, arrays, strict=True)))
        for arrays in zip(*results, strict=True)
    )


class RuleNamespace(SimpleNamespace):
    """The functions that a rule may call, by name."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{rule_place()}a rule can use + - * / and {', '.join(RULE_FUNCTIONS)}, got "
            f"{name}: write it with these or, if no array is needed, as a coefficient"
        )


def rule_place() -> str:
    """Return the file and line of the current rule, for an error message."""
    frame: Any = inspect.currentframe()
    while frame.f_back and frame.f_globals["__name__"].startswith(f"{__package__}."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}: "


@cache
def _functions(xp: Any, dtype: Any) -> RuleNamespace:
    def of_any(function: Callable[..., Any]) -> Callable[..., Any]:
        # A coefficient is a Python float, which most libraries do not accept as an array.
        return lambda *values: function(
            *[x if hasattr(x, "dtype") else xp.asarray(x, dtype=dtype) for x in values]
        )

    functions = {
        "sqrt": xp.sqrt,
        "abs": xp.abs,
        "sign": xp.sign,
        # Formulas, as libraries' own functions differ for two zeros.
        "maximum": lambda a, b: xp.where((a > b) | (a != a), a, b),
        "minimum": lambda a, b: xp.where((a < b) | (a != a), a, b),
    }
    return RuleNamespace(**{name: of_any(each) for name, each in functions.items()})


def evaluate(function: Callable[..., Any], *operands: Tree) -> list[Any]:
    """Call a function that is not a rule with corresponding leaves, flattened."""
    if (tape := tape_of(operands[0])) is not None:
        values: list[Any] = tape.evaluate(function, [each[SOLE] for each in operands])
        return values
    flat, results = [flatten(each) for each in operands], []
    for path, leaf in flat[0].items():
        reshape = array_namespace(leaf).reshape
        # In the order of the elements, not of the memory.
        results.append(function(*[reshape(each[path], (-1,)) for each in flat]))
    return results


def interpolate(xp: Any) -> Any:
    """Move a fraction of the way to another array: the rule of the slow weights."""
    # As a step of SGD: the same bits as slow + alpha * (fast - slow), but keeps -0.
    return lambda slow, fast, alpha: slow - alpha * (slow - fast)


def check_arrays(tree: Tree, name: str) -> dict[str, Array]:
    """Check that a tree holds float32 and float64 arrays, at least one; return them."""
    leaves = flatten(tree, name)
    if not leaves:
        raise ValueError(f"{name} must hold at least one array, got none")
    for path, leaf in leaves.items():
        _check_array(f"{name}[{path!r}]", leaf)
    return leaves


def check_params(params: Tree) -> None:
    """Check that a tree can be optimized: such arrays, without shared memory."""
    by_memory: dict[int, list[tuple[str, Array]]] = {}
    for path, leaf in check_arrays(params, "params").items():
        others = by_memory.setdefault(id(memory(leaf)), [])
        for other, array in others:
            shares_memory = getattr(array_namespace(leaf), "shares_memory", None)
            if array is leaf or (shares_memory and shares_memory(array, leaf)):
                raise ValueError(
                    f"params must not share memory, got the same in {other!r} and "
                    f"{path!r}: they would differ after the first step"
                )
        others.append((path, leaf))


def memory(array: Array) -> Any:
    """Return the array that owns an array's memory: itself if it is not a view."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def check_like(tree: Tree, params: Tree, name: str) -> dict[str, Array]:
    """Check that a tree agrees with the params, leaf by leaf; return its leaves by path."""
    leaves, expected = flatten(tree, name), flatten(params)
    for path in expected:
        if path not in leaves:
            raise ValueError(f"{name} must have a leaf {path!r} like params, got none")
    for path, leaf in leaves.items():
        if path not in expected:
            raise ValueError(f"{name} has a leaf {path!r}, which params does not have")
        check_leaf_like(f"{name}[{path!r}]", leaf, expected[path])
    return leaves


def check_leaf_like(name: str, leaf: Array, like: Array) -> None:
    """Check that an array agrees with a parameter in library, dtype and shape."""
    if type(leaf) is not type(like):
        _check_array(name, leaf)
        came, wanted = array_namespace(leaf), array_namespace(like)
        if came is not wanted:
            raise TypeError(
                f"{name} must be an array of {_library(wanted)} like the parameter, "
                f"got one of {_library(came)}"
            )
    if leaf.dtype != like.dtype:
        raise TypeError(f"{name} must be {like.dtype} like the parameter, got {leaf.dtype}")
    if leaf.shape != like.shape:
        raise ValueError(
            f"{name} must have the shape {tuple(like.shape)} of the parameter, "
            f"got {tuple(leaf.shape)}"
        )


def _is_tree(value: Any) -> bool:
    # The abstract class is slow, and this runs for every leaf at every step.
    return isinstance(value, dict) or (
        not hasattr(value, "dtype") and isinstance(value, Mapping)
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
