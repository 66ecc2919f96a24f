"""Values and gradients, against finite differences and in their dtypes; clipping."""

import itertools
import math
from typing import Any, NamedTuple

import array_api_strict as strict
import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lookahead_ref import trees
from lookahead_ref.gradients import clip_by_global_norm, clip_in_place, value_and_grad
from support import assert_same_bits, frozen, one

small = st.floats(-2.0, 2.0, width=32)
dtypes = st.sampled_from([np.float32, np.float64])


def arrays(shape: Any) -> st.SearchStrategy[NDArray[np.float64]]:
    return hnp.arrays(np.float64, shape, elements=small)


def smooth(params: dict[str, Any]) -> Any:
    """A scalar function that mixes nesting, broadcasting, products and reuse."""
    inner = params["inner"]
    h = anp.tanh(params["x"] @ inner["weight"] + inner["bias"])
    return anp.sum(h * h) + params["scale"] * anp.sum(inner["weight"]) ** 2


@st.composite
def smooth_params(draw: st.DrawFn) -> dict[str, Any]:
    n, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return {
        "x": draw(arrays((2, n))),
        "inner": {"weight": draw(arrays((n, m))), "bias": draw(arrays((m,)))},
        "scale": draw(arrays(())),
    }


def leaves_of(tree: Any) -> list[NDArray[Any]]:
    return list(trees.flatten(tree).values())


@given(smooth_params(), dtypes)
def test_gradients_are_autograd_s_with_the_structure_and_dtypes_of_the_parameters(
    params: dict[str, Any], dtype: Any
) -> None:
    params = trees.map(lambda leaf: np.asarray(leaf, dtype), params)
    params["unused"] = {"matrix": np.ones((2, 1), dtype), "scalar": np.array(1, dtype)}
    value, grads = value_and_grad(smooth)(params)
    expected_value, expected = autograd.value_and_grad(smooth)(params)
    assert value == expected_value
    assert value.dtype == dtype
    assert list(grads) == list(params)
    for leaf, grad, other in zip(*map(leaves_of, (params, grads, expected)), strict=True):
        assert type(grad) is np.ndarray
        assert (grad.shape, grad.dtype) == (leaf.shape, leaf.dtype)
        np.testing.assert_array_equal(grad, other)
    assert all(not leaf.any() for leaf in leaves_of(grads["unused"]))


def test_each_leaf_keeps_its_dtype_through_operations_whose_derivative_leaves_it() -> None:
    x = one(1.0, -2.0, dtype=np.float32)
    _, grads = value_and_grad(lambda p: anp.mean(anp.maximum(p["x"], 0)))(x)
    assert_same_bits(grads, {"x": np.float32([0.5, 0.0])})
    _, grads = value_and_grad(lambda p: anp.sum(p["x"] * p["y"]))(x | {"y": np.ones(2)})
    assert (grads["x"].dtype, grads["y"].dtype) == (np.float32, np.float64)


def test_a_value_that_depends_on_no_parameter_has_gradients_of_zero() -> None:
    with pytest.warns(UserWarning, match="depends on no parameter: all gradients are zero"):
        value, grads = value_and_grad(lambda p: 3.0)({"x": np.ones(2)})
    assert value == 3.0
    np.testing.assert_array_equal(grads["x"], np.zeros(2))


def test_a_leaf_that_is_the_value_has_gradient_one() -> None:
    _, grads = value_and_grad(lambda p: p["x"])({"x": np.array(3.0, np.float32)})
    np.testing.assert_array_equal(grads["x"], np.float32(1))


@pytest.mark.parametrize("power", [None, 2])
def test_no_two_gradients_share_memory_where_autograd_makes_them_views_of_one(
    power: int | None,
) -> None:
    params = {"a": np.ones((2, 3)), "b": np.ones((3, 2)), "c": np.ones(6)}
    params["d"] = np.ones((2, 3))

    def fn(p: dict[str, Any]) -> Any:
        added = p["a"] + p["d"] + p["b"].T + anp.reshape(p["c"], (2, 3))
        return anp.sum(added**power if power else added)

    _, grads = value_and_grad(fn)(params)
    for first, other in itertools.combinations(grads.values(), 2):
        assert not np.shares_memory(first, other)
    for grad in grads.values():
        grad += 1  # each can be written to


def test_parameters_and_gradients_are_plain_dicts_and_alone_are_differentiated() -> None:
    seen = []

    def fn(params: dict[str, Any], x: Any, *, power: int) -> Any:
        seen.append(type(params["layer"]))
        return anp.sum(params["layer"]["w"] * x**power)

    x = np.array([1.0, 3.0])
    value, grads = value_and_grad(fn)({"layer": {"w": np.ones(2)}}, x, power=2)
    assert value == 10.0
    np.testing.assert_array_equal(grads["layer"]["w"], [1.0, 9.0])
    assert seen == [type(grads["layer"])] == [dict]


class Aux(NamedTuple):
    logits: Any
    count: int


def test_auxiliary_output_comes_back_as_plain_arrays() -> None:
    def fn(params: dict[str, Any]) -> Any:
        y = params["w"] * 2
        return anp.sum(y), {"named": Aux(y, 1), "list": [y, "text"], "pair": (y, None)}

    (value, aux), grads = value_and_grad(fn, has_aux=True)({"w": np.ones(2)})
    assert value == 4.0
    np.testing.assert_array_equal(grads["w"], [2.0, 2.0])
    assert isinstance(aux["named"], Aux)
    for array in (aux["named"].logits, aux["list"][0], aux["pair"][0]):
        assert type(array) is np.ndarray


def test_it_can_be_differentiated_again() -> None:
    def slope(p: dict[str, Any]) -> Any:
        _, grads = value_and_grad(lambda q: anp.sum(q["x"] ** 3))(p)
        return anp.sum(grads["x"])

    _, second = value_and_grad(slope)({"x": np.array([1.0, 2.0])})
    np.testing.assert_allclose(second["x"], [6.0, 12.0])


@pytest.mark.parametrize(
    ("leaf", "says"),
    [(np.arange(3), "int64"), (np.ones(3, complex), "complex128"), (1.0, "got float")],
)
def test_a_leaf_that_holds_no_floats_is_named(leaf: object, says: str) -> None:
    with pytest.raises(TypeError, match=rf"params\['layer/bias'\] must be .*{says}"):
        value_and_grad(lambda p: 0.0)({"layer": {"bias": leaf}})


def test_empty_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="params must hold at least one array"):
        value_and_grad(lambda p: 0.0)({"layer": {}})


@pytest.mark.parametrize(
    ("fn", "has_aux", "says"),
    [
        (lambda p: p["x"], False, r"real scalar, got an array of shape \(2,\)"),
        (lambda p: None, False, "real scalar, got NoneType"),
        (lambda p: True, False, "real scalar, got bool"),
        (lambda p: (anp.sum(p["x"]), 1), False, "got tuple; .* pass has_aux=True"),
        (lambda p: anp.sum(p["x"]) * 1j, False, "dtype complex128"),
        (lambda p: 1.0, True, r"pair \(value, aux\) because has_aux is True"),
    ],
)
def test_the_value_must_be_a_real_scalar(fn: Any, has_aux: bool, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        value_and_grad(fn, has_aux)({"x": np.ones(2)})


def test_only_functions_are_accepted() -> None:
    with pytest.raises(TypeError, match="fn must be a function, got int"):
        value_and_grad(3)  # type: ignore[arg-type]


# Clipping by the global norm.

elements = st.floats(-1e6, 1e6).map(lambda number: round(number, 4))
some_grads = st.fixed_dictionaries(
    {
        "a": st.lists(elements, max_size=4).map(np.array),
        "b": st.fixed_dictionaries(
            {"c": st.lists(elements, min_size=1, max_size=4).map(np.array)}
        ),
        "d": elements.map(np.array),
    }
).map(lambda found: trees.map(lambda leaf: leaf.astype(np.float64), found))


def norm_of(grads: Any) -> float:
    return math.hypot(*(float(x) for leaf in leaves_of(grads) for x in leaf.flat))


@given(some_grads, st.floats(1e-3, 1e6))
@example({"x": np.array([3.0, -0.0]), "y": np.array([4.0, 5e-324])}, 5.0)
@example(one(0.0, -0.0), 1e-3)
def test_all_gradients_are_scaled_by_one_factor_to_the_limit_up_to_rounding(
    grads: Any, max_norm: float
) -> None:
    grads = frozen(grads)  # nothing that was passed in changes
    clipped, norm = clip_by_global_norm(grads, max_norm)
    expected = norm_of(grads)
    assert norm.shape == ()
    assert float(norm) == pytest.approx(expected, rel=1e-14)
    if norm <= max_norm:
        assert_same_bits(clipped, grads)
        return
    assert norm_of(clipped) == pytest.approx(max_norm, rel=1e-14, abs=0.0)
    for leaf, given_leaf in zip(leaves_of(clipped), leaves_of(grads), strict=True):
        np.testing.assert_allclose(leaf, given_leaf * (max_norm / expected), rtol=1e-14)
        assert not np.may_share_memory(leaf, given_leaf)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squares_neither_overflow_nor_vanish(dtype: Any) -> None:
    info = np.finfo(dtype)
    for size in (float(info.max) / 8, float(info.smallest_normal) * 8):
        grads = one(3 * size / 4, size, dtype=dtype)
        limit = size / 4
        clipped, norm = clip_by_global_norm(grads, limit)
        assert float(norm) == pytest.approx(1.25 * size, rel=4 * float(info.eps))
        assert norm.dtype == dtype
        np.testing.assert_allclose(
            clipped["x"], [0.6 * limit, 0.8 * limit], rtol=4 * float(info.eps)
        )


def test_gradients_whose_norm_is_too_large_for_the_dtype_are_clipped() -> None:
    with np.errstate(over="ignore"):
        clipped, norm = clip_by_global_norm(one(3e38, 3e38, dtype=np.float32), 1.0)
    assert float(norm) == np.inf
    np.testing.assert_allclose(clipped["x"], [0.5**0.5] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("double", "single", "expected"),
    [(1e-300, 0.0, 1e-300), (1e300, 1.0, 1e300), (3.0, 4.0, 5.0), (0.0, 1e-45, 1.4e-45)],
)
def test_mixed_dtypes_are_clipped_in_the_wider_and_kept(
    double: float, single: float, expected: float
) -> None:
    grads = {"d": np.array([double]), "s": np.array([single], np.float32)}
    clipped, norm = clip_by_global_norm(grads, expected / 2)
    assert norm.dtype == np.float64
    assert float(norm) == pytest.approx(expected, rel=2e-3)
    assert (clipped["d"].dtype, clipped["s"].dtype) == (np.float64, np.float32)
    np.testing.assert_allclose(clipped["d"], [double / 2], rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_norm_shows_gradients_that_are_not_finite(bad: float) -> None:
    with np.errstate(invalid="ignore"):
        _, norm = clip_by_global_norm({"x": np.array([1.0]), "y": np.array(bad)}, 1.0)
    assert not np.isfinite(norm)


@pytest.mark.parametrize("limit", [1.0, 20.0])
def test_clipping_in_place_does_the_same_if_possible(limit: float) -> None:
    grads = {"x": np.array([3.0, 4.0]), "y": {"z": np.array([[12.0]], np.float32)}}
    clipped, _ = clip_by_global_norm(grads, limit)
    assert not clip_in_place(grads, math.inf, limit)
    assert not clip_in_place(grads, 169.0, 1e-13)
    assert not clip_in_place(frozen(grads), 169.0, limit)
    assert clip_in_place(grads, 169.0, limit)
    for leaf, wanted in zip(leaves_of(grads), leaves_of(clipped), strict=True):
        np.testing.assert_allclose(leaf, wanted, rtol=2e-7)
        assert leaf.dtype == wanted.dtype


def test_strict_arrays_stay_strict_and_agree() -> None:
    grads = {"x": strict.asarray([3.0, 4.0]), "y": strict.asarray(12.0)}
    clipped, norm = clip_by_global_norm(grads, 6.5)
    assert type(norm) is type(clipped["x"]) is type(clipped["y"]) is type(grads["x"])
    assert float(norm) == 13.0
    np.testing.assert_allclose(np.asarray(clipped["x"]), [1.5, 2.0], rtol=1e-15)
    assert float(clipped["y"]) == pytest.approx(6.0, rel=1e-15)


@pytest.mark.parametrize(("max_norm", "what"), [(1e-60, "0"), (1e60, "infinity")])
def test_max_norm_must_fit_the_dtype(max_norm: float, what: str) -> None:
    with pytest.raises(ValueError, match=f"max_norm = .* rounds to {what} in float32"):
        clip_by_global_norm(one(1.0, dtype=np.float32), max_norm)
    clip_by_global_norm(one(1.0), max_norm)


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({}, "grads must hold at least one array, got none"),
        ({"x": np.zeros((0,))}, "grads must hold at least one element, got none"),
        ({"a": {"x": np.array([1])}}, r"grads\['a/x'\] must be float32 or .* got int64"),
        ([np.zeros(1)], "grads must be a dict of arrays, got list"),
    ],
)
def test_grads_must_be_a_tree_of_arrays(grads: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        clip_by_global_norm(grads, 1.0)
