"""Windows of a text, in order: the batches of language models."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.batches import restored_generator, restored_position


class Window(NamedTuple):
    """A batch of consecutive steps of a text."""

    inputs: NDArray[np.int32]
    """Tokens, shape (steps, batch)."""
    labels: NDArray[np.int32]
    """The next tokens, shape (steps, batch)."""
    first: bool
    """Whether this is the first window of an epoch, where the carried state starts anew."""
    scale: float = 1.0
    """Factor of the learning rate."""


class WindowStream:
    """An endless stream of windows over a text, in order.

    The tokens, shape (n,), are cut into `batch_size` pieces of equal length, from 1 to
    n - 1, the columns of a batch; the rest is not used. Each window continues the one
    before, so that a model can carry its state over; the last window of an epoch is shorter
    if `window`, the number of steps, does not divide the length.

    With a seed, each epoch has new lengths, from a normal distribution with standard
    deviation 5 around `window` or, with probability 0.05, around its half (Merity, Keskar
    and Socher, arXiv:1708.02182). The number of windows is constant, and their lengths are
    stretched a little to reach the end of the text. The scale of a window is its length
    over `window`.

    Examples
    --------
    >>> stream = WindowStream(np.arange(11), batch_size=2, window=3)
    >>> for batch in stream.epoch():
    ...     print(batch.first, batch.inputs.T.tolist(), batch.labels.T.tolist())
    True [[0, 1, 2], [5, 6, 7]] [[1, 2, 3], [6, 7, 8]]
    False [[3, 4], [8, 9]] [[4, 5], [9, 10]]
    """

    def __init__(
        self,
        tokens: NDArray[np.int32],
        batch_size: int,
        window: int,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        batch_size = hyperparameters.count("batch_size", batch_size)
        # Random lengths are at least 5.
        least = 1 if seed is None else 5
        self._window = hyperparameters.count("window", window, least=least)
        if batch_size > len(tokens) - 1:
            raise ValueError(
                f"batch_size must be from 1 to {len(tokens) - 1}, one less than the "
                f"number of tokens, got {batch_size}"
            )
        self._length = (len(tokens) - 1) // batch_size
        used = batch_size * self._length
        self._inputs = tokens[:used].reshape(batch_size, self._length).T
        self._labels = tokens[1 : used + 1].reshape(batch_size, self._length).T
        self._generator = None if seed is None else np.random.PCG64(seed)
        self._next_batch = 0
        self._cut()

    @property
    def batches_per_epoch(self) -> int:
        """Number of windows in an epoch."""
        return len(self._edges) - 1

    def epoch(self) -> Iterator[Window]:
        """Yield copies of the remaining windows of the epoch; then the next begins."""
        edges = self._edges
        for number in range(self._next_batch, len(edges) - 1):
            self._next_batch = number + 1
            if self._next_batch == len(edges) - 1:
                self._next_batch = 0
                self._cut()
            steps = slice(edges[number], edges[number + 1])
            length = steps.stop - steps.start
            yield Window(
                inputs=self._inputs[steps].copy(order="C"),
                labels=self._labels[steps].copy(order="C"),
                first=number == 0,
                scale=1.0 if self._generator is None else length / self._window,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as data for JSON."""
        if self._generator is None:
            return {"next_batch": self._next_batch}
        return {"next_batch": self._next_batch, "generator": self._epoch_generator_state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue at a saved position in the same text: see `BatchStream`."""
        drawn = self._generator is not None
        position = restored_position(saved, self.batches_per_epoch, *["generator"] * drawn)
        if drawn:
            self._generator = restored_generator(saved)
            self._cut()
        self._next_batch = position

    def _cut(self) -> None:
        """Find the starts of an epoch's windows, and the end of the last one."""
        if self._generator is None:
            self._edges = [*range(0, self._length, self._window), self._length]
            return
        # Before they were drawn.
        self._epoch_generator_state: dict[str, Any] = dict(self._generator.state)
        rng = np.random.Generator(self._generator)
        count = max(1, round(self._length / (0.975 * self._window)))
        around = np.where(rng.random(count) < 0.95, self._window, self._window / 2)
        lengths = np.maximum(5, rng.normal(around, 5).astype(int))
        edges = np.rint(np.cumsum(lengths) * (self._length / lengths.sum()))
        self._edges = [0, *edges.astype(int).tolist()]
