"""Labelled examples, where they come from, and a split of them."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExampleSource", "Examples", "stratified_split"]


class Examples(NamedTuple):
    """Inputs and their labels: a whole split, or a batch of one."""

    inputs: NDArray[Any]
    """Array of float, shape (n, ...)."""
    labels: NDArray[np.int64]
    """Array of int, shape (n,), from 0 to classes - 1."""

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Examples":
        """Return the examples at `indices`, in that order, as a copy."""
        return Examples(self.inputs[indices], self.labels[indices])


class ExampleSource(Protocol):
    """Where examples are taken from: memory, a mapped file, pictures yet to be decoded.

    `Examples` is one itself.
    """

    @property
    def size(self) -> int:
        """Number of examples."""

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Return the examples at `indices`, in that order, as a copy."""


def stratified_split(
    examples: Examples, *, validation_fraction: float, seed: int
) -> tuple[Examples, Examples]:
    """Split at random, each class in the same proportion.

    Parameters
    ----------
    examples : Examples
        All there is.
    validation_fraction : float
        Share of each class that goes to validation, rounded to the nearest number of
        examples; more than 0 and less than 1.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, validation : Examples
        Disjoint, together all examples; in the order in which they were given.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1.

    Examples
    --------
    >>> examples = Examples(np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1]))
    >>> train, validation = stratified_split(examples, validation_fraction=1 / 3, seed=0)
    >>> train.labels.tolist(), validation.labels.tolist()
    ([0, 0, 1, 1], [0, 1])
    """
    held_out = hold_out(examples.labels, validation_fraction=validation_fraction, seed=seed)
    return (
        examples.take(np.flatnonzero(~held_out)),
        examples.take(np.flatnonzero(held_out)),
    )


def hold_out(
    labels: NDArray[np.int64], *, validation_fraction: float, seed: int
) -> NDArray[np.bool_]:
    """Choose at random what goes to validation: see `stratified_split`.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Of all examples.
    validation_fraction : float
        Share of each class, more than 0 and less than 1.
    seed : int
        The same seed gives the same choice.

    Returns
    -------
    array of bool, shape (n,)
        True where an example is held out.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            "validation_fraction must be a number between 0 and 1, "
            f"got {validation_fraction!r}"
        )
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = round(validation_fraction * len(members))
        held_out[rng.permutation(members)[:count]] = True
    return held_out
