"""Numbers with bounds on their rounding error, from which the tolerances come.

The oracle runs on them, so that a tolerance comes from the same formulas as the value.
Each operation adds `ROUNDINGS` machine epsilons (one is an ulp at 1) of its largest operand
or result, and at least the smallest subnormal. The operands' own bounds pass through the
operation in absolute values. The total therefore holds for any sequence of roundings; in a
closed loop it grows as the problem amplifies errors.

Two epsilons, four times the error of one correct rounding, leave room for differences
between correct programs: phi + alpha (theta - phi), (1 - alpha) phi + alpha theta or
adding a delta; fused multiply-add; a product with a reciprocal; moments as m + (1 - beta)
(g - m). Hyperparameters, 1 - beta and 1 - beta^t have bounds of their own, as programs
may round them to the working precision, or compute them in it.

Models also need sums, in any order, and functions. A sum of n terms loses n - 1 times as
much as an addition, relative to the *sum of the sizes* of its terms; this bounds every
order, and fused multiply-adds. A function loses `FUNCTION` machine epsilons of its value,
as vectorised ones may; for a sigmoid, which may use tanh, of its value or 1/2.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mpmath

from lookahead_ref.conformance.oracle import Exact

# Machine epsilons that may be lost, and additional ones at the level ``gpu``.
ROUNDINGS = 2.0  # by each operation
FUNCTION = 4.0  # by exp, log, tanh or a sigmoid
GPU_DIVISION = 2.5  # by a division or a square root
GPU_FUNCTION = 4.0  # by a function

LEVELS = ("strict", "gpu")

_FORMATS = {  # machine epsilon, smallest normal, smallest and largest number
    "float32": (2.0**-23, 2.0**-126, 2.0**-149, 2.0**128 - 2.0**104),
    "float64": (2.0**-52, 2.0**-1022, 2.0**-1074, sys.float_info.max),
}

# Correctly rounded, so that tolerances are the same on all machines.
_context = mpmath.MPContext()
_context.prec = 80


@dataclass(frozen=True)
class _Losses:
    """The losses of a format and level, relative to the operand or absolute."""

    rounding: float
    division: float
    function: float
    normal: float  # smaller numbers may be flushed
    floor: float
    flush: float
    largest: float  # larger numbers overflow

    def made(self, middle: float, radius: float, operand: float, loss: float) -> "Bounded":
        """Add the loss of one operation; `operand` is its largest operand or result."""
        size = abs(middle)
        if not size <= self.largest:  # or NaN
            return Bounded(middle * math.inf, 0.0, self)
        radius += loss * operand + self.floor
        if size - radius < self.normal:  # the result may be subnormal, and flushed
            radius += self.flush
        return Bounded(middle, radius, self)


class Bounded:
    """A number, and a bound on a program's error in it."""

    __slots__ = ("losses", "middle", "radius")
    # Float64 is precise enough for the number, as only the bound is used.

    def __init__(self, middle: float, radius: float, losses: _Losses) -> None:
        self.middle = middle
        self.radius = radius
        self.losses = losses

    def _other(self, other: "Bounded | float") -> "Bounded":
        return other if isinstance(other, Bounded) else Bounded(other, 0.0, self.losses)

    def is_zero(self) -> bool:
        """Return whether this is exactly zero, so that operations lose nothing."""
        return self.middle == 0.0 and self.radius == 0.0

    def __add__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        if self.is_zero():
            return other
        if other.is_zero():
            return self
        return self._sum(other, self.middle + other.middle)

    __radd__ = __add__

    def __sub__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        return self if other.is_zero() else self._sum(other, self.middle - other.middle)

    def _sum(self, other: "Bounded", middle: float) -> "Bounded":
        operand = max(abs(self.middle), abs(other.middle), abs(middle))
        radius = self.radius + other.radius
        return self.losses.made(middle, radius, operand, self.losses.rounding)

    def __rsub__(self, other: "Bounded | float") -> "Bounded":
        return self._other(other) - self

    def __mul__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        for factor in (self, other):
            if factor.is_zero():
                return factor
        middle = self.middle * other.middle
        radius = (
            abs(self.middle) * other.radius
            + abs(other.middle) * self.radius
            + self.radius * other.radius
        )
        return self.losses.made(middle, radius, abs(middle), self.losses.rounding)

    __rmul__ = __mul__

    def __truediv__(self, other: "Bounded | float") -> "Bounded":
        other = self._other(other)
        if self.is_zero():
            return self
        least = abs(other.middle) - other.radius
        if least <= 0.0:
            return Bounded(math.nan, math.inf, self.losses)
        middle = self.middle / other.middle
        radius = (
            (self.radius + abs(middle) * other.radius) / least
            if middle
            else self.radius / least
        )
        if math.isinf(other.middle):
            radius = 0.0
        return self.losses.made(middle, radius, abs(middle), self.losses.division)

    def __pow__(self, exponent: int) -> "Bounded":
        power = self
        for _ in range(exponent - 1):
            power = power * self
        return power


class Bounding:
    """The arithmetic of `Bounded` numbers for a format and a level."""

    # ``strict`` allows correctly rounded operations in any correct order; ``gpu`` also
    # divisions and square roots with 2.5 ulps, and subnormal numbers flushed to zero.

    def __init__(self, dtype: str, level: str) -> None:
        epsilon, normal, smallest, largest = _FORMATS[dtype]
        gpu = level == "gpu"
        self._half = epsilon / 2
        self._losses = _Losses(
            rounding=ROUNDINGS * epsilon,
            division=(ROUNDINGS + (GPU_DIVISION if gpu else 0.0)) * epsilon,
            function=(FUNCTION + (GPU_FUNCTION if gpu else 0.0)) * epsilon,
            normal=normal,
            floor=smallest,
            flush=normal if gpu else 0.0,
            largest=largest,
        )

    def number(self, value: float) -> Bounded:
        flushed = 0.0 < abs(value) < self._losses.normal
        return Bounded(value, self._losses.flush if flushed else 0.0, self._losses)

    def hyperparameter(self, value: float) -> Bounded:
        """Make a number from a hyperparameter, which a program may round."""
        return Bounded(value, abs(value) * self._half, self._losses)

    def sqrt(self, value: Bounded) -> Bounded:
        if value.is_zero():
            return value
        middle = math.sqrt(value.middle)
        if math.isinf(middle):
            return value
        least = math.sqrt(max(value.middle - value.radius, 0.0))
        spread = middle + least
        radius = value.radius / spread if spread else math.sqrt(value.radius)
        return self._losses.made(middle, radius, middle, self._losses.division)

    def total(self, terms: Sequence[Bounded]) -> Bounded:
        # Exact zeros lose nothing.
        terms = [term for term in terms if not term.is_zero()]
        if not terms:
            return self.number(0.0)
        if len(terms) == 1:
            return terms[0]
        middle = math.fsum(term.middle for term in terms)
        radius = math.fsum(term.radius for term in terms)
        sizes = math.fsum(abs(term.middle) for term in terms)
        operand = (len(terms) - 1) * sizes
        return self._losses.made(middle, radius, operand, self._losses.rounding)

    def largest(self, values: Sequence[Bounded]) -> Bounded:
        """Return the largest number, as exact."""
        # It is only subtracted, and the result does not depend on it.
        return self.number(max(each.middle for each in values))

    def exp(self, value: Bounded) -> Bounded:
        middle = float(_context.exp(value.middle))
        radius = middle * float(_context.expm1(value.radius))
        return self._losses.made(middle, radius, middle, self._losses.function)

    def log(self, value: Bounded) -> Bounded:
        middle = float(_context.log(value.middle))
        radius = value.radius / (value.middle - value.radius)
        # Relative to the result, which is not zero even if the middle is.
        operand = abs(middle) + radius
        return self._losses.made(middle, radius, operand, self._losses.function)

    def tanh(self, value: Bounded) -> Bounded:
        middle = _tanh(value.middle)
        radius = value.radius * (1 - _tanh(_nearest_to_zero(value)) ** 2)
        operand = abs(middle) + radius
        return self._losses.made(middle, radius, operand, self._losses.function)

    def sigmoid(self, value: Bounded) -> Bounded:
        middle = _sigmoid(value.middle)
        steepest = _sigmoid(_nearest_to_zero(value))
        radius = value.radius * steepest * (1 - steepest)
        return self._losses.made(middle, radius, max(middle, 0.5), self._losses.function)

    def positive(self, value: Bounded) -> bool:
        """Return whether a number is above zero; raise if its error leaves that open."""
        if value.radius and abs(value.middle) <= value.radius:
            raise ValueError(
                "the sign of a number is uncertain: a rectifier could go either way"
            )
        return value.middle > 0


def _nearest_to_zero(value: Bounded) -> float:
    """Return the number nearest to zero within the bound, where slopes are steepest."""
    return math.copysign(max(abs(value.middle) - value.radius, 0.0), value.middle)


def _sigmoid(x: float) -> float:
    return 0.5 * _tanh(0.5 * x) + 0.5


def _tanh(x: float) -> float:
    return float(_context.tanh(x))


class Overflowing:
    """Numbers of 50 digits that overflow where float32 does."""

    @staticmethod
    def number(value: float) -> "_Number":
        return _Number(Exact.number(value))

    hyperparameter = number

    @staticmethod
    def sqrt(value: "_Number") -> "_Number":
        return _Number(Exact.sqrt(value.exact))


class _Number:
    """A number of 50 digits, infinite beyond the largest of float32."""

    __slots__ = ("exact",)

    def __init__(self, exact: Any) -> None:
        large = abs(exact) > _FORMATS["float32"][-1]
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
