"""Folders of pictures, laid out as ImageNet is: a folder for each class.

::

    DIR/train/CLASS/*.jpeg
    DIR/val/CLASS/*.jpeg
"""

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.augmentation import CropAndFlip
from lookahead_ref.data.batches import Examples, check_labelled
from lookahead_ref.data.datasets import Dataset
from lookahead_ref.data.files import DataFileError, open_file
from lookahead_ref.extras import require
from lookahead_ref.system import available_cores

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"})
# What Pillow may try. Of the formats that it knows besides, one runs a program.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MOST_PIXELS = 2**26
MOST_BYTES = 8 * MOST_PIXELS  # more than so many pixels take, packed or not

# Of ImageNet's training pictures, as everybody uses them: red, green and blue, from 0 to 1.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Labelled pictures in files, decoded when they are taken: an example source."""

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

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Decode the pictures at `indices`, in that order, on as many cores as may be."""
        pixels = np.empty((len(indices), self.crop, self.crop, 3), np.uint8)

        def decode(place: int) -> None:
            pixels[place] = self._decode(Path(self.paths[indices[place]]))

        with ThreadPoolExecutor(available_cores()) as pool:
            # In the order of the indices: of several errors the first is told.
            for _ in pool.map(decode, range(len(indices))):
                pass
        inputs = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        inputs /= 255
        inputs -= MEAN
        inputs /= DEVIATION
        return Examples(inputs, self.labels[indices])

    def _decode(self, path: Path) -> NDArray[np.uint8]:
        pillow = _pillow()
        with open_file(path, MOST_BYTES) as file:
            try:
                with pillow.open(file, formats=FORMATS) as image:
                    width, height = image.size
                    if width * height > MOST_PIXELS:
                        size = f"{width} by {height} pixels"
                        raise DataFileError(path, f"{size}, more than {MOST_PIXELS} in all")
                    # Resizing and cropping at once: however long the picture is, what is
                    # cropped away is never made.
                    side = min(width, height) * self.crop / self.resize
                    left, top = (width - side) / 2, (height - side) / 2
                    middle = (left, top, left + side, top + side)
                    picture = _red_green_blue(path, image).resize(
                        (self.crop, self.crop), pillow.Resampling.BILINEAR, middle
                    )
            except DataFileError:
                raise
            # Decoders raise whatever they come upon.
            except Exception as error:
                problem = _other_format(file) or f"it does not decode: {error}"
                raise DataFileError(path, problem) from error
        pixels: NDArray[np.uint8] = np.asarray(picture)
        return pixels


def _other_format(file: BinaryIO) -> str | None:
    """Say which format a file is of, by its first bytes alone, if it is none of ours."""
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
        # One channel of 16 bits: Pillow would make 255 of all that is more. The upper
        # byte, as it takes itself where there are three channels of 16 bits.
        upper = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        image = _pillow().fromarray(upper)
    # Of a palette with some of it Pillow says that it goes, which is what is wanted.
    image.info.pop("transparency", None)
    return image.convert("RGB")


def _pillow() -> Any:
    return require("PIL.Image", "experiments", purpose="decode pictures")


def load_images(folder: str | Path, *, resize: int = 256, crop: int = 224) -> Dataset:
    """Load pictures from folders named after their classes, as those of ImageNet are.

    The folder holds ``train`` and ``val``, each with a folder for every class. The classes
    are numbered in the order of their names. Files that do not end like a picture, folders
    in those of the classes, and whatever begins with a dot, are passed over; a UserWarning
    says how much, but for the last. A class without pictures, one in ``val`` that ``train``
    has not, and what is named like a picture and is no file, such as a link to nowhere, are
    a DataFileError.

    The shorter side of a picture is brought to `resize` pixels, and a square of `crop`
    pixels a side, at most as many, cut from the middle. Inputs are float32 of shape (n, 3,
    crop, crop), normalised by ImageNet's mean and deviation. They are decoded when they are
    taken: one that does not decode, or has more than 2**26 pixels, is an error then.
    Training batches are mirrored at random.

    References
    ----------
    O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge",
    International Journal of Computer Vision 115, 2015.
    """
    resize = hyperparameters.count("resize", resize)
    crop = hyperparameters.count("crop", crop)
    if crop > resize:
        raise ValueError(f"crop must be at most resize, {resize}, got {crop}")
    _pillow()
    folder = Path(folder)
    classes = _classes(folder / "train")
    for name in _classes(folder / "val"):
        if name not in classes:
            raise DataFileError(folder / "val" / name, "there is no such class in train")
    passed_over: Counter[str] = Counter()

    def part(name: str) -> PictureFiles:
        paths: list[str] = []
        labels: list[NDArray[np.int64]] = []
        for label, of_class in enumerate(classes):
            where = folder / name / of_class
            if name == "train" or where.is_dir():
                pictures, others = _pictures(where)
                paths += pictures
                labels.append(np.full(len(pictures), label))
                passed_over.update(others)
        return PictureFiles(tuple(paths), np.concatenate(labels), resize, crop)

    train, validation = part("train"), part("val")
    if passed_over:
        warnings.warn(f"{folder}: {_told(passed_over)}", stacklevel=2)
    return Dataset(
        "images",
        train,
        validation,
        classes=len(classes),
        augment=CropAndFlip(padding=0),
        image_shape=(3, crop, crop),
    )


def _classes(folder: Path) -> list[str]:
    names = [entry.name for entry in _visible(folder) if entry.is_dir()]
    if not names:
        raise DataFileError(folder, "no folders, one for each class, in it")
    return names


def _pictures(folder: Path) -> tuple[list[str], Counter[str]]:
    """List the pictures of a class, and count what else is in its folder, by its ending."""
    pictures, others = [], Counter[str]()
    for entry in _visible(folder):
        suffix = Path(entry.name).suffix.lower()
        if entry.is_dir():
            others["folders"] += 1
        elif suffix not in SUFFIXES:
            others[suffix or "no ending"] += 1
        elif not entry.is_file():
            raise DataFileError(Path(entry.path), "it is no file to be read")
        else:
            pictures.append(entry.path)
    if not pictures:
        more = f"; {_told(others)}" if others else ""
        raise DataFileError(folder, f"no pictures in it{more}")
    return pictures, others


def _told(passed_over: Counter[str]) -> str:
    counts = ", ".join(f"{count} ({kind})" for kind, count in passed_over.most_common())
    known = ", ".join(sorted(SUFFIXES))
    return f"passed over what is no file ending in {known}: {counts}"


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        raise DataFileError(folder, "no such folder")
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: entry.name)
