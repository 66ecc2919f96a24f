"""Batches of examples and windows of a text: their order, and restored streams."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref import data
from lookahead_ref.data import BatchStream, Examples, WindowStream
from lookahead_ref.data.folders import PictureFiles
from lookahead_ref.data.pictures import Pictures

Case = tuple[int, int, int]


def numbered(n: int) -> Examples:
    return Examples(np.arange(n, dtype=np.float32)[:, None], np.arange(n))


def shifted(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Augment each batch by a new draw."""
    return inputs + rng.random(dtype=np.float32)


streams = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32)).filter(
    lambda case: case[1] <= case[0]
)
texts = st.tuples(st.integers(2, 60), st.integers(1, 59), st.integers(1, 20)).filter(
    lambda case: case[1] < case[0]
)


def labels(stream: Any) -> list[Any]:
    """The labels of what is left of the epoch."""
    return [batch.labels.tolist() for batch in stream.epoch()]


@given(streams)
def test_an_epoch_holds_every_example_once_in_the_seeds_order(case: Case) -> None:
    n, batch_size, seed = case
    stream, twin = (BatchStream(numbered(n), batch_size, seed) for _ in range(2))
    for _ in range(2):
        batches = list(stream.epoch())
        assert len(batches) == stream.batches_per_epoch
        assert all(batch.size == batch_size for batch in batches[:-1])
        seen = np.concatenate([batch.labels for batch in batches])
        assert sorted(seen.tolist()) == list(range(n))
        assert all((b.inputs[:, 0] == b.labels).all() for b in batches)
        assert [batch.labels.tolist() for batch in batches] == labels(twin)


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    stream, other = (BatchStream(numbered(100), 10, seed) for seed in (0, 1))
    first = labels(stream)
    assert first != labels(stream)
    assert first != labels(other)


@given(texts)
def test_windows_go_through_each_column_once_and_in_order(case: Case) -> None:
    n, batch_size, window = case
    tokens = np.arange(n, dtype=np.int32)
    stream = WindowStream(tokens, batch_size, window)
    for _ in range(2):
        batches = list(stream.epoch())
        assert len(batches) == stream.batches_per_epoch
        assert [batch.first for batch in batches] == [True] + [False] * (len(batches) - 1)
        assert all(batch.inputs.shape == (window, batch_size) for batch in batches[:-1])
        inputs = np.concatenate([batch.inputs for batch in batches])
        following = np.concatenate([batch.labels for batch in batches])
        assert inputs.dtype == following.dtype == np.int32
        np.testing.assert_array_equal(following, inputs + 1)
        # Column after column the text again, but for less than a row at the end.
        joined = inputs.T.ravel()
        np.testing.assert_array_equal(joined, tokens[: len(joined)])
        assert n - 1 - batch_size < len(joined) <= n - 1


@given(streams, texts, st.integers(0, 100))
def test_a_restored_stream_continues(examples: Case, text: Case, taken: int) -> None:
    n, batch_size, seed = examples
    tokens, columns, window = text
    pairs: list[list[Any]] = [
        [BatchStream(numbered(n), batch_size, at, augment=shifted) for at in (seed, 7)],
        [WindowStream(np.arange(tokens), columns, window) for _ in range(2)],
        [WindowStream(np.arange(tokens), columns, 5, at) for at in (seed, 7)],
    ]
    for stream, restored in pairs:
        for _ in range(taken // stream.batches_per_epoch):
            list(stream.epoch())
        batches = stream.epoch()
        for _ in range(taken % stream.batches_per_epoch):
            next(batches)
        restored.load_state_dict(json.loads(json.dumps(stream.state_dict())))
        for _ in range(2):
            for one, other in zip(stream.epoch(), restored.epoch(), strict=True):
                np.testing.assert_array_equal(one.inputs, other.inputs)
                np.testing.assert_array_equal(one.labels, other.labels)


def test_random_windows_go_through_the_text_and_have_the_papers_lengths() -> None:
    tokens = np.arange(200_001, dtype=np.int32)
    stream, other = (WindowStream(tokens, 4, 70, seed) for seed in (0, 1))
    lengths = []
    for _ in range(3):
        batches = list(stream.epoch())
        assert len(batches) == stream.batches_per_epoch == round(50_000 / (0.975 * 70))
        inputs = np.concatenate([batch.inputs for batch in batches])
        np.testing.assert_array_equal(inputs.T.ravel(), tokens[:-1])
        lengths.append([len(batch.inputs) for batch in batches])
        assert [batch.scale for batch in batches] == [n / 70 for n in lengths[-1]]
    assert len({*map(tuple, lengths), tuple(len(b.inputs) for b in other.epoch())}) == 4
    found = np.concatenate(lengths)
    long = found[found > 52]
    assert len(long) / len(found) == pytest.approx(0.95, abs=0.02)
    assert (long.mean(), long.std()) == pytest.approx((69.7, 5), abs=0.5)
    assert found[found <= 52].mean() == pytest.approx(35, abs=2)


def test_batches_and_windows_are_copies() -> None:
    examples = numbered(4)
    next(BatchStream(examples, 2, 0).epoch()).inputs[:] = -1
    np.testing.assert_array_equal(examples.inputs[:, 0], np.arange(4))
    tokens = np.arange(20, dtype=np.int32)
    window = next(WindowStream(tokens, 3, 2).epoch())
    assert window.inputs.flags.c_contiguous
    assert window.labels.flags.c_contiguous
    window.inputs[:] = -1
    np.testing.assert_array_equal(tokens, np.arange(20))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchStream(numbered(4), 0, 0), "batch_size must be a positive integer"),
        (lambda: BatchStream(numbered(4), 5, 0), "batch_size must be from 1 to 4.*, got 5"),
        (lambda: WindowStream(np.arange(9), 0, 1), "batch_size must be a positive integer"),
        (lambda: WindowStream(np.arange(9), 9, 1), "from 1 to 8, one less than .*, got 9"),
        (lambda: WindowStream(np.arange(9), 1, 0), "window must be a positive integer"),
        (lambda: WindowStream(np.arange(9), 1, 4, 0), "window must be an int.* 5, got 4"),
        (lambda: data.load_images("nowhere", resize=8, crop=9), "at most resize, 8, got 9"),
        (lambda: data.load_images("nowhere", crop=0), "crop must be a positive integer"),
        (lambda: data.load_pydoc(unit="bytes"), "unit must be"),
        (lambda: data.load_pydoc(window=0), "window must be a positive integer, got 0"),
        *[
            (partial(data.load_digits, validation=wrong), "between 0 and 1, got")
            for wrong in (0.0, 1.0, -0.1, float("nan"))
        ],
    ],
)
def test_impossible_sizes_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda labels: Examples(np.zeros((5, 2)), labels),
        lambda labels: Pictures.whole([np.zeros((3, 2)), np.zeros((2, 2))], labels),
        lambda labels: PictureFiles(tuple("abcde"), labels, resize=8, crop=8),
    ],
)
@pytest.mark.parametrize("count", [4, 6])
def test_each_input_has_its_label(make: Callable[[Any], Any], count: int) -> None:
    make(np.arange(5))
    message = f"labels must be one for each of the 5 .*, got {count}"
    with pytest.raises(ValueError, match=message):
        make(np.arange(count))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"next_batch": at} for at in (3, -1, 1.0, True)),
        *({"generator": state} for state in ({}, None, np.random.MT19937(0).state)),
        *({"generator": ...}, {"next_batch": ...}),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    pairs = [[BatchStream(numbered(6), 2, 0) for _ in range(2)]]
    if name == "next_batch":
        pairs.append([WindowStream(np.arange(7), 2, 1) for _ in range(2)])
    for stream, twin in pairs:
        next(stream.epoch())
        next(twin.epoch())
        saved = stream.state_dict() | wrong
        if value is ...:
            del saved[name]
        with pytest.raises(ValueError, match=f"saved.*{name}"):
            stream.load_state_dict(saved)
        assert labels(stream) == labels(twin)


def test_batches_and_epochs_have_their_own_draws() -> None:
    drawn: list[float] = []

    def record(inputs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        drawn.append(rng.random())
        return inputs

    examples = Examples(np.zeros((10, 1)), np.arange(10))
    for seed in (0, 1):
        stream = BatchStream(examples, 2, seed, augment=record)
        for _ in range(3):
            list(stream.epoch())
    assert len(set(drawn)) == len(drawn) == 30
