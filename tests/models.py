"""Small models of every kind, with a batch: for the host, the stand-in and a GPU."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

import lookahead_ref as la
from lookahead_ref.data import Examples
from lookahead_ref.zoo.lstm import LSTM
from lookahead_ref.zoo.mlp import MLP
from lookahead_ref.zoo.resnet import ResNet


def pictures(n: int, shape: tuple[int, ...], seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n, *shape)).astype(np.float32)
    return Examples(inputs, rng.integers(0, 4, n))


def text(steps: int, columns: int) -> Any:
    tokens = np.random.default_rng(0).integers(0, 11, (steps + 1, columns)).astype(np.int32)
    return SimpleNamespace(inputs=tokens[:-1], labels=tokens[1:], first=False)


# The model on a backend, and a batch for it.
MODELS: dict[str, tuple[Callable[[str], Any], Any]] = {
    "perceptron, relu": (lambda on: MLP((6, 5, 4), backend=on), pictures(7, (6,))),
    "perceptron, tanh": (
        lambda on: MLP((6, 5, 5, 4), activation="tanh", backend=on),
        pictures(7, (6,)),
    ),
    "LSTM": (lambda on: LSTM(11, hidden=5, layers=2, backend=on), text(6, 3)),
    "LSTM, tied": (lambda on: LSTM(11, hidden=5, tied=True, backend=on), text(6, 3)),
    "residual": (
        lambda on: ResNet((2, 8, 8), 4, (1, 1), (4, 8), backend=on),
        pictures(6, (2, 8, 8)),
    ),
    "residual, identity": (
        lambda on: ResNet((2, 8, 8), 4, (2, 1), (4, 8), shortcut="identity", backend=on),
        pictures(6, (2, 8, 8)),
    ),
    "residual, bottlenecks and a large stem": (
        lambda on: ResNet(
            (2, 16, 16), 4, (1, 1), (2, 4), block="bottleneck", stem="large", backend=on
        ),
        pictures(6, (2, 16, 16)),
    ),
}


def moved(batch: Any, move: Callable[[Any], Any]) -> Any:
    """A batch whose arrays are on a device."""
    return SimpleNamespace(
        inputs=move(batch.inputs),
        labels=move(batch.labels),
        first=getattr(batch, "first", False),
    )


def begin(model: Any, batch: Any) -> Any:
    """What the first batch is handed."""
    return model.start(batch.labels.shape[-1]) if hasattr(model, "start") else {}


def differentiate(model: Any, params: Any, batch: Any, carried: Any) -> Any:
    """Loss, gradients, and what is handed on."""
    if not hasattr(model, "start"):
        loss, grads = la.value_and_grad(model.loss)(params, batch)
        return loss, grads, carried
    rng = np.random.default_rng(0)
    pair, grads = la.value_and_grad(model.loss, has_aux=True)(params, batch, carried, rng)
    return pair[0], grads, pair[1]
