"""AWD-LSTM: what is dropped, what is penalized, and the same in plain autograd."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import autograd.numpy as anp
import numpy as np
import pytest

from lookahead_ref import trees
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import AWDLSTM
from models import begin, drawn, text

WORDS = 7
MODEL = AWDLSTM(WORDS, hidden=5, embedding=4)
RATES = [name for name in vars(MODEL) if name.endswith("dropout")]
NOTHING_DROPPED = replace(MODEL, **dict.fromkeys(RATES, 0.0))


def loss_of(model: AWDLSTM, params: Any, batch: Any, seed: int = 0) -> Any:
    carried = begin(model, batch)
    return model.loss(params, batch, carried, np.random.default_rng(seed))[0]


def plain_loss(model: AWDLSTM, params: Any, batch: Any, seed: int) -> Any:
    """The paper's sections 2 and 4, word by word and step by step."""
    rng = np.random.default_rng(seed)

    def mask(rate: float, *shape: int) -> Any:
        return (rng.random(shape, dtype=np.float32) >= rate) / (1 - rate)

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + anp.exp(-x))

    table = params["embedding"]["weight"]
    steps, columns = batch.inputs.shape
    rows = table * mask(model.embedding_dropout, WORDS, 1)
    locked = mask(model.input_dropout, 1, columns, model.embedding)[0]
    xs = [rows[batch.inputs[step]] * locked for step in range(steps)]
    for number, width in enumerate(model.widths, start=1):
        weights = params[f"layer{number}"]
        recurrent = weights["recurrent_weight"]
        recurrent = recurrent * mask(model.weight_dropout, *recurrent.shape)
        h, c, raw = np.zeros((columns, width)), np.zeros((columns, width)), []
        for x in xs:
            products = anp.dot(x, weights["input_weight"]) + anp.dot(h, recurrent)
            i, f, g, o = anp.split(products + weights["bias"], 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * anp.tanh(g)
            h = sigmoid(o) * anp.tanh(c)
            raw.append(h)
        rate = model.dropout if number == model.layers else model.hidden_dropout
        locked = mask(rate, 1, columns, width)[0]
        xs = [h * locked for h in raw]
    logits = anp.stack([anp.dot(x, table.T) for x in xs]) + params["output"]["bias"]
    normalizer = anp.log(anp.sum(anp.exp(logits), axis=2))
    at = (*np.indices(batch.labels.shape), batch.labels)
    entropy = anp.mean(normalizer - logits[at])
    slowness = anp.mean((anp.stack(raw[1:]) - anp.stack(raw[:-1])) ** 2)
    activation = anp.mean(anp.stack(xs) ** 2)
    return (
        entropy + model.activation_penalty * activation + model.temporal_penalty * slowness
    )


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_paper_in_plain_autograd(seed: int) -> None:
    batch, params = text(6, 3, WORDS), drawn(MODEL)
    loss, grads = value_and_grad(lambda p: loss_of(MODEL, p, batch, seed))(params)
    plain, expected = value_and_grad(lambda p: plain_loss(MODEL, p, batch, seed))(params)
    assert loss == pytest.approx(plain, rel=1e-13)
    for path, grad in trees.flatten(grads).items():
        wanted = trees.flatten(expected)[path]
        np.testing.assert_allclose(grad, wanted, rtol=1e-10, atol=1e-14, err_msg=path)


def test_it_has_the_papers_size() -> None:
    model = AWDLSTM(10_000)
    assert model.widths == [1150, 1150, 400]
    leaves = trees.flatten(AWDLSTM(100).init(0))
    # The paper has 24 million with 10,000 words; PyTorch's layers have two biases each.
    assert sum(leaf.size for leaf in leaves.values()) + 9_900 * 401 == 24_210_800


def test_dropout_needs_a_generator() -> None:
    batch = text(6, 3, WORDS)
    with pytest.raises(TypeError, match="rng must be a numpy Generator"):
        MODEL.loss(drawn(MODEL), batch, begin(MODEL, batch))


def test_evaluation_has_neither_dropout_nor_penalty() -> None:
    params, tokens = drawn(MODEL), np.random.default_rng(0).integers(0, WORDS, 3)
    free = replace(NOTHING_DROPPED, activation_penalty=0.0, temporal_penalty=0.0)
    # Two transitions are read side by side, each from a state of zeros.
    sides = SimpleNamespace(inputs=tokens[None, :2], labels=tokens[None, 1:])
    measured = MODEL.evaluator(params)(tokens)
    assert measured.loss == pytest.approx(loss_of(free, params, sides))
