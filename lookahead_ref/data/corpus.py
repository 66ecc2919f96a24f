"""Token sequences, and the windows of them that a language model learns from."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.batches import position

__all__ = ["Corpus", "Window", "WindowStream"]


class Window(NamedTuple):
    """A batch of consecutive steps of a text."""

    inputs: NDArray[np.int32]
    """Tokens, shape (steps, batch)."""
    labels: NDArray[np.int32]
    """The tokens that come one later, shape (steps, batch)."""
    first: bool
    """Whether this is the first window of an epoch: what was carried starts anew."""


class WindowStream:
    """An endless stream of windows over a text, in the order of the text.

    The text is cut into `batch_size` pieces of equal length, the columns of a batch; what
    is left over at the end, less than `batch_size` tokens, is not used. Each window
    continues where the one before it stopped, so that a model can carry its state over;
    the last window of an epoch is shorter where `window` does not divide the length.

    Parameters
    ----------
    tokens : array of int, shape (n,)
        The text. Not copied.
    batch_size : int
        Number of columns, from 1 to n - 1.
    window : int
        Number of steps in a window.

    Raises
    ------
    TypeError
        If a number is not an int.
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> stream = WindowStream(np.arange(11), batch_size=2, window=3)
    >>> for batch in stream.epoch():
    ...     print(batch.first, batch.inputs.T.tolist(), batch.labels.T.tolist())
    True [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    False [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    """

    def __init__(self, tokens: NDArray[np.int32], batch_size: int, window: int) -> None:
        batch_size = hyperparameters.count("batch_size", batch_size)
        self._window = hyperparameters.count("window", window)
        if batch_size > len(tokens) - 1:
            raise ValueError(
                f"batch_size must be from 1 to {len(tokens) - 1}, one less than the "
                f"number of tokens, got {batch_size}"
            )
        self._length = (len(tokens) - 1) // batch_size
        used = batch_size * self._length
        self._inputs = tokens[:used].reshape(batch_size, self._length).T
        self._labels = tokens[1 : used + 1].reshape(batch_size, self._length).T
        self._next_batch = 0

    @property
    def batches_per_epoch(self) -> int:
        """Number of windows in an epoch."""
        return -(-self._length // self._window)

    def epoch(self) -> Iterator[Window]:
        """Yield the windows that are left of the current epoch.

        Returns
        -------
        iterator of Window
            Windows, copied.
        """
        for number in range(self._next_batch, self.batches_per_epoch):
            self._next_batch = (number + 1) % self.batches_per_epoch
            steps = slice(number * self._window, (number + 1) * self._window)
            yield Window(
                inputs=self._inputs[steps].copy(order="C"),
                labels=self._labels[steps].copy(order="C"),
                first=number == 0,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: plain data that JSON can hold.

        Returns
        -------
        dict
            ``next_batch`` (int).
        """
        return {"next_batch": self._next_batch}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue where another stream over the same text was.

        Parameters
        ----------
        saved : mapping
            From `state_dict`.

        Raises
        ------
        ValueError
            If the position is missing or not in an epoch. The stream is then left as it
            was.
        """
        if "next_batch" not in saved:
            raise ValueError("saved must hold next_batch too")
        self._next_batch = position(saved["next_batch"], self.batches_per_epoch)


class Corpus(NamedTuple):
    """A text as numbers, split for training, validation and a test.

    Examples
    --------
    >>> corpus = Corpus("abc", *3 * [np.arange(3, dtype=np.int32)], ("a", "b", "c"), 2)
    >>> [batch.labels.tolist() for batch in corpus.stream(batch_size=1, seed=0).epoch()]
    [[[1], [2]]]
    """

    name: str
    """Such as ``"ptb"``."""
    train: NDArray[np.int32]
    """Tokens to learn from, shape (n,): indices into `vocabulary`."""
    validation: NDArray[np.int32]
    """Tokens to choose by."""
    test: NDArray[np.int32]
    """Tokens to report."""
    vocabulary: tuple[str, ...]
    """What each token stands for."""
    window: int
    """Steps in a batch: how far gradients flow back."""

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> WindowStream:
        """Go through the training text.

        Parameters
        ----------
        batch_size : int
            Number of columns that the text is cut into.
        seed : int or numpy.random.SeedSequence
            Not used, as the order is that of the text: every data set's `stream` takes
            it.

        Returns
        -------
        WindowStream
            At its start.

        Raises
        ------
        TypeError, ValueError
            As `WindowStream` does.
        """
        del seed
        return WindowStream(self.train, batch_size, self.window)
