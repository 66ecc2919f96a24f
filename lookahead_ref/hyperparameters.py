"""Checks of hyperparameters: what each may be, said in the error."""

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj

Schedule: TypeAlias = Callable[[int], float]
"""A function from a clock (a count that starts at 0) to a value."""


def non_negative(name: str, value: Any) -> float:
    """Check that a value is a finite number that is not negative.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float
        Its value.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is negative, infinite or not a number.
    """
    number = _real(name, value, "a finite number >= 0")
    if not (math.isfinite(number) and number >= 0.0):
        raise ValueError(f"{name} must be a finite number >= 0, got {value!r}")
    return number


def positive(name: str, value: Any) -> float:
    """Check that a value is a finite number greater than zero.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float
        Its value.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is zero, negative, infinite or not a number.
    """
    number = _real(name, value, "a finite number > 0")
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{name} must be a finite number > 0, got {value!r}")
    return number


def below_one(name: str, value: Any) -> float:
    """Check that a value lies in [0, 1), as a decay rate must.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float
        Its value.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it lies outside.
    """
    number = _real(name, value, "a number in [0, 1)")
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")
    return number


def step_size(name: str, value: Any) -> float:
    """Check that a value lies in (0, 1], as the slow weights' step size must.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float
        Its value.

    Returns
    -------
    float
        The value.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it lies outside.
    """
    number = _real(name, value, "a number in (0, 1]")
    if not 0.0 < number <= 1.0:
        raise ValueError(f"{name} must be a number in (0, 1], got {value!r}")
    return number


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Check that a value is a whole number, at least `least`.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : int
        Its value.
    least : int, default: 1
        The smallest value allowed.

    Returns
    -------
    int
        The value.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is too small.
    """
    wanted = "a positive integer" if least == 1 else f"an integer >= {least}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be {wanted}, got {value!r} ({type(value).__name__})")
    if number < least:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


def option(name: str, value: Any, options: tuple[str, ...]) -> None:
    """Check that a value is one of those that exist.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : str
        Its value.
    options : tuple of str
        The values that exist.

    Raises
    ------
    ValueError
        If it is none of them.
    """
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(repr(known) for known in options)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}")


def constant_or_schedule(
    name: str, value: Any, check: Callable[[str, Any], float]
) -> float | Schedule:
    """Check a hyperparameter that may be a schedule; a schedule is checked at each value.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float or callable
        Its value, or a function from the clock to its value.
    check : callable
        The check of one value, such as `non_negative`.

    Returns
    -------
    float or callable
        The value.

    Raises
    ------
    TypeError, ValueError
        As `check` does.
    """
    return value if callable(value) else check(name, value)


def value_at(
    name: str, value: float | Schedule, clock: int, check: Callable[[str, Any], float]
) -> float:
    """Evaluate a hyperparameter that may be a schedule.

    Parameters
    ----------
    name : str
        The hyperparameter, for the error.
    value : float or callable
        Its value, or a function from the clock to its value.
    clock : int
        What the schedule is called with.
    check : callable
        The check of one value, such as `non_negative`.

    Returns
    -------
    float
        The value at this clock.

    Raises
    ------
    TypeError, ValueError
        As `check` does, naming the clock.
    """
    # A rule multiplies arrays with it, some of which take a Python float and nothing else.
    if not callable(value):
        return float(value)
    return check(f"{name} (its schedule at {clock})", value(clock))


def _real(name: str, value: Any, wanted: str) -> float:
    # A schedule may well compute with arrays: one of no dimensions is a number.
    if isinstance(value, bool) or not (isinstance(value, Real) or _is_real_array(value)):
        raise TypeError(f"{name} must be {wanted}, got {value!r} ({type(value).__name__})")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {wanted}, got an integer that large") from None


def _is_real_array(value: Any) -> bool:
    if not is_array_api_obj(value) or value.shape != ():
        return False
    xp = array_namespace(value)
    return bool(xp.isdtype(value.dtype, ("real floating", "integral")))
