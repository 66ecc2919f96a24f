"""Data sets of labelled examples or of a text, and the split for validation."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.data.batches import Augmentation, BatchStream, Examples, ExampleSource
from lookahead_ref.data.windows import WindowStream


class Dataset(NamedTuple):
    """Labelled examples, split for training, validation and perhaps a test.

    Examples
    --------
    >>> from lookahead_ref.data import load_digits
    >>> digits = load_digits()
    >>> digits.classes, digits.image_shape, digits.train.size
    (10, (1, 8, 8), 1258)
    >>> batch = next(digits.stream(batch_size=32, seed=0).epoch())
    >>> batch.inputs.shape, batch.inputs.dtype
    ((32, 64), dtype('float32'))
    """

    name: str
    """Such as ``"cifar10"``."""
    train: ExampleSource
    """Training examples."""
    validation: ExampleSource
    """Validation examples; the test examples if none are held out."""
    classes: int
    """Number of classes; labels are from 0 to one less."""
    test: ExampleSource | None = None
    """Test examples, if any."""
    augment: Augmentation | None = None
    """Applied to the inputs of training batches, by `stream`."""
    image_shape: tuple[int, int, int] | None = None
    """Channels, height and width of an input, even if inputs are flat; None if they are not
    pictures."""
    class_names: tuple[str, ...] = ()
    """The name of each label, if known."""

    @property
    def features(self) -> int:
        """Number of values in an input."""
        return self.train.take(np.arange(1)).inputs.size

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> BatchStream:
        """Return a `BatchStream` of training batches, with the augmentation."""
        return BatchStream(self.train, batch_size, seed, augment=self.augment)

    def share(self, number: int, count: int) -> "Dataset":
        """Return it with every `count`-th training example, starting at `number`.

        All shares have the same size; the last `size % count` examples are in none.
        """
        return self._replace(train=_Share(self.train, number, count))


@dataclass(frozen=True)
class _Share:
    """Every n-th example of a source."""

    source: ExampleSource
    first: int
    step: int

    @property
    def size(self) -> int:
        return self.source.size // self.step

    def take(self, indices: NDArray[np.int64], /, *how: Any) -> Examples:
        return self.source.take(self.first + self.step * indices, *how)


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
    """Training tokens, shape (n,): indices into `vocabulary`."""
    validation: NDArray[np.int32]
    """Validation tokens."""
    test: NDArray[np.int32]
    """Test tokens."""
    vocabulary: tuple[str, ...]
    """The word or character of each token."""
    window: int
    """Steps in a batch: how far gradients flow back."""
    random_window: bool = False
    """Whether the steps are drawn at random around `window`."""

    def stream(self, batch_size: int, seed: int | np.random.SeedSequence) -> WindowStream:
        """Return a `WindowStream` of the training text, in order for any seed."""
        drawn = seed if self.random_window else None
        return WindowStream(self.train, batch_size, self.window, drawn)

    def share(self, number: int, count: int) -> "Corpus":
        """Return it with one of `count` equal parts of the training text."""
        length = (len(self.train) - 1) // count
        first = number * length
        # The last token is only a label.
        return self._replace(train=self.train[first : first + length + 1])


def stratified_split(
    examples: Examples, *, validation: float, seed: int
) -> tuple[Examples, Examples]:
    """Split at random, with each class in proportion: a share, or a total number.

    Both parts, for training and validation, keep the order of the examples. The same seed
    gives the same split.

    Examples
    --------
    >>> examples = Examples(np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1]))
    >>> train, validation = stratified_split(examples, validation=1 / 3, seed=0)
    >>> train.labels.tolist(), validation.labels.tolist()
    ([0, 0, 1, 1], [0, 1])
    """
    held_out = hold_out(examples.labels, validation, seed)
    return (
        examples.take(np.flatnonzero(~held_out)),
        examples.take(np.flatnonzero(held_out)),
    )


def hold_out(labels: NDArray[np.int64], validation: float, seed: int) -> NDArray[np.bool_]:
    """Return whether each example goes to validation: see `stratified_split`."""
    kinds, sizes = np.unique(labels, return_counts=True)
    if isinstance(validation, int):
        if not 0 < validation < len(labels):
            raise ValueError(
                f"validation must be from 1 to {len(labels) - 1} examples, or none where "
                f"there are test examples, got {validation}"
            )
        counts, left = np.divmod(validation * sizes, len(labels))
        counts[np.argsort(-left, kind="stable")[: validation - counts.sum()]] += 1
    elif 0 < validation < 1:
        counts = np.array([round(validation * size) for size in sizes])
    else:
        raise ValueError(f"validation must be a number between 0 and 1, got {validation!r}")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for label, count in zip(kinds, counts, strict=True):
        members = np.flatnonzero(labels == label)
        held_out[rng.permutation(members)[:count]] = True
    return held_out
