"""How well a model does: loss and accuracy over examples, a part at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.losses import accuracy, softmax_cross_entropy, top_accuracy

__all__ = ["Evaluation", "ExampleSource", "LabelledInputs", "evaluate_classifier"]


class LabelledInputs(Protocol):
    """Inputs and their labels, as `lookahead_ref.data.Examples` holds them."""

    @property
    def inputs(self) -> NDArray[Any]:
        """Array of float, shape (n, ...)."""

    @property
    def labels(self) -> NDArray[Any]:
        """Array of int, shape (n,)."""


class ExampleSource(Protocol):
    """Examples that are taken by their number, in memory or not."""

    @property
    def size(self) -> int:
        """Number of examples."""

    def take(self, indices: NDArray[np.int64]) -> LabelledInputs:
        """Return the examples at `indices`, in that order."""


class Evaluation(NamedTuple):
    """How well a model does on some examples."""

    loss: float
    """Mean cross entropy, in nats."""
    accuracy: float
    """Share of right answers, from 0 to 1."""
    top5_accuracy: float | None = None
    """Share of examples whose label is among the five highest scores, from 0 to 1; None
    where it was not measured."""


def evaluate_classifier(
    logits_of: Callable[[Any], Any],
    source: ExampleSource,
    *,
    batch_size: int = 1000,
    kernels: LayerKernels = GENERAL,
) -> Evaluation:
    """Measure loss and accuracy of a classifier.

    Parameters
    ----------
    logits_of : callable
        From inputs in host memory, of shape (n, ...), to logits of shape (n, classes).
    source : ExampleSource
        What to evaluate on; at least one example.
    batch_size : int
        Examples that are looked at together. It bounds the memory.
    kernels : LayerKernels, optional
        What computes the losses.

    Returns
    -------
    Evaluation
        Over all examples; sums over batches are in float64.

    Raises
    ------
    ValueError
        If there are no examples.

    Examples
    --------
    >>> from lookahead_ref.data import Examples
    >>> examples = Examples(np.eye(2), np.array([0, 0]))
    >>> evaluate_classifier(lambda x: 100 * x, examples)
    Evaluation(loss=50.0, accuracy=0.5, top5_accuracy=1.0)
    """
    if source.size == 0:
        raise ValueError("source must hold at least one example, got none")
    loss = right = near = 0.0
    for start in range(0, source.size, batch_size):
        batch = source.take(np.arange(start, min(start + batch_size, source.size)))
        count = len(batch.labels)
        logits = logits_of(batch.inputs)
        labels = namespace(logits).asarray(batch.labels)
        loss += count * float(softmax_cross_entropy(logits, labels, kernels=kernels))
        right += count * accuracy(logits, labels)
        near += count * top_accuracy(logits, labels, 5)
    return Evaluation(loss / source.size, right / source.size, near / source.size)
