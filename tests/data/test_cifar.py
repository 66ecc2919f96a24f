"""CIFAR's binary files, and the augmentation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats import cifar_records, digit_like
from lookahead_ref.data import (
    BatchStream,
    CropAndFlip,
    DataFileError,
    Dataset,
    Examples,
    load,
)

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
    pixels, fine = digit_like(2000, 0, (3, 32, 32), classes=100)
    labels = np.stack([fine // 5, fine], axis=1)
    for part, rows in {"train": slice(1000), "test": slice(1900, 2000)}.items():
        (folder / f"{part}.bin").write_bytes(cifar_records(labels[rows], pixels[rows]))
    return pixels[1900:]


def everything(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All pictures of training and validation, as bytes again, and their labels."""
    parts = [
        source.take(np.arange(source.size)) for source in (data.train, data.validation)
    ]
    inputs = np.concatenate([part.inputs for part in parts])
    pixels = np.rint(inputs * data.train.deviation + data.train.mean).astype(np.uint8)
    return pixels, np.concatenate([part.labels for part in parts])


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_is_its_five_files_split_and_normalised_by_channel(
    tmp_path: Path, inside: str
) -> None:
    folder = tmp_path / inside
    folder.mkdir(exist_ok=True)
    pixels, labels = write_cifar10(folder)
    data = load(f"cifar10:{tmp_path}")
    assert (data.name, data.classes, data.image_shape) == ("cifar10", 10, (3, 32, 32))
    assert (data.train.size, data.validation.size, data.test.size) == (90, 10, 20)
    inputs = data.train.take(np.arange(data.train.size)).inputs
    assert inputs.dtype == np.float32
    np.testing.assert_allclose(inputs.mean(axis=(0, 2, 3), dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(inputs.std(axis=(0, 2, 3), dtype=float), 1, atol=1e-6)
    back, back_labels = everything(data)
    where = {
        picture.tobytes(): label for picture, label in zip(pixels, labels, strict=True)
    }
    for picture, label in zip(back, back_labels, strict=True):
        assert where.pop(picture.tobytes()) == label


def test_cifar100_has_the_fine_labels(tmp_path: Path) -> None:
    test_pixels = write_cifar100(tmp_path)
    data = load(f"cifar100:{tmp_path}")
    assert (data.name, data.classes) == ("cifar100", 100)
    test = data.test.take(np.arange(100))
    assert test.labels.tolist() == list(range(100))
    back = np.rint(test.inputs * data.train.deviation + data.train.mean)
    np.testing.assert_array_equal(back, test_pixels)


def test_files_are_mapped_and_not_copied(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    for part in load(f"cifar10:{tmp_path}").train.parts:
        assert not part.flags.owndata
        assert not part.flags.writeable


def changed(offset: int, value: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:offset] + bytes([value]) + content[offset + 1 :]


@pytest.mark.parametrize(
    ("file", "change", "offset", "told"),
    [
        (TRAIN[0], lambda content: b"", 0, "0 bytes, expected records of 3073"),
        (
            TRAIN[4],
            lambda content: content[:-1],
            19 * RECORD,
            "61459 bytes, expected records",
        ),
        (
            TRAIN[4],
            lambda content: content + b"x",
            20 * RECORD,
            "61461 bytes, expected rec",
        ),
        (
            TRAIN[1],
            lambda content: content[:RECORD],
            RECORD,
            "1 records, expected 20, as in",
        ),
        (TRAIN[2], changed(3 * RECORD, 10), 3 * RECORD, "label 10, expected 0 to 9"),
        ("test_batch.bin", changed(0, 255), 0, "label 255, expected 0 to 9"),
    ],
)
def test_cifar10_files_that_are_wrong_are_refused(
    tmp_path: Path,
    file: str,
    change: Callable[[bytes], bytes],
    offset: int,
    told: str,
) -> None:
    write_cifar10(tmp_path)
    path = tmp_path / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataFileError, match=told) as caught:
        load(f"cifar10:{tmp_path}")
    assert (caught.value.path, caught.value.offset) == (path, offset)


@pytest.mark.parametrize(
    ("change", "offset", "told"),
    [
        (changed(2 * 3074, 20), 2 * 3074, "label 20, expected 0 to 19"),
        (changed(2 * 3074 + 1, 100), 2 * 3074 + 1, "label 100, expected 0 to 99"),
    ],
)
def test_both_labels_of_cifar100_are_checked(
    tmp_path: Path, change: Callable[[bytes], bytes], offset: int, told: str
) -> None:
    write_cifar100(tmp_path)
    path = tmp_path / "train.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataFileError, match=told) as caught:
        load(f"cifar100:{tmp_path}")
    assert (caught.value.path, caught.value.offset) == (path, offset)


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / TRAIN[3]).unlink()
    with pytest.raises(DataFileError, match=r"data_batch_4.bin not in it .*binary distr"):
        load(f"cifar10:{tmp_path}")


pictures = st.tuples(
    *(st.integers(1, most) for most in (5, 3, 6, 6)),
    st.integers(0, 4),
    st.integers(0, 2**32),
)


@given(pictures)
def test_each_picture_is_cropped_from_its_padded_self_and_perhaps_mirrored(
    case: tuple[int, ...],
) -> None:
    *shape, padding, seed = case
    rng = np.random.default_rng(seed)
    inputs = rng.random(shape, dtype=np.float32)
    before = inputs.copy()
    fill = rng.random((shape[1], 1, 1), dtype=np.float32)
    out = CropAndFlip(padding, fill)(inputs, np.random.default_rng(seed))
    assert (out.shape, out.dtype) == (inputs.shape, np.float32)
    np.testing.assert_array_equal(inputs, before)
    height, width = shape[2:]
    for picture, made in zip(inputs, out, strict=True):
        padded = np.broadcast_to(
            fill, (shape[1], height + 2 * padding, width + 2 * padding)
        )
        padded = padded.copy()
        padded[:, padding : padding + height, padding : padding + width] = picture
        crops = [
            padded[:, top : top + height, left : left + width]
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
        ]
        assert any(
            np.array_equal(made, crop) or np.array_equal(made, crop[:, :, ::-1])
            for crop in crops
        )


def test_every_crop_and_both_directions_come_equally_often() -> None:
    n = 50_000
    picture = np.arange(1.0, 10.0).reshape(1, 3, 3)
    out = CropAndFlip(1)(np.broadcast_to(picture, (n, 1, 3, 3)), np.random.default_rng(0))
    kinds, counts = np.unique(out.reshape(n, -1), axis=0, return_counts=True)
    # Nine places, two directions: 18 kinds, as no crop of this picture is its own mirror.
    assert len(kinds) == 18
    expected = n / 18
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi-square, 17 degrees


def test_the_padding_is_black(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    data = load(f"cifar10:{tmp_path}")
    black = (0 - data.train.mean) / data.train.deviation
    inputs = np.full((200, 3, 32, 32), 7, np.float32)
    out = data.augment(inputs, np.random.default_rng(0))
    assert (out == 7).any()
    assert ((out == 7) | (out == black)).all()
    corner = out[:, :, 0, 0]
    assert (corner == black[:, 0, 0]).all(axis=1).any()


def test_training_batches_are_augmented_and_a_restored_stream_goes_on_to_the_bit(
    tmp_path: Path,
) -> None:
    write_cifar10(tmp_path)
    data = load(f"cifar10:{tmp_path}")
    stream = data.stream(16, seed=3)
    plain = data._replace(augment=None).stream(16, seed=3)
    first = list(stream.epoch())
    unchanged = list(plain.epoch())
    for batch, before in zip(first, unchanged, strict=True):
        np.testing.assert_array_equal(batch.labels, before.labels)
        assert not np.array_equal(batch.inputs, before.inputs)
    batches = stream.epoch()
    for _ in range(3):
        next(batches)
    restored = data.stream(16, seed=99)
    restored.load_state_dict(stream.state_dict())
    for _ in range(2):
        for one, other in zip(stream.epoch(), restored.epoch(), strict=True):
            np.testing.assert_array_equal(one.inputs, other.inputs)
            np.testing.assert_array_equal(one.labels, other.labels)


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
