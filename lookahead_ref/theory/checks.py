"""Checks of arguments, and of results beyond the range of numbers."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lookahead_ref.hyperparameters import FINITE, Range, at_least, every

Reals: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[Any]
"""Real or complex numbers."""
Counts: TypeAlias = NDArray[np.int64]

EPSILON = float(np.finfo(np.float64).eps)

quiet = np.errstate(divide="ignore", over="ignore", invalid="ignore")
"""For computations: `finite` reports results beyond the range of numbers, not NumPy."""


class DivergenceError(ArithmeticError):
    """The iteration diverges: its result is beyond the range of numbers."""


def reals(
    name: str, value: ArrayLike, allowed: Range = FINITE, *, ndim: int | None = None
) -> Reals:
    """Return an array of finite numbers in a range."""
    array = _array(name, value, "iuf", "real numbers", ndim).astype(np.float64)
    every(name, array, FINITE)
    return np.asarray(every(name, array, allowed))


def numbers(name: str, value: ArrayLike) -> Numbers:
    """Return an array of finite real or complex numbers."""
    array = _array(name, value, "iufc", "numbers", None)
    return every(name, array, FINITE) if array.dtype.kind == "c" else reals(name, array)


def counts(name: str, value: ArrayLike, least: int = 1, ndim: int | None = None) -> Counts:
    """Return an array of integers >= `least`."""
    array = _array(name, value, "iu", "integers", ndim)
    if np.any(array > np.iinfo(np.int64).max):
        raise ValueError(f"{name} must be below 2^63, got {array.max().item()}")
    return np.asarray(every(name, array.astype(np.int64), at_least(least)))


def check_broadcast(**values: ArrayLike) -> None:
    """Check that arrays of finite numbers can be broadcast against each other."""
    shapes = {name: reals(name, value).shape for name, value in values.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
        raise ValueError(
            f"{', '.join(shapes)} must have shapes that broadcast, got {given}"
        ) from error


def finite(
    name: str,
    values: ArrayLike,
    why: str = ": the iteration diverges, because learning_rate lies outside of the "
    "stable region",
) -> Reals:
    """Return computed values if all are finite; otherwise raise DivergenceError."""
    values = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(values)):
        raise DivergenceError(f"the {name} exceeds the range of numbers{why}")
    return values


@quiet
def product(what: ArrayLike, factor: ArrayLike) -> Reals:
    """Return a product in which 0 times infinity is 0."""
    return np.where(np.equal(what, 0.0), 0.0, np.multiply(what, factor))


def _array(
    name: str, value: ArrayLike, kinds: str, noun: str, ndim: int | None
) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a number or an array whose rows have equal lengths, got "
            f"{value!r}"
        ) from error
    if array.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {noun}, got {value!r}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(
            f"{name} must have {ndim} dimension{'s' if ndim != 1 else ''}, "
            f"got the shape {array.shape}"
        )
    return array
