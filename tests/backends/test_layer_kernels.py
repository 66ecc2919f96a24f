"""The kernels of layers against the general ones, and the errors of their functions."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from executors import assert_layers_agree
from lookahead_ref.backends.numba import NumbaBackend, layers
from lookahead_ref.backends.numba.kernels import NumbaLayers
from lookahead_ref.kernels import GENERAL, find

KERNELS = find("numba")
sizes = st.integers(1, 40)
dtypes = st.sampled_from(["float32", "float64"])
integers = st.sampled_from([np.int32, np.int64])


def draw(seed: int, *shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture(scope="module", params=["numba", "cupy"])
def same(request: pytest.FixtureRequest) -> Any:
    """Compare a kernel with the general one."""

    def compiled(name: str, *host: Any, **options: Any) -> None:
        assert_layers_agree(getattr(KERNELS, name), name, host, 2e-5, 2e-6, **options)

    if request.param == "numba":
        return compiled
    pytest.importorskip("cupy")
    import standin
    from lookahead_ref.backends.cupy.kernels import CupyLayers

    kernels = CupyLayers(request.getfixturevalue("cuda"))

    def on_device(name: str, *host: Any, **options: Any) -> None:
        def unmoved(*device: Any, **given: Any) -> Any:
            with standin.moves():
                return getattr(kernels, name)(*device, **given)

        tolerance = {"float32": 2e-6, "float64": 1e-14}[host[0].dtype.name]
        to, back = standin.asarray, standin.asnumpy
        assert_layers_agree(unmoved, name, host, *[tolerance] * 2, to, back, **options)

    return on_device


@given(sizes, sizes, dtypes, st.sampled_from([None, "relu", "tanh"]))
@settings(max_examples=30)
def test_activations_and_their_gradients(
    same: Any, n: int, units: int, dtype: str, activation: Any
) -> None:
    y, g = (draw(seed, n, units, dtype=dtype) for seed in (0, 2))
    same("activate", y, draw(1, units, dtype=dtype), activation=activation)
    same("activate_gradient", g, y, activation=activation)


@given(sizes, sizes, dtypes, st.booleans(), st.booleans(), integers)
@settings(max_examples=30)
def test_cross_entropy(
    same: Any, n: int, classes: int, dtype: str, biased: bool, gradient: bool, kind: Any
) -> None:
    logits = 5 * draw(0, n, classes, dtype=dtype)
    bias = draw(1, classes, dtype=dtype) if biased else None
    labels = np.random.default_rng(2).integers(0, classes, n).astype(kind)
    same("cross_entropy", logits, bias, labels, gradient=gradient)


@given(sizes, sizes, sizes)
@settings(max_examples=30)
def test_scattered_rows(same: Any, n: int, size: int, width: int) -> None:
    indices = np.random.default_rng(0).integers(0, size, n)
    same("scatter", draw(1, n, width), indices, size=size)


@given(sizes, sizes, dtypes)
@settings(max_examples=30)
def test_an_lstm_step_and_its_gradient(same: Any, n: int, units: int, dtype: str) -> None:
    gates, recurrent, *narrow = (
        draw(seed, n, width, dtype=dtype)
        for seed, width in enumerate([4 * units] * 2 + [units] * 5)
    )
    same("lstm_cell", gates, recurrent, *narrow[:4])
    same("lstm_cell_gradient", gates, *narrow)


@given(sizes, st.integers(1, 150), st.integers(1, 150), dtypes, st.booleans())
@settings(max_examples=30)
def test_a_product_of_a_few_rows_and_a_packed_matrix(
    n: int, length: int, units: int, dtype: str, transposed: bool
) -> None:
    rows, out = draw(0, n, length, dtype=dtype), np.empty((n, units), dtype)
    weight = draw(1, length, units, dtype=dtype)
    given_weight = np.ascontiguousarray(weight.T).T if transposed else weight
    KERNELS.product(rows, KERNELS.packed(given_weight), out)
    np.testing.assert_allclose(out, rows @ weight, 2e-4, 2e-5)
    if dtype == "float64":
        np.testing.assert_allclose(out, rows @ weight, 1e-9, 1e-12)


def computed(threads: int) -> Iterator[Any]:
    """What the kernels find that share their work."""
    kernels = NumbaBackend(threads=threads).layers
    logits, bias = draw(0, 700, 1000), draw(1, 1000)
    for activation in ("relu", "tanh", None):
        y = logits.copy()
        kernels.activate(y, bias, activation)
        yield from (y, *kernels.activate_gradient(logits, y, activation))
    labels = np.random.default_rng(2).integers(0, 1000, 700)
    yield from (kernels.cross_entropy(logits, bias, labels, gradient=True), logits)
    for channels, outputs in ((24, 40), (96, 80)):
        x, y = draw(2, 6, 16, 16, channels), np.empty((6, 16, 16, outputs), np.float32)
        kernels.correlate(x, draw(3, 3, 3, channels, outputs), y, 1, (-1, -1))
        yield from (y, kernels.kernel_gradient(x, y, (3, 3), 1, (-1, -1)))
    product = np.empty((700, 1000), np.float32)
    kernels.product(logits, kernels.packed(draw(4, 1000, 1000)), product)
    yield product
    moments = kernels.moments(y)
    yield from moments
    yield from kernels.normalize_gradient(y, y, y, *moments, y[0, 0, 0], residual=True)


def test_the_number_of_threads_changes_no_bit() -> None:
    for one, *others in zip(*(computed(threads) for threads in (1, 2, 3, 5)), strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)


def test_read_only_biases_are_taken() -> None:
    y, bias = draw(0, 3, 4), draw(1, 4)
    bias.flags.writeable = False
    KERNELS.activate(y, bias, "relu")
    KERNELS.cross_entropy(y, bias, np.zeros(3, int), gradient=True)


@pytest.mark.parametrize("place", [0, 7, 40])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nan_stays_nan(place: int, sign: float) -> None:
    y, bias = draw(0, 2, 41), np.zeros(41, np.float32)
    y[0, place] = math.copysign(math.nan, sign)
    for activation in ("relu", "tanh", None):
        activated = y.copy()
        KERNELS.activate(activated, bias, activation)
        np.testing.assert_array_equal(np.isnan(activated), np.isnan(y))
    losses = KERNELS.cross_entropy(y, bias, np.array([1, 1]), gradient=True)
    np.testing.assert_array_equal(np.isnan(losses), [True, False])


def test_huge_logits_overflow_nothing() -> None:
    logits = np.array([[3e38, -3e38, 0.0], [-3e38, -3e38, -3e38]], np.float32)
    losses = KERNELS.cross_entropy(logits, None, np.array([0, 2]), gradient=True)
    np.testing.assert_allclose(losses, [0.0, math.log(3)], rtol=1e-6)
    assert np.isfinite(logits).all()


@njit
def _apply(function: Any, x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = function(x[i])


@pytest.mark.parametrize(
    ("function", "exact", "lowest", "highest", "ulps"),
    [
        (layers._exp, np.exp, -87.33, 0.0, 1.1),
        (layers._tanh, np.tanh, -100.0, 100.0, 3.0),
        (layers._logistic, lambda x: 1 / (1 + np.exp(-x)), -87.0, 87.0, 3.0),
    ],
    ids=["exp", "tanh", "logistic"],
)
def test_functions_are_as_precise_as_documented(
    function: Any, exact: Any, lowest: float, highest: float, ulps: float
) -> None:
    magnitudes = np.logspace(-30, 2, 200_000)
    x = np.concatenate([-magnitudes, [0.0], magnitudes]).astype(np.float32)
    x = x[(x >= lowest) & (x <= highest)]
    found = np.empty_like(x)
    _apply(function, x, found)
    wanted = exact(x.astype(np.float64))
    spacing = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    assert (np.abs(found - wanted) / spacing).max() < ulps


def test_a_backends_own_kernels_are_used() -> None:
    assert type(find("numba")) is NumbaLayers
    assert find("numpy") is GENERAL
