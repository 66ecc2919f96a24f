"""IDX files, and MNIST of them."""

import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from formats import SHARED, digit_like, idx, write_mnist
from lookahead_ref.data import DataFileError, load, load_mnist, read_idx

PACKING = pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx") / "file"


@PACKING
@given(
    array=hnp.arrays(
        st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]),
        hnp.array_shapes(max_dims=4),
    )
)
def test_every_type_and_dimension_comes_back(
    file: Path, pack: Callable[[bytes], bytes], array: np.ndarray
) -> None:
    file.write_bytes(pack(idx(array)))
    back = read_idx(file)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype.newbyteorder(">")
    assert not back.flags.writeable


def test_a_plain_file_is_mapped_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(idx(np.zeros((1, 1), np.uint8))[:4] + bytes([0, 1, 0, 0, 0, 0, 16, 0]))
        file.truncate(12 + 2**28)
    tracemalloc.start()
    try:
        assert read_idx(path).shape == (2**16, 2**12)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


VALID = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))
HUGE = VALID[:3] + bytes([2]) + b"\xff" * 8


@PACKING
@pytest.mark.parametrize(
    ("content", "offset", "told"),
    [
        (b"", 0, "0 bytes, no room for IDX's magic number"),
        (VALID[:3], 0, "3 bytes, no room"),
        (b"\0\1" + VALID[2:], 0, "magic number 00010802 is none of IDX"),
        (b"\0\0\7" + VALID[3:], 0, "magic number 00000702"),
        (VALID[:3] + b"\0", 0, "magic number 00000800"),
        (VALID[:3] + b"\xff" * 2000, 0, "magic number 000008ff"),
        (VALID[:10], 10, "cut within the sizes of 2 dimensions"),
        (VALID[:8] + bytes(4), 8, "dimensions 2 by 0 hold nothing"),
        (VALID[:-1], 17, "2 by 3 values of 1 bytes, 18 bytes in all; .* 17$"),
        (VALID[:12], 12, "2 by 3 values of 1 bytes, 18 bytes in all; .* 12$"),
        (VALID + b"x", 18, "2 by 3 values of 1 bytes, 18 bytes in all; (the|it)"),
        (HUGE + bytes(100), None, "4294967295 by 4294967295 values of 1 bytes"),
        (VALID[:2] + b"\x0e\x20" + b"\xff" * 128, None, "of 8 bytes"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_nothing_allocated(
    tmp_path: Path,
    pack: Callable[[bytes], bytes],
    content: bytes,
    offset: int | None,
    told: str,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(pack(content))
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError, match=told) as caught:
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}, offset {caught.value.offset}: ")
    if offset is not None:
        assert caught.value.offset == offset


PACKED = gzip.compress(idx(np.arange(250, dtype=np.uint8)), mtime=0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (PACKED[:2], "the gzip is cut"),
        (PACKED[:40], "the gzip is cut"),
        (PACKED[:-1], "the gzip is cut"),
        (PACKED[:-8] + bytes(8), "the gzip is damaged: CRC check failed"),
        (PACKED[:-4] + bytes(4), "the gzip is damaged"),
        (PACKED[:20] + b"\xff" * 20 + PACKED[40:], "the gzip is damaged"),
        (PACKED + b"rubbish", "the gzip is damaged: Not a gzipped file"),
        (PACKED + PACKED, "258 bytes in all; it goes on"),
    ],
)
def test_a_gzip_that_is_cut_or_damaged_is_refused(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=told):
        read_idx(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        # True, and the limit is what holds.
        (bytes([0, 0, 8, 1, 16, 0, 0, 0]), "268435464 bytes unpacked, more than 1000000"),
        (VALID, "18 bytes in all; it goes on"),
    ],
)
def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path, header: bytes, told: str) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(header + bytes(2**28), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(DataFileError, match=told):
            read_idx(path, unpacked_limit=10**6)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()


@PACKING
def test_mnist_is_split_normalised_and_flat(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    pixels, labels = digit_like(240, 0)
    write_mnist(tmp_path, "train", pixels, labels, pack=pack is gzip.compress)
    write_mnist(tmp_path, "t10k", *digit_like(30, 1), pack=pack is gzip.compress)
    data = load(f"mnist:{tmp_path}")
    assert (data.name, data.classes, data.image_shape) == ("mnist", 10, (1, 28, 28))
    assert (data.train.size, data.validation.size, data.test.size) == (220, 20, 30)
    train, validation, test = (
        source.take(np.arange(source.size))
        for source in (data.train, data.validation, data.test)
    )
    assert train.inputs.dtype == np.float32
    assert train.labels.dtype == np.int64
    assert abs(train.inputs.mean(dtype=float)) < 1e-6
    assert abs(train.inputs.std(dtype=float) - 1) < 1e-6
    # Every picture is somewhere, with its label, and the test's normalised like the rest.
    mean, deviation = data.train.mean, data.train.deviation
    back = np.vstack([train.inputs, validation.inputs]) * deviation + mean
    where = {
        picture.tobytes(): label for picture, label in zip(pixels, labels, strict=True)
    }
    for picture, label in zip(back, [*train.labels, *validation.labels], strict=True):
        assert where.pop(np.rint(picture).astype(np.uint8).tobytes()) == label
    assert where == {}
    np.testing.assert_array_equal(
        np.rint(test.inputs * deviation + mean).reshape(-1, 28, 28), digit_like(30, 1)[0]
    )


def test_where_only_the_test_files_are_they_are_split(tmp_path: Path) -> None:
    write_mnist(tmp_path, "t10k", *digit_like(50, 1))
    data = load(f"fashion-mnist:{tmp_path}")
    assert (data.name, data.train.size, data.validation.size) == ("fashion-mnist", 40, 10)
    assert data.test is None
    for seed in (0, 1):
        other = load_mnist(tmp_path, split_seed=seed)
        same = np.array_equal(other.train.rows, data.train.rows)
        assert same == (seed == 0)


def test_file_names_with_a_dot_are_found_too(tmp_path: Path) -> None:
    write_mnist(tmp_path, "train", *digit_like(20, 1))
    for name in (IMAGES, LABELS):
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert load_mnist(tmp_path, validation_fraction=0.5).train.size == 10


@pytest.mark.parametrize(
    ("wrong", "file", "offset", "told"),
    [
        (
            {LABELS: idx(np.arange(20, dtype=np.uint8))},
            LABELS,
            18,
            "label 10, expected 0 to 9",
        ),
        ({LABELS: idx(np.zeros(19, np.uint8))}, LABELS, 4, "19 labels, expected 20, one"),
        ({LABELS: idx(np.zeros(20, np.int32))}, LABELS, 2, "of >i4, expected 1 of uint8"),
        ({LABELS: None}, "", None, f"{IMAGES} is in it, {LABELS} is not"),
        ({IMAGES: idx(np.zeros(20, np.uint8))}, IMAGES, 2, "1 dimensions .* expected 3"),
        ({IMAGES: None}, "", None, "neither train-images-idx3-ubyte nor t10k-images"),
        (
            {
                "t10k-images-idx3-ubyte": idx(np.zeros((1, 8, 9), np.uint8)),
                "t10k-labels-idx1-ubyte": idx(np.zeros(1, np.uint8)),
            },
            "t10k-images-idx3-ubyte",
            8,
            "pictures of 8 by 9, expected 28 by 28, as for training",
        ),
    ],
)
def test_mnist_files_that_do_not_fit_are_refused(
    tmp_path: Path, wrong: dict[str, bytes | None], file: str, offset: int | None, told: str
) -> None:
    write_mnist(tmp_path, "train", *digit_like(20, 0))
    for name, content in wrong.items():
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(DataFileError, match=told) as caught:
        load_mnist(tmp_path)
    assert caught.value.path == tmp_path / file
    assert caught.value.offset == offset


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"nowhere: no such folder"):
        load_mnist(tmp_path / "nowhere")


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_a_split_that_leaves_nothing_is_refused(tmp_path: Path, fraction: float) -> None:
    write_mnist(tmp_path, "train", *digit_like(20, 0))
    with pytest.raises(ValueError, match=f"validation_fraction {fraction} of 20 pictures"):
        load_mnist(tmp_path, validation_fraction=fraction)


@pytest.mark.skipif(
    not SHARED.is_dir(), reason="the real files are not beside the checkout"
)
def test_the_real_mnist_has_the_moments_that_are_published() -> None:
    data = load(f"mnist:{SHARED}")
    assert (data.train.size, data.validation.size, data.test) == (8000, 2000, None)
    both = np.concatenate([data.train.labels, data.validation.labels])
    # Counts of the ten thousand test labels, by class.
    assert np.bincount(both).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert data.train.mean / 255 == pytest.approx(0.1325, abs=1e-3)
    assert data.train.deviation / 255 == pytest.approx(0.3105, abs=1e-3)
