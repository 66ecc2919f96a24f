"""Examples, and batches of them or of a text, in the order of a seed."""

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
        next_batch = _position(saved, self.batches_per_epoch, "generator")
        self._generator = _generator(saved)
        self._next_batch = next_batch
        self._shuffle()

    def _shuffle(self) -> None:
        self._epoch_generator_state: dict[str, Any] = dict(self._generator.state)
        rng = np.random.Generator(self._generator)
        self._order = rng.permutation(self._examples.size)


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
        position = _position(saved, self.batches_per_epoch, *["generator"] * drawn)
        if drawn:
            self._generator = _generator(saved)
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


def _position(saved: Mapping[str, Any], batches: int, *others: str) -> int:
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


def _generator(saved: Mapping[str, Any]) -> np.random.PCG64:
    """Restore a saved generator."""
    generator = np.random.PCG64()
    try:
        generator.state = saved["generator"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "saved['generator'] must be the state of a PCG64 generator"
        ) from error
    return generator
