"""Numbers that carry a bound of their rounding error: where the tolerances come from.

The oracle is run on them, so that a tolerance belongs to the same formulas as the value.
Each operation adds `ROUNDINGS` machine epsilons (one is an ulp at 1) of its largest operand
or result, at least the smallest subnormal; what its operands carry goes through the
operation itself, by absolute values. The bound therefore holds whatever the sequence of
roundings; in a closed loop it grows with the error amplification of the problem.

Two epsilons, four times what one correct rounding costs, leave room for what correct
programs do differently: phi + alpha (theta - phi), (1 - alpha) phi + alpha theta or adding
a delta; fused multiply-add; a product with a reciprocal; moments as m + (1 - beta) (g - m).
That hyperparameters, 1 - beta and 1 - beta^t are rounded to, or evaluated in, the working
precision is carried by the numbers themselves.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

ROUNDINGS = 2.0
"""Machine epsilons that each operation may lose."""

GPU_DIVISION = 2.5
"""Machine epsilons more that a division or a square root may lose at the level `gpu`."""

LEVELS = ("strict", "gpu")


@dataclass(frozen=True)
class Format:
    """A floating-point format.

    Parameters
    ----------
    epsilon : float
        The distance from 1 to the next number.
    smallest_normal, smallest : float
        The smallest positive number that is not subnormal; the smallest one.
    largest : float
        The largest finite number.
    """

    epsilon: float
    smallest_normal: float
    smallest: float
    largest: float


FORMATS = {
    "float32": Format(2.0**-23, 2.0**-126, 2.0**-149, 2.0**128 - 2.0**104),
    "float64": Format(2.0**-52, 2.0**-1022, 2.0**-1074, sys.float_info.max),
}


class Bounded:
    """A number and a bound of the error with which a program in some format computes it.

    Parameters
    ----------
    middle : float
        The number; float64 is enough, since only the bound is wanted.
    radius : float
        The bound.
    """

    __slots__ = ("middle", "radius")
    epsilon: ClassVar[float]
    division: ClassVar[float]
    normal: ClassVar[float]
    floor: ClassVar[float]
    flush: ClassVar[float]
    largest: ClassVar[float]

    def __init__(self, middle: float, radius: float = 0.0) -> None:
        self.middle = middle
        self.radius = radius

    def _rounded(
        self, middle: float, radius: float, operand: float, loss: float
    ) -> "Bounded":
        """Add what one operation loses; `operand` is its largest operand or result."""
        size = abs(middle)
        if size > self.largest:
            return type(self)(math.copysign(math.inf, middle))
        radius += loss * operand + self.floor
        if size - radius < self.normal:  # the result may be subnormal, and flushed
            radius += self.flush
        return type(self)(middle, radius)

    def _other(self, other: "Bounded | float") -> "Bounded":
        return other if isinstance(other, Bounded) else type(self)(float(other))

    def _is_zero(self) -> bool:
        """Return whether this is zero without any error: nothing is lost with it."""
        return self.middle == 0.0 and self.radius == 0.0

    def __add__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        if self._is_zero():
            return other
        if other._is_zero():
            return self
        middle = self.middle + other.middle
        operand = max(abs(self.middle), abs(other.middle), abs(middle))
        return self._rounded(middle, self.radius + other.radius, operand, self.epsilon)

    __radd__ = __add__

    def __sub__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        if other._is_zero():
            return self
        middle = self.middle - other.middle
        operand = max(abs(self.middle), abs(other.middle), abs(middle))
        return self._rounded(middle, self.radius + other.radius, operand, self.epsilon)

    def __rsub__(self, other: "Bounded | float") -> "Bounded":
        return self._other(other) - self

    def __mul__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        for factor in (self, other):
            if factor._is_zero():
                return factor
        middle = self.middle * other.middle
        radius = (
            abs(self.middle) * other.radius
            + abs(other.middle) * self.radius
            + self.radius * other.radius
        )
        return self._rounded(middle, radius, abs(middle), self.epsilon)

    __rmul__ = __mul__

    def __truediv__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        if self._is_zero():
            return self
        least = abs(other.middle) - other.radius
        if least <= 0.0:
            return type(self)(math.nan, math.inf)
        middle = self.middle / other.middle
        radius = (
            (self.radius + abs(middle) * other.radius) / least
            if middle
            else self.radius / least
        )
        if math.isinf(other.middle):
            radius = 0.0
        return self._rounded(middle, radius, abs(middle), self.division)

    def __pow__(self, exponent: int) -> "Bounded":
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power


class Bounding:
    """The arithmetic of `Bounded` numbers for a format and a level.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        The format that a program works in.
    level : {"strict", "gpu"}
        What is admitted: correctly rounded operations in any correct order, or moreover
        divisions and square roots of 2.5 ulps and subnormal numbers flushed to zero.
    """

    def __init__(self, dtype: str, level: str) -> None:
        form = FORMATS[dtype]
        gpu = level == "gpu"
        self._kind: Any = type(
            "Bounded",
            (Bounded,),
            {
                "__slots__": (),
                "epsilon": ROUNDINGS * form.epsilon,
                "division": (ROUNDINGS + (GPU_DIVISION if gpu else 0.0)) * form.epsilon,
                "normal": form.smallest_normal,
                "floor": form.smallest,
                "flush": form.smallest_normal if gpu else 0.0,
                "largest": form.largest,
            },
        )

    def number(self, value: float) -> Bounded:
        """Make a number of the value that a tensor holds: exact, unless it is flushed."""
        flushed = 0.0 < abs(value) < self._kind.normal
        number: Bounded = self._kind(value, self._kind.flush if flushed else 0.0)
        return number

    def hyperparameter(self, value: float) -> Bounded:
        """Make a number of a hyperparameter, which may be rounded."""
        number: Bounded = self._kind(value, abs(value) * self._kind.epsilon / ROUNDINGS / 2)
        return number

    def sqrt(self, value: Bounded) -> Bounded:
        """Take a square root."""
        if value._is_zero():  # noqa: SLF001
            return value
        middle = math.sqrt(value.middle)
        if math.isinf(middle):
            return value
        least = math.sqrt(max(value.middle - value.radius, 0.0))
        spread = middle + least
        radius = value.radius / spread if spread else math.sqrt(value.radius)
        return value._rounded(middle, radius, middle, self._kind.division)  # noqa: SLF001
