"""Folders of pictures, laid out as ImageNet is: a folder for each class.

::

    DIR/train/CLASS/*.jpeg
    DIR/val/CLASS/*.jpeg
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref import hyperparameters
from lookahead_ref.data.augmentation import CropAndFlip
from lookahead_ref.data.batches import Examples
from lookahead_ref.data.datasets import Dataset
from lookahead_ref.data.files import DataFileError
from lookahead_ref.extras import require

__all__ = ["PictureFiles", "load_images"]

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".webp"})
# What Pillow may try. Of the formats that it knows besides, one runs a program.
FORMATS = ("BMP", "JPEG", "PNG", "PPM", "WEBP")
MOST_PIXELS = 2**26

# Of ImageNet's training pictures, as everybody uses them: red, green and blue, from 0 to 1.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]


@dataclass(frozen=True, eq=False)
class PictureFiles:
    """Labelled pictures in files, decoded when they are taken: an example source.

    Parameters
    ----------
    paths : tuple of str
        Of the pictures.
    labels : array of int64, shape (n,)
        Their classes, from 0.
    resize, crop
        As `load_images` takes them.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    resize: int
    crop: int

    @property
    def size(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def take(self, indices: NDArray[np.int64], /) -> Examples:
        """Decode the pictures at `indices`, in that order, on all cores.

        Inputs are float32 of shape (n, 3, crop, crop): red, green and blue, normalised by
        ImageNet's mean and deviation.

        Raises
        ------
        DataFileError, OSError
            If a picture does not decode, has more than 2**26 pixels or cannot be read.
        """
        pixels = np.empty((len(indices), self.crop, self.crop, 3), np.uint8)

        def decode(place: int) -> None:
            pixels[place] = self._decode(Path(self.paths[indices[place]]))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
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
        with path.open("rb") as file:
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
                raise DataFileError(path, f"it does not decode: {error}") from error
        pixels: NDArray[np.uint8] = np.asarray(picture)
        return pixels


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
    """Load pictures from folders named after their classes, as those of ImageNet [1]_ are.

    Parameters
    ----------
    folder : str or pathlib.Path
        Holds ``train`` and ``val``, each with a folder for every class. The classes are
        numbered in the order of their names. Files that do not end like a picture,
        folders in those of the classes, and whatever begins with a dot, are passed over.
    resize : int, default 256
        What the shorter side of a picture is brought to, in pixels.
    crop : int, default 224
        Width and height of the square that is cut from the middle then, at most `resize`.

    Returns
    -------
    Dataset
        Inputs float32 of shape (n, 3, crop, crop), normalised by ImageNet's mean and
        deviation; decoded when they are taken. Training batches are mirrored at random.

    Raises
    ------
    DataFileError, OSError
        If a folder is missing, has no classes or a class no pictures, or cannot be read; if
        ``val`` has a class that ``train`` has not; if what is named like a picture is no
        file, such as a link to nowhere.
    TypeError, ValueError, lookahead_ref.extras.MissingExtraError
        If a size is not right; if Pillow is not installed.

    References
    ----------
    .. [1] O. Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge",
       International Journal of Computer Vision 115, 2015.
    """
    resize = hyperparameters.count("resize", resize)
    crop = hyperparameters.count("crop", crop)
    if crop > resize:
        raise ValueError(f"crop must be at most resize, {resize}, got {crop}")
    _pillow()
    folder = Path(folder)
    classes = _visible(folder / "train", folders=True)
    for name in _visible(folder / "val", folders=True):
        if name not in classes:
            raise DataFileError(folder / "val" / name, "there is no such class in train")

    def part(name: str) -> PictureFiles:
        paths: list[str] = []
        labels: list[NDArray[np.int64]] = []
        for label, of_class in enumerate(classes):
            where = folder / name / of_class
            if name == "train" or where.is_dir():
                files = _visible(where, folders=False)
                paths += [str(where / file) for file in files]
                labels.append(np.full(len(files), label))
        return PictureFiles(tuple(paths), np.concatenate(labels), resize, crop)

    return Dataset(
        "images",
        train=part("train"),
        validation=part("val"),
        classes=len(classes),
        augment=CropAndFlip(padding=0),
        image_shape=(3, crop, crop),
    )


def _visible(folder: Path, *, folders: bool) -> list[str]:
    if not folder.is_dir():
        raise DataFileError(folder, "no such folder")
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
        found = [
            entry
            for entry in shown
            if entry.is_dir() == folders
            and (folders or Path(entry.name).suffix.lower() in SUFFIXES)
        ]
        for entry in found:
            if not folders and not entry.is_file():
                raise DataFileError(Path(entry.path), "it is no file to be read")
        names = sorted(entry.name for entry in found)
    if not names:
        kind = "folders, one for each class," if folders else "pictures"
        raise DataFileError(folder, f"no {kind} in it")
    return names
