"""Fused layers against their plain functions, activations and initial weights."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.kernels import find
from lookahead_ref.zoo import layers, losses, picture_layers
from lookahead_ref.zoo.fused import fused
from lookahead_ref.zoo.initializers import initializer

rng = np.random.default_rng(0)
LABELS = np.array([0, 3, 1, 3, 2])


class Case(NamedTuple):
    """A layer, its plain function, the arrays to differentiate, the others, options."""

    layer: Callable[..., Any]
    plain: Callable[..., Any]
    arrays: list[Any]
    rest: tuple[Any, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - a named tuple's default


def case(layer: Any, shapes: list[tuple[int, ...]], *rest: Any, **options: Any) -> Case:
    arrays = [rng.standard_normal(shape) for shape in shapes]
    # A layer that changes what it is given fails.
    for array in arrays:
        array.flags.writeable = False
    # Only the value, if a layer returns more.
    first = layer in (layers.lstm_layer, picture_layers.batch_norm)

    def value(*given: Any, **others: Any) -> Any:
        return layer(*given, **others)[0] if first else layer(*given, **others)

    return Case(value, layer.__wrapped__, arrays, rest, options)


DENSE = [(5, 3), (3, 4), (4,)]
NORM = [(2, 2, 1, 2), (2,), (2,)]
CASES = {
    "dense": case(layers.dense, DENSE),
    "dense, relu": case(layers.dense, DENSE, activation="relu"),
    "dense, tanh": case(layers.dense, DENSE, activation="tanh"),
    "softmax cross entropy": case(losses.softmax_cross_entropy, [(5, 4)], LABELS),
    "dense cross entropy": case(losses.dense_cross_entropy, DENSE, LABELS),
    "embedding": case(layers.embedding, [(6, 3)], np.array([[5, 0], [0, 2]])),
    "lstm layer": case(
        layers.lstm_layer, [(4, 2, 3), (2, 5), (2, 5), (3, 20), (5, 20), (20,)]
    ),
    "convolution": case(
        picture_layers.convolution, [(1, 4, 3, 2), (3, 3, 2, 2)], stride=2, padding=1
    ),
    "batch norm": case(picture_layers.batch_norm, NORM),
    "batch norm, rectified": case(
        picture_layers.batch_norm, [*NORM, NORM[0]], rectify=True, epsilon=1e-3
    ),
    "mean": case(picture_layers.mean_pool, [(2, 7, 5, 3)]),
    "max": case(picture_layers.max_pool, [(2, 7, 5, 3)], size=3, stride=2, padding=1),
    "max apart": case(picture_layers.max_pool, [(2, 4, 4, 3)], size=2, stride=2),
    "identity": case(picture_layers.padded_identity, [(2, 7, 5, 3)], stride=2, channels=5),
}
BOTH = [False, True]
BATCH_NORMS = {
    f"batch norm {shape}{', residual' * residual}{', rectified' * rectify}": case(
        picture_layers.batch_norm,
        [shape, *[shape[3:]] * 2, *[shape] * residual],
        rectify=rectify,
    )
    for shape in [(1, 1, 2, 1), (3, 4, 5, 7), (9, 8, 8, 16)]
    for residual, rectify in product(BOTH, BOTH)
}
EVERY = CASES | BATCH_NORMS
every_layer = pytest.mark.parametrize("some", CASES.values(), ids=CASES)


def weighted(function: Callable[..., Any], some: Case) -> Callable[[dict[str, Any]], Any]:
    """A scalar of the parameters that depends on every element of the layer's value."""

    def value(params: dict[str, Any]) -> Any:
        out = function(*params.values(), *some.rest, **some.options)
        weights = np.cos(1.0 + np.arange(np.size(out))).reshape(np.shape(out))
        return anp.sum(out * weights.astype(out.dtype))

    return value


def named(arrays: list[Any]) -> dict[str, Any]:
    return {f"x{number}": array for number, array in enumerate(arrays)}


@pytest.mark.parametrize("some", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_value_and_gradients_are_those_of_the_plain_function(
    some: Case, backend: str, dtype: Any
) -> None:
    params = named([array.astype(dtype) for array in some.arrays])
    layer = partial(some.layer, kernels=find(backend))
    value, grads = value_and_grad(weighted(layer, some))(params)
    exact = trees.map(np.float64, params)
    expected_value, expected = value_and_grad(weighted(some.plain, some))(exact)
    close = {np.float32: 1e-5, np.float64: 1e-13}[dtype]
    assert value.dtype == dtype
    np.testing.assert_allclose(value, expected_value, rtol=close)
    for path, grad in grads.items():
        assert grad.dtype == dtype
        np.testing.assert_allclose(grad, expected[path], rtol=10 * close, atol=close)


@every_layer
def test_a_gradient_computed_alone_is_that_computed_with_all_others(some: Case) -> None:
    params = named(some.arrays)
    value = weighted(some.layer, some)
    _, grads = value_and_grad(value)(params)
    for path, array in params.items():
        _, grad = value_and_grad(lambda p: value({**params, **p}))({path: array})
        np.testing.assert_array_equal(grad[path], grads[path])


@every_layer
def test_gradients_of_gradients_are_right(some: Case) -> None:
    check_grads(
        lambda *given: some.layer(*given, *some.rest, **some.options),
        modes=["rev"],
        order=2,
    )(*some.arrays)


@every_layer
def test_a_backward_pass_can_be_run_again(some: Case) -> None:
    pull, value = autograd.core.make_vjp(
        lambda x: some.layer(x, *some.arrays[1:], *some.rest, **some.options),
        some.arrays[0],
    )
    g = np.ones_like(value)
    first = pull(g).copy()
    np.testing.assert_allclose(pull(g), first, rtol=1e-13, atol=1e-15)


def test_a_layers_other_results_are_plain() -> None:
    def forward(wanted: Any, kernels: Any, x: Any) -> Any:
        return 2 * x, lambda g: (2 * g,), x + 1

    layer = fused(forward, result=lambda value, rest: (value, rest))(lambda x: 2 * x)
    (_, aux), grads = value_and_grad(lambda p: layer(p["x"]), has_aux=True)(
        {"x": np.array(3.0)}
    )
    assert aux == 4.0
    assert grads["x"] == 2.0


def test_arrays_may_be_named_and_none_is_taken_for_another() -> None:
    x, weight, bias = CASES["dense"].arrays
    _, grads = value_and_grad(lambda p: layers.dense(x, **p).sum())(
        {"weight": weight, "bias": bias}
    )
    np.testing.assert_array_equal(grads["bias"], np.full(4, 5.0))
    with pytest.raises(TypeError, match="bias"):
        layers.dense(x, weight=weight)
    x, scale, _, residual = CASES["batch norm, rectified"].arrays
    with pytest.raises(TypeError, match="shift"):
        picture_layers.batch_norm(x, scale, residual=residual)


def test_dropout_passes_on_the_gradient_of_kept_units() -> None:
    x = np.full((2, 3), 2.0, np.float32)
    _, grads = value_and_grad(
        lambda p: layers.dropout(p["x"], 0.5, np.random.default_rng(0)).sum()
    )({"x": x})
    kept = layers.dropout(x, 0.5, np.random.default_rng(0))
    assert set(kept.ravel()) == {0.0, 4.0}
    assert grads["x"].dtype == np.float32
    np.testing.assert_array_equal(grads["x"], kept / 2)


@pytest.mark.parametrize(("kind", "variance"), [("he", 2 / 300), ("glorot", 2 / 500)])
@pytest.mark.parametrize("shape", ["normal", "uniform"])
def test_initial_weights_vary_as_promised(kind: str, shape: str, variance: float) -> None:
    draw = initializer(f"{kind}_{shape}")
    weight = draw(np.random.default_rng(0), (300, 200), np.float64)
    # The sample variance of 60,000 numbers is within 2 percent with near certainty.
    assert weight.var() == pytest.approx(variance, rel=0.02)
    assert weight.mean() == pytest.approx(0.0, abs=4 * (variance / 60_000) ** 0.5)


@pytest.mark.parametrize("activation", layers.ACTIVATIONS.values(), ids=layers.ACTIVATIONS)
def test_activations_differentiate_in_float32_and_do_not_overflow(activation: Any) -> None:
    x = np.array([-2.0, -0.5, 0.25, 3.0])
    check_grads(activation, modes=["rev"], order=2)(x)
    params = {"x": np.array([-1e30, -100.0, 0.0, 100.0, 1e30], np.float32)}
    _, grads = value_and_grad(lambda p: anp.sum(activation(p["x"]) * 0.5))(params)
    assert grads["x"].dtype == np.float32
    assert np.isfinite(grads["x"]).all()
