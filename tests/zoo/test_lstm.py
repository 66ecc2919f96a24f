"""The LSTM language model: its layers, its state, and text it is evaluated on."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookahead_ref import trees
from lookahead_ref.zoo import LSTM
from models import text

WORDS = 7
MODEL = LSTM(WORDS, hidden=4)
PARAMS = MODEL.init(0, np.float64)


def window(steps: int, batch: int, **others: Any) -> Any:
    return text(steps, batch, WORDS, **others)


def loss(model: LSTM, params: Any, batch: Any, rng: Any = None) -> Any:
    return model.loss(params, batch, model.start(batch.inputs.shape[1]), rng)[0]


def test_a_text_in_two_batches_with_the_state_carried_is_the_text_in_one() -> None:
    tokens = window(6, 2).inputs
    whole, end = MODEL.apply(PARAMS, tokens, MODEL.start(2))
    first, carried = MODEL.apply(PARAMS, tokens[:2], MODEL.start(2))
    second, carried = MODEL.apply(PARAMS, tokens[2:], carried)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-15)
    for path, state in trees.flatten(carried).items():
        np.testing.assert_allclose(state, trees.flatten(end)[path], rtol=1e-6)


def test_at_the_first_window_of_a_text_the_state_starts_anew() -> None:
    batch = window(3, 2)
    _, carried = MODEL.loss(PARAMS, batch, MODEL.start(2))
    again, _ = MODEL.loss(PARAMS, window(3, 2, first=True), carried)
    later, _ = MODEL.loss(PARAMS, window(3, 2, first=False), carried)
    assert again == loss(MODEL, PARAMS, batch)
    assert later != again


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
    tokens = np.random.default_rng(length).integers(0, WORDS, length)
    log_softmax = params["output"]["bias"] - np.log(np.exp(params["output"]["bias"]).sum())
    measured = model.evaluator(params)(tokens)
    assert measured.loss == pytest.approx(-log_softmax[tokens[1:]].mean())
    assert measured.accuracy == pytest.approx((tokens[1:] == WORDS - 1).mean())


def test_evaluation_reads_parts_of_a_text_through() -> None:
    tokens = np.random.default_rng(0).integers(0, WORDS, 20 * 40 + 1)
    parts = SimpleNamespace(
        inputs=tokens[:-1].reshape(20, 40).T, labels=tokens[1:].reshape(20, 40).T
    )
    assert MODEL.evaluator(PARAMS)(tokens).loss == pytest.approx(loss(MODEL, PARAMS, parts))


def test_a_text_without_transitions_is_refused() -> None:
    model = LSTM(WORDS, hidden=2)
    with pytest.raises(ValueError, match="at least two tokens, got 1"):
        model.evaluator(model.init(0))(np.zeros(1, int))


def test_the_forget_gate_has_a_bias_of_its_own_at_first() -> None:
    params = LSTM(WORDS, hidden=2, forget_bias=1.5).init(0)
    expected = [0, 0, 1.5, 1.5, 0, 0, 0, 0]
    np.testing.assert_array_equal(params["layer2"]["bias"], np.float32(expected))


def test_orthogonal_weights_are_orthogonal_gate_by_gate() -> None:
    params = LSTM(WORDS, hidden=5, initialization="orthogonal").init(0, np.float64)
    for gate in np.split(params["layer1"]["recurrent_weight"], 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-14)
