"""Numbers of 50 digits that overflow where float32 does, for the cases about overflow."""

import math
from typing import Any

from lookahead_ref.conformance.bounds import FORMATS
from lookahead_ref.conformance.oracle import Exact


class _Number:
    """A number of 50 digits, infinite beyond the largest of float32."""

    __slots__ = ("exact",)

    def __init__(self, exact: Any) -> None:
        large = abs(exact) > FORMATS["float32"].largest
        self.exact = Exact.number(math.copysign(math.inf, exact)) if large else exact

    def __add__(self, other: Any) -> "_Number":
        return _Number(self.exact + _exact(other))

    def __sub__(self, other: Any) -> "_Number":
        return _Number(self.exact - _exact(other))

    def __rsub__(self, other: Any) -> "_Number":
        return _Number(_exact(other) - self.exact)

    def __mul__(self, other: Any) -> "_Number":
        return _Number(self.exact * _exact(other))

    def __truediv__(self, other: Any) -> "_Number":
        return _Number(self.exact / _exact(other))

    def __pow__(self, exponent: int) -> "_Number":
        return _Number(self.exact**exponent)


def _exact(number: Any) -> Any:
    return number.exact if isinstance(number, _Number) else number


class Overflowing:
    """The arithmetic of such numbers."""

    @staticmethod
    def number(value: float) -> _Number:
        """Make a number."""
        return _Number(Exact.number(value))

    hyperparameter = number

    @staticmethod
    def sqrt(value: _Number) -> _Number:
        """Take a square root."""
        return _Number(Exact.sqrt(value.exact))
