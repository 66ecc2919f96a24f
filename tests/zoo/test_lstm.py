"""The LSTM language model: its layers, its state, and text it is evaluated on."""

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import LSTM

WORDS = 7


def window(steps: int, batch: int, seed: int = 1, **others: Any) -> Any:
    tokens = np.random.default_rng(seed).integers(0, WORDS, (steps + 1, batch))
    return SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:], **others)


def loss(model: LSTM, params: Any, batch: Any, rng: Any = None) -> Any:
    return model.loss(params, batch, model.start(batch.inputs.shape[1]), rng)[0]


@pytest.mark.parametrize(
    "options",
    [{"layers": 1}, {"layers": 2, "tied": True}, {"layers": 2, "embedding": 3}],
    ids=["one layer", "tied", "narrow embedding"],
)
def test_the_gradient_agrees_with_central_differences(options: dict[str, Any]) -> None:
    model = LSTM(WORDS, hidden=4, scale=0.5, forget_bias=1.0, **options)
    params = model.init(3, np.float64)
    batch = window(3, 2)
    (_, carried), grads = value_and_grad(model.loss, has_aux=True)(
        params, batch, model.start(2)
    )
    assert all(type(array) is np.ndarray for array in trees.flatten(carried).values())
    rng, step = np.random.default_rng(0), 1e-5
    for path, grad in trees.flatten(grads).items():
        for _ in range(4):
            direction = rng.standard_normal(grad.shape)
            above, below = copy.deepcopy(params), copy.deepcopy(params)
            trees.flatten(above)[path][...] += step * direction
            trees.flatten(below)[path][...] -= step * direction
            slope = (loss(model, above, batch) - loss(model, below, batch)) / (2 * step)
            assert np.sum(grad * direction) == pytest.approx(slope, abs=1e-8)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.booleans())
@settings(max_examples=20)
def test_parameters_state_loss_and_gradients_are_float32(
    steps: int, batch_size: int, layers: int, tied: bool
) -> None:
    model = LSTM(WORDS, hidden=3, layers=layers, tied=tied, dropout=0.5)
    params = model.init(0)
    (value, carried), grads = value_and_grad(model.loss, has_aux=True)(
        params,
        window(steps, batch_size),
        model.start(batch_size),
        np.random.default_rng(0),
    )
    assert value.dtype == np.float32
    leaves = trees.flatten(params)
    for path, grad in trees.flatten(grads).items():
        assert (grad.dtype, grad.shape) == (np.float32, leaves[path].shape)
    for state in trees.flatten(carried).values():
        assert (state.dtype, state.shape) == (np.float32, (batch_size, 3))
    assert ("weight" in params["output"]) is not tied


def test_a_text_in_two_batches_with_the_state_carried_is_the_text_in_one() -> None:
    model = LSTM(WORDS, hidden=4)
    params = model.init(0, np.float64)
    tokens = window(6, 2).inputs
    whole, end = model.apply(params, tokens, model.start(2))
    first, carried = model.apply(params, tokens[:2], model.start(2))
    second, carried = model.apply(params, tokens[2:], carried)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-15)
    for path, state in trees.flatten(carried).items():
        np.testing.assert_allclose(state, trees.flatten(end)[path], rtol=1e-6)


def test_at_the_first_window_of_a_text_the_state_starts_anew() -> None:
    model = LSTM(WORDS, hidden=4)
    params = model.init(0)
    batch = window(3, 2)
    _, carried = model.loss(params, batch, model.start(2))
    again, _ = model.loss(params, window(3, 2, first=True), carried)
    later, _ = model.loss(params, window(3, 2, first=False), carried)
    assert again == loss(model, params, batch)
    assert later != again


def test_sequences_of_a_batch_do_not_see_each_other() -> None:
    model = LSTM(WORDS, hidden=4)
    params = model.init(0, np.float64)
    tokens = window(5, 3).inputs
    together, _ = model.apply(params, tokens, model.start(3))
    alone, _ = model.apply(params, tokens[:, 1:2], model.start(1))
    np.testing.assert_allclose(together[:, 1:2], alone, atol=1e-15)


def test_dropout_is_decided_by_its_generator_and_needs_one() -> None:
    model = LSTM(WORDS, hidden=16, dropout=0.5)
    params = model.init(0)
    batch = window(3, 2)
    once, again, other = (
        loss(model, params, batch, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert once == again != other
    with pytest.raises(TypeError, match="rng must be a numpy Generator"):
        loss(model, params, batch)


@given(st.integers(2, 120))
@settings(max_examples=30)
def test_a_text_is_evaluated_at_each_of_its_transitions(length: int) -> None:
    model = LSTM(WORDS, hidden=2, layers=1)
    params = trees.map(np.zeros_like, model.init(0, np.float64))
    # Without weights every token is predicted by the bias alone.
    params["output"]["bias"] = np.linspace(0.0, 1.0, WORDS)
    text = np.random.default_rng(length).integers(0, WORDS, length)
    log_softmax = params["output"]["bias"] - np.log(np.exp(params["output"]["bias"]).sum())
    measured = model.evaluator(params)(text)
    assert measured.loss == pytest.approx(-log_softmax[text[1:]].mean())
    assert measured.accuracy == pytest.approx((text[1:] == WORDS - 1).mean())


def test_evaluation_reads_parts_of_a_text_through() -> None:
    model = LSTM(WORDS, hidden=4)
    params = model.init(0, np.float64)
    text = np.random.default_rng(0).integers(0, WORDS, 20 * 40 + 1)
    parts = SimpleNamespace(
        inputs=text[:-1].reshape(20, 40).T, labels=text[1:].reshape(20, 40).T
    )
    assert model.evaluator(params)(text).loss == pytest.approx(loss(model, params, parts))


def test_a_text_without_transitions_is_refused() -> None:
    model = LSTM(WORDS, hidden=2)
    with pytest.raises(ValueError, match="two tokens at least, got 1"):
        model.evaluator(model.init(0))(np.zeros(1, int))


def test_the_forget_gate_has_a_bias_of_its_own_at_first() -> None:
    params = LSTM(WORDS, hidden=2, forget_bias=1.5).init(0)
    expected = [0, 0, 1.5, 1.5, 0, 0, 0, 0]
    np.testing.assert_array_equal(params["layer2"]["bias"], np.float32(expected))


def test_orthogonal_weights_are_orthogonal_gate_by_gate() -> None:
    params = LSTM(WORDS, hidden=5, initialization="orthogonal").init(0, np.float64)
    for gate in np.split(params["layer1"]["recurrent_weight"], 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-14)


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"vocabulary": 0}, ValueError, "vocabulary must be a positive integer, got 0"),
        ({"layers": 1.0}, TypeError, "layers must be a positive integer, got 1.0"),
        ({"dropout": 1.0}, ValueError, "dropout must be"),
        ({"scale": 0.0}, ValueError, "scale must be"),
        ({"tied": True, "embedding": 3}, ValueError, "embedding must be as wide as hidden"),
        ({"initialization": "zeros"}, ValueError, "initialization must be one of"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_by_name(
    wrong: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        LSTM(**{"vocabulary": WORDS, "hidden": 4, **wrong})
