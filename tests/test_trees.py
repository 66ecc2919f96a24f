"""Trees: walking them, errors that name the leaf, and where a rule meets the leaves."""

import weakref
from types import MappingProxyType
from typing import Any

import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookahead_ref as la
from lookahead_ref import trees
from support import assert_same_bits, one

names = st.text("abc", min_size=1, max_size=2)
leaves = st.integers()
below = st.dictionaries(
    names, leaves | st.dictionaries(names, leaves, max_size=2), max_size=2
)
some_trees = st.dictionaries(names, leaves | below, max_size=3)


@given(some_trees)
def test_unflatten_undoes_flatten(values: Any) -> None:
    assert trees.unflatten(values, trees.flatten(values)) == values


@given(some_trees)
def test_map_keeps_the_structure_and_calls_once_for_each_leaf(values: Any) -> None:
    seen = []

    def negate(leaf: int) -> int:
        seen.append(leaf)
        return -leaf

    mapped = trees.map(negate, values)
    leaves = trees.flatten(values)
    assert trees.flatten(mapped) == {path: -leaf for path, leaf in leaves.items()}
    assert seen == list(leaves.values())
    assert trees.map(lambda leaf: -leaf, mapped) == values


def test_leaves_are_named_by_their_path_in_the_order_of_the_tree() -> None:
    values = {"b": 1, "a": MappingProxyType({"d": {"e": 2}, "c": 3})}
    assert list(trees.flatten(values).items()) == [("b", 1), ("a/d/e", 2), ("a/c", 3)]


def test_copies_share_no_memory() -> None:
    values = {"a": {"b": np.arange(3.0)}, "c": strict.asarray([1.0, 2.0])}
    copied = trees.copy(values)
    values["a"]["b"][:] = 9.0
    values["c"][0] = 9.0
    assert copied["a"]["b"].tolist() == [0.0, 1.0, 2.0]
    assert np.asarray(copied["c"]).tolist() == [1.0, 2.0]
    assert type(copied["c"]) is type(values["c"])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        *[(bad, "grads must be a dict of arrays") for bad in ([1], None, 3, np.zeros(2))],
        ("ab", "grads must be a dict of arrays"),
        ({1: 0}, "the names in grads must be strings"),
        ({None: 0}, "the names in grads must be strings"),
        ({"a": {"b": {2: 0}}}, r"the names in grads\['a/b'\] must be strings"),
    ],
)
def test_a_tree_must_be_a_dict_with_names(values: Any, says: str) -> None:
    with pytest.raises(TypeError, match=f"{says}, got "):
        trees.flatten(values, "grads")


def test_a_name_may_hold_a_slash_where_paths_stay_different() -> None:
    assert trees.flatten({"a/b": 1, "a": {"c": 2}}) == {"a/b": 1, "a/c": 2}
    with pytest.raises(ValueError, match="two leaves of params have the path 'a/b'"):
        trees.flatten({"a/b": 1, "a": {"b": 2}})


@pytest.mark.parametrize("values", [{}, {"a": {}}, {"a": {"b": {}}, "c": {}}])
def test_params_must_not_be_empty(values: Any) -> None:
    with pytest.raises(ValueError, match="params must hold at least one array, got none"):
        trees.check_params(values)


def test_a_dropped_list_of_leaves_keeps_no_array_in_memory() -> None:
    array = np.zeros(2)
    gone = weakref.ref(array)
    trees.flatten({"a": {"w": array}})
    del array
    assert gone() is None  # at once, not when cycles are collected: it may be large


def test_one_array_under_two_names_is_refused_and_parts_of_one_are_not() -> None:
    w, s = np.zeros((2, 3)), strict.asarray(np.zeros(2))
    message = "got the same in 'a' and 'b/c': they would differ"
    for first, second in ((w, w), (w, w.T), (w[1:], w[:, 1]), (s, s)):
        with pytest.raises(ValueError, match=message):
            trees.check_params({"a": first, "b": {"c": second}})
    trees.check_params({"a": w[0], "b": {"c": w[1], "d": w.copy()}})


def test_trees_that_hold_themselves_or_have_no_end_are_refused() -> None:
    cyclic: dict[str, Any] = {"w": np.zeros(2)}
    cyclic["again"] = cyclic
    deep: Any = np.zeros(2)
    for _ in range(3000):
        deep = {"x": deep}
    for tree in (cyclic, deep):
        for use in (trees.check_params, la.value_and_grad(lambda p: 0.0)):
            with pytest.raises(ValueError, match="params must be nested at most 100 deep"):
                use(tree)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (1.0, "must be an array, got float"),
        (None, "must be an array, got NoneType"),
        (np.array([1]), "must be float32 or float64, got int64"),
        (np.array([1j]), "must be float32 or float64, got complex128"),
        (np.array([1.0], np.float16), "must be float32 or float64, got float16"),
        (np.array([1.0], np.longdouble), "must be float32 or float64, got .*128|longdou"),
        (np.array([1.0], object), "must be float32 or float64, got object"),
        (np.array([1.0]).astype(">f8"), "must be float32 or float64, got >f8"),
        (np.ma.array([1.0]), "must be a plain numpy.ndarray, got MaskedArray"),
        (strict.asarray([1]), "must be float32 or float64, got array_api_strict.int64"),
    ],
)
def test_params_must_be_float32_or_float64_arrays(leaf: Any, message: str) -> None:
    with pytest.raises(TypeError, match=rf"params\['layer/w'\] {message}"):
        trees.check_params({"ok": np.zeros(1), "layer": {"w": leaf}})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_arrays_of_any_shape_are_params(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    trees.check_params({"numpy": array, "scalar": dtype(1.0), "no leaf": {}})
    trees.check_params({"strict": strict.asarray(array)})


W = np.zeros((2, 3))
STRICT = strict.asarray(W)
EXTRA = "grads has a leaf 'a/z', which params does not have"
NONE = "grads must have a leaf 'a/w' like params, got none"


def at(leaf: Any) -> Any:
    return {"a": {"w": leaf}}


@pytest.mark.parametrize(
    ("grads", "error", "says"),
    [
        (None, TypeError, "grads must be a dict of arrays, got NoneType"),
        ({}, ValueError, NONE),
        ({"a": W}, ValueError, NONE),
        ({"a": {"w": W, "z": W}}, ValueError, EXTRA),
        (at(W.T), ValueError, r"have the shape \(2, 3\) of the .*, got \(3, 2\)"),
        (at(np.float64(0.0)), ValueError, r"have the shape \(2, 3\) of the .*, got \(\)"),
        (at(W.astype("f4")), TypeError, "be float64 like the parameter, got float32"),
        (at(W.astype(int)), TypeError, "be float64 like the parameter, got int64"),
        (at(W.tolist()), TypeError, "be an array, got list"),
        (at(STRICT), TypeError, "be an array of numpy .* one of array_api_strict"),
        (at(np.ma.array(W)), TypeError, "be a plain numpy.ndarray, got MaskedArray"),
    ],
)
def test_an_error_names_where_trees_differ(grads: Any, error: Any, says: str) -> None:
    says = says if says.startswith("grads") else rf"grads\['a/w'\] must {says}"
    with pytest.raises(error, match=says):
        trees.check_like(grads, at(W), "grads")


def test_scalars_of_numpy_and_another_order_of_names_are_accepted() -> None:
    trees.check_like({"x": np.float64(1.0)}, {"x": np.array(2.0)}, "grads")
    trees.check_like({"x": np.array(1.0)}, {"x": np.float64(2.0)}, "grads")
    trees.check_like({"b": W, "a": W}, {"a": W, "b": W}, "grads")


# Rules.


def scale(xp: Any) -> Any:
    return lambda x, y, factor: (factor * x, x + y)


def test_a_rule_is_applied_to_corresponding_leaves() -> None:
    first = {"a": {"b": np.array([1.0, 2.0])}, "c": np.array([3.0])}
    second = {"c": np.array([30.0]), "a": {"b": np.array([10.0, 20.0])}}
    scaled, added = trees.apply(scale, {"factor": 2.0}, first, second)
    assert scaled["a"]["b"].tolist() == [2.0, 4.0]
    assert added["a"]["b"].tolist() == [11.0, 22.0]
    assert (scaled["c"].tolist(), added["c"].tolist()) == ([6.0], [33.0])
    assert list(added) == ["a", "c"]


def test_scalars_are_rounded_once_to_the_dtype_of_each_leaf() -> None:
    seen = {}

    def note(x: Any, factor: float) -> Any:
        seen[str(x.dtype)] = factor
        return factor * x

    leaves = {"s": np.ones(1, np.float32), "d": np.ones(1)}
    (scaled,) = trees.apply(lambda xp: note, {"factor": 0.1}, leaves)
    assert seen == {"float32": float(np.float32(0.1)), "float64": 0.1}
    assert (scaled["s"].dtype, scaled["d"].dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("convert", [np.asarray, strict.asarray])
def test_results_without_dimensions_stay_arrays(convert: Any, dtype: Any) -> None:
    x = convert(np.array(2.0, dtype))
    (moved,) = trees.apply(trees.interpolate, {"alpha": 0.5}, {"x": x}, {"x": x})
    assert type(moved["x"]) is type(x)
    assert (moved["x"].shape, moved["x"].dtype) == ((), x.dtype)


@pytest.mark.parametrize("other", [{"y": np.ones(1)}, {}, {"x": {"z": np.ones(1)}}])
def test_trees_of_other_names_are_refused(other: Any) -> None:
    with pytest.raises(ValueError, match="params and the optimizer's state differ in the"):
        trees.apply(scale, {"factor": 2.0}, one(1.0), other)


def test_operands_whose_leaves_differ_are_refused() -> None:
    with pytest.raises(TypeError, match="the optimizer's state for 'x' must be float64"):
        trees.apply(scale, {"factor": 2.0}, one(1.0), one(1.0, dtype=np.float32))


def test_zeros_are_like_their_tree() -> None:
    seven, five = np.full((2, 3), 7.0, np.float32), strict.asarray(5.0)
    zeros = trees.zeros_like({"a": {"b": seven}, "c": five})
    assert_same_bits({"b": zeros["a"]["b"]}, {"b": np.zeros((2, 3), np.float32)})
    assert type(zeros["c"]) is type(five)
    assert float(zeros["c"]) == 0.0
