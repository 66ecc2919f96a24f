"""Folders of pictures in the layout of ImageNet: a folder for each class.

::

    DIR/train/CLASS/*.jpeg
    DIR/val/CLASS/*.jpeg, or DIR/val/*.jpeg with a file of labels
"""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.augmentation import Box, Cut, ResizedCrop
from lookahead_ref.data.batches import Examples, check_labelled
from lookahead_ref.data.datasets import Dataset
from lookahead_ref.data.files import DataFileError, open_file, read_words
from lookahead_ref.extras import require
from lookahead_ref.system import available_cores

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"})
# Formats that Pillow may try; one of its others runs a program.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MOST_PIXELS = 2**26
MOST_BYTES = 8 * MOST_PIXELS  # more than these pixels take, packed or not

# The development kit of ILSVRC 2012, which numbers the classes differently.
KIT = Path("ILSVRC2012_devkit_t12", "data")
LABELS = (Path("val.txt"), KIT / "ILSVRC2012_validation_ground_truth.txt")

# The usual moments of ImageNet's training pictures: red, green and blue, from 0 to 1.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """A source of labelled pictures in files, which are decoded when taken."""

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    resize: int
    crop: int

    def __post_init__(self) -> None:
        check_labelled("paths", len(self.paths), self.labels)

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def take(
        self, indices: NDArray[np.int64], /, cuts: Iterable[Cut] | None = None
    ) -> Examples:
        """Decode the middle, or the given crop, of pictures, in order, on all cores."""
        pixels = np.empty((len(indices), self.crop, self.crop, 3), np.uint8)
        paths = [Path(self.paths[index]) for index in indices]
        cuts = [self._middle] * len(paths) if cuts is None else cuts

        with ThreadPoolExecutor(available_cores()) as pool:
            # In the order of the indices, so that the first of several errors is raised.
            for place, picture in enumerate(pool.map(self._decode, paths, cuts)):
                pixels[place] = picture
        inputs = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        inputs /= 255
        inputs -= MEAN
        inputs /= DEVIATION
        return Examples(inputs, self.labels[indices])

    def _middle(self, width: int, height: int) -> tuple[Box, bool]:
        side = min(width, height) * self.crop / self.resize
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side), False

    def _decode(self, path: Path, cut: Cut) -> NDArray[np.uint8]:
        pillow = _pillow()
        with open_file(path, MOST_BYTES) as file:
            try:
                with pillow.open(file, formats=FORMATS) as image:
                    width, height = image.size
                    if width * height > MOST_PIXELS:
                        size = f"{width} by {height} pixels"
                        raise DataFileError(path, f"{size}, more than {MOST_PIXELS} in all")
                    # Resized and cropped at once, so that long pictures need little memory.
                    box, mirrored = cut(width, height)
                    picture = _red_green_blue(path, image).resize(
                        (self.crop, self.crop), pillow.Resampling.BILINEAR, box
                    )
            except DataFileError:
                raise
            # Decoders may raise anything.
            except Exception as error:
                problem = _other_format(file) or f"it does not decode: {error}"
                raise DataFileError(path, problem) from error
        pixels: NDArray[np.uint8] = np.asarray(picture)
        return pixels[:, ::-1] if mirrored else pixels


def _other_format(file: BinaryIO) -> str | None:
    """Name a file's format by its first bytes, if it is not one of ours."""
    pillow = _pillow()
    pillow.init()
    file.seek(0)
    start = file.read(16).ljust(16, b"\0")
    for name, (_, accept) in pillow.OPEN.items():
        if name not in FORMATS and accept is not None and accept(start) is True:
            return f"it is a picture of format {name}, expected {', '.join(FORMATS)}"
    return None


def _red_green_blue(path: Path, image: Any) -> Any:
    if image.mode == "F":
        raise DataFileError(path, "its pixels are floating-point numbers, not bytes")
    if image.mode.startswith("I"):
        # Of 16-bit grey, Pillow would cut values at 255. Take the upper byte, as it does
        # for three channels of 16 bits.
        upper = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        image = _pillow().fromarray(upper)
    # Pillow warns that transparency in a palette is lost, as it should be.
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _pillow() -> Any:
    return require("PIL.Image", "experiments", purpose="decode pictures")


def load_images(
    folder: str | Path, *, resize: int | None = None, crop: int | None = None
) -> Dataset:
    """Load pictures from folders named after their classes, in the layout of ImageNet.

    The folder holds ``train`` and ``val``, each with a folder for every class. Classes are
    numbered in the order of their names. The pictures of ``val`` may also lie there
    directly. Then either ``val.txt`` has a line for each picture, with its class, in the
    order of their names, or with its name and class; or the folder holds the development
    kit of ILSVRC 2012, ``ILSVRC2012_devkit_t12``. Words for the classes, from the kit or
    from a file ``words.txt`` with a class and its words on each line, become part of
    `Dataset.class_names`.

    Files without a picture's ending, folders within the classes', and names that begin
    with a dot are skipped; a UserWarning counts all but the last. A class without pictures,
    a class in ``val`` that is not in ``train``, and a picture's name that is not a file,
    such as a broken link, are a DataFileError.

    The shorter side of a picture is scaled to `resize` pixels, and a square of `crop`
    pixels is cut from the middle; the defaults are 256 and 224, or keep that proportion to
    the one given. Inputs are float32 of shape (n, 3, crop, crop), normalised by ImageNet's
    mean and deviation. They are decoded when taken: a damaged picture, or one with more
    than 2**26 pixels, is an error then. Training batches have a `ResizedCrop` of each
    picture, in the same size.

    References
    ----------
    O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge",
    International Journal of Computer Vision 115, 2015.
    """
    if resize is not None:
        resize = hyperparameters.count("resize", resize)
    crop = round((resize or 256) * 224 / 256) if crop is None else crop
    crop = hyperparameters.count("crop", crop)
    resize = round(crop * 256 / 224) if resize is None else resize
    if crop > resize:
        raise ValueError(f"crop must be at most resize, {resize}, got {crop}")
    _pillow()
    folder = Path(folder)
    classes = _classes(folder / "train")
    if not classes:
        raise DataFileError(folder / "train", "no folders, one for each class, in it")
    to_validate = _classes(folder / "val")
    for name in to_validate:
        if name not in classes:
            raise DataFileError(folder / "val" / name, "there is no such class in train")
    skipped: Counter[str] = Counter()

    def found(where: Path) -> list[str]:
        pictures, others = _pictures(where)
        skipped.update(others)
        return pictures

    def part(name: str, of: Sequence[str]) -> PictureFiles:
        paths = [found(folder / name / of_class) for of_class in of]
        labels = np.repeat([known[of_class] for of_class in of], [*map(len, paths)])
        return PictureFiles(tuple(chain.from_iterable(paths)), labels, resize, crop)

    numbers, words = _kit(folder)
    known = {name: label for label, name in enumerate(classes)}
    train = part("train", classes)
    if to_validate:
        validation = part("val", to_validate)
    else:
        pictures = found(folder / "val")
        by_number = {n: known[name] for n, name in numbers.items() if name in known}
        labels = _labels(folder, pictures, by_number | known)
        validation = PictureFiles(tuple(pictures), labels, resize, crop)
    if skipped:
        warnings.warn(f"{folder}: {_skipped(skipped)}", stacklevel=2)
    return Dataset(
        "images",
        train,
        validation,
        classes=len(classes),
        augment=ResizedCrop(),
        image_shape=(3, crop, crop),
        class_names=tuple(f"{name} {words.get(name, '')}".rstrip() for name in classes),
    )


def _classes(folder: Path) -> list[str]:
    return [entry.name for entry in _visible(folder) if entry.is_dir()]


def _labels(
    folder: Path, pictures: Sequence[str], known: Mapping[str, int]
) -> NDArray[np.int64]:
    """Read the labels of pictures, given the class names, from their file."""
    file = next((folder / name for name in LABELS if (folder / name).is_file()), None)
    if file is None:
        wanted = " or ".join(map(str, LABELS))
        problem = f"no folders, one for each class, in it, and no {wanted} beside it"
        raise DataFileError(folder / "val", problem)
    places = {Path(picture).name: place for place, picture in enumerate(pictures)}
    labels = np.full(len(pictures), -1)
    for at, line in enumerate(read_words(file)):
        name, *more = line or [""]
        place, label = (places[name], more[:1]) if name in places else (at, [name])
        if not label or label[0] not in known:
            problem = f"{' '.join(line)!r} names no class that is in train"
            if name.isdecimal():
                problem += f", by the numbers of {KIT / 'meta.mat'}"
        elif place >= len(labels) or labels[place] >= 0:
            problem = f"{' '.join(line)!r} names no picture, or one that has a label"
        else:
            labels[place] = known[label[0]]
            continue
        raise DataFileError(file, problem, line=at + 1)
    if (labels < 0).any():
        lacking = Path(pictures[int(np.argmin(labels))]).name
        raise DataFileError(file, f"it has no label for {lacking}")
    return labels


def _kit(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the classes by number in the development kit, and each one's words."""
    words = {}
    if (file := folder / "words.txt").is_file():
        words = {line[0]: " ".join(line[1:]) for line in read_words(file) if line}
    if not (file := folder / KIT / "meta.mat").is_file():
        return {}, words
    matlab = require("scipy.io", "experiments", purpose="read the development kit")
    try:
        synsets = matlab.loadmat(file, squeeze_me=True)["synsets"]
        rows = [(str(row[0]), row[1], row[2]) for row in synsets]
    # It may raise anything.
    except Exception as error:
        raise DataFileError(file, f"it has no synsets: {error}") from error
    return {row[0]: row[1] for row in rows}, {row[1]: row[2] for row in rows} | words


def _pictures(folder: Path) -> tuple[list[str], Counter[str]]:
    """List the pictures of a class, and count other files by ending."""
    pictures, others = [], Counter[str]()
    for entry in _visible(folder):
        suffix = Path(entry.name).suffix.lower()
        if entry.is_dir():
            others["folders"] += 1
        elif suffix not in SUFFIXES:
            others[suffix or "no ending"] += 1
        elif not entry.is_file():
            raise DataFileError(Path(entry.path), "it is not a readable file")
        else:
            pictures.append(entry.path)
    if not pictures:
        more = f"; {_skipped(others)}" if others else ""
        raise DataFileError(folder, f"no pictures in it{more}")
    return pictures, others


def _skipped(others: Counter[str]) -> str:
    counts = ", ".join(f"{count} ({kind})" for kind, count in others.most_common())
    known = ", ".join(sorted(SUFFIXES))
    return f"skipped what is not a file ending in {known}: {counts}"


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise DataFileError(folder, "no such folder")
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: entry.name)
