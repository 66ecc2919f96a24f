"""Convolution: its values and gradients, by the general and by the compiled kernels."""

from typing import Any

import numpy as np
import pytest
from autograd.test_util import check_grads
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookahead_ref import kernels as general
from lookahead_ref.backends.numba import NumbaBackend
from lookahead_ref.backends.numba import convolution as numba_convolution
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo.convolution import _convolution, convolution

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


def by_definition(
    x: NDArray[Any], kernel: NDArray[Any], stride: int, padding: int
) -> NDArray[Any]:
    """The sum over the places of the kernel, in float64."""
    x = np.pad(x.astype(np.float64), ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0)))
    rows, columns = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))
    return np.einsum("nijcab,abco->nijo", windows[:, ::stride, ::stride], kernel)


def draw_arrays(case: dict[str, Any], dtype: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal(case[name]).astype(dtype) for name in ("x", "kernel"))


@pytest.mark.parametrize("backend", KERNELS)
@given(case=cases(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=40)
def test_it_sums_over_the_kernels_places(
    backend: str, case: dict[str, Any], dtype: Any
) -> None:
    x, kernel = draw_arrays(case, dtype)
    options = {"stride": case["stride"], "padding": case["padding"]}
    y = convolution(x, kernel, **options, kernels=KERNELS[backend])
    expected = by_definition(x, kernel, **options)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=0, atol=30 * TOLERANCE[dtype])


@pytest.mark.parametrize("backend", KERNELS)
@given(case=cases(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=40)
def test_its_gradients_are_those_of_the_twin(
    backend: str, case: dict[str, Any], dtype: Any
) -> None:
    x, kernel = draw_arrays(case, dtype)
    options = {"stride": case["stride"], "padding": case["padding"]}
    params = {"x": x, "kernel": kernel}
    twin = {name: array.astype(np.float64) for name, array in params.items()}
    shape = _convolution(x, kernel, **options).shape
    weights = np.random.default_rng(1).standard_normal(shape)

    def loss(p: Any, *, function: Any, weights: Any, **others: Any) -> Any:
        return (function(p["x"], p["kernel"], **options, **others) * weights).sum()

    _, grads = value_and_grad(loss)(
        params,
        function=convolution,
        weights=weights.astype(dtype),
        kernels=KERNELS[backend],
    )
    _, expected = value_and_grad(loss)(twin, function=_convolution, weights=weights)
    for name, grad in grads.items():
        assert grad.dtype == dtype
        np.testing.assert_allclose(
            grad, expected[name], rtol=0, atol=100 * TOLERANCE[dtype]
        )


def test_it_is_differentiable_twice() -> None:
    rng = np.random.default_rng(0)
    check_grads(
        lambda x, kernel: convolution(x, kernel, stride=2, padding=1), modes=["rev"]
    )(rng.standard_normal((1, 4, 3, 2)), rng.standard_normal((3, 3, 2, 2)))


def test_groups_of_pictures_and_bands_of_rows_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((5, 9, 8, 3)), rng.standard_normal((3, 3, 3, 5))
    expected = by_definition(x, kernel, 2, 1)
    monkeypatch.setattr(general, "_GROUP", 1000)
    for scratch in (1, 2000, 8000, 20000):
        monkeypatch.setattr(numba_convolution, "SCRATCH_BYTES", scratch)
        for kernels in KERNELS.values():
            y = convolution(x, kernel, stride=2, padding=1, kernels=kernels)
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 16, 16, 24)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 24, 40)).astype(np.float32)
    found = []
    for threads in (1, 2, 5):
        kernels = NumbaBackend(threads=threads).layers
        y = np.empty((6, 16, 16, 40), np.float32)
        kernels.correlate(x, kernel, y, 1, (-1, -1))
        gradient = kernels.kernel_gradient(x, y, (3, 3), 1, (-1, -1))
        parts = kernels.normalize_gradient(
            y, y, y, *kernels.moments(y), y[0, 0, 0], residual=True
        )
        found.append([y, gradient, *kernels.moments(y), *parts])
    for others in found[1:]:
        for array, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(array, other)


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


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 5, 5, 3), "x must have the kernel's 2 channels, last, got shape"),
        ((1, 5, 2, 2), "kernel of 3 rows and 3 columns must fit into pictures of 5 by 2"),
    ],
)
def test_what_does_not_fit_is_an_error(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolution(np.zeros(shape), np.zeros((3, 3, 2, 4)))
