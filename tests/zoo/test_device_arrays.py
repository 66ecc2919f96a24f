"""MLP and LSTM over device arrays, on the strict stand-in for CuPy: nothing is copied."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lookahead_ref import tree
from lookahead_ref.data import Examples
from lookahead_ref.gradients import value_and_grad
from lookahead_ref.zoo import LSTM, MLP

pytest.importorskip("cupy")

import standin
from lookahead_ref.backends import cupy_autograd

cupy_autograd.register(standin.ndarray)


def on_device(values: Any) -> Any:
    return tree.map(standin.asarray, values)


def assert_same(found: Any, wanted: Any) -> None:
    expected = tree.flatten(wanted)
    for path, array in tree.flatten(found).items():
        assert type(array) is standin.ndarray
        np.testing.assert_allclose(array.get(), expected[path], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_an_mlp_computes_what_it_computes_over_numpy(activation: Any) -> None:
    model = MLP((5, 4, 3), activation)
    params = model.init(0, np.float64)
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((6, 5)), rng.integers(0, 3, 6)
    loss, grads = value_and_grad(model.loss)(
        params, SimpleNamespace(inputs=x, labels=labels)
    )
    there, found = value_and_grad(model.loss)(
        on_device(params),
        SimpleNamespace(inputs=standin.asarray(x), labels=standin.asarray(labels)),
    )
    assert float(there) == pytest.approx(float(loss), rel=1e-14)
    assert_same(found, grads)


@pytest.mark.parametrize("tied", [False, True])
def test_an_lstm_computes_what_it_computes_over_numpy(
    tied: bool,
) -> None:
    model = LSTM(7, hidden=4, dropout=0.3, tied=tied)
    params = model.init(0, np.float64)
    tokens = np.random.default_rng(1).integers(0, 7, (5, 2))
    results = []
    for put in (on_device, lambda values: values):
        moved = put({"inputs": tokens[:-1], "labels": tokens[1:]})
        (loss, carried), grads = value_and_grad(model.loss, has_aux=True)(
            put(params),
            SimpleNamespace(**moved),
            put(tree.map(lambda state: state + 0.5, model.start(2))),
            np.random.default_rng(2),
        )
        results.append((loss, carried, grads))
    (there, state, found), (loss, carried, grads) = results
    assert float(there) == pytest.approx(float(loss), rel=1e-14)
    assert_same(found, grads)
    assert_same(state, carried)


def test_an_mlp_on_a_device_is_evaluated_on_examples_of_the_host() -> None:
    model = MLP((5, 4, 3))
    params = model.init(0, np.float64)
    rng = np.random.default_rng(1)
    examples = Examples(rng.standard_normal((6, 5)), rng.integers(0, 3, 6))
    here, there = (model.evaluate(each, examples) for each in (params, on_device(params)))
    assert there.loss == pytest.approx(here.loss, rel=1e-14)
    assert there.accuracy == here.accuracy
