"""Compare what a model computed with what a golden case expects."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lookahead_ref.conformance.models.vectors import ModelCase

__all__ = ["Departure", "ModelAnswer", "judge_model"]


class ModelAnswer(NamedTuple):
    """What a model makes of a golden case."""

    loss: Any
    """A number."""
    gradients: Mapping[str, Any]
    """Array by the parameter's name; those that are not there are not compared."""
    carried: Mapping[str, Any] = {}
    """Array by name, such as ``layer1.cell``; likewise."""


class Departure(NamedTuple):
    """A quantity that is not what it should be."""

    quantity: str
    """``loss``, ``gradient layer1.bias``, ``layer1.cell``, ..."""
    place: tuple[int, ...]
    """The element that is farthest off."""
    got: float
    """What it is."""
    expected: float
    """What it should be."""
    tolerances: float
    """By how many tolerances it is off."""

    def __str__(self) -> str:
        where = f"[{', '.join(map(str, self.place))}]" if self.place else ""
        return (
            f"{self.quantity}{where} is {self.got:.9g}, expected {self.expected:.9g}: "
            f"{self.tolerances:.3g} tolerances off"
        )


def judge_model(
    case: ModelCase, answer: ModelAnswer, dtype: str, level: str = "strict"
) -> list[Departure]:
    """Compare an answer with a golden case.

    Parameters
    ----------
    case : ModelCase
        The case.
    answer : ModelAnswer
        What the model computed from `ModelCase.params` and `ModelCase.batch`.
    dtype : {"float32", "float64"}
        The precision that it worked in.
    level : {"strict", "gpu"}
        The tolerances.

    Returns
    -------
    list of Departure
        Empty if all is right.

    Raises
    ------
    ValueError
        If an array has a name or shape that the case does not have.

    Examples
    --------
    >>> from lookahead_ref.conformance.models import model_cases
    >>> case = model_cases("model:mlp")[0]
    >>> right = ModelAnswer(case.expected["loss"].values, {})
    >>> judge_model(case, right, "float64")
    []
    """
    answered = {
        "loss": answer.loss,
        **{f"gradient {name}": array for name, array in answer.gradients.items()},
        **answer.carried,
    }
    known = case.expected
    found = []
    for name, array in answered.items():
        if name not in known:
            raise ValueError(f"{case.id} has {', '.join(known)}; got {name!r}")
        got = np.asarray(array, np.float64)
        expected = known[name]
        if got.shape != expected.values.shape:
            raise ValueError(
                f"{name} must have the shape {expected.values.shape}, got {got.shape}"
            )
        tolerance = expected.tolerance[dtype, level]
        off = np.abs(got - expected.values)
        wrong = ~((off <= tolerance) | (got == expected.values))
        if wrong.any():
            with np.errstate(divide="ignore", invalid="ignore"):
                by = np.where(wrong, np.where(np.isnan(off), np.inf, off / tolerance), 0.0)
            place = np.unravel_index(int(np.argmax(by)), by.shape)
            found.append(
                Departure(
                    name,
                    tuple(int(i) for i in place),
                    float(got[place]),
                    float(expected.values[place]),
                    float(by[place]),
                )
            )
    return found
