"""Convolution, batch normalisation and pooling, by the general and the compiled kernels."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookahead_ref import kernels as general
from lookahead_ref import trees
from lookahead_ref.backends.numba import convolution as numba_convolution
from lookahead_ref.backends.numba import winograd
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo.picture_layers import (
    Moments,
    batch_norm,
    convolution,
    fixed_norm,
    max_pool,
)

KERNELS = {name: general.find(name) for name in ("numpy", "numba")}
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes of pictures and kernels that fit, and stride and padding."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    padding = draw(st.integers(0, 3))
    height = draw(st.integers(max(1, rows - 2 * padding), 9))
    width = draw(st.integers(max(1, columns - 2 * padding), 9))
    channels = draw(st.sampled_from([1, 2, 3, 6, 7]))
    # About the widths of a vector and of a panel.
    outputs = draw(st.sampled_from([1, 3, 8, 16, 17, 32, 64, 65]))
    return {
        "x": (draw(st.integers(1, 4)), height, width, channels),
        "kernel": (rows, columns, channels, outputs),
        "stride": draw(st.integers(1, 3)),
        "padding": padding,
    }


@st.composite
def wide_cases(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes for which the compiled kernels use Winograd's convolution."""
    padding, channels = draw(st.integers(0, 2)), draw(st.sampled_from([32, 48]))
    height, width = (draw(st.integers(6 - 2 * padding, 9)) for _ in range(2))
    return {
        "x": (draw(st.integers(1, 3)), height, width, channels),
        "kernel": (3, 3, channels, draw(st.sampled_from([32, 48, 80]))),
        "stride": 1,
        "padding": padding,
    }


def by_definition(x: Any, kernel: Any, stride: int, padding: int) -> NDArray[Any]:
    """The sum over the places of the kernel, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    rows, columns = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))
    return np.einsum("nijcab,abco->nijo", windows[:, ::stride, ::stride], kernel)


on_every_backend = pytest.mark.parametrize("backend", KERNELS)


@on_every_backend
@given(case=cases() | wide_cases(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=30)
def test_it_sums_over_the_kernels_places_and_its_gradients_are_those_of_the_plain_one(
    backend: str, case: dict[str, Any], dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    params = {
        name: rng.standard_normal(case[name]).astype(dtype) for name in ("x", "kernel")
    }
    options = {"stride": case["stride"], "padding": case["padding"]}
    y = convolution(*params.values(), **options, kernels=KERNELS[backend])
    expected = by_definition(*params.values(), **options)
    assert (y.dtype, y.shape) == (dtype, expected.shape)
    np.testing.assert_allclose(y, expected, rtol=0, atol=30 * TOLERANCE[dtype])
    # In float64, like the gradient that comes back; gradients still have the value's dtype.
    weights = rng.standard_normal(expected.shape)

    def loss(p: Any, function: Any, **others: Any) -> Any:
        return (function(p["x"], p["kernel"], **options, **others) * weights).sum()

    _, grads = value_and_grad(loss)(params, convolution, kernels=KERNELS[backend])
    exact = trees.map(np.float64, params)
    _, wanted = value_and_grad(loss)(exact, convolution.__wrapped__)
    for name, grad in grads.items():
        assert grad.dtype == dtype
        np.testing.assert_allclose(grad, wanted[name], rtol=0, atol=100 * TOLERANCE[dtype])


def test_groups_and_bands_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((5, 9, 8, 3)), rng.standard_normal((3, 3, 3, 5))
    expected = by_definition(x, kernel, 2, 1)
    monkeypatch.setattr(general, "_GROUP", 1000)
    for scratch in (1, 2000, 8000, 20000):
        monkeypatch.setattr(numba_convolution, "SCRATCH_BYTES", scratch)
        for kernels in KERNELS.values():
            y = convolution(x, kernel, stride=2, padding=1, kernels=kernels)
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    x, kernel = rng.standard_normal((5, 9, 7, 32)), rng.standard_normal((3, 3, 32, 32))
    expected = by_definition(x, kernel, 1, 1)
    for tiles in (1, 9, 45, 1000):
        monkeypatch.setattr(winograd, "TILES", tiles)
        y = convolution(x, kernel, padding=1, kernels=KERNELS["numba"])
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "size"), [(64, 12), (512, 4)])
def test_a_convolution_is_as_precise_as_sums_in_float32(channels: int, size: int) -> None:
    rng = np.random.default_rng(0)
    x, kernel, g = (
        rng.standard_normal(shape, np.float32)
        for shape in ((2, size, size, channels), (3, 3, channels, 64), (2, size, size, 64))
    )

    def found(kernels: Any, *arrays: Any) -> tuple[Any, Any]:
        out = np.empty_like(arrays[2])
        kernels.correlate(*arrays[:2], out, 1, (-1, -1))
        return out, kernels.kernel_gradient(arrays[0], arrays[2], (3, 3), 1, (-1, -1))

    exact = found(general.GENERAL, *(each.astype(np.float64) for each in (x, kernel, g)))
    for each, wanted in zip(found(KERNELS["numba"], x, kernel, g), exact, strict=True):
        assert np.std(each - wanted) < 8e-7 * np.std(wanted)


def test_compiled_kernels_take_memory_in_any_order_and_read_only() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 6, 2, 5)).transpose(2, 3, 1, 0)
    kernel = rng.standard_normal((4, 3, 3, 3)).transpose(1, 2, 3, 0)
    x.flags.writeable = kernel.flags.writeable = False
    _, grads = value_and_grad(
        lambda p: convolution(x, p["kernel"], kernels=KERNELS["numba"]).sum()
    )({"kernel": kernel})
    whole = np.ones((2, 3, 4, 4))
    expected = KERNELS["numpy"].kernel_gradient(x, whole, (3, 3), 1, (0, 0))
    np.testing.assert_allclose(grads["kernel"], expected, atol=1e-12)


def test_compiled_convolution_refuses_to_write_into_another_dtype() -> None:
    x, kernel = np.zeros((1, 5, 5, 8), np.float32), np.zeros((3, 3, 8, 8), np.float32)
    out = np.zeros((1, 3, 3, 8))
    with pytest.raises(TypeError, match="of one dtype, got float32, float64"):
        KERNELS["numba"].correlate(x, kernel, out, 1, (0, 0))
    with pytest.raises(TypeError, match="of one dtype, got float32, float64"):
        KERNELS["numba"].kernel_gradient(x, out, (3, 3), 1, (0, 0))


def operands(shape: tuple[int, ...], dtype: Any = np.float64) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"x": shape, "scale": shape[3:], "shift": shape[3:], "residual": shape}
    return {name: rng.standard_normal(each).astype(dtype) for name, each in shapes.items()}


@on_every_backend
@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (3, 4, 5, 7), (9, 8, 8, 16)])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("rectify", [False, True])
def test_fixed_moments_that_are_the_batch_s_own_normalise_as_the_batch_does(
    backend: str, shape: tuple[int, ...], residual: bool, rectify: bool
) -> None:
    params = operands(shape)
    if not residual:
        params["residual"] = None
    y, (_, mean, variance) = batch_norm(*params.values(), rectify=rectify)
    given: Any = {"mean": mean, "variance": variance, "epsilon": 1e-5, "rectify": rectify}
    fixed = fixed_norm(**params, **given, kernels=KERNELS[backend])
    np.testing.assert_allclose(fixed, y, rtol=0, atol=1e-12)


@on_every_backend
def test_moments_are_precise_in_float32_far_from_zero(backend: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((40, 30, 30, 5)) + 300).astype(np.float32)
    mean, variance = KERNELS[backend].moments(x)
    exact = x.astype(np.float64)
    assert mean.dtype == variance.dtype == np.float32
    # Half a unit of the last place of a number near 300 is 1.5e-5.
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=0, atol=4e-5)
    np.testing.assert_allclose(variance, exact.var((0, 1, 2)), rtol=1e-5)


@on_every_backend
def test_nan_stays_nan(backend: str) -> None:
    x, scale, shift, _ = operands((2, 2, 2, 3)).values()
    x[0, 0, 0, 1] = np.nan
    y, _ = batch_norm(x, scale, shift, rectify=True, kernels=KERNELS[backend])
    assert np.isnan(y[..., 1]).all()
    assert np.isfinite(y[..., [0, 2]]).all()


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2**32))
def test_moments_of_parts_combine_to_those_of_all(sizes: list[int], seed: int) -> None:
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


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    _, grads = value_and_grad(lambda p: max_pool(p["x"], size=2, stride=2).sum())(
        {"x": np.zeros((1, 2, 2, 1))}
    )
    np.testing.assert_array_equal(grads["x"].ravel(), [1, 0, 0, 0])


@pytest.mark.parametrize("place", range(4))
def test_a_maximum_does_not_hide_nan(place: int) -> None:
    x = np.arange(4.0)
    x[place] = np.nan
    assert np.isnan(max_pool(x.reshape(1, 2, 2, 1), size=2, stride=2)).all()
