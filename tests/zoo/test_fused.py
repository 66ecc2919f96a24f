"""Layers written by hand against their twins: value, gradients, gradients of gradients."""

from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads

from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import dense, dropout, embedding, losses, lstm_layer
from lookahead_ref.zoo.fused import fused

rng = np.random.default_rng(0)
LABELS = np.array([0, 3, 1, 3, 2])


def draw(*shapes: tuple[int, ...]) -> list[Any]:
    return [rng.standard_normal(shape) for shape in shapes]


CASES: dict[
    str, tuple[Callable[..., Any], Callable[..., Any], list[Any], dict[str, Any]]
] = {
    "dense": (dense.dense, dense._dense, draw((5, 3), (3, 4), (4,)), {}),
    "dense, relu": (
        dense.dense,
        dense._dense,
        draw((5, 3), (3, 4), (4,)),
        {"activation": "relu"},
    ),
    "dense, tanh": (
        dense.dense,
        dense._dense,
        draw((5, 3), (3, 4), (4,)),
        {"activation": "tanh"},
    ),
    "softmax cross entropy": (
        losses._fused,
        losses._softmax_cross_entropy,
        draw((5, 4)),
        {"labels": LABELS},
    ),
    "dense cross entropy": (
        losses._dense_fused,
        losses._dense_cross_entropy,
        draw((5, 3), (3, 4), (4,)),
        {"labels": LABELS},
    ),
    "embedding": (
        embedding._fused,
        embedding._embedding,
        draw((6, 3)),
        {"tokens": np.array([[5, 0], [0, 2]])},
    ),
    "dropout": (
        dropout._fused,
        dropout._masked,
        draw((2, 3)),
        {"mask": np.array([[0.0, 2.0, 2.0], [2.0, 0.0, 0.0]])},
    ),
    "lstm layer": (
        lambda *arrays: lstm_layer.lstm_layer(*arrays).outputs,
        lstm_layer._lstm,
        draw((4, 2, 3), (2, 5), (2, 5), (3, 20), (5, 20), (20,)),
        {},
    ),
}


def weighted(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """A scalar of the parameters that depends on every element of the layer's value."""

    def value(params: dict[str, Any]) -> Any:
        out = function(*params.values(), **options)
        return anp.sum(out * np.cos(1.0 + np.arange(np.size(out))).reshape(np.shape(out)))

    return value


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_are_those_of_the_twin(name: str) -> None:
    layer, twin, arrays, options = CASES[name]
    params = {f"x{number}": array for number, array in enumerate(arrays)}
    value, grads = value_and_grad(weighted(layer, options))(params)
    expected_value, expected = value_and_grad(weighted(twin, options))(params)
    assert value == pytest.approx(expected_value, rel=1e-13)
    for path, grad in expected.items():
        np.testing.assert_allclose(grads[path], grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_that_is_wanted_alone_is_the_one_among_all(name: str) -> None:
    layer, _, arrays, options = CASES[name]
    params = {f"x{number}": array for number, array in enumerate(arrays)}
    _, grads = value_and_grad(weighted(layer, options))(params)
    for path, array in params.items():

        def alone(some: dict[str, Any]) -> Any:
            return weighted(layer, options)({**params, **some})

        _, grad = value_and_grad(alone)({path: array})
        np.testing.assert_array_equal(grad[path], grads[path])


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_gradients_are_right(name: str) -> None:
    layer, _, arrays, options = CASES[name]
    check_grads(lambda *given: layer(*given, **options), modes=["rev"], order=2)(*arrays)


@pytest.mark.parametrize("name", CASES)
def test_neither_way_changes_what_it_is_given(name: str) -> None:
    layer, _, arrays, options = CASES[name]
    before = [array.copy() for array in arrays]
    params = {f"x{number}": array for number, array in enumerate(arrays)}
    value_and_grad(weighted(layer, options))(params)
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize("name", CASES)
def test_a_backward_pass_can_be_run_again(name: str) -> None:
    layer, _, arrays, options = CASES[name]
    pull, value = autograd.core.make_vjp(
        lambda x: layer(x, *arrays[1:], **options), arrays[0]
    )
    g = np.ones_like(value)
    first = pull(g).copy()
    np.testing.assert_allclose(pull(g), first, rtol=1e-13, atol=1e-15)


def test_two_uses_of_a_layer_add_up() -> None:
    table = {"table": rng.standard_normal((3, 2))}
    tokens = np.array([0, 2])

    def value(params: dict[str, Any]) -> Any:
        rows = embedding.embedding(params["table"], tokens)
        return anp.sum(rows) + anp.sum(params["table"] ** 2)

    _, grads = value_and_grad(value)(table)
    expected = 2 * table["table"] + np.array([[1.0], [0.0], [1.0]])
    np.testing.assert_array_equal(grads["table"], expected)


def test_what_a_layer_returns_besides_its_value_is_plain() -> None:
    def forward(wanted: Any, kernels: Any, x: Any) -> Any:
        return 2 * x, lambda g: (2 * g,), x + 1

    layer = fused(lambda x: 2 * x, forward)
    (_, aux), grads = value_and_grad(lambda p: layer(p["x"]), has_aux=True)(
        {"x": np.array(3.0)}
    )
    assert aux == 4.0
    assert grads["x"] == 2.0


@pytest.mark.parametrize(
    ("labels", "error", "told"),
    [
        (np.array([0, 4]), ValueError, "labels must be from 0 to 3, got 4"),
        (np.array([-1, 0]), ValueError, "labels must be from 0 to 3, got -1"),
        (np.array([0.0, 1.0]), TypeError, "labels must be an array of integers"),
    ],
)
def test_labels_out_of_range_are_refused(
    labels: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        losses.softmax_cross_entropy(np.zeros((2, 4)), labels)
    with pytest.raises(error, match=told):
        losses.dense_cross_entropy(np.zeros((2, 3)), np.zeros((3, 4)), np.zeros(4), labels)


def test_tokens_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="tokens must be from 0 to 3, got -1"):
        embedding.embedding(np.zeros((4, 2)), np.array([[-1]]))
