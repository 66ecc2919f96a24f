"""Protocols of models and data: what the loop uses.

There are two kinds of model. The loss of a plain model depends on the parameters and the
batch. The loss of a carrying model also depends on values carried from batch to batch (the
hidden state of a recurrent network, the running statistics of batch normalisation), and on
random numbers (dropout).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TypeGuard

import numpy as np


class Measured(Protocol):
    """The result of an evaluation."""

    @property
    def loss(self) -> float:
        """Mean loss per label, in nats."""

    @property
    def accuracy(self) -> float:
        """Share of correct answers, from 0 to 1."""


class PlainModel(Protocol):
    """A model whose loss is a function of parameters and batch, such as the MLP."""

    def init(self, seed: int | np.random.SeedSequence) -> Any:
        """Draw initial parameters: a dict of NumPy arrays."""

    def loss(self, params: Any, batch: Any) -> Any:
        """Mean loss of a batch, differentiable."""

    def evaluate(self, params: Any, examples: Any) -> Measured:
        """Measure loss and accuracy."""


class CarryingModel(Protocol):
    """A model that carries values from batch to batch."""

    def init(self, seed: int | np.random.SeedSequence) -> Any:
        """Draw initial parameters: a dict of NumPy arrays."""

    def start(self, batch_size: int) -> Mapping[str, Any]:
        """Make the initial carried values: a dict of NumPy arrays, possibly nested.

        Later ones have the same names and shapes, and these dtypes or the parameters'.
        """

    def loss(
        self, params: Any, batch: Any, carried: Any, rng: np.random.Generator
    ) -> tuple[Any, Any]:
        """Mean loss of a batch, differentiable, and the carried values after it."""

    def evaluator(self, params: Any, train_source: Any) -> Callable[[Any], Measured]:
        """Prepare to evaluate weights, with statistics of training examples if needed."""


Model = PlainModel | CarryingModel
"""Either kind; a carrying model has a method `start`. If evaluations are tuples of means
over examples (loss, accuracy, perhaps top-5 accuracy), it may have `evaluation_piece`, the
number after which one can be interrupted. It is then given a `Piece`."""


class Stream(Protocol):
    """Batches, epoch after epoch, from the stream's current position."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in an epoch."""

    def epoch(self) -> Iterator[Any]:
        """Yield the remaining batches of the current epoch."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as data for JSON."""

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from a saved position."""


class Data(Protocol):
    """Data to train on; a ``test`` split, if any, is measured at the end.

    For several workers it needs a method ``share(number, count)`` that returns the data
    with one worker's training examples.
    """

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def train(self) -> Any:
        """Training examples or text."""

    @property
    def validation(self) -> Any:
        """Validation examples or text."""

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> Stream:
        """Draw training batches in the seed's order."""


def evaluated(data: Data) -> str:
    """Return which examples validation uses: those held out, or the test's."""
    return "test" if getattr(data, "test", None) is data.validation else "validation"


def carries(model: Model) -> TypeGuard[CarryingModel]:
    """Return whether a model carries values from batch to batch."""
    return hasattr(model, "start")
