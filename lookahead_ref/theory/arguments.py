"""Checks of what the theory is given: arrays of numbers, in the errors by name."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Reals: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]
Number = TypeVar("Number", np.float64, np.int64)


def reals(name: str, value: ArrayLike, ndim: int | None = None) -> Reals:
    """Check that a value is an array of finite numbers.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like
        Its value.
    ndim : int, optional
        The number of dimensions that it must have.

    Returns
    -------
    ndarray of float64
        The value.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If one of them is not finite, or the number of dimensions is another.
    """
    array = _array(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got {value!r}")
    array = _dimensions(name, array.astype(np.float64), ndim)
    return _require(name, array, np.asarray(np.isfinite(array)), "finite")


def positive(name: str, value: ArrayLike) -> Reals:
    """Check that a value is an array of finite numbers > 0.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like
        Its value.

    Returns
    -------
    ndarray of float64
        The value.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    array = reals(name, value)
    return _require(name, array, np.asarray(array > 0.0), "> 0")


def non_negative(name: str, value: ArrayLike) -> Reals:
    """Check that a value is an array of finite numbers >= 0.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like
        Its value.

    Returns
    -------
    ndarray of float64
        The value.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    array = reals(name, value)
    return _require(name, array, np.asarray(array >= 0.0), ">= 0")


def step_size(name: str, value: ArrayLike) -> Reals:
    """Check that a value is an array of numbers in (0, 1], as alpha must be.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like
        Its value.

    Returns
    -------
    ndarray of float64
        The value.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    array = reals(name, value)
    return _require(name, array, np.asarray((array > 0.0) & (array <= 1.0)), "in (0, 1]")


def momentum(name: str, value: ArrayLike) -> Reals:
    """Check that a value is an array of numbers in [0, 1).

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like
        Its value.

    Returns
    -------
    ndarray of float64
        The value.

    Raises
    ------
    TypeError, ValueError
        If it is not.
    """
    array = reals(name, value)
    return _require(name, array, np.asarray((array >= 0.0) & (array < 1.0)), "in [0, 1)")


def counts(name: str, value: ArrayLike, least: int = 1, ndim: int | None = None) -> Counts:
    """Check that a value is an array of whole numbers.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : array_like of int
        Its value.
    least : int, default: 1
        The smallest number allowed.
    ndim : int, optional
        The number of dimensions that it must have.

    Returns
    -------
    ndarray of int64
        The value.

    Raises
    ------
    TypeError
        If it holds anything but integers.
    ValueError
        If one of them is too small or too large, or the number of dimensions is another.
    """
    array = _array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got {value!r}")
    if np.any(array > np.iinfo(np.int64).max):
        raise ValueError(f"{name} must be below 2^63, got {array.max().item()}")
    array = _dimensions(name, array.astype(np.int64), ndim)
    return _require(name, array, np.asarray(array >= least), f">= {least}")


def option(name: str, value: str, options: tuple[str, ...]) -> str:
    """Check that a value is one of those that exist.

    Parameters
    ----------
    name : str
        The argument, for the error.
    value : str
        Its value.
    options : tuple of str
        The values that exist.

    Returns
    -------
    str
        The value.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if value not in options:
        listed = ", ".join(repr(known) for known in options)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}")
    return value


def together(**values: ArrayLike) -> None:
    """Check that values can be broadcast against each other.

    Parameters
    ----------
    **values : array_like
        The arguments, by name.

    Raises
    ------
    TypeError, ValueError
        If their shapes do not fit, or one is not an array of finite numbers.
    """
    shapes = {name: reals(name, value).shape for name, value in values.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError as error:
        given = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
        raise ValueError(
            f"{', '.join(shapes)} must have shapes that broadcast, got {given}"
        ) from error


def _array(name: str, value: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a number or an array whose rows have equal lengths, got "
            f"{value!r}"
        ) from error


def _dimensions(name: str, array: NDArray[Number], ndim: int | None) -> NDArray[Number]:
    if ndim is not None and array.ndim != ndim:
        raise ValueError(
            f"{name} must have {ndim} dimension{'s' if ndim != 1 else ''}, "
            f"got the shape {array.shape}"
        )
    return array


def _require(
    name: str, array: NDArray[Number], holds: NDArray[np.bool_], wanted: str
) -> NDArray[Number]:
    if not np.all(holds):
        came = array[~holds].ravel()[0]
        raise ValueError(f"{name} must be {wanted}, got {came.item()!r}")
    return array
