"""Values and gradients: against finite differences, and in their dtypes."""

import itertools
import subprocess
import sys
from typing import Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lookahead_ref.gradients import value_and_grad

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


def leaves(tree: Any) -> list[NDArray[Any]]:
    if isinstance(tree, dict):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    return [tree]


def cast(tree: Any, dtype: Any) -> Any:
    if isinstance(tree, dict):
        return {name: cast(branch, dtype) for name, branch in tree.items()}
    return np.asarray(tree, dtype=dtype)


@given(smooth_params())
@settings(deadline=None)
def test_gradients_agree_with_central_differences(params: dict[str, Any]) -> None:
    _, grads = value_and_grad(smooth)(params)
    step = 1e-5
    for leaf, grad in zip(leaves(params), leaves(grads), strict=True):
        for index in np.ndindex(leaf.shape):
            kept = leaf[index]
            leaf[index] = kept + step
            above = smooth(params)
            leaf[index] = kept - step
            below = smooth(params)
            leaf[index] = kept
            assert grad[index] == pytest.approx((above - below) / (2 * step), abs=1e-6)


@given(smooth_params(), dtypes)
@settings(deadline=None)
def test_gradients_have_the_structure_shapes_and_dtypes_of_the_parameters(
    params: dict[str, Any], dtype: Any
) -> None:
    params = cast(params, dtype)
    params["unused"] = {"matrix": np.ones((2, 1), dtype), "scalar": np.array(1, dtype)}
    value, grads = value_and_grad(smooth)(params)
    assert value.dtype == dtype
    assert list(grads) == list(params)
    for leaf, grad in zip(leaves(params), leaves(grads), strict=True):
        assert type(grad) is np.ndarray
        assert (grad.shape, grad.dtype) == (leaf.shape, leaf.dtype)
    assert all(not leaf.any() for leaf in leaves(grads["unused"]))


@given(smooth_params())
@settings(deadline=None)
def test_they_equal_what_autograd_itself_computes(params: dict[str, Any]) -> None:
    value, grads = value_and_grad(smooth)(params)
    expected_value, expected = autograd.value_and_grad(smooth)(params)
    assert value == expected_value
    for grad, other in zip(leaves(grads), leaves(expected), strict=True):
        np.testing.assert_array_equal(grad, other)


def test_float32_stays_float32_through_operations_whose_derivative_leaves_it() -> None:
    params = {"x": np.array([1.0, -2.0], dtype=np.float32)}
    _, grads = value_and_grad(lambda p: anp.mean(anp.maximum(p["x"], 0)))(params)
    assert grads["x"].dtype == np.float32
    np.testing.assert_array_equal(grads["x"], np.float32([0.5, 0.0]))


def test_each_leaf_keeps_its_own_dtype() -> None:
    params = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float64)}
    _, grads = value_and_grad(lambda p: anp.sum(p["a"] * p["b"]))(params)
    assert (grads["a"].dtype, grads["b"].dtype) == (np.float32, np.float64)


def test_a_value_that_depends_on_no_parameter_has_gradients_of_zero() -> None:
    value, grads = value_and_grad(lambda p: 3.0)({"x": np.ones(2)})
    assert value == 3.0
    np.testing.assert_array_equal(grads["x"], np.zeros(2))


def test_a_leaf_that_is_the_value_has_gradient_one() -> None:
    _, grads = value_and_grad(lambda p: p["x"])({"x": np.array(3.0, np.float32)})
    np.testing.assert_array_equal(grads["x"], np.float32(1))


def test_no_two_gradients_share_memory() -> None:
    params = {"a": np.ones(3), "b": np.ones(3)}
    _, grads = value_and_grad(lambda p: anp.sum(p["a"] + p["b"]))(params)
    grads["a"] += 1
    np.testing.assert_array_equal(grads["b"], np.ones(3))


def test_gradients_that_autograd_makes_as_views_of_one_share_no_memory() -> None:
    params = {"a": np.ones((2, 3)), "b": np.ones((3, 2)), "c": np.ones(6)}

    def fn(p: dict[str, Any]) -> Any:
        return anp.sum((p["a"] + p["b"].T + anp.reshape(p["c"], (2, 3))) ** 2)

    _, grads = value_and_grad(fn)(params)
    for one, other in itertools.combinations(grads.values(), 2):
        assert not np.shares_memory(one, other)


def test_parameters_and_gradients_are_plain_dicts() -> None:
    seen = []

    def fn(params: dict[str, Any]) -> Any:
        seen.append(type(params["layer"]))
        return anp.sum(params["layer"]["weight"])

    _, grads = value_and_grad(fn)({"layer": {"weight": np.ones(2)}})
    assert seen == [dict]
    assert type(grads["layer"]) is dict


def test_only_the_first_argument_is_differentiated() -> None:
    def fn(params: dict[str, Any], x: Any, *, power: int) -> Any:
        return anp.sum(params["w"] * x**power)

    value, grads = value_and_grad(fn)({"w": np.ones(2)}, np.array([1.0, 3.0]), power=2)
    assert value == 10.0
    np.testing.assert_array_equal(grads["w"], [1.0, 9.0])


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
    ("leaf", "told"),
    [
        (np.arange(3), "dtype int64"),
        (np.ones(3, complex), "dtype complex128"),
        ([1.0, 2.0], "got list"),
        (1.0, "got float"),
        (None, "got NoneType"),
    ],
)
def test_a_leaf_that_holds_no_floats_is_named(leaf: object, told: str) -> None:
    with pytest.raises(TypeError, match=rf"params\['layer/bias'\] must be .*{told}"):
        value_and_grad(lambda p: 0.0)({"layer": {"bias": leaf}})


def test_empty_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="params must hold at least one array"):
        value_and_grad(lambda p: 0.0)({"layer": {}})


@pytest.mark.parametrize(
    ("fn", "told"),
    [
        (lambda p: p["x"], r"real scalar, got an array of shape \(2,\)"),
        (lambda p: None, "real scalar, got NoneType"),
        (lambda p: True, "real scalar, got bool"),
        (lambda p: (anp.sum(p["x"]), 1), "got tuple; .* pass has_aux=True"),
        (lambda p: anp.sum(p["x"]) * 1j, "dtype complex128"),
    ],
)
def test_the_value_must_be_a_real_scalar(fn: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        value_and_grad(fn)({"x": np.ones(2)})


def test_with_has_aux_the_function_must_return_a_pair() -> None:
    with pytest.raises(TypeError, match=r"pair \(value, aux\) because has_aux is True"):
        value_and_grad(lambda p: 1.0, has_aux=True)({"x": np.ones(2)})


def test_what_is_not_a_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="fn must be a function, got int"):
        value_and_grad(3)  # type: ignore[arg-type]


def test_importing_the_module_does_not_import_autograd() -> None:
    check = "import lookahead_ref.gradients, sys; sys.exit('autograd' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
