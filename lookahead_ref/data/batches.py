"""Examples, and batches of them in the order of a seed."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, Self, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.augmentation import ResizedCrop

Augmentation: TypeAlias = (
    Callable[[NDArray[Any], np.random.Generator], NDArray[Any]] | ResizedCrop
)
"""A function from a batch's inputs and a random generator to inputs of that shape; or what
draws the crops of picture files."""


class _Pair(NamedTuple):
    inputs: NDArray[Any]
    labels: NDArray[np.int64]


class Examples(_Pair):
    """Inputs and their labels, a named tuple: a whole split, or a batch of one.

    Inputs are floats of shape (n, ...), labels integers of shape (n,), from 0 to
    classes - 1.
    """

    __slots__ = ()

    # The body of a NamedTuple itself must not define it.
    def __new__(cls, inputs: NDArray[Any], labels: NDArray[np.int64]) -> Self:
        """Pair equally many inputs and labels."""
        check_labelled("inputs", len(inputs), labels)
        return super().__new__(cls, inputs, labels)

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def take(self, indices: NDArray[np.int64]) -> "Examples":
        """Return the examples at `indices`, in that order, as a copy."""
        return Examples(self.inputs[indices], self.labels[indices])


def check_labelled(what: str, count: int, labels: NDArray[Any]) -> None:
    """Refuse a wrong number of labels."""
    if len(labels) != count:
        raise ValueError(
            f"labels must be one for each of the {count} {what}, got {len(labels)}"
        )


class ExampleSource(Protocol):
    """Where examples are taken from: memory, a mapped file, pictures yet to be decoded.

    `Examples` is one itself.
    """

    @property
    def size(self) -> int:
        """Number of examples."""

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Return the examples at `indices`, in that order, as a copy."""


class BatchStream:
    """An endless stream of batches, reshuffled at the start of every epoch.

    The examples are not copied. Each epoch has every example once; its last batch is
    smaller if `batch_size`, from 1 to their number, does not divide it. Streams with the
    same seed give the same batches. `augment` maps a batch's inputs and a generator, new
    for every batch, to training inputs; a `ResizedCrop` crops the pictures of a source of
    files. It does not change the order of the examples.

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
        """Yield copies of the remaining batches of the epoch; then the next begins."""
        for number in range(self._next_batch, self.batches_per_epoch):
            start = number * self._batch_size
            batch = self._taken(self._order[start : start + self._batch_size], number)
            self._next_batch = number + 1
            # Before the yield, as a caller may drop the iterator after the last batch.
            if self._next_batch == self.batches_per_epoch:
                self._next_batch = 0
                self._shuffle()
            yield batch

    def _taken(self, indices: NDArray[np.int64], number: int) -> Examples:
        # Seeded by the batch's number, so that a restored stream needs only its position.
        epoch = self._epoch_generator_state["state"]["state"]
        rng = np.random.default_rng([epoch, number])
        if isinstance(self._augment, ResizedCrop):
            files: Any = self._examples
            cuts = self._augment.cuts(len(indices), rng)
            return cast("Examples", files.take(indices, cuts))
        batch = self._examples.take(indices)
        if self._augment is None:
            return batch
        return Examples(self._augment(batch.inputs, rng), batch.labels)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as data for JSON."""
        # The generator before it drew the current epoch's order.
        return {"next_batch": self._next_batch, "generator": self._epoch_generator_state}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue at a saved position of a stream over the same examples.

        If `saved` is not one, that is a ValueError, and nothing changes.
        """
        next_batch = restored_position(saved, self.batches_per_epoch, "generator")
        self._generator = restored_generator(saved)
        self._next_batch = next_batch
        self._shuffle()

    def _shuffle(self) -> None:
        self._epoch_generator_state: dict[str, Any] = dict(self._generator.state)
        rng = np.random.Generator(self._generator)
        self._order = rng.permutation(self._examples.size)


def restored_position(saved: Mapping[str, Any], batches: int, *others: str) -> int:
    """Check saved entries, and return the position in an epoch."""
    missing = {"next_batch", *others} - set(saved)
    if missing:
        raise ValueError(f"saved must hold {', '.join(sorted(missing))} too")
    value = saved["next_batch"]
    if isinstance(value, bool) or not (isinstance(value, int) and 0 <= value < batches):
        raise ValueError(
            f"saved['next_batch'] must be from 0 to {batches - 1}, got {value!r}"
        )
    return value


def restored_generator(saved: Mapping[str, Any]) -> np.random.PCG64:
    """Restore a saved generator."""
    generator = np.random.PCG64()
    try:
        generator.state = saved["generator"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "saved['generator'] must be the state of a PCG64 generator"
        ) from error
    return generator
