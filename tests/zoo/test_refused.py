"""What does not fit together is refused by name, on every backend, before it is computed.

Compiled kernels believe the shapes and the dtype that they are told. What NumPy stretches,
or widens, they would read past the end, or take for other numbers.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.kernels import find
from lookahead_ref.zoo import LSTM, MLP, ResNet
from lookahead_ref.zoo.convolution import convolution
from lookahead_ref.zoo.dense import dense
from lookahead_ref.zoo.losses import (
    accuracy,
    dense_cross_entropy,
    softmax_cross_entropy,
    top_accuracy,
)
from lookahead_ref.zoo.lstm_layer import lstm_layer
from lookahead_ref.zoo.normalization import batch_norm, fixed_norm
from lookahead_ref.zoo.pooling import max_pool

BACKENDS = ("numpy", "numba")
on_every_backend = pytest.mark.parametrize("backend", BACKENDS)
LABELS = np.array([0, 2, 1, 0])


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    return np.zeros(shape, dtype)


@on_every_backend
@pytest.mark.parametrize("shape", [(1,), (3,), (5,), (4, 1)])
def test_labels_must_be_as_many_as_rows(backend: str, shape: tuple[int, ...]) -> None:
    labels, found = np.zeros(shape, int), find(backend)
    told = r"labels must have shape \(4,\), got "
    with pytest.raises(ValueError, match=told):
        softmax_cross_entropy(zeros(4, 3), labels, kernels=found)
    with pytest.raises(ValueError, match=told):
        dense_cross_entropy(zeros(4, 2), zeros(2, 3), zeros(3), labels, kernels=found)
    for measure in (accuracy, lambda *given: top_accuracy(*given, 2)):
        with pytest.raises(ValueError, match=told):
            measure(zeros(4, 3), labels)


@on_every_backend
def test_a_batch_must_hold_something(backend: str) -> None:
    layers = find(backend)
    pictures = find(backend)
    none = np.zeros(0, int)
    with pytest.raises(ValueError, match="labels must hold at least one"):
        softmax_cross_entropy(zeros(0, 3), none, kernels=layers)
    with pytest.raises(ValueError, match="x must hold at least one picture"):
        convolution(zeros(0, 5, 5, 2), zeros(3, 3, 2, 2), kernels=pictures)
    with pytest.raises(ValueError, match="x must hold at least one picture"):
        batch_norm(zeros(0, 5, 5, 2), zeros(2), zeros(2), kernels=pictures)


def moments(**changed: Any) -> dict[str, Any]:
    given = {"mean": zeros(3), "variance": zeros(3), "epsilon": 1.0, "rectify": False}
    return {**given, **changed}


CALLS: dict[str, tuple[Callable[..., Any], str]] = {
    "dense's bias": (
        lambda k, _: dense(zeros(4, 2), zeros(2, 3), zeros(1), kernels=k),
        r"bias must have shape \(3,\), got \(1,\)",
    ),
    "dense's input": (
        lambda k, _: dense(zeros(4, 5), zeros(2, 3), zeros(3), kernels=k),
        r"x must have shape \(4, 2\), got \(4, 5\)",
    ),
    "the loss's bias": (
        lambda k, _: dense_cross_entropy(
            zeros(4, 2), zeros(2, 3), zeros(1), LABELS, kernels=k
        ),
        r"bias must have shape \(3,\), got \(1,\)",
    ),
    "a state": (
        lambda k, _: lstm_layer(
            *(zeros(5, 2, 3), zeros(1, 4), zeros(2, 4)),
            *(zeros(3, 16), zeros(4, 16), zeros(16)),
            kernels=k,
        ),
        r"hidden must have shape \(2, 4\), got \(1, 4\)",
    ),
    "an LSTM's bias": (
        lambda k, _: lstm_layer(
            *(zeros(5, 2, 3), zeros(2, 4), zeros(2, 4)),
            *(zeros(3, 16), zeros(4, 16), zeros(1)),
            kernels=k,
        ),
        r"bias must have shape \(16,\), got \(1,\)",
    ),
    "a residual": (
        lambda _, k: batch_norm(
            zeros(2, 4, 4, 3), zeros(3), zeros(3), zeros(1, 4, 4, 3), kernels=k
        ),
        r"residual must have shape \(2, 4, 4, 3\), got",
    ),
    "a scale": (
        lambda _, k: batch_norm(zeros(2, 4, 4, 3), zeros(1), zeros(3), kernels=k),
        r"scale must have shape \(3,\), got \(1,\)",
    ),
    "a moment": (
        lambda _, k: fixed_norm(
            *(zeros(2, 4, 4, 3), zeros(3), zeros(3), None),
            **moments(mean=zeros(1)),
            kernels=k,
        ),
        r"mean must have shape \(3,\), got \(1,\)",
    ),
    "a stride": (
        lambda _, k: convolution(zeros(1, 5, 5, 2), zeros(3, 3, 2, 2), stride=0, kernels=k),
        "stride must be at least 1 and padding at least 0, got 0 and 0",
    ),
    "a padding": (
        lambda _, k: convolution(
            zeros(1, 5, 5, 2), zeros(3, 3, 2, 2), padding=-1, kernels=k
        ),
        "stride must be at least 1 and padding at least 0, got 1 and -1",
    ),
}


@on_every_backend
@pytest.mark.parametrize("name", CALLS)
def test_operands_that_do_not_fit_are_named(name: str, backend: str) -> None:
    call, told = CALLS[name]
    with pytest.raises(ValueError, match=told):
        call(find(backend), find(backend))


@on_every_backend
def test_layers_take_arrays_of_one_dtype(backend: str) -> None:
    layers = find(backend)
    pictures = find(backend)
    double = np.float64
    for call in (
        lambda: dense(zeros(4, 2, dtype=double), zeros(2, 3), zeros(3), kernels=layers),
        lambda: dense(zeros(4, 2), zeros(2, 3), zeros(3, dtype=double), kernels=layers),
        lambda: dense_cross_entropy(
            zeros(4, 2, dtype=double), zeros(2, 3), zeros(3), LABELS, kernels=layers
        ),
        lambda: convolution(
            zeros(1, 5, 5, 2), zeros(3, 3, 2, 2, dtype=double), kernels=pictures
        ),
        lambda: batch_norm(
            zeros(1, 5, 5, 2), zeros(2, dtype=double), zeros(2), kernels=pictures
        ),
    ):
        with pytest.raises(TypeError, match=r"must be of (x's )?dtype"):
            call()


def test_compiled_kernels_of_another_dtype_give_way_to_the_general_ones() -> None:
    single = find("numba")
    rng = np.random.default_rng(0)
    logits = 3 * rng.standard_normal((4, 3))
    found = softmax_cross_entropy(logits, LABELS, kernels=single)
    assert found == softmax_cross_entropy(logits, LABELS)
    x, weight, bias = rng.standard_normal((4, 2)), rng.standard_normal((2, 3)), zeros(3)
    given = (x, weight, bias.astype(np.float64))
    np.testing.assert_array_equal(
        dense(*given, activation="tanh", kernels=single), dense(*given, activation="tanh")
    )


@on_every_backend
def test_a_gradient_comes_back_in_the_dtype_of_the_value(backend: str) -> None:
    found = find(backend)
    rng = np.random.default_rng(0)
    params = {
        "x": rng.standard_normal((2, 6, 6, 16)).astype(np.float32),
        "kernel": rng.standard_normal((3, 3, 16, 32)).astype(np.float32),
    }
    weights = rng.standard_normal((2, 6, 6, 32))

    def loss(p: Any) -> Any:
        y = convolution(p["x"], p["kernel"], padding=1, kernels=found)
        return (y * weights).sum()  # in float64, and so is what flows back

    _, grads = value_and_grad(loss)(params)
    _, expected = value_and_grad(loss)(trees.map(np.float64, params))
    for name, grad in grads.items():
        assert grad.dtype == np.float32
        np.testing.assert_allclose(grad, expected[name], rtol=0, atol=2e-4)


def test_compiled_convolution_refuses_to_write_into_another_dtype() -> None:
    found = find("numba")
    x, kernel = zeros(1, 5, 5, 8), zeros(3, 3, 8, 8)
    with pytest.raises(TypeError, match="of one dtype, got float32, float64"):
        found.correlate(x, kernel, zeros(1, 3, 3, 8, dtype=np.float64), 1, (0, 0))
    with pytest.raises(TypeError, match="of one dtype, got float32, float64"):
        found.kernel_gradient(x, zeros(1, 3, 3, 8, dtype=np.float64), (3, 3), 1, (0, 0))


MODELS: dict[str, Callable[[str], tuple[Any, tuple[int, ...]]]] = {
    "mlp": lambda backend: (MLP((48, 5, 3), "tanh", backend=backend), (48,)),
    "resnet": lambda backend: (
        ResNet((3, 4, 4), 3, (1, 1), (4, 4), backend=backend),
        (3, 4, 4),
    ),
}


def differentiated(model: Any, params: Any, inputs: Any) -> tuple[Any, Any]:
    batch = SimpleNamespace(inputs=inputs, labels=LABELS)
    if isinstance(model, MLP):
        return value_and_grad(model.loss)(params, batch)
    (loss, _), grads = value_and_grad(model.loss, has_aux=True)(
        params, batch, model.start(4)
    )
    return loss, grads


@on_every_backend
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.float32, np.float64, np.uint8])
def test_a_model_computes_in_its_parameters_dtype_whatever_it_is_given(
    name: str, backend: str, dtype: Any, given: Any
) -> None:
    model, shape = MODELS[name](backend)
    params = model.init(0, dtype)
    inputs = np.random.default_rng(0).integers(0, 9, (4, *shape)).astype(given)
    loss, grads = differentiated(model, params, inputs)
    expected, gradients = differentiated(model, params, inputs.astype(dtype))
    assert loss.dtype == dtype
    assert loss == expected
    for path, grad in trees.flatten(grads).items():
        np.testing.assert_array_equal(grad, trees.flatten(gradients)[path])


@on_every_backend
@pytest.mark.parametrize("name", MODELS)
def test_inputs_can_be_differentiated_too(name: str, backend: str) -> None:
    model, shape = MODELS[name](backend)
    params = model.init(0, np.float64)
    rng = np.random.default_rng(0)
    inputs, direction = rng.standard_normal((2, 4, *shape))

    def loss(p: Any) -> Any:
        batch = SimpleNamespace(inputs=p["x"], labels=LABELS)
        if isinstance(model, MLP):
            return model.loss(params, batch)
        return model.loss(params, batch, model.start(4))[0]

    _, grads = value_and_grad(loss)({"x": inputs})
    step = 1e-6 * direction
    rise = loss({"x": inputs + step}) - loss({"x": inputs - step})
    assert np.sum(grads["x"] * direction) == pytest.approx(rise / 2e-6, abs=1e-7)


@on_every_backend
def test_pictures_with_their_channels_last_are_not_taken_for_others(backend: str) -> None:
    model, _ = MODELS["resnet"](backend)
    told = r"inputs must have shape \(n, 3, 4, 4\) or \(n, 48\), got \(4, 4, 4, 3\)"
    with pytest.raises(ValueError, match=told):
        differentiated(model, model.init(0), zeros(4, 4, 4, 3))
    model, _ = MODELS["mlp"](backend)
    with pytest.raises(
        ValueError, match=r"inputs must have shape \(n, 48\), got \(4, 47\)"
    ):
        differentiated(model, model.init(0), zeros(4, 47))


@on_every_backend
def test_tokens_labels_and_state_of_a_text_must_fit(backend: str) -> None:
    model = LSTM(7, hidden=4, backend=backend)
    params, tokens = model.init(0), np.zeros((3, 2), int)
    for inputs, labels, columns, told in (
        (tokens, tokens.T, 2, r"labels must have shape \(3, 2\), got \(2, 3\)"),
        (tokens[:, 0], tokens[:, 0], 2, r"inputs must have shape \(steps, batch\), got"),
        (tokens, tokens, 1, r"hidden must have shape \(2, 4\), got \(1, 4\)"),
    ):
        batch = SimpleNamespace(inputs=inputs, labels=labels)
        with pytest.raises(ValueError, match=told):
            model.loss(params, batch, model.start(columns))


def test_a_neighbourhood_must_fit_into_the_pictures() -> None:
    with pytest.raises(ValueError, match="size 6 must fit into pictures of 5 by 7"):
        max_pool(zeros(1, 5, 7, 1), size=6, stride=1)


@pytest.mark.parametrize("place", range(4))
def test_a_maximum_does_not_hide_what_is_not_a_number(place: int) -> None:
    x = np.arange(4.0)
    x[place] = np.nan
    assert np.isnan(max_pool(x.reshape(1, 2, 2, 1), size=2, stride=2)).all()


def test_a_score_that_is_not_a_number_is_no_right_answer() -> None:
    scores = np.full((2, 9), np.nan)
    assert top_accuracy(scores, np.array([0, 8]), 5) == 0
