"""Losses of classifiers, and the share of right answers."""

from typing import Any

import autograd.numpy as np
from autograd.tracer import getval

__all__ = ["accuracy", "softmax_cross_entropy"]


def softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean cross entropy between softmax of the logits and integer labels, in nats.

    The logarithm of the softmax is computed as ``z - log(sum(exp(z)))`` with ``z`` the
    logits less their maximum: nothing overflows, in float32 neither.

    Parameters
    ----------
    logits : array of float32 or float64, shape (n, classes)
        Unnormalised log-probabilities.
    labels : array of int, shape (n,)
        The right class of each row, from 0 to ``classes - 1``.

    Returns
    -------
    scalar
        Of the dtype of the logits.

    Examples
    --------
    >>> logits = np.array([[1000.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    >>> softmax_cross_entropy(logits, np.array([0, 1]))
    np.float32(0.3465736)
    """
    count = labels.shape[0]
    # The result does not depend on what is subtracted, so nothing flows back through it.
    z = logits - np.max(getval(logits), axis=1, keepdims=True)
    log_normalizer = np.log(np.sum(np.exp(z), axis=1))
    chosen = z[np.arange(count), labels]
    # Not np.mean, whose derivative is computed in float64.
    return np.sum(log_normalizer - chosen) / count


def accuracy(logits: Any, labels: Any) -> float:
    """Share of the rows whose largest logit is at the label, from 0 to 1.

    Parameters
    ----------
    logits : array of float32 or float64, shape (n, classes)
        Scores. Of equal largest scores the first counts.
    labels : array of int, shape (n,)
        The right class of each row.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    0.5
    """
    right = int(np.sum(np.argmax(logits, axis=1) == labels))
    return right / len(labels)
