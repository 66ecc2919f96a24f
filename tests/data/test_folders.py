"""Pictures in folders of classes, and data sets by one string."""

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from formats import encoded
from lookahead_ref.data import (
    SOURCES,
    DataFileError,
    ResizedCrop,
    folders,
    load,
    load_images,
)
from lookahead_ref.data.folders import DEVIATION, KIT, LABELS, MEAN, PictureFiles


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def plain(value: int, height: int = 9, width: int = 7) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: three pictures to train on, two to validate on."""
    save(tmp_path / "train" / "n02" / "a.JPEG", plain(10))
    save(tmp_path / "train" / "n02" / "b.png", plain(20))
    save(tmp_path / "train" / "n01" / "c.jpg", plain(30))
    save(tmp_path / "val" / "n01" / "x.png", plain(40))
    save(tmp_path / "val" / "n02" / "y.bmp", plain(50))
    return tmp_path


def pixels(inputs: np.ndarray) -> np.ndarray:
    return np.rint((inputs * DEVIATION + MEAN) * 255)


def first(folder: Path) -> np.ndarray:
    """The pixels of the first picture to train on, train/n01/c.jpg, in 4 by 4."""
    data = load_images(folder, resize=4, crop=4)
    return pixels(data.train.take(np.array([0])).inputs)[0]


def test_classes_are_folders_in_the_order_of_their_names(folder: Path) -> None:
    data = load_images(folder, resize=5, crop=4)
    assert (data.name, data.classes, data.image_shape) == ("images", 2, (3, 4, 4))
    train = data.train.take(np.array([2, 0, 1]))
    assert train.inputs.shape == (3, 3, 4, 4)
    assert (train.inputs.dtype, train.labels.dtype) == (np.float32, np.int64)
    assert train.labels.tolist() == [1, 0, 1]
    assert pixels(train.inputs)[:, 0, 0, 0].tolist() == [20, 30, 10]
    validation = data.validation.take(np.arange(2))
    assert validation.labels.tolist() == [0, 1]
    assert pixels(validation.inputs)[:, 2, 3, 3].tolist() == [40, 50]


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (40, 40)])
def test_the_resized_middle_is_cut_out(tmp_path: Path, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    # Smooth, so that half a pixel more or less at the border does not matter.
    coarse = rng.integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    path = tmp_path / "picture.png"
    picture.save(path)
    source = PictureFiles((str(path),), np.array([0]), resize=20, crop=16)
    made = pixels(source.take(np.array([0])).inputs)[0].transpose(1, 2, 0)
    # As two steps: the shorter side to 20, then 16 by 16 of the middle.
    scaled = picture.resize((width // 2, height // 2), Image.Resampling.BILINEAR)
    top, left = (height // 2 - 16) // 2, (width // 2 - 16) // 2
    expected = np.asarray(scaled)[top : top + 16, left : left + 16]
    np.testing.assert_allclose(made, expected, atol=1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_pictures_of_any_colours_become_red_green_and_blue(folder: Path, mode: str) -> None:
    white = Image.fromarray(plain(255)).convert(mode)
    white.save(folder / "train/n01/c.jpg", "JPEG" if mode == "CMYK" else "PNG")
    assert (first(folder) > 250).all()


def test_transparency_is_dropped_silently(folder: Path) -> None:
    picture = Image.new("P", (9, 9), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    path = folder / "train/n01/c.jpg"
    picture.save(path, "PNG", transparency=bytes([255, 100]))
    assert first(folder)[:, 1, 1].tolist() == [200, 100, 50]


def pgm(largest: int, value: int) -> bytes:
    return b"P5 9 9 %d\n" % largest + struct.pack(">H", value) * 81


@pytest.mark.parametrize(
    "content",
    [encoded("PNG", np.full((9, 9), 0x8000, "u2")), pgm(65535, 0x8000), pgm(1023, 512)],
)
def test_greys_of_more_than_8_bits_are_scaled(folder: Path, content: bytes) -> None:
    (folder / "train/n01/c.jpg").write_bytes(content)
    assert (first(folder) == 128).all()


@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 99))
def test_a_crop_has_the_usual_area_and_aspect(width: int, height: int, seed: int) -> None:
    for cut in ResizedCrop().cuts(4, np.random.default_rng(seed)):
        (left, top, right, bottom), _ = cut(width, height)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        w, h = right - left, bottom - top
        assert 3 / 4 - 1e-9 <= w / h <= 4 / 3 + 1e-9
        # A picture so narrow that no part of that aspect has 8 % of it gives the largest.
        largest = (w, h) == pytest.approx((min(width, h * 4 / 3), min(height, w * 4 / 3)))
        assert w * h / (width * height) >= 0.08 - 1e-9 or largest


def test_areas_are_drawn_evenly_and_half_are_mirrored() -> None:
    # From a large part of the area on, an aspect may not fit, and all is drawn again.
    crop = ResizedCrop(area=(0.08, 0.7))
    cuts = [cut(100, 100) for cut in crop.cuts(4000, np.random.default_rng(0))]
    shares = [
        (right - left) * (bottom - top) / 1e4 for (left, top, right, bottom), _ in cuts
    ]
    assert np.quantile(shares, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
        np.linspace(0.08, 0.7, 5), abs=0.02
    )
    assert np.mean([mirrored for _, mirrored in cuts]) == pytest.approx(0.5, abs=0.03)


def test_a_cut_is_decoded_to_the_size_of_the_inputs(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    save(tmp_path / "picture.png", picture)
    source = PictureFiles((str(tmp_path / "picture.png"),), np.array([0]), 4, 4)
    made = source.take(np.array([0, 0]), [lambda w, h: ((w - 4, 2, w, 6), False)] * 2)
    part = picture[2:6, 8:].transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels(made.inputs), [part, part])
    made = source.take(np.array([0]), [lambda w, h: ((w - 4, 2, w, 6), True)])
    np.testing.assert_array_equal(pixels(made.inputs)[0], part[..., ::-1])


def test_crops_follow_the_seed_only_in_training_and_continue(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("train/a/1.png", "train/b/2.png", "train/b/3.png", "val/a/4.png"):
        save(tmp_path / name, rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    data = load_images(tmp_path, crop=8).share(0, 1)
    assert data.image_shape == (3, 8, 8)
    one, other = data.stream(2, seed=5), data.stream(2, seed=5)
    first, second = ([batch.inputs for batch in one.epoch()] for _ in range(2))
    assert not any(map(np.array_equal, first, second))
    next(other.epoch())
    going_on = data.stream(2, seed=0)
    going_on.load_state_dict(other.state_dict())
    left = [batch.inputs for _ in range(2) for batch in going_on.epoch()]
    np.testing.assert_array_equal(np.concatenate(left), np.concatenate([first[1], *second]))
    plain = data.train.take(np.arange(3))
    np.testing.assert_array_equal(plain.inputs, data.train.take(np.arange(3)).inputs)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [({}, (256, 224)), ({"crop": 64}, (73, 64)), ({"resize": 64}, (64, 56))],
)
def test_a_missing_size_follows_from_the_other(
    folder: Path, sizes: dict[str, int], found: tuple[int, int]
) -> None:
    train = load_images(folder, **sizes).train
    assert (train.resize, train.crop) == found  # type: ignore[attr-defined]


def flat(folder: Path, file: str, text: str) -> Path:
    """Move the pictures to validate on, x of n01 and y of n02, out of their folders."""
    for path in [*(folder / "val").glob("*/*")]:
        path.rename(folder / "val" / path.name)
        path.parent.rmdir()
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)
    return folder


TRUTH = str(LABELS[1])


def synsets(folder: Path) -> None:
    """As in the development kit: n01 has the number 2, n02 the number 1."""
    kinds = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
    rows = np.array([[(1, "n02", "dog, hound")], [(2, "n01", "cat")]], dtype=kinds)
    savemat(folder / KIT / "meta.mat", {"synsets": rows})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("val.txt", "n01\nn02\n\n"),
        ("val.txt", "y.bmp n02\nx.png n01"),
        ("val.txt", "y.bmp\tn02\t0\t32\nx.png\tn01\t1\t9\n"),
        (TRUTH, "2\n1\n"),
    ],
)
def test_labels_may_be_in_a_file(folder: Path, file: str, text: str) -> None:
    if file == TRUTH:
        (folder / KIT).mkdir(parents=True)
        synsets(folder)
    data = load_images(flat(folder, file, text), resize=4, crop=4)
    validation = data.validation.take(np.arange(2))
    assert validation.labels.tolist() == [0, 1]
    assert pixels(validation.inputs)[:, 0, 0, 0].tolist() == [40, 50]
    named = ("n01 cat", "n02 dog, hound") if file == TRUTH else ("n01", "n02")
    assert data.class_names == named


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("val.txt", "n01\nn03\n", "line 2: 'n03' names no class that is in train"),
        ("val.txt", "n01\n\nn02", "line 2: '' names no class"),
        ("val.txt", "x.png\n", "line 1: 'x.png' names no class"),
        ("val.txt", "n01\nn02\nn02", "line 3: 'n02' names no picture, or one that has"),
        ("val.txt", "x.png n01\nx.png n02", "line 2: 'x.png n02' names no picture"),
        ("val.txt", "x.png n01\n", "no label for y.bmp"),
        (TRUTH, "2\n1\n", "line 1: '2' names no .*, by the numbers of .*meta.mat"),
        ("no.txt", "", "no folders, one for each class, in it, and no val.txt or"),
    ],
)
def test_a_wrong_label_is_refused(folder: Path, file: str, text: str, message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        load_images(flat(folder, file, text))


def test_a_damaged_kit_is_named(folder: Path) -> None:
    (flat(folder, TRUTH, "2\n1\n") / KIT / "meta.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(DataFileError, match=r"meta\.mat: it has no synsets"):
        load_images(folder)


def test_words_for_a_class_are_part_of_its_name(folder: Path) -> None:
    (folder / "words.txt").write_text("n02\tdog, hound\nn07\tother\n")
    assert load_images(folder).class_names == ("n01", "n02 dog, hound")


def test_hidden_and_other_files_and_folders_are_skipped(folder: Path) -> None:
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "README.txt").write_text("not a class")
    (folder / "train" / "n01" / ".c.jpg").write_bytes(b"not a picture")
    (folder / "train" / "n01" / "notes.txt").write_text("not a picture")
    (folder / "train" / "n01" / "older.jpg").mkdir()
    for name in ("d.gif", "e.GIF", "f"):
        (folder / "val" / "n02" / name).touch()
    message = r"skipped .* \.bmp, .*: 2 \(\.gif\), 1 \(\.txt\), 1 \(folders\), 1 \(no end"
    with pytest.warns(UserWarning, match=message):
        data = load_images(folder)
    assert (data.classes, data.train.size) == (2, 3)
    (folder / "val" / "n02" / "y.bmp").unlink()
    message = r"no pictures in it; skipped .*: 2 \(\.gif\), 1"
    with pytest.raises(DataFileError, match=message):
        load_images(folder)


def test_links_are_followed_and_broken_ones_are_named(folder: Path) -> None:
    place = folder / "train" / "n01"
    (place / "d.jpg").symlink_to(place / "c.jpg")
    assert load_images(folder).train.size == 4
    # A pipe is not waited for either.
    for make in (lambda path: path.symlink_to("nowhere"), os.mkfifo):
        make(place / "e.jpg")
        with pytest.raises(DataFileError, match=r"e\.jpg: it is not a readable file"):
            load_images(folder)
        (place / "e.jpg").unlink()


def test_validation_may_lack_a_class(folder: Path) -> None:
    (folder / "val" / "n01" / "x.png").unlink()
    (folder / "val" / "n01").rmdir()
    assert load_images(folder).validation.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (lambda f: (f / "val").rename(f / "test"), "val", "no such folder"),
        (lambda f: (f / "train").rename(f / "test"), "train", "no such folder"),
        (lambda f: (f / "train/n01/c.jpg").unlink(), "train/n01", "no pictures in it"),
        (
            lambda f: (f / "train").rename(f / "other") and (f / "train").mkdir(),
            *("train", "no folders, one for each class, in it"),
        ),
        (lambda f: (f / "val/n01").rename(f / "val/n3"), "val/n3", "no such class in"),
    ],
)
def test_other_layouts_are_reported(
    folder: Path, change: Any, where: str, message: str
) -> None:
    change(folder)
    with pytest.raises(DataFileError, match=message) as caught:
        load_images(folder)
    assert caught.value.path == folder / where


def png(width: int, height: int, packed: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "it does not decode"),
        (b"\xff\xd8\xff\xe0 and nothing more", "it does not decode"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "of format EPS, expected"),
        (png(9, 9, zlib.compress(bytes(100))[:-3]), "it does not decode"),
        (png(2**31 - 1, 2**31 - 1, b""), "it does not decode"),
        (b"Pf 9 9 -1.0\n" + struct.pack("<f", 0.5) * 81, "are floating-point numbers"),
        # A format that nobody asked for is not tried.
        (encoded("TIFF", plain(30)), "of format TIFF, expected BMP, JPEG, PNG, PPM, WEBP"),
        (encoded("GIF", plain(30)), "it is a picture of format GIF, expected BMP"),
        (png(10_000, 8_000, b""), "10000 by 8000 pixels, more than 67108864"),
    ],
)
def test_an_unreadable_picture_is_named(folder: Path, content: Any, message: str) -> None:
    path = folder / "train" / "n01" / "c.jpg"
    data = load_images(folder)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    # The others still do.
    data.train.take(np.array([1, 2]))
    with pytest.raises(DataFileError, match=message) as caught:
        data.train.take(np.array([1, 0, 2]))
    assert caught.value.path == path


def test_pictures_are_decoded_on_the_cores_that_this_process_may_use(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = mock.Mock(wraps=ThreadPoolExecutor)
    monkeypatch.setattr(folders, "ThreadPoolExecutor", pool)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {5, 7, 9}, raising=False)
    load_images(folder).train.take(np.array([0]))
    pool.assert_called_once_with(3)


def test_only_the_middle_of_a_long_picture_is_decoded(tmp_path: Path) -> None:
    # Resized whole, its longer side would be 5 million pixels.
    save(tmp_path / "long.png", np.zeros((1, 20_000, 3), np.uint8))
    source = PictureFiles((str(tmp_path / "long.png"),), np.array([0]), 256, 224)
    assert (pixels(source.take(np.array([0])).inputs) == 0).all()


@pytest.mark.parametrize("name", SOURCES)
def test_every_name_says_how_it_is_called(name: str) -> None:
    argument = SOURCES[name].argument
    called = f"{name}:{argument}" if argument else name
    for text in (name, f"{name}:") if argument else (f"{name}:", f"{name}:something"):
        with pytest.raises(ValueError, match=rf"data must be {called}, got"):
            load(text)


@pytest.mark.parametrize("text", ["", "nist:here", ":", "DIGITS"])
def test_an_unknown_name_is_refused_with_the_known_ones(text: str) -> None:
    with pytest.raises(ValueError, match=rf"digits, mnist:DIR, .*; got '{text}'"):
        load(text)


def test_a_path_may_hold_colons(tmp_path: Path) -> None:
    path = tmp_path / "a:b.txt"
    path.write_text("word " * 50)
    assert load(f"text:{path}").name == "a:b"
