"""Small models of every kind, with a batch: for the host, the stand-in and a GPU."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lookahead_ref as la
from executors import Place
from lookahead_ref import trees
from lookahead_ref.data import Examples
from lookahead_ref.zoo import AWDLSTM, LSTM, MLP, ResNet


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n, *shape)).astype(np.float32)
    return Examples(inputs, rng.integers(0, 4, n))


def text(steps: int, columns: int, words: int = 11, **others: Any) -> Any:
    tokens = np.random.default_rng(0).integers(0, words, (steps + 1, columns))
    tokens = tokens.astype(np.int32)
    return SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:], **others)


def residual(shape: tuple[int, ...], *args: Any, **options: Any) -> Any:
    make = lambda on: ResNet(shape, 4, *args, **options, backend=on)  # noqa: E731
    return make, pictures(6, shape)


# The model on a backend, and a batch for it.
MODELS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "perceptron, relu": (lambda on: MLP((6, 5, 4), backend=on), pictures(7, (6,))),
    "perceptron, tanh": (
        lambda on: MLP((6, 5, 5, 4), activation="tanh", backend=on),
        pictures(7, (6,)),
    ),
    "LSTM": (lambda on: LSTM(11, hidden=5, layers=2, backend=on), text(6, 3)),
    "LSTM, tied": (lambda on: LSTM(11, hidden=5, tied=True, backend=on), text(6, 3)),
    "LSTM, a narrow embedding": (
        lambda on: LSTM(11, 5, 1, embedding=3, scale=0.5, forget_bias=1.0, backend=on),
        text(6, 3),
    ),
    "AWD-LSTM": (lambda on: AWDLSTM(11, hidden=5, embedding=4, backend=on), text(6, 3)),
    "residual": residual((2, 8, 8), (1, 2), (5, 8)),
    "residual, identity": residual((2, 9, 8), (2, 1), (4, 8), shortcut="identity"),
    "residual, bottlenecks and a large stem": residual(
        (2, 16, 16), (1, 1), (2, 4), block="bottleneck", stem="large"
    ),
}


def drawn(model: Any, seed: int = 3) -> Any:
    """Float64 parameters, biases and scales drawn too, so that none is at its start."""
    rng = np.random.default_rng(seed)
    return trees.map(
        lambda leaf: leaf + 0.1 * rng.standard_normal(leaf.shape),
        model.init(seed, np.float64),
    )


def moved(batch: Any, place: Place) -> Any:
    """A batch whose arrays are there."""
    arrays = place.to({"inputs": batch.inputs, "labels": batch.labels})
    return SimpleNamespace(**arrays, first=False)


def begin(model: Any, batch: Any) -> Any:
    """What the first batch is handed."""
    return model.start(batch.labels.shape[-1]) if hasattr(model, "start") else {}


def loss_of(model: Any, params: Any, batch: Any, carried: Any) -> tuple[Any, Any]:
    """Loss, and what is handed on."""
    if not hasattr(model, "start"):
        return model.loss(params, batch), carried
    return model.loss(params, batch, carried, np.random.default_rng(0))


def differentiate(model: Any, params: Any, batch: Any, carried: Any) -> Any:
    """Loss, gradients, and what is handed on."""
    (loss, carried), grads = la.value_and_grad(
        lambda p: loss_of(model, p, batch, carried), has_aux=True
    )(params)
    return loss, grads, carried


def assert_trains_as_on_the_host(
    name: str, place: Place, unmoved: Callable[[], Any], rtol: float, atol: float
) -> None:
    """Loss, gradients and what is carried are NumPy's, and a step moves nothing."""
    make, batch = MODELS[name]
    host, other = make("numpy"), make(place.backend)
    params, there = host.init(seed=1), moved(batch, place)
    stepper = place.stepper(la.Lookahead(la.Adam(0.01), k=2), params)
    on_device = place.to(params)
    carried, other_carried = begin(host, batch), begin(other, batch)
    for _ in range(2):
        loss, grads, carried = differentiate(host, params, batch, carried)
        with unmoved():
            found, other_grads, other_carried = differentiate(
                other, on_device, there, other_carried
            )
            stepper.step(other_grads)
        assert float(found) == pytest.approx(float(loss), rel=rtol / 20)
        for wanted, got in ((grads, other_grads), (carried, other_carried)):
            flat, back = trees.flatten(wanted), place.back(got)
            assert back.keys() == flat.keys()
            for path, array in flat.items():
                assert back[path].dtype == array.dtype
                np.testing.assert_allclose(back[path], array, rtol, atol, err_msg=path)
