"""What the loop needs of a model and of data: protocols, and no more than it uses.

There are two kinds of model. A plain one has a loss that depends on the parameters and the
batch. A carrying one has a loss that depends also on something that is handed from batch to
batch and is no parameter (the hidden state of a recurrent network, the running statistics
of batch normalisation), and on random numbers (dropout).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeGuard

import numpy as np


class Measured(Protocol):
    """What a model's evaluation measures."""

    @property
    def loss(self) -> float:
        """Mean loss of a label, in nats."""

    @property
    def accuracy(self) -> float:
        """Share of right answers, from 0 to 1."""


class PlainModel(Protocol):
    """A model whose loss is a function of parameters and batch; the MLP is one."""

    def init(self, seed: int | np.random.SeedSequence) -> Any:
        """Draw initial parameters: a dict of NumPy arrays."""

    def loss(self, params: Any, batch: Any) -> Any:
        """Mean loss of a batch, differentiable."""

    def evaluate(self, params: Any, examples: Any) -> Measured:
        """Measure loss and accuracy."""


class CarryingModel(Protocol):
    """A model that hands something on from batch to batch."""

    def init(self, seed: int | np.random.SeedSequence) -> Any:
        """Draw initial parameters: a dict of NumPy arrays."""

    def start(self, batch_size: int) -> Mapping[str, Any]:
        """Make what the first batch is handed: a dict of NumPy arrays, maybe nested.

        All are handed arrays of these names, shapes and dtypes, or the parameters'.
        """

    def loss(
        self, params: Any, batch: Any, carried: Any, rng: np.random.Generator
    ) -> tuple[Any, Any]:
        """Mean loss of a batch, differentiable, and what the next one is handed."""

    def evaluator(self, params: Any, train_source: Any) -> Callable[[Any], Measured]:
        """Make ready to evaluate these weights, looking at training examples if need be."""


Model = PlainModel | CarryingModel
"""Either kind. One that has a method `start` is a carrying one."""


class Stream(Protocol):
    """Batches, epoch after epoch, from wherever the stream is."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self) -> Iterator[Any]:
        """Yield the batches that are left of the current epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is, as plain data that JSON can hold."""

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from there."""


class Data(Protocol):
    """What to train on; a ``test`` split, where there is one, is measured at the end.

    For several workers it has a method ``share(number, count)``, which returns it with the
    training examples of one of them.
    """

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def train(self) -> Any:
        """What to train on."""

    @property
    def validation(self) -> Any:
        """What to validate on."""

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> Stream:
        """Draw training batches, in an order that the seed decides."""


def evaluated(data: Data) -> str:
    """Say which examples are those to validate on: held out, or the test itself."""
    return "test" if getattr(data, "test", None) is data.validation else "validation"


def carries(model: Model) -> TypeGuard[CarryingModel]:
    """Tell whether a model hands something on from batch to batch."""
    return hasattr(model, "start")
