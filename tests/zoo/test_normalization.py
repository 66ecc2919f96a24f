"""Batch normalisation: its values, moments and gradients, general and compiled."""

from typing import Any

import numpy as np
import pytest
from autograd.test_util import check_grads
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.kernels import find
from lookahead_ref.zoo.normalization import Moments, _batch_norm, batch_norm, fixed_norm

KERNELS = {name: find(name) for name in ("numpy", "numba")}
SHAPES = [(1, 1, 2, 1), (3, 4, 5, 7), (9, 8, 8, 16)]


def operands(shape: tuple[int, ...], dtype: Any = np.float64) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"x": shape, "scale": shape[3:], "shift": shape[3:], "residual": shape}
    return {name: rng.standard_normal(each).astype(dtype) for name, each in shapes.items()}


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("rectify", [False, True])
def test_values_and_gradients_are_those_of_the_twin(
    backend: str, shape: tuple[int, ...], residual: bool, rectify: bool
) -> None:
    params = operands(shape)
    if not residual:
        del params["residual"]
    weights = np.random.default_rng(1).standard_normal(shape)

    def loss(p: Any) -> Any:
        y, _ = batch_norm(*p.values(), rectify=rectify, kernels=KERNELS[backend])
        return (y * weights).sum()

    def twin(p: Any) -> Any:
        return (_batch_norm(*p.values(), epsilon=1e-5, rectify=rectify) * weights).sum()

    value, grads = value_and_grad(loss)(params)
    expected_value, expected = value_and_grad(twin)(params)
    assert value == pytest.approx(expected_value, abs=1e-10)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, expected[name], rtol=0, atol=1e-10, err_msg=name)


def test_it_is_differentiable_twice() -> None:
    arrays = operands((2, 2, 1, 2)).values()
    check_grads(lambda *a: batch_norm(*a, rectify=True).y, modes=["rev"])(*arrays)


@pytest.mark.parametrize("backend", KERNELS)
def test_moments_are_precise_in_float32_far_from_zero(backend: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 30, 30, 5)) + 300).astype(np.float32)
    mean, variance = KERNELS[backend].moments(x)
    exact = x.astype(np.float64)
    assert mean.dtype == variance.dtype == np.float32
    # Half a unit of the last place of a number near 300 is 1.5e-5.
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=0, atol=4e-5)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("backend", KERNELS)
def test_each_channel_is_normalised_and_its_moments_are_told(backend: str) -> None:
    x = operands((4, 3, 3, 6), np.float32)["x"] * 5 + 2
    one, zero = np.ones(6, np.float32), np.zeros(6, np.float32)
    y, moments = batch_norm(x, one, zero, kernels=KERNELS[backend])
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(y.var((0, 1, 2)), 1, atol=1e-5)
    assert moments.size == 36
    np.testing.assert_allclose(moments.mean, x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, x.var((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("backend", KERNELS)
@pytest.mark.parametrize("residual", [False, True])
def test_with_the_batchs_own_moments_fixed_norm_is_batch_norm(
    backend: str, residual: bool
) -> None:
    x, scale, shift, added = operands((3, 4, 5, 7)).values()
    around = added if residual else None
    y, moments = batch_norm(x, scale, shift, around, rectify=True)
    again = fixed_norm(
        x,
        scale,
        shift,
        around,
        mean=moments.mean,
        variance=moments.variance,
        epsilon=1e-5,
        rectify=True,
        kernels=KERNELS[backend],
    )
    np.testing.assert_allclose(again, y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", KERNELS)
def test_what_is_not_a_number_stays_so(backend: str) -> None:
    x, scale, shift, _ = operands((2, 2, 2, 3)).values()
    x[0, 0, 0, 1] = np.nan
    y, _ = batch_norm(x, scale, shift, rectify=True, kernels=KERNELS[backend])
    assert np.isnan(y[..., 1]).all()
    assert np.isfinite(y[..., [0, 2]]).all()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2**32))
def test_moments_of_parts_combine_to_those_of_the_whole(
    sizes: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal((size, 2)) * 3 + rng.integers(-9, 9) for size in sizes]
    moments = [Moments(len(part), part.mean(0), part.var(0)) for part in parts]
    combined = moments[0]
    for each in moments[1:]:
        combined = combined.combine(each)
    whole = np.concatenate(parts)
    assert combined.size == len(whole)
    np.testing.assert_allclose(combined.mean, whole.mean(0), atol=1e-12)
    np.testing.assert_allclose(combined.variance, whole.var(0), atol=1e-12)
