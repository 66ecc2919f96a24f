"""Small models, data and a backend for the tests of training."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import autograd.numpy as anp
import numpy as np

import lookahead_ref as la
from lookahead_ref.data import Corpus, Dataset, Examples, load_digits
from lookahead_ref.zoo.losses import Evaluation, accuracy, softmax_cross_entropy

X, Y = load_digits().train.take(np.arange(96))
"""What ports to other frameworks learn: handwritten digits, and which they are."""
BATCHES = [(X[n : n + 16], Y[n : n + 16]) for n in range(0, 96, 16)] * 8
HIDDEN = {"w1": (64, 16), "b1": (16,), "w2": (16, 10)}
"""The parameters of a network with one hidden layer."""


def loss_of(params: Any, x: Any, y: Any, np: Any = anp) -> Any:
    """The cross-entropy of this network, in NumPy or the like."""
    logits = np.tanh(x @ params["w1"] + params["b1"]) @ params["w2"]
    total = np.log(np.sum(np.exp(logits), axis=1))
    return np.mean(total - logits[np.arange(len(y)), y])


def falls(losses: Sequence[Any]) -> bool:
    """Whether the last ones' mean, and the last alone, is below half the first ones'."""
    found = [float(each) for each in losses]
    return bool(max(np.mean(found[-6:]), found[-1]) < np.mean(found[:6]) / 2)


def measured(logits: Any, labels: Any) -> Evaluation:
    loss = softmax_cross_entropy(logits, labels)
    return Evaluation(float(loss), accuracy(logits, labels))


def clouds(n: int = 40) -> Dataset:
    """Two clouds of points in the plane, that overlap."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    inputs = (rng.standard_normal((n, 2)) + 2.0 * labels[:, None]).astype(np.float32)
    validation = Examples(inputs[::2], labels[::2])
    return Dataset("clouds", Examples(inputs, labels), validation, classes=2)


class Normalised:
    """Softmax regression with a running mean of its inputs, and noise on them."""

    def init(self, seed: Any) -> Any:
        rng = np.random.default_rng(seed)
        return {"weight": rng.standard_normal((2, 2)).astype(np.float32)}

    def start(self, batch_size: int) -> dict[str, Any]:
        return {"mean": {"of": np.zeros(2, np.float32)}, "count": np.zeros((), np.int64)}

    def loss(self, params: Any, batch: Any, carried: Any, rng: Any) -> Any:
        mean = carried["mean"]["of"] * 0.9 + 0.1 * batch.inputs.mean(axis=0)
        noise = rng.standard_normal(batch.inputs.shape).astype(np.float32)
        logits = (batch.inputs + noise - mean) @ params["weight"]
        count = np.asarray(carried["count"] + 1)
        loss = softmax_cross_entropy(logits, batch.labels)
        return loss, {"mean": {"of": mean}, "count": count}

    def evaluator(self, params: Any, train_source: Any) -> Callable[[Any], Evaluation]:
        # The training examples seen through these very weights, as statistics would be.
        weight = params["weight"]
        shift = train_source.inputs.mean(axis=0) * np.abs(weight).mean()
        return lambda source: measured((source.inputs - shift) @ weight, source.labels)


def normalised(data: Any) -> Normalised:
    """Make one for the command line."""
    assert data.classes == 2
    return Normalised()


def text() -> Corpus:
    """A text of two tokens, with three steps in a batch."""
    tokens = np.tile(np.array([0, 1, 1], np.int32), 8)
    return Corpus("text", tokens, tokens, tokens, ("a", "b"), window=3)


class Bigram:
    """The next token from the last; notes how far what it was handed has counted."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def init(self, seed: Any) -> Any:
        return {"logits": np.zeros((2, 2), np.float32)}

    def start(self, batch_size: int) -> dict[str, Any]:
        return {"count": np.zeros(batch_size, np.int64)}

    def loss(self, params: Any, batch: Any, carried: Any, rng: Any) -> Any:
        self.counts.append(int(carried["count"][0]))
        logits = params["logits"][batch.inputs.reshape(-1)]
        loss = softmax_cross_entropy(logits, batch.labels.reshape(-1))
        return loss, {"count": carried["count"] + 1}

    def evaluator(self, params: Any, train_source: Any) -> Callable[[Any], Evaluation]:
        return lambda tokens: measured(params["logits"][tokens[:-1]], tokens[1:])


class Keeping:
    """Keeps the state in memory every few batches, and asks to stop after some of them."""

    def __init__(self, every: int = 1, stop_after: int = 10**6) -> None:
        self.kept: list[tuple[int, Any]] = []
        self._every, self._stop_after = every, stop_after

    def due(self, batches: int) -> bool:
        return batches % self._every == 0

    def save(self, batches: int, snapshot: Any) -> None:
        self.kept.append((batches, snapshot))

    def stopping(self) -> bool:
        return len(self.kept) >= self._stop_after

    def interruptible(self) -> Any:
        return nullcontext()


_Numpy: Any = type(la.backend.load("numpy"))


class Elsewhere(_Numpy):  # type: ignore[misc]  # found by its name, as backends are
    """NumPy that knows which arrays were moved to it, as if they were on a device."""

    name = "elsewhere"

    def __init__(self) -> None:
        self._moved: dict[int, Any] = {}

    def from_host(self, array: Any) -> Any:
        copy = np.array(array)
        self._moved[id(copy)] = copy
        return copy

    def to_host(self, array: Any) -> Any:
        return np.array(array)

    def has(self, *arrays: Any) -> bool:
        """Whether these very arrays came by `from_host`."""
        return all(id(array) in self._moved for array in arrays)
