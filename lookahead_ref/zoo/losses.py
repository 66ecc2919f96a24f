"""Losses, accuracies and evaluation of classifiers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import autograd.numpy as np
from autograd.tracer import getval

from lookahead_ref.kernels import GENERAL, LayerKernels, namespace
from lookahead_ref.zoo.fused import Backward, Wanted, check, check_indices, fused


def _softmax_forward(
    wanted: Wanted, kernels: LayerKernels, logits: Any, labels: Any
) -> tuple[Any, Backward]:
    xp = namespace(logits)
    _check_labels(labels, *logits.shape)
    gradient = xp.array(logits, order="C")
    losses = kernels.cross_entropy(gradient, None, labels, gradient=any(wanted))
    return xp.mean(losses), lambda g: (_scaled(gradient, g),)


@fused(_softmax_forward)
def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean cross entropy between softmax of the logits and integer labels, in nats.

    The logarithm of the softmax is ``z - log(sum(exp(z)))`` with ``z`` the logits less
    their maximum, so that nothing overflows, even in float32. There must be at least one
    row; the labels' range is checked in host memory only.

    Examples
    --------
    >>> logits = np.array([[1000.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    >>> softmax_cross_entropy(logits, np.array([0, 1]))
    np.float32(0.3465736)
    """
    count = labels.shape[0]
    # The result does not depend on the maximum, so no gradient flows through it.
    z = logits - np.max(getval(logits), axis=1, keepdims=True)
    log_normalizer = np.log(np.sum(np.exp(z), axis=1))
    chosen = z[np.arange(count), labels]
    # Not np.mean, whose derivative is computed in float64.
    return np.sum(log_normalizer - chosen) / count


def _dense_forward(
    wanted: Wanted, kernels: LayerKernels, x: Any, weight: Any, bias: Any, labels: Any
) -> tuple[Any, Backward]:
    xp = namespace(weight)
    check("x", x, (x.shape[0], weight.shape[0]), weight.dtype)
    check("bias", bias, weight.shape[1:], weight.dtype)
    _check_labels(labels, x.shape[0], weight.shape[1])
    # The gradient overwrites the logits, by far the largest array of a step with a
    # vocabulary of words.
    gradient = xp.matmul(x, weight)
    losses = kernels.cross_entropy(gradient, bias, labels, gradient=any(wanted))

    def weight_gradient() -> Any:
        # In the memory order of the weights: tied ones are a transpose.
        if weight.flags.c_contiguous:
            return xp.matmul(x.T, gradient)
        return xp.matmul(gradient.T, x).T

    def backward(g: Any) -> tuple[Any, ...]:
        return (
            _scaled(xp.matmul(gradient, weight.T), g) if wanted[0] else None,
            _scaled(weight_gradient(), g) if wanted[1] else None,
            _scaled(kernels.activate_gradient(gradient, gradient, None)[1], g)
            if wanted[2]
            else None,
        )

    return xp.mean(losses), backward


@fused(_dense_forward)
def dense_cross_entropy(x: Any, weight: Any, bias: Any, labels: Any) -> Any:
    """Mean cross entropy, in nats, of a dense layer's outputs as logits.

    It is ``softmax_cross_entropy(x @ weight + bias, labels)`` for `x` of shape (n, inputs),
    but keeps no logits: their gradient overwrites them.

    Examples
    --------
    >>> x, weight, bias = np.ones((2, 3)), np.zeros((3, 4)), np.zeros(4)
    >>> dense_cross_entropy(x, weight, bias, np.array([0, 3])) == np.log(4)
    np.True_
    """
    return softmax_cross_entropy(np.matmul(x, weight) + bias, labels)


def _check_labels(labels: Any, count: int, classes: int) -> None:
    check_indices("labels", labels, classes)
    check("labels", labels, (count,))
    if count == 0:
        raise ValueError("labels must hold at least one label, got none")


def _scaled(gradient: Any, g: Any) -> Any:
    """Multiply in place, except by 1, with which a backward pass begins."""
    # Compared on the host only, as a device would have to be waited for.
    if not (namespace(gradient).__name__ == "numpy" and g == 1):
        gradient *= g
    return gradient


def accuracy(logits: Any, labels: Any) -> float:
    """Share of the rows whose (first) largest logit is at the label.

    Examples
    --------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    check("labels", labels, logits.shape[:1])
    xp = namespace(logits)
    right = int(xp.sum(xp.argmax(logits, axis=1) == labels))
    return right / int(labels.shape[0])


def top_accuracy(logits: Any, labels: Any, count: int) -> float:
    """Share of the rows in which fewer than `count` logits are larger than the label's.

    A count of 5 gives the top-5 accuracy.

    Examples
    --------
    >>> scores = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.5]])
    >>> top_accuracy(scores, np.array([2, 1]), 2)
    0.5
    """
    check("labels", labels, logits.shape[:1])
    xp = namespace(logits)
    rows = int(labels.shape[0])
    chosen = logits[xp.arange(rows), labels]
    # Written so that NaN counts as larger, not as correct.
    larger = xp.sum(~(logits <= chosen[:, None]), axis=1)
    return int(xp.sum(larger < count)) / rows


class Evaluation(NamedTuple):
    """A model's loss and accuracy on some examples."""

    loss: float
    """Mean cross entropy, in nats."""
    accuracy: float
    """Share of correct answers, from 0 to 1."""
    top5_accuracy: float | None = None
    """Share of examples whose label is among the five highest scores, from 0 to 1; None
    if not measured."""


def evaluate_classifier(
    logits_of: Callable[[Any], Any],
    source: Any,
    *,
    batch_size: int = 1000,
    kernels: LayerKernels = GENERAL,
) -> Evaluation:
    """Measure a classifier on all examples of a source, in batches.

    `logits_of` maps the source's inputs, in host memory, to logits. A source without
    examples is a ValueError.
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
