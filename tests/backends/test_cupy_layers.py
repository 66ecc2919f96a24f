"""The CuPy backend's kernels for layers do what the general ones do."""

from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest

import lookahead_ref as la
from lookahead_ref.kernels import GENERAL
from lookahead_ref.zoo.layers import lstm_layer

pytest.importorskip("cupy")

import host_cuda
import standin
from executors import assert_layers_agree
from lookahead_ref.backends import cupy_autograd
from lookahead_ref.backends.cupy.kernels import CupyLayers

cupy_autograd.register(standin.ndarray)

N, UNITS = 5, 70  # more than one block, and not a whole number of them


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> CupyLayers:
    return CupyLayers(host_cuda.HostCuda(tmp_path_factory.mktemp("kernels")))


def arrays(dtype: str, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def same(kernels: Any, name: str, host: list[Any], dtype: str, **options: Any) -> None:
    """Compare both; nothing may move between host and device."""

    def unmoved(*device: Any, **given: Any) -> Any:
        before = standin.counted()
        found = getattr(kernels, name)(*device, **given)
        assert standin.counted() - before == standin.Transfers()
        return found

    rtol = {"float32": 2e-6, "float64": 1e-14}[dtype]
    to, back = standin.asarray, standin.asnumpy
    assert_layers_agree(unmoved, name, host, rtol, rtol, to, back, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_lstm_cell(layers: CupyLayers, dtype: str) -> None:
    wide, narrow = (N, 4 * UNITS), (N, UNITS)
    same(layers, "lstm_cell", arrays(dtype, wide, wide, *[narrow] * 4), dtype)
    same(layers, "lstm_cell_gradient", arrays(dtype, wide, *[narrow] * 5), dtype)


def test_what_meets_an_lstm_in_a_wider_dtype_is_computed_in_that_of_its_weights(
    layers: CupyLayers,
) -> None:
    # A kernel knows addresses, and reads there what it was written for.
    shapes = [(3, N, 4), (N, UNITS), (N, UNITS), (4, 4 * UNITS), (UNITS, 4 * UNITS)]
    wide, *narrow = arrays("float32", *shapes, (4 * UNITS,))
    factors = np.linspace(-1, 1, 3 * N * UNITS).reshape(3, N, UNITS)

    def gradients(move: Any, kernels: Any, dtype: str) -> Any:
        moved = [move(each) for each in narrow]
        scale = move(factors.astype(dtype))

        def loss(params: Any) -> Any:
            return anp.sum(lstm_layer(params["x"], *moved, kernels=kernels).outputs * scale)

        return la.value_and_grad(loss)({"x": move(wide.astype(dtype))})

    wanted, expected = gradients(np.asarray, GENERAL, "float32")
    found, got = gradients(standin.asarray, layers, "float64")
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    np.testing.assert_allclose(got["x"].get(), expected["x"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", None])
def test_activations(layers: CupyLayers, dtype: str, activation: str | None) -> None:
    y, bias, g = arrays(dtype, (N, 3), (3,), (N, 3))
    same(layers, "activate", [y, bias], dtype, activation=activation)
    same(layers, "activate_gradient", [g, y], dtype, activation=activation)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_cross_entropy(
    layers: CupyLayers, dtype: str, gradient: bool, biased: bool
) -> None:
    logits, bias = arrays(dtype, (N, 4), (4,))
    labels = np.array([0, 3, 1, 1, 2])
    given = [logits, bias if biased else None, labels]
    same(layers, "cross_entropy", given, dtype, gradient=gradient)


def test_rows_are_summed_by_index(layers: CupyLayers) -> None:
    (rows,) = arrays("float32", (N, 3))
    same(layers, "scatter", [rows, np.array([2, 0, 2, 2, 1])], "float32", size=4)
