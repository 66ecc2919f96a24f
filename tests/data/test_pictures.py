"""Pictures in one size: the digits, MNIST and CIFAR, and the augmentation."""

import gzip
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import SHARED, cifar_records, digit_like, idx
from lookahead_ref.data import (
    CropAndFlip,
    DataFileError,
    Dataset,
    Examples,
    load,
    load_digits,
    load_mnist,
    pictures,
)
from lookahead_ref.data.datasets import stratified_split
from lookahead_ref.extras import MissingExtraError, require


def everything(source: Any) -> Examples:
    return source.take(np.arange(source.size))


def bytes_of(data: Dataset, source: Any) -> np.ndarray:
    """The pixels as they were before they were normalised."""
    back = everything(source).inputs * data.train.deviation + data.train.mean
    return np.rint(back).astype(np.uint8)


def assert_holds(data: Dataset, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Training and validation have each picture once, with its label, in float32."""
    left = {picture.tobytes(): label for picture, label in zip(pixels, labels, strict=True)}
    for source in (data.train, data.validation):
        inputs, found = everything(source)
        assert (inputs.dtype, found.dtype) == (np.float32, np.int64)
        for picture, label in zip(bytes_of(data, source), found, strict=True):
            assert left.pop(picture.tobytes()) == label
    assert left == {}


def assert_normalised(data: Dataset, axes: Any) -> None:
    inputs = everything(data.train).inputs
    np.testing.assert_allclose(inputs.mean(axis=axes, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(axis=axes, dtype=float), 1, atol=1e-6)


def test_digits_are_sixteenths_from_0_to_1_in_float32_split_by_a_seed() -> None:
    digits = load_digits()
    for split in (digits.train, digits.validation):
        assert split.inputs.dtype == np.float32
        assert (split.inputs.min(), split.inputs.max()) == (0.0, 1.0)
        np.testing.assert_array_equal(split.inputs * 16, np.round(split.inputs * 16))
        assert set(split.labels.tolist()) == set(range(10))
    assert digits.train.size + digits.validation.size == 1797
    same, other = (load_digits(split_seed=seed).validation.inputs for seed in (0, 1))
    np.testing.assert_array_equal(digits.validation.inputs, same)
    assert not np.array_equal(digits.validation.inputs, other)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_a_split_shares_each_class_out(classes: Any, fraction: float, seed: int) -> None:
    examples = Examples(np.arange(float(len(classes)))[:, None], np.array(classes))
    train, validation = stratified_split(examples, validation=fraction, seed=seed)
    together = np.concatenate([train.inputs, validation.inputs])[:, 0]
    assert sorted(together.tolist()) == list(range(len(classes)))
    for label in set(classes):
        held = int((validation.labels == label).sum())
        assert abs(held - fraction * classes.count(label)) <= 0.5
    if count := int(fraction * len(classes)):
        validation = stratified_split(examples, validation=count, seed=seed)[1]
        assert validation.size == count
        for label in set(classes):
            held = int((validation.labels == label).sum())
            assert abs(held - count * classes.count(label) / len(classes)) < 1


def test_without_scikit_learn_an_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    pictures._digits.cache_clear()
    with pytest.raises(
        MissingExtraError,
        match=r"load the digits.*pip install 'lookahead-ref\[experiments\]'",
    ):
        load_digits()


def test_a_fault_inside_an_installed_distribution_is_not_reported_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_distribution.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        require("broken_distribution", "experiments", purpose="test")
    assert not isinstance(caught.value, MissingExtraError)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def write_mnist(folder: Path, part: str, n: int, pack: bool = False) -> tuple[Any, Any]:
    """So many pictures; returns them and their labels."""
    made = digit_like(n, seed=n)
    for name, array in zip(("images-idx3", "labels-idx1"), made, strict=True):
        path = folder / f"{part}-{name}-ubyte{'.gz' if pack else ''}"
        path.write_bytes(gzip.compress(idx(array)) if pack else idx(array))
    return made


@pytest.mark.parametrize("pack", [False, True], ids=["plain", "gzip"])
def test_mnist_is_split_normalised_and_flat(tmp_path: Path, pack: bool) -> None:
    pixels, labels = write_mnist(tmp_path, "train", 240, pack)
    test_pixels, _ = write_mnist(tmp_path, "t10k", 30, pack)
    data = load(f"mnist:{tmp_path}")
    assert (data.name, data.classes, data.image_shape) == ("mnist", 10, (1, 28, 28))
    assert (data.train.size, data.validation.size, data.test.size) == (220, 20, 30)
    assert_normalised(data, None)
    assert_holds(data, pixels, labels)
    back = bytes_of(data, data.test).reshape(-1, 28, 28)
    np.testing.assert_array_equal(back, test_pixels)


def test_without_training_files_the_test_files_are_split(tmp_path: Path) -> None:
    write_mnist(tmp_path, "t10k", 50)
    data = load(f"fashion-mnist:{tmp_path}")
    assert (data.name, data.train.size, data.validation.size) == ("fashion-mnist", 40, 10)
    assert data.test is None
    for seed in (0, 1):
        other = load_mnist(tmp_path, split_seed=seed)
        assert np.array_equal(other.train.rows, data.train.rows) == (seed == 0)


def test_file_names_with_a_dot_are_also_found(tmp_path: Path) -> None:
    write_mnist(tmp_path, "train", 20)
    for name in (IMAGES, LABELS):
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert load_mnist(tmp_path, validation=0.5).train.size == 10


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"nowhere: no such folder"):
        load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("of", ["mnist", "cifar10"])
def test_without_validation_examples_the_test_is_evaluated(of: str, tmp_path: Path) -> None:
    if of == "mnist":
        for part, n in (("train", 240), ("t10k", 30)):
            write_mnist(tmp_path, part, n)
    else:
        write_cifar10(tmp_path)
    data, usual = load(f"{of}:{tmp_path}", validation=0), load(f"{of}:{tmp_path}")
    assert data.validation is data.test
    assert data.train.size == usual.train.size + usual.validation.size
    # Normalised by all of them.
    assert_normalised(data, None if of == "mnist" else (0, 2, 3))
    assert not np.array_equal(data.test.mean, usual.test.mean)


def test_so_many_examples_are_held_out_as_their_share_would_be(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    share, number = (load(f"cifar10:{tmp_path}", validation=v) for v in (0.2, 20))
    np.testing.assert_array_equal(share.validation.rows, number.validation.rows)
    assert load_digits(validation=123).validation.size == 123


@pytest.mark.parametrize("wrong", [0, -1, 20, 0.001, 0.999])
@pytest.mark.parametrize("part", ["train", "t10k"])
def test_a_split_leaves_no_part_empty(tmp_path: Path, part: str, wrong: float) -> None:
    write_mnist(tmp_path, part, 20)
    number = f"from 1 to 19 examples, or none .*, got {wrong}"
    share = f"validation {wrong} of 20 pictures"
    with pytest.raises(ValueError, match=number if isinstance(wrong, int) else share):
        load_mnist(tmp_path, validation=wrong)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not here")
def test_the_real_mnist_has_the_moments_that_are_published() -> None:
    data = load(f"mnist:{SHARED}")
    assert (data.train.size, data.validation.size, data.test) == (8000, 2000, None)
    both = [*everything(data.train).labels, *everything(data.validation).labels]
    # Counts of the ten thousand test labels, by class.
    counts = "980 1135 1032 1010 982 892 958 1028 974 1009"
    assert " ".join(map(str, np.bincount(both))) == counts
    assert data.train.mean / 255 == pytest.approx(0.1325, abs=1e-3)
    assert data.train.deviation / 255 == pytest.approx(0.3105, abs=1e-3)


TRAIN = [f"data_batch_{number}.bin" for number in range(1, 6)]
RECORD = 3073


def write_cifar10(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A hundred pictures to train on and twenty to test; returns the former."""
    pixels, labels = digit_like(120, 0, (3, 32, 32))
    # A channel that is no other's likeness.
    pixels[:, 1] //= 2
    for part, name in enumerate([*TRAIN, "test_batch.bin"]):
        rows = slice(20 * part, 20 * part + 20)
        (folder / name).write_bytes(cifar_records(labels[rows, None], pixels[rows]))
    return pixels[:100], labels[:100]


def write_cifar100(folder: Path) -> np.ndarray:
    """A thousand pictures to train on and a hundred to test; returns the latter."""
    pixels, fine = digit_like(1100, 0, (3, 32, 32), classes=100)
    labels = np.stack([fine // 5, fine], axis=1)
    for part, rows in {"train": slice(1000), "test": slice(1000, 1100)}.items():
        (folder / f"{part}.bin").write_bytes(cifar_records(labels[rows], pixels[rows]))
    return pixels[1000:]


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_is_its_five_files_mapped_split_and_normalised_by_channel(
    tmp_path: Path, inside: str
) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    pixels, labels = write_cifar10(folder)
    data = load(f"cifar10:{tmp_path}")
    assert (data.name, data.classes, data.image_shape) == ("cifar10", 10, (3, 32, 32))
    assert (data.train.size, data.validation.size, data.test.size) == (90, 10, 20)
    assert_normalised(data, (0, 2, 3))
    assert_holds(data, pixels, labels)
    for part in data.train.parts:
        assert not part.flags.owndata
        assert not part.flags.writeable


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    test_pixels = write_cifar100(tmp_path)
    data = load(f"cifar100:{tmp_path}")
    assert (data.name, data.classes) == ("cifar100", 100)
    assert everything(data.test).labels.tolist() == list(range(100))
    np.testing.assert_array_equal(bytes_of(data, data.test), test_pixels)


def changed(offset: int, value: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:offset] + bytes([value]) + content[offset + 1 :]


TEST_IMAGES = "t10k-images-idx3-ubyte"
OF = {"train.bin": "cifar100"} | dict.fromkeys((IMAGES, LABELS, TEST_IMAGES), "mnist")
SMALLER = {
    TEST_IMAGES: idx(np.zeros((1, 8, 9), np.uint8)),
    "t10k-labels-idx1-ubyte": idx(np.zeros(1, np.uint8)),
}


@pytest.mark.parametrize(
    ("file", "change", "offset", "message"),
    [
        (LABELS, idx(np.arange(20, dtype="u1")), 18, "label 10, expected 0 to 9"),
        (LABELS, idx(np.zeros(19, "u1")), 4, "19 labels, expected 20, one for"),
        (LABELS, idx(np.zeros(20, "i4")), 2, "of >i4, expected 1 of uint8"),
        (LABELS, None, None, f"{IMAGES} is in it, {LABELS} is not"),
        (IMAGES, idx(np.zeros(20, "u1")), 2, "1 dimensions .* expected 3"),
        (IMAGES, None, None, "neither train-images-idx3-ubyte nor t10k-images"),
        (TEST_IMAGES, SMALLER, 8, "pictures of 8 by 9, expected 28 by 28, as for"),
        (TRAIN[3], None, None, "data_batch_4.bin not in it .*binary distr"),
        (TRAIN[0], b"", 0, "0 bytes, expected records of 3073"),
        (TRAIN[4], lambda was: was[:-1], 19 * RECORD, "61459 bytes, expected records"),
        (TRAIN[4], lambda was: was + b"x", 20 * RECORD, "61461 bytes, expected records"),
        (TRAIN[1], lambda was: was[:RECORD], RECORD, "1 records, expected 20, as in"),
        (TRAIN[2], changed(3 * RECORD, 10), 3 * RECORD, "label 10, expected 0 to 9"),
        ("test_batch.bin", changed(0, 255), 0, "label 255, expected 0 to 9"),
        ("train.bin", changed(2 * 3074, 20), 2 * 3074, "label 20, expected 0 to 19"),
        ("train.bin", changed(3075, 100), 3075, "label 100, expected 0 to 99"),
    ],
)
def test_files_that_do_not_fit_are_refused_with_the_place(
    tmp_path: Path, file: str, change: Any, offset: int | None, message: str
) -> None:
    write_mnist(tmp_path, "train", 20)
    write_cifar10(tmp_path)
    write_cifar100(tmp_path)
    path = tmp_path / file
    for name, content in (change if isinstance(change, dict) else {file: change}).items():
        place = tmp_path / name
        if content is None:
            place.unlink()
        else:
            place.write_bytes(content(place.read_bytes()) if callable(content) else content)
    data = OF.get(file, "cifar10")
    with pytest.raises(DataFileError, match=message) as caught:
        load(f"{data}:{tmp_path}")
    where = tmp_path if offset is None else path
    assert (caught.value.path, caught.value.offset) == (where, offset)


SHAPES = st.tuples(*(st.integers(1, most) for most in (5, 3, 6, 6)))


@given(SHAPES, st.integers(0, 4), st.integers(0, 2**32))
def test_each_picture_is_cropped_from_its_padded_self_and_perhaps_mirrored(
    shape: tuple[int, ...], padding: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.random(shape, dtype=np.float32)
    before = inputs.copy()
    fill = rng.random((shape[1], 1, 1), dtype=np.float32)
    out = CropAndFlip(padding, fill)(inputs, np.random.default_rng(seed))
    assert (out.shape, out.dtype) == (inputs.shape, np.float32)
    np.testing.assert_array_equal(inputs, before)
    height, width = shape[2:]
    for picture, made in zip(inputs, out, strict=True):
        padded = np.empty((shape[1], height + 2 * padding, width + 2 * padding), "f4")
        padded[:] = fill
        padded[:, padding : padding + height, padding : padding + width] = picture
        places = itertools.product(range(2 * padding + 1), repeat=2)
        crops = [padded[:, y : y + height, x : x + width] for y, x in places]
        kinds = crops + [crop[:, :, ::-1] for crop in crops]
        assert any(np.array_equal(made, each) for each in kinds)


def test_every_crop_and_both_directions_come_equally_often() -> None:
    n = 50_000
    picture = np.arange(1.0, 10.0).reshape(1, 3, 3)
    out = CropAndFlip(1)(np.broadcast_to(picture, (n, 1, 3, 3)), np.random.default_rng(0))
    kinds, counts = np.unique(out.reshape(n, -1), axis=0, return_counts=True)
    # Nine places, two directions: 18 kinds, as no crop of this picture is its own mirror.
    assert len(kinds) == 18
    expected = n / 18
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi-square, 17 degrees


def test_training_batches_of_cifar_are_cropped_from_a_black_border(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    data = load(f"cifar10:{tmp_path}")
    plain = data._replace(augment=None).stream(16, seed=3)
    for batch, before in zip(data.stream(16, seed=3).epoch(), plain.epoch(), strict=True):
        np.testing.assert_array_equal(batch.labels, before.labels)
        assert not np.array_equal(batch.inputs, before.inputs)
    black = (0 - data.train.mean) / data.train.deviation
    inputs = np.full((200, 3, 32, 32), 7, np.float32)
    out = data.augment(inputs, np.random.default_rng(0))
    assert (out == 7).any()
    assert ((out == 7) | (out == black)).all()
    assert (out[:, :, 0, 0] == black[:, 0, 0]).all(axis=1).any()
