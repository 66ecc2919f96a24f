"""The digits, their split, and batches."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookahead_ref.data import BatchStream, Examples, load_digits
from lookahead_ref.data.datasets import stratified_split
from lookahead_ref.extras import MissingExtraError, require


def numbered(n: int) -> Examples:
    return Examples(np.arange(n, dtype=np.float32)[:, None], np.arange(n))


streams = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32)).filter(
    lambda case: case[1] <= case[0]
)


def labels(batches: Any) -> list[list[int]]:
    return [batch.labels.tolist() for batch in batches]


@given(streams)
def test_an_epoch_holds_every_example_once(case: tuple[int, int, int]) -> None:
    n, batch_size, seed = case
    stream = BatchStream(numbered(n), batch_size, seed)
    for _ in range(2):
        batches = list(stream.epoch())
        assert len(batches) == stream.batches_per_epoch
        assert all(batch.size == batch_size for batch in batches[:-1])
        seen = np.concatenate([batch.labels for batch in batches])
        assert sorted(seen.tolist()) == list(range(n))
        assert all((b.inputs[:, 0] == b.labels).all() for b in batches)


@given(streams)
def test_the_same_seed_gives_the_same_batches(case: tuple[int, int, int]) -> None:
    n, batch_size, seed = case
    one, other = (BatchStream(numbered(n), batch_size, seed) for _ in range(2))
    for _ in range(2):
        assert labels(one.epoch()) == labels(other.epoch())


def test_each_epoch_and_each_seed_has_its_own_order() -> None:
    stream, other = (BatchStream(numbered(100), 10, seed) for seed in (0, 1))
    first, second = labels(stream.epoch()), labels(stream.epoch())
    assert first != second
    assert first != labels(other.epoch())


@given(streams, st.integers(0, 100), st.integers(0, 2**32))
def test_a_restored_stream_continues_where_the_other_was(
    case: tuple[int, int, int], taken: int, another_seed: int
) -> None:
    n, batch_size, seed = case
    stream = BatchStream(numbered(n), batch_size, seed)
    for _ in range(taken // stream.batches_per_epoch):
        list(stream.epoch())
    batches = stream.epoch()
    for _ in range(taken % stream.batches_per_epoch):
        next(batches)
    saved = json.loads(json.dumps(stream.state_dict()))
    restored = BatchStream(numbered(n), batch_size, another_seed)
    restored.load_state_dict(saved)
    for _ in range(2):
        assert labels(restored.epoch()) == labels(stream.epoch())


def test_batches_are_copies() -> None:
    examples = numbered(4)
    next(BatchStream(examples, 2, 0).epoch()).inputs[:] = -1
    np.testing.assert_array_equal(examples.inputs[:, 0], np.arange(4))


@pytest.mark.parametrize(
    ("batch_size", "error", "told"),
    [
        (0, ValueError, "batch_size must be a positive integer, got 0"),
        (5, ValueError, "batch_size must be from 1 to 4.*, got 5"),
        (2.0, TypeError, "batch_size must be a positive integer, got 2.0"),
        (True, TypeError, "batch_size must be a positive integer, got True"),
    ],
)
def test_a_batch_size_that_cannot_be_is_refused(
    batch_size: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        BatchStream(numbered(4), batch_size, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"next_batch": 2},
        {"next_batch": -1},
        {"next_batch": 0.0},
        {"generator": {}},
        {"generator": None},
        {"generator": np.random.MT19937(0).state},
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(wrong: dict[str, Any]) -> None:
    stream, twin = (BatchStream(numbered(4), 2, 0) for _ in range(2))
    with pytest.raises(ValueError, match=f"saved.*{next(iter(wrong))}"):
        stream.load_state_dict({**stream.state_dict(), **wrong})
    assert labels(stream.epoch()) == labels(twin.epoch())


def test_an_incomplete_state_is_refused() -> None:
    with pytest.raises(ValueError, match="saved must hold generator too"):
        BatchStream(numbered(4), 2, 0).load_state_dict({"next_batch": 0})


def test_digits_are_sixteenths_from_0_to_1_in_float32() -> None:
    digits = load_digits()
    for split in (digits.train, digits.validation):
        assert split.inputs.dtype == np.float32
        assert (split.inputs.min(), split.inputs.max()) == (0.0, 1.0)
        np.testing.assert_array_equal(split.inputs * 16, np.round(split.inputs * 16))
        assert set(split.labels.tolist()) == set(range(10))
    assert digits.train.size + digits.validation.size == 1797


def test_another_split_seed_gives_another_split() -> None:
    first, same, other = (load_digits(split_seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.validation.inputs, same.validation.inputs)
    assert not np.array_equal(first.validation.inputs, other.validation.inputs)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_a_split_is_a_partition_with_each_class_in_proportion(
    classes: list[int], fraction: float, seed: int
) -> None:
    examples = Examples(np.arange(float(len(classes)))[:, None], np.array(classes))
    train, validation = stratified_split(examples, validation_fraction=fraction, seed=seed)
    together = np.concatenate([train.inputs, validation.inputs])[:, 0]
    assert sorted(together.tolist()) == list(range(len(classes)))
    for label in set(classes):
        held = int((validation.labels == label).sum())
        assert abs(held - fraction * classes.count(label)) <= 0.5


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="validation_fraction must be a number between"):
        load_digits(validation_fraction=fraction)


def test_without_scikit_learn_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent("sklearn"), *sys.meta_path])
    with pytest.raises(
        MissingExtraError,
        match=r"load the digits.*pip install 'lookahead-ref\[experiments\]'",
    ):
        load_digits()


def test_a_fault_inside_an_installed_distribution_is_not_called_an_absence(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_distribution.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        require("broken_distribution", "experiments", purpose="test")
    assert not isinstance(caught.value, MissingExtraError)


class _Absent:
    """Stands in the import path and makes a distribution absent."""

    def __init__(self, top: str) -> None:
        self.top = top

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == self.top:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])


def test_a_batch_size_may_be_a_numpy_integer() -> None:
    stream = BatchStream(numbered(4), np.int64(2), seed=0)
    assert [batch.size for batch in stream.epoch()] == [2, 2]
