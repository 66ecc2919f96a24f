"""Checks and rounding of hyperparameters; errors say the name, and what came."""

import math
import operator
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj

Schedule: TypeAlias = Callable[[int], float]
"""A function from a clock (a count that starts at 0) to a value."""

InnerStateKind: TypeAlias = Literal["maintain", "reset", "interpolate"]
"""What a synchronization does to the inner optimizer's state."""


class Range(NamedTuple):
    """A range of numbers; `holds` checks a number or an array element by element."""

    noun: str
    words: str
    holds: Callable[[Any], Any]


FINITE = Range("a number", "finite", lambda x: abs(x) < math.inf)
NON_NEGATIVE = Range("a finite number", ">= 0", lambda x: (x >= 0.0) & (x < math.inf))
POSITIVE = Range("a finite number", "> 0", lambda x: (x > 0.0) & (x < math.inf))
BELOW_ONE = Range("a number", "in [0, 1)", lambda x: (x >= 0.0) & (x < 1.0))
STEP_SIZE = Range("a number", "in (0, 1]", lambda x: (x > 0.0) & (x <= 1.0))

_FLOAT32 = struct.Struct("<f")


def at_least(least: int) -> Range:
    """Return the range of the integers from `least` on."""
    return Range("an integer", f">= {least}", lambda x: x >= least)


def _number(allowed: Range, name: str, value: Any) -> float:
    """Check that a value is a number in a range, and return it."""
    wanted = f"{allowed.noun} {allowed.words}"
    # A schedule may return an array without dimensions.
    if isinstance(value, bool) or not (isinstance(value, Real) or _is_real_array(value)):
        raise TypeError(f"{name} must be {wanted}, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {wanted}, got an integer that large") from None
    if not allowed.holds(number):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


non_negative = partial(_number, NON_NEGATIVE)
positive = partial(_number, POSITIVE)
below_one = partial(_number, BELOW_ONE)
"""As a decay rate must be."""
step_size = partial(_number, STEP_SIZE)
"""As the slow weights' must be."""


def count(name: str, value: Any, *, least: int = 1) -> int:
    """Check that a value is a whole number, at least `least`, and return it."""
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


def option(name: str, value: Any, options: tuple[str, ...]) -> str:
    """Check that a value is one of the options, and return it."""
    if not isinstance(value, str) or value not in options:
        listed = ", ".join(repr(known) for known in options)
        close = close_to(value, options)
        raise ValueError(f"{name} must be one of {listed}, got {value!r}{close}")
    return value


def close_to(value: Any, options: Iterable[str]) -> str:
    """Suggest an option, for the end of a message; empty if none is close."""
    # Imported here, as only errors need it.
    import difflib

    found = difflib.get_close_matches(str(value), list(options), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def every(name: str, array: Any, allowed: Range) -> Any:
    """Check each element of a NumPy array of numbers, and return the array."""
    holds = allowed.holds(array)
    if not holds.all():
        came = array[~holds].ravel()[0]
        raise ValueError(f"{name} must be {allowed.words}, got {came.item()!r}")
    return array


def constant_or_schedule(
    name: str, value: Any, check: Callable[[str, Any], float]
) -> float | Schedule:
    """Check a hyperparameter; a schedule is checked at each value instead."""
    return value if callable(value) else check(name, value)


def value_at(
    name: str, value: float | Schedule, clock: int, check: Callable[[str, Any], float]
) -> float:
    """Evaluate a hyperparameter that may be a schedule."""
    # Some libraries' arrays can be multiplied by a Python float only.
    if not callable(value):
        return float(value)
    return check(f"{name} (its schedule at {clock})", value(clock))


def round_to(dtype: str, name: str, value: float) -> float:
    """Round a scalar to ``float32`` or ``float64``, ties to even.

    It is an error if a finite value other than zero rounds to zero or to infinity.

    >>> round_to("float32", "epsilon", 1e-50)
    Traceback (most recent call last):
    ...
    ValueError: epsilon = 1e-50 rounds to 0 in float32
    """
    if not dtype.endswith("float32"):
        return value
    try:
        (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
    except OverflowError:
        raise ValueError(f"{name} = {value!r} rounds to infinity in float32") from None
    if rounded == 0.0 and value != 0.0:
        raise ValueError(f"{name} = {value!r} rounds to 0 in float32")
    return float(rounded)


def round_scalars(scalars: Mapping[str, float], path: str, leaf: Any) -> dict[str, float]:
    """Round scalars to the dtype of the leaf at a path."""
    dtype = str(leaf.dtype)
    return {
        name: round_to(dtype, f"{name} (for params[{path!r}])", value)
        for name, value in scalars.items()
    }


def _is_real_array(value: Any) -> bool:
    if not is_array_api_obj(value) or value.shape != ():
        return False
    xp = array_namespace(value)
    return bool(xp.isdtype(value.dtype, ("real floating", "integral")))
