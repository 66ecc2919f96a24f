"""Read the golden models, and refuse files that are not what their index says."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookahead_ref.conformance.vectors import Float64Array, VectorFileError, decode

__all__ = ["FORMAT", "VERSION", "Expected", "ModelCase", "model_cases"]

FORMAT = "lookahead-models"

VERSION = 1
"""The version of the files that is read and written here."""


@dataclass(frozen=True)
class Expected:
    """What is expected of one quantity, with its tolerances.

    Parameters
    ----------
    values : ndarray
        Float64, of the quantity's shape.
    tolerance : dict
        Dtype and level to an array of that shape.
    """

    values: Float64Array
    tolerance: Mapping[tuple[str, str], Float64Array]


@dataclass(frozen=True)
class ModelCase:
    """A model with weights and a batch, and what comes of them.

    Parameters
    ----------
    data : dict
        The case as the file holds it.

    Examples
    --------
    >>> case = model_cases("model:lstm")[0]
    >>> case.id, case.model["kind"], list(case.params("float32"))[:2]
    ('lstm-smoke', 'lstm', ['embedding.weight', 'layer1.input_weight'])
    """

    data: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The id, never used again for another case."""
        return str(self.data["id"])

    @property
    def __name__(self) -> str:
        """The id: pytest takes it for the name of a parameter."""
        return self.id

    def __repr__(self) -> str:
        return f"ModelCase({self.id!r})"

    @property
    def profile(self) -> str:
        """``model:mlp`` or ``model:lstm``."""
        return str(self.data["profile"])

    @property
    def model(self) -> Mapping[str, Any]:
        """``kind``, ``layers``, and ``activation`` or ``tied``."""
        model: Mapping[str, Any] = self.data["model"]
        return model

    def params(self, dtype: str) -> dict[str, NDArray[Any]]:
        """Make the parameters.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            In which nothing is lost.

        Returns
        -------
        dict
            Name, such as ``layer1.weight``, to a new array.
        """
        return {p["name"]: _array(p, dtype) for p in self.data["params"]}

    def batch(self, dtype: str) -> dict[str, Any]:
        """Make the batch.

        Parameters
        ----------
        dtype : {"float32", "float64"}
            Of what is no token and no label.

        Returns
        -------
        dict
            ``inputs`` and ``labels``; for an LSTM ``carried``, name to array, besides.
        """
        batch = self.data["batch"]
        if self.model["kind"] == "mlp":
            return {
                "inputs": _array(batch["inputs"], dtype),
                "labels": np.array(batch["labels"], np.int64),
            }
        return {
            "inputs": np.array(batch["inputs"], np.int64),
            "labels": np.array(batch["labels"], np.int64),
            "carried": {p["name"]: _array(p, dtype) for p in batch["carried"]},
        }

    @property
    def expected(self) -> dict[str, Expected]:
        """Quantities by name: ``loss``, ``gradient layer1.bias``, ``layer1.cell``, ..."""
        expected = self.data["expected"]
        shapes = {p["name"]: p["shape"] for p in self.data["params"]}
        carried = self.data["batch"].get("carried", [])
        states = {p["name"]: p["shape"] for p in carried}
        return {
            "loss": _expected(expected["loss"], ()),
            **{
                f"gradient {each['name']}": _expected(each, shapes[each["name"]])
                for each in expected["gradients"]
            },
            **{
                each["name"]: _expected(each, states[each["name"]])
                for each in expected["carried"]
            },
        }


def model_cases(
    profile: str | None = None, *, folder: Traversable | None = None
) -> list[ModelCase]:
    """List the golden models, to parametrize a test with.

    Parameters
    ----------
    profile : {"model:mlp", "model:lstm"}, optional
        The profile to list; both if not given.
    folder : path, optional
        The folder of the files; that of this package if not given.

    Returns
    -------
    list of ModelCase
        The cases. Pytest names a test after their ids.

    Raises
    ------
    ValueError
        If there is no such profile.
    VectorFileError
        If a file is missing, of a later version, truncated or edited; the message names it.

    Examples
    --------
    >>> [case.id for case in model_cases("model:mlp")][:3]
    ['mlp-smoke', 'mlp-tanh', 'mlp-tanh-deep']
    """
    if folder is None:
        folder = files("lookahead_ref.conformance").joinpath("vectors", "models")
    index = _parse("index.json", _read(folder, "index.json"))
    known = [each["name"] for each in index["profiles"]]
    if profile is not None and profile not in known:
        raise ValueError(f"profile must be one of {', '.join(known)}, got {profile!r}")
    found = []
    for entry in index["files"]:
        name = entry["file"]
        content = _read(folder, name)
        data = _parse(name, content)
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise VectorFileError(
                f"{name} is not the file that index.json lists: its SHA-256 differs"
            )
        found += [ModelCase(case) for case in data["cases"]]
    return [case for case in found if profile in (None, case.profile)]


def _read(folder: Traversable, name: str) -> bytes:
    try:
        return folder.joinpath(name).read_bytes()
    except OSError as error:
        raise VectorFileError(f"{name} cannot be read: {error}") from error


def _parse(name: str, content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except ValueError as error:
        raise VectorFileError(
            f"{name} is not JSON, it may be truncated: {error}"
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise VectorFileError(f"{name} must be of the format {FORMAT!r}")
    if data.get("version") != VERSION:
        raise VectorFileError(
            f"{name} has the version {data.get('version')!r}, this reader knows {VERSION}"
        )
    return data


def _array(tensor: Mapping[str, Any], dtype: str) -> NDArray[Any]:
    return decode(tensor["values"]).astype(dtype).reshape(tensor["shape"])


def _expected(quantity: Mapping[str, Any], shape: Any) -> Expected:
    return Expected(
        decode(quantity["expected"]).reshape(shape),
        {
            (dtype, level): np.array(values).reshape(shape)
            for dtype, levels in quantity["tolerance"].items()
            for level, values in levels.items()
        },
    )
