"""Batches in an order that a seed decides and nothing else does."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.examples import Examples, ExampleSource

__all__ = ["Augmentation", "BatchStream"]

Augmentation: TypeAlias = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
"""A function from a batch's inputs and a source of randomness to inputs of that shape."""


class BatchStream:
    """An endless stream of batches, reshuffled at the start of every epoch.

    Two optimizers that are given streams of the same seed see the same batches. Each
    epoch holds every example once; its last batch is smaller where the batch size does
    not divide the number of examples.

    Parameters
    ----------
    examples : ExampleSource
        What to draw from. Not copied.
    batch_size : int
        Number of examples in a batch, from 1 to the number of examples.
    seed : int or numpy.random.SeedSequence
        Seeds a PCG64 generator that belongs to this stream alone.
    augment : callable, optional
        From a batch's inputs and a generator to the inputs to train on. The generator
        is new for every batch and seeded by the stream's own and the batch's number:
        the order of the examples is the same with and without it.

    Raises
    ------
    TypeError
        If the batch size is not an int.
    ValueError
        If the batch size is out of range.

    Examples
    --------
    >>> examples = Examples(np.arange(5.0)[:, None], np.arange(5))
    >>> stream = BatchStream(examples, batch_size=2, seed=0)
    >>> [batch.size for batch in stream.epoch()]
    [2, 2, 1]
    >>> sorted(label for batch in stream.epoch() for label in batch.labels.tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        examples: ExampleSource,
        batch_size: int,
        seed: int | np.random.SeedSequence,
        *,
        augment: Augmentation | None = None,
    ) -> None:
        batch_size = hyperparameters.count("batch_size", batch_size)
        if batch_size > examples.size:
            raise ValueError(
                f"batch_size must be from 1 to {examples.size}, the number of examples, "
                f"got {batch_size}"
            )
        self._examples = examples
        self._batch_size = batch_size
        self._augment = augment
        self._generator = np.random.PCG64(seed)
        self._next_batch = 0
        self._shuffle()

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return -(-self._examples.size // self._batch_size)

    def epoch(self) -> Iterator[Examples]:
        """Yield the batches that are left of the current epoch.

        At the start of an epoch that is all of them. When the last one has been taken
        the next epoch begins.

        Returns
        -------
        iterator of Examples
            Batches, copied.
        """
        for number in range(self._next_batch, self.batches_per_epoch):
            start = number * self._batch_size
            batch = self._examples.take(self._order[start : start + self._batch_size])
            if self._augment is not None:
                rng = self._augmentation_generator(number)
                batch = Examples(self._augment(batch.inputs, rng), batch.labels)
            self._next_batch = number + 1
            # Before the yield: a caller may drop the iterator after the last batch.
            if self._next_batch == self.batches_per_epoch:
                self._next_batch = 0
                self._shuffle()
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is: plain data that JSON can hold.

        Returns
        -------
        dict
            ``next_batch`` (int), and ``generator``, the state of PCG64 from which the
            current epoch's order was drawn.
        """
        return {"next_batch": self._next_batch, "generator": self._epoch_generator_state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue where another stream over the same examples was.

        Parameters
        ----------
        saved : mapping
            From `state_dict`.

        Raises
        ------
        ValueError
            If something is missing, or the position is not in an epoch. The stream is
            then left as it was.
        """
        missing = {"next_batch", "generator"} - set(saved)
        if missing:
            raise ValueError(f"saved must hold {', '.join(sorted(missing))} too")
        next_batch = position(saved["next_batch"], self.batches_per_epoch)
        generator = np.random.PCG64()
        try:
            generator.state = saved["generator"]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "saved['generator'] must be the state of a PCG64 generator"
            ) from error
        self._generator = generator
        self._next_batch = next_batch
        self._shuffle()

    def _augmentation_generator(self, number: int) -> np.random.Generator:
        # Seeded, not drawn: a restored stream needs no more than where it is.
        return np.random.default_rng(
            [self._epoch_generator_state["state"]["state"], number]
        )

    def _shuffle(self) -> None:
        self._epoch_generator_state: dict[str, Any] = dict(self._generator.state)
        rng = np.random.Generator(self._generator)
        self._order = rng.permutation(self._examples.size)


def position(value: object, batches: int) -> int:
    """Check the position in an epoch that a state gives.

    Parameters
    ----------
    value : object
        What was saved as ``next_batch``.
    batches : int
        Number of batches in an epoch.

    Returns
    -------
    int
        The value.

    Raises
    ------
    ValueError
        If it is no int from 0 to ``batches - 1``.
    """
    if isinstance(value, bool) or not (isinstance(value, int) and 0 <= value < batches):
        raise ValueError(
            f"saved['next_batch'] must be from 0 to {batches - 1}, got {value!r}"
        )
    return value
